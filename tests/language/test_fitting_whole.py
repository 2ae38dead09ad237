"""Fitting as a whole: pure, cheap, stable, and nothing vanishes without a word (T14, R20, N1)."""

from __future__ import annotations

import base64
import copy
import time
from collections.abc import Iterator
from typing import Any

import pytest

from dragoman.language.failures import Refused
from dragoman.language.fitting import fit
from dragoman.language.fitting.names import ToolNames
from dragoman.language.ir import (
    Media,
    Message,
    Opaque,
    Part,
    Reasoning,
    ReasoningSetting,
    Refusal,
    Request,
    Sampling,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile, find_profile
from tests.corpus import DIALECT_OF, exchange, identifiers

TARGETS = [
    find_profile("anthropic", "claude-haiku-4-5"),
    find_profile("anthropic", "claude-opus-4-8"),
    find_profile("openai_chat", "gpt-4.1"),
    find_profile("openai_chat", "deepseek-v4-flash"),
    find_profile("openai_responses", "gpt-5"),
    find_profile("gemini", "gemini-2.5-flash"),
    find_profile("gemini", "gemini-3-pro-preview"),
]
OWN = {"anthropic": {"cache_control": {"type": "ephemeral"}}}


def agent(turns: int = 14) -> Request:
    """A coding agent's request: 24 tools, about 30 messages, 60 kB."""
    messages = [Message("system", [Text("x-anthropic-billing-header: v"), Text("s" * 8000, extras=OWN)])]
    messages.append(Message("user", [Text("go")]))
    for turn in range(turns):
        calls = [ToolCall(f"toolu_{turn}_{n}", f"tool_{n}", '{"a":1}') for n in range(2)]
        thought = Reasoning("hm", {"anthropic": {"signature": "s"}})
        messages.append(Message("assistant", [thought, Text("I look"), *calls]))
        messages.append(Message("tool", [ToolResult(call.id, [Text("r" * 500)]) for call in reversed(calls)]))
    return Request(
        "anthropic",
        "m",
        messages,
        tools=[Tool(f"tool_{n}", "d" * 1500, {"type": "object", "properties": {}}, extras=OWN) for n in range(24)],
        sampling=Sampling(max_tokens=32000),
        reasoning=ReasoningSetting("adaptive", effort="high"),
        user="u" * 100,
        extras={"anthropic": {"context_management": {"edits": []}}},
    )


def test_the_short_cut_of_one_dialect_changes_nothing() -> None:
    request = agent()
    receipt = Receipt()
    fitted = fit(request, TARGETS[0], receipt)
    assert fitted.request is request
    assert fitted.names.empty
    assert fitted.cut_stops == []
    assert receipt.losses == []


@pytest.mark.parametrize("profile", TARGETS[2:], ids=lambda profile: profile.family)
def test_T14_fitting_is_pure_and_repeatable(profile: Profile) -> None:
    request = agent()
    before = copy.deepcopy(request)
    first, second = Receipt(), Receipt()
    one, two = fit(request, profile, first).request, fit(request, profile, second).request
    assert request == before
    assert one == two
    assert first.losses == second.losses


@pytest.mark.parametrize("profile", TARGETS[2:], ids=lambda profile: profile.family)
def test_T14_a_longer_conversation_begins_as_the_shorter_did(profile: Profile) -> None:
    short, long = (fit(agent(turns), profile, Receipt()).request for turns in (3, 4))
    assert long.messages[: len(short.messages)] == short.messages
    assert long.tools == short.tools


def test_unchanged_parts_are_shared() -> None:
    request = agent()
    fitted = fit(request, TARGETS[2], Receipt()).request
    assert fitted.tools is request.tools
    assert fitted.messages[2].parts[-1] is request.messages[2].parts[-1]
    assert fitted.messages[3] is request.messages[3]


def test_fitting_costs_microseconds_and_grows_in_a_line() -> None:
    def best(request: Request) -> float:
        times = []
        for _ in range(60):
            start = time.perf_counter()
            fit(request, TARGETS[2], Receipt())
            times.append(time.perf_counter() - start)
        return min(times)

    small, large = best(agent(14)), best(agent(140))
    assert small < 0.003, "far above the 300 µs aimed at, even for a busy machine"
    assert large < small * 30


def _corpus_requests() -> Iterator[tuple[str, str, dict[str, Any], str | None]]:
    for identifier in identifiers():
        recorded = exchange(identifier)
        body = (recorded["request"] or {}).get("body")
        if isinstance(body, dict):
            yield identifier, DIALECT_OF[recorded["protocol"]], body, recorded["model"]


def _read(dialect: str, body: dict[str, Any], model: str | None) -> Request | None:
    from dragoman.language.registry import DIALECTS

    try:
        return DIALECTS[dialect].read_request(body, model=model)
    except Refused:
        return None


def _leaves(messages: list[Message]) -> Iterator[tuple[str, Part]]:
    for place, message in enumerate(messages):
        for number, part in enumerate(message.parts):
            yield f"messages[{place}].parts[{number}]", part
            if isinstance(part, ToolResult):
                for deep, inner in enumerate(part.content):
                    yield f"messages[{place}].parts[{number}].content[{deep}]", inner


def _told(path: str, receipt: Receipt) -> bool:
    """Whether the receipt has a line for the part, for something in it, or for what holds it."""
    return any(f"{path}.".startswith(f"{loss.path}.") or loss.path.startswith(path) for loss in receipt.losses)


def _trace(part: Part) -> str:
    """What must be found upstream of a part."""
    match part:
        case Text(text=text) | Refusal(text=text) | Reasoning(text=text):
            return text
        case Media(source="base64", value=value, media_type=kind) if kind.startswith("text/"):
            return base64.b64decode(value).decode()
        case Media(value=value):
            return value
    return ""


def test_N1_null_says_nothing_and_is_no_loss() -> None:
    said = Message("assistant", [Text("hi")], {"openai_chat": {"refusal": None, "audio": {"id": "a"}}})
    receipt = Receipt()
    fit(Request("openai_chat", "m", [Message("user", [Text("go")]), said]), TARGETS[0], receipt)
    assert [loss.path for loss in receipt.losses if loss.what == "dropped"] == ["messages[1].audio"]


def test_N1_every_part_of_the_corpus_is_carried_or_in_the_receipt() -> None:
    requests = list(_corpus_requests())
    if not requests:
        pytest.skip("the recorded corpus (../shared/corpus) is not here")
    checked = 0
    for identifier, dialect, body, model in requests:
        request = _read(dialect, body, model)
        for profile in TARGETS if request is not None else ():
            assert request is not None
            if profile.dialect == dialect:
                continue
            receipt = Receipt()
            try:
                fitted = fit(request, profile, receipt)
            except Refused:
                continue
            checked += 1
            _assert_accounted(identifier, request, fitted.request, fitted.names, receipt)
    assert checked > 500


def _assert_accounted(identifier: str, request: Request, fitted: Request, names: ToolNames, receipt: Receipt) -> None:
    upstream = [part for _, part in _leaves(fitted.messages)]
    words = "\0".join(_trace(part) for part in upstream)
    calls = {(part.name, part.arguments) for part in upstream if isinstance(part, ToolCall)}
    for path, part in _leaves(request.messages):
        if isinstance(part, ToolCall):
            carried = (names.wire(part.name, part.namespace), part.arguments) in calls or part.kind == "custom"
        elif isinstance(part, ToolResult | Opaque):
            carried = not isinstance(part, Opaque) or part in upstream or part.data.get("type") == "additional_tools"
        else:
            carried = _trace(part) in words
        assert carried or _told(path, receipt), (identifier, fitted.dialect, path, part)
    wires = {tool.name for tool in fitted.tools if isinstance(tool, Tool)}
    for place, tool in enumerate(request.tools):
        name = names.wire(tool.name, tool.namespace) if isinstance(tool, Tool) else None
        told = any(loss.path in (f"tools[{place}]", "tool_choice") for loss in receipt.losses)
        assert name in wires or told, (identifier, place, tool)
    for name in ("temperature", "top_p", "top_k", "max_tokens", "seed", "n", "logprobs", "stop"):
        said, sent = getattr(request.sampling, name), getattr(fitted.sampling, name)
        if said not in (None, []) and said != sent:
            assert any(loss.path == name for loss in receipt.losses), (identifier, name)
