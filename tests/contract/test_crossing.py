"""Every client dialect in front of every recorded answer, and every recorded request to every provider dialect.

The official SDKs parse what was translated. Between a dialect and itself their strictest models refuse
values their own provider sent, which pass as they came; there the identity tests hold.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from dragoman.language.events import Event, Failed, Folder, unfold
from dragoman.language.fitting import fit
from dragoman.language.ir import Message, Part, Reasoning, Refusal, Response, Text, ToolCall, ToolResult
from dragoman.language.losses import Receipt
from dragoman.language.profiles import find_profile
from dragoman.language.registry import DIALECTS
from dragoman.language.streams import Asked
from tests import corpus
from tests.contract import rates, sdks, views
from tests.contract.canonical import url_facts
from tests.contract.test_identity import NAMES, client_request, exchanges, read_stream
from tests.contract.wires import FINISH, TARGETS

pytestmark = pytest.mark.skipif(not corpus.identifiers(), reason="the recorded corpus (../shared/corpus) is not here")

PAIRS = [(client, provider) for client in NAMES for provider in NAMES]


def answers(provider: str) -> list[str]:
    """Every exchange of the provider dialect that holds an answer."""
    return exchanges(provider, "stream") + [
        name for name in exchanges(provider, "body") if isinstance(corpus.exchange(name)["response"]["body"], dict)
    ]


def events_of(provider: str, name: str) -> list[Event]:
    """The answer as events, from a stream or a body."""
    if corpus.exchange(name)["response"].get("sse") is not None:
        return read_stream(provider, corpus.sse_bytes(name), 4096)
    return read_stream(provider, corpus.body_bytes(name), 4096)


def expect(view: views.View, answer: Response, client: str) -> None:
    """The view shows what the answer holds."""
    words = [part for part in answer.parts if "~beside" not in part.extras.get(client, {})]
    assert squeezed(view.text) == squeezed(said(words, (Text, Refusal))), "text differs"
    assert squeezed(view.reasoning) == squeezed(said(answer.parts, (Reasoning,))), "reasoning differs"
    calls = [part for part in answer.parts if isinstance(part, ToolCall)]
    assert [bare(args) for _, args in view.calls] == [bare(views.arguments(call.arguments or "{}")) for call in calls]
    for (name, _), call in zip(view.calls, calls, strict=True):
        assert name in (call.name, f"{call.namespace}__{call.name}")
    own = answer.finish.raw == str(view.finish) or isinstance(view.finish, int)
    assert own or view.finish in FINISH[client][answer.finish.reason], f"{answer.finish.reason} became {view.finish}"
    if answer.usage.input is not None:
        assert (view.prompt, view.cached) == (answer.usage.prompt, answer.usage.cache_read or 0), "input usage differs"
    if answer.usage.output is not None:
        assert view.output == answer.usage.output, "output usage differs"
    assert view.model in ("asked", "")


def said(parts: list[Part], kinds: tuple[type, ...]) -> str:
    """The words of the parts of some kinds."""
    return "".join(part.text for part in parts if isinstance(part, kinds))  # type: ignore[union-attr]


def squeezed(text: str) -> str:
    """Words without blanks: how pieces are joined is the client dialect's affair."""
    return "".join(text.split())


def bare(args: Any) -> Any:
    """Arguments without the wrapping that object-only wires need for anything else; none are an empty object."""
    if args in (None, ""):
        return {}
    if isinstance(args, dict) and len(args) == 1 and next(iter(args)) in ("raw", "value", "input"):
        return next(iter(args.values()))
    return args


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_S_every_recorded_answer_reaches_every_client_streamed(client: str, provider: str) -> None:
    def attempt(name: str) -> None:
        events = events_of(provider, name)
        writer = DIALECTS[client].StreamWriter(Asked(client_request(client), "asked", "ab" * 12, 1700000000))
        raw = b"".join(writer.write(event) for event in events)
        view = views.STREAM_VIEWS[client](raw)
        if client != provider:
            sdks.STREAM_SDKS[client](raw)
        folder = Folder()
        for event in events:
            folder.add(event)
        if isinstance(events[-1], Failed):
            assert view.failed, "a broken answer looks whole"
        else:
            expect(view, folder.response(), client)

    rates.hold(f"streamed to {client}", provider, answers(provider), attempt)


@pytest.mark.parametrize(("client", "provider"), PAIRS)
def test_S21_every_recorded_answer_reaches_every_client_whole(client: str, provider: str) -> None:
    def attempt(name: str) -> None:
        folder = Folder()
        for event in events_of(provider, name):
            folder.add(event)
        if folder.failure is not None:
            return
        answer = folder.response()
        body = DIALECTS[client].write_response(answer, Asked(client_request(client), "asked", "ab" * 12, 1700000000))
        body = json.loads(json.dumps(body))
        expect(views.BODY_VIEWS[client](body), answer, client)
        if client != provider:
            sdks.BODY_SDKS[client](body)
        assert squeezed(said(answer.parts, (Text,))) == squeezed(said(Folding(answer).parts, (Text,)))

    rates.hold(f"whole to {client}", provider, answers(provider), attempt)


class Folding:
    """The fold of an unfolded answer."""

    def __init__(self, answer: Response) -> None:
        folder = Folder()
        for event in unfold(answer):
            folder.add(event)
        self.parts = folder.response().parts


@pytest.mark.parametrize(("client", "provider"), [pair for pair in PAIRS if pair[0] != pair[1]])
def test_R_every_recorded_request_reaches_every_provider(client: str, provider: str) -> None:
    def attempt(name: str) -> None:
        sent = corpus.exchange(name)["request"]
        model, stream = url_facts(sent)
        request = DIALECTS[client].read_request(json.loads(json.dumps(sent["body"])), model=model, stream=stream)
        profile = find_profile(provider, TARGETS[provider])
        receipt = Receipt()
        fitted = fit(request, profile, receipt)
        body = DIALECTS[provider].write_request(fitted.request, profile, receipt)
        leaves = "\n".join(strings(json.loads(json.dumps(body))))
        found = squeezed(leaves)
        for at, text in texts(request.messages):
            noted = any(loss.path.startswith(f"messages[{at}]") for loss in receipt.losses)
            assert noted or squeezed(text) in found, f"lost without a note: {text[:80]!r}"
        again = DIALECTS[provider].read_request(body, model=TARGETS[provider], stream=stream)
        assert calls(again.messages) >= calls(request.messages) or receipt.losses, "calls are lost without a note"

    rates.hold(f"request to {provider}", client, exchanges(client, "request"), attempt)


def texts(messages: list[Message]) -> list[tuple[int, str]]:
    """Everything said in the conversation with its message's index, tool results included, blanks excepted."""
    found = []
    for at, message in enumerate(messages):
        for part in message.parts:
            inner = part.content if isinstance(part, ToolResult) else [part]
            found += [(at, one.text) for one in inner if isinstance(one, Text) and one.text.strip()]
    return [(at, text) for at, text in found if not text.startswith("x-anthropic-billing-header")]


def calls(messages: list[Message]) -> int:
    """How many calls the history holds."""
    return sum(isinstance(part, ToolCall) for message in messages for part in message.parts)


def strings(value: Any) -> list[str]:
    """Every string in a JSON value, in order; JSON inside a string is opened too."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list):
        return [text for item in value for text in strings(item)]
    return []
