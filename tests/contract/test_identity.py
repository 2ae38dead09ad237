"""Every dialect against every recorded exchange of its own: identity, grammar, fold, any chunking."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from dragoman.language.events import AnswerFailed, Event, Failed, check, fold
from dragoman.language.ir import Response
from dragoman.language.losses import Receipt
from dragoman.language.profiles import find_profile
from dragoman.language.registry import DIALECTS
from dragoman.language.streams import Asked
from tests import corpus
from tests.contract import rates
from tests.contract.canonical import canonical, url_facts
from tests.contract.wires import CLIENT_REQUESTS

pytestmark = pytest.mark.skipif(not corpus.identifiers(), reason="the recorded corpus (../shared/corpus) is not here")

NAMES = sorted(DIALECTS)


def exchanges(dialect: str, kind: str) -> list[str]:
    """Ids of the dialect's exchanges that have a request, a whole body, a stream, or an error."""
    return [name for name in corpus.identifiers() if _is(corpus.exchange(name), dialect, kind)]


def _is(exchange: dict[str, Any], dialect: str, kind: str) -> bool:
    if corpus.DIALECT_OF[exchange["protocol"]] != dialect:
        return False
    answer = exchange["response"]
    if kind == "request":
        return isinstance((exchange.get("request") or {}).get("body"), dict) and answer["status"] == 200
    if kind == "stream":
        return answer.get("sse") is not None
    failed = answer["status"] != 200
    return answer.get("sse") is None and failed == (kind == "error")


def read_stream(dialect: str, raw: bytes, size: int) -> list[Event]:
    """Events of a stream fed in pieces of ``size`` bytes."""
    reader = DIALECTS[dialect].StreamReader()
    events = [event for at in range(0, len(raw), size) for event in reader.feed(raw[at : at + size])]
    return list(check(events + reader.close()))


@pytest.mark.parametrize("dialect", NAMES)
def test_B11_a_request_read_and_written_is_the_same_request(dialect: str) -> None:
    def attempt(name: str) -> None:
        sent = corpus.exchange(name)["request"]
        model, stream = url_facts(sent)
        module = DIALECTS[dialect]
        request = module.read_request(json.loads(json.dumps(sent["body"])), model=model, stream=stream)
        written = module.write_request(request, find_profile(dialect, request.model), Receipt())
        if "model" not in sent["body"]:
            written.pop("model", None)  # where the URL names the model, the provider takes it out of the body
        assert canonical(dialect, written) == canonical(dialect, sent["body"])

    rates.hold("request identity", dialect, exchanges(dialect, "request"), attempt)


@pytest.mark.parametrize("dialect", NAMES)
def test_B11_a_body_read_and_written_is_the_same_body(dialect: str) -> None:
    def attempt(name: str) -> None:
        body = corpus.exchange(name)["response"]["body"]
        bodies = body if isinstance(body, list) else [body]
        for one in bodies:
            if not isinstance(one, dict) or _is_error(one):
                continue
            written = rewritten(dialect, one)
            assert written is None or canonical(dialect, written) == canonical(dialect, one)

    rates.hold("body identity", dialect, exchanges(dialect, "body"), attempt)


def rewritten(dialect: str, body: dict[str, Any]) -> dict[str, Any] | None:
    """The body read and written; ``None`` when it says that the answer failed."""
    module = DIALECTS[dialect]
    try:
        response = module.read_response(json.loads(json.dumps(body)))
    except AnswerFailed as error:
        if not error.failure.message:
            raise
        return None
    return module.write_response(response, asked(dialect, response))


def _is_error(body: dict[str, Any]) -> bool:
    return bool(body.get("error")) or body.get("type") == "error"


def asked(dialect: str, response: Response) -> Asked:
    """A call of the dialect's own client, which asked for the model by its true name."""
    return Asked(client_request(dialect), response.model, "0" * 24, 0)


def client_request(dialect: str) -> Any:
    """What a client of the dialect sends: streamed, with thoughts and usage wanted."""
    return DIALECTS[dialect].read_request(deepcopy(CLIENT_REQUESTS[dialect]), model="asked", stream=True)


@pytest.mark.parametrize("dialect", NAMES)
def test_B01_B02_any_chunking_gives_the_same_well_formed_events(dialect: str) -> None:
    def attempt(name: str) -> None:
        raw = corpus.sse_bytes(name)
        whole = read_stream(dialect, raw, len(raw) or 1)
        for size in (1, 7, 1024):
            assert read_stream(dialect, raw, size) == whole, f"chunks of {size}"
        if len(raw) <= 4096:
            for at in range(len(raw)):
                reader = DIALECTS[dialect].StreamReader()
                assert reader.feed(raw[:at]) + reader.feed(raw[at:]) + reader.close() == whole, f"split at {at}"

    rates.hold("stream grammar and chunking", dialect, exchanges(dialect, "stream"), attempt)


@pytest.mark.parametrize("dialect", NAMES)
def test_S21_a_stream_read_written_and_read_again_folds_to_the_same_answer(dialect: str) -> None:
    def attempt(name: str) -> None:
        raw = corpus.sse_bytes(name)
        events = read_stream(dialect, raw, len(raw) or 1)
        if isinstance(events[-1], Failed):
            assert events[-1].failure.message
            return
        answer = fold(events)
        writer = DIALECTS[dialect].StreamWriter(asked(dialect, answer))
        again = read_stream(dialect, b"".join(writer.write(event) for event in events), 65536)
        assert plain(fold(again)) == plain(answer)

    rates.hold("stream identity", dialect, exchanges(dialect, "stream"), attempt)


def plain(answer: Response) -> tuple[Any, ...]:
    """What must be the same: parts with their own extras, finish, usage."""
    usage = answer.usage
    counts = (usage.prompt, usage.cache_read or 0, usage.output or 0)
    return (
        answer.id,
        [c.parts for c in answer.choices],
        [(c.finish.reason, c.finish.stop_sequence) for c in answer.choices],
        counts,
    )


@pytest.mark.parametrize("dialect", NAMES)
def test_E02_every_error_body_keeps_the_providers_words(dialect: str) -> None:
    def attempt(name: str) -> None:
        answer = corpus.exchange(name)["response"]
        raw = corpus.body_bytes(name)
        failure = DIALECTS[dialect].read_failure(answer["status"], answer.get("headers_subset") or {}, raw)
        assert failure.message.strip()
        assert failure.kind != "server" or answer["status"] >= 500, failure
        if answer["status"] < 500:
            said = raw.decode() if raw[:1] != b"{" else json.dumps(json.loads(raw), ensure_ascii=False)
            assert json.dumps(failure.message.strip()[:20], ensure_ascii=False)[1:-1] in said or raw[:1] != b"{"
        for client in NAMES:
            status, body = DIALECTS[client].write_failure(failure, "req_1")
            assert 400 <= status <= 599
            assert failure.message[:20] in json.dumps(body, ensure_ascii=False) or client == "anthropic"

    rates.hold("errors", dialect, exchanges(dialect, "error"), attempt)
