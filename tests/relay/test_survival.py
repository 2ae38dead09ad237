"""What becomes of a call when its target fails: the next target, the right status, and no storm."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from dragoman.relay.streaming import Patience
from dragoman.settings import Settings
from tests.patience import SOON
from tests.relay.rig import (
    ASK,
    CALM,
    CHAT_ASK,
    PINGING,
    Asked,
    FakeProvider,
    Rig,
    Script,
    Wire,
    anthropic_events,
    chat_body,
    chat_chunk,
    chat_stream,
    events_of,
    replay,
    running,
    whole,
)

STREAM = {**ASK, "model": "main", "stream": True}
PLAIN = {**CHAT_ASK, "model": "main"}
"""No ping opens the status while a slow machine is still at work."""

THROTTLED = {"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}


@dataclass
class Two:
    """The gateway before two accounts, ``first`` and ``second``, that serve the route ``main`` in this order."""

    rig: Rig
    first: FakeProvider
    second: FakeProvider

    @property
    def asked(self) -> tuple[int, int]:
        return len(self.first.asked), len(self.second.asked)


@contextlib.asynccontextmanager
async def two_accounts(
    first: Script, second: Script, *, kinds: tuple[str, str] = ("openai_compatible", "openai_compatible"),
    patience: Patience = CALM, accounts: dict[str, Any] | None = None, targets: list[dict[str, Any]] | None = None,
    **route: Any,
) -> AsyncIterator[Two]:  # fmt: skip
    providers = [FakeProvider(), FakeProvider()]
    settings: dict[str, Any] = {}
    for provider, script, name, kind in zip(providers, (first, second), ("first", "second"), kinds, strict=True):
        provider.script = script
        await provider.start()
        settings[name] = {
            "kind": kind,
            "base_url": f"http://127.0.0.1:{provider.port}" + ("/v1" if kind.startswith("openai") else ""),
            "api_key": f"{name}-secret",
            "allow_private": True,
            **(accounts or {}).get(name, {}),
        }
    chosen = targets or [{"provider": "first", "model": "one"}, {"provider": "second", "model": "two"}]
    tree = {"providers": settings, "routes": {"main": {"targets": chosen, **route}}}
    try:
        async with running(settings=Settings.model_validate(tree), patience=patience) as rig:
            yield Two(rig, *providers)
    finally:
        for provider in providers:
            await provider.stop()


def throttle(**headers: str) -> Script:
    return whole(THROTTLED, 429, **headers)


async def reset(asked: Asked, wire: Wire) -> None:
    wire.reset()


async def head_then_nothing(asked: Asked, wire: Wire) -> None:
    await wire.head(200, content_type="text/event-stream", transfer_encoding="chunked")
    await wire.wait_gone(30)


async def silent(asked: Asked, wire: Wire) -> None:
    await wire.wait_gone(30)


async def cut_before_content(asked: Asked, wire: Wire) -> None:
    await wire.stream(chat_chunk("", role="assistant"), end=True)


async def error_in_band(asked: Asked, wire: Wire) -> None:
    await wire.stream(b'data: {"error": {"message": "overloaded", "code": 503}}\n\n')


async def half(asked: Asked, wire: Wire) -> None:
    await wire.stream(chat_chunk("Hel", role="assistant"), end=False)
    wire.reset()


FAILURES = {
    "throttled": throttle(retry_after="30"),
    "broken": whole({"error": {"message": "oops"}}, 500),
    "overloaded": whole({"error": {"message": "busy"}}, 503),
    "bad credential": whole({"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}, 401),
    "spent": whole({"error": {"message": "quota", "code": "insufficient_quota", "type": "insufficient_quota"}}, 429),
    "no such deployment": whole({"error": {"message": "no deployment", "code": "DeploymentNotFound"}}, 404),
    "reset": reset,
    "html": whole("<html>", 502),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("body", [STREAM, PLAIN], ids=["streamed", "whole"])
async def test_E13_another_target_takes_over_before_the_first_byte(name: str, body: dict[str, Any]) -> None:
    good = replay(*chat_stream("Hello")) if body.get("stream") else whole(chat_body("Hello"))
    async with two_accounts(FAILURES[name], good) as two:
        path = "/v1/messages" if body.get("stream") else "/v1/chat/completions"
        status, headers, answer = await two.rig.post(path, body)
        assert status == 200
        assert "Hello" in (answer.decode() if isinstance(answer, bytes) else json.dumps(answer))
        assert headers["x-dragoman-provider"] == "second"
        assert headers["x-dragoman-attempts"] == "2"
        assert two.second.asked[0].json["model"] == "two"
        assert two.second.asked[0].headers["authorization"] == "Bearer second-secret"
        record = await two.rig.record()
        assert record.outcome == "answered"
        assert [(one.provider, one.model) for one in record.failed_attempts] == [("first", "one")]
        assert two.asked == (1, 1)


@pytest.mark.parametrize("script", [head_then_nothing, cut_before_content, error_in_band])
async def test_E03_a_stream_that_breaks_before_content_is_taken_over(script: Script) -> None:
    async with two_accounts(script, replay(*chat_stream("Hello")), first_byte=0.3) as two:
        status, _, answer = await two.rig.post("/v1/messages", STREAM)
        assert status == 200
        kinds = [event["type"] for event in events_of(answer)]
        assert kinds.count("message_start") == 1
        assert kinds[-1] == "message_stop"
        assert "error" not in kinds


async def test_pings_and_a_start_do_not_stand_in_the_way() -> None:
    """The client has been pinged, and the first target had begun its message, when it broke."""

    async def slow_then_cut(asked: Asked, wire: Wire) -> None:
        await wire.stream(*anthropic_events()[:1], end=False)
        await asyncio.sleep(0.5)
        wire.reset()

    kinds = ("anthropic", "anthropic")
    async with two_accounts(slow_then_cut, replay(*anthropic_events("Hello")), kinds=kinds, patience=PINGING) as two:
        status, _, answer = await two.rig.post("/v1/messages", STREAM)
        assert status == 200
        got = [event["type"] for event in events_of(answer)]
        assert "ping" in got
        assert got.count("message_start") == 1
        assert got[-1] == "message_stop"


async def test_with_nobody_left_the_start_of_a_message_is_not_held_back() -> None:
    release = asyncio.Event()

    async def slow(asked: Asked, wire: Wire) -> None:
        await wire.stream(*anthropic_events()[:1], end=False)
        await release.wait()
        for event in anthropic_events("Hello")[1:]:
            await wire.chunk(event)
        await wire.end()

    targets = [{"provider": "second", "model": "two"}]
    async with two_accounts(reset, slow, kinds=("anthropic", "anthropic"), targets=targets) as two:
        reader, writer = await two.rig.raw("/v1/messages", STREAM)
        await asyncio.wait_for(reader.readuntil(b"message_start"), SOON)
        release.set()
        assert b"message_stop" in await asyncio.wait_for(reader.readuntil(b"message_stop"), SOON)
        writer.close()


@pytest.mark.parametrize("kinds", [("openai_compatible",) * 2, ("anthropic",) * 2])
async def test_E13_after_content_there_is_no_way_back(kinds: tuple[str, str]) -> None:
    async def cut(asked: Asked, wire: Wire) -> None:
        pieces = [chat_chunk("Hel", role="assistant")] if kinds[0] != "anthropic" else anthropic_events("Hel")[:3]
        await wire.stream(*pieces, end=False)
        await asyncio.sleep(0.05)
        wire.reset()

    async with two_accounts(cut, replay(*chat_stream("Hello")), kinds=kinds) as two:
        status, _, answer = await two.rig.post("/v1/messages", STREAM)
        assert status == 200
        assert [event["type"] for event in events_of(answer)][-1] == "error"
        assert two.asked == (1, 0)
        record = await two.rig.record()
        assert record.outcome == "failed"


async def test_the_callers_mistake_stays_with_the_caller() -> None:
    bad = whole({"error": {"message": "messages is too short", "type": "invalid_request_error"}}, 400)
    async with two_accounts(bad, whole(chat_body())) as two:
        status, _, answer = await two.rig.post("/v1/chat/completions", PLAIN)
        assert status == 400
        assert "too short" in answer["error"]["message"]
        assert two.asked == (1, 0)


async def test_E05_a_context_that_is_too_long_is_tried_once() -> None:
    long = whole({"error": {"message": "maximum context length is 8192", "code": "context_length_exceeded"}}, 400)
    async with two_accounts(long, whole(chat_body())) as two:
        status, _, answer = await two.rig.post("/v1/messages", {**ASK, "model": "main"})
        assert status == 400
        assert answer["error"]["message"].startswith("prompt is too long")
        assert two.asked == (1, 0)


async def test_what_one_target_cannot_take_the_next_may() -> None:
    kinds = ("anthropic", "openai_compatible")
    async with two_accounts(replay(*anthropic_events("x")), whole(chat_body("two of them")), kinds=kinds) as two:
        status, headers, _ = await two.rig.post("/v1/chat/completions", {**PLAIN, "n": 2})
        assert status == 200
        assert headers["x-dragoman-provider"] == "second"
        assert two.asked == (0, 1)
        status, _, answer = await two.rig.post("/v1/chat/completions", {**PLAIN, "model": "first/one", "n": 2})
        assert status == 400
        assert "n:" in answer["error"]["message"]


async def test_the_last_failure_is_told_with_its_status_and_wait() -> None:
    async with two_accounts(whole({"error": {"message": "oops"}}, 500), throttle(retry_after="9")) as two:
        status, headers, answer = await two.rig.post("/v1/messages", {**ASK, "model": "main"})
        assert status == 429
        assert headers["retry-after"] == "9"
        assert answer["error"]["type"] == "rate_limit_error"
        assert two.asked == (1, 1)


async def test_K07_a_throttled_account_is_left_alone_until_its_wait_is_over() -> None:
    async with two_accounts(throttle(retry_after="1"), whole(chat_body())) as two:
        for _ in range(5):
            assert (await two.rig.post("/v1/chat/completions", PLAIN))[0] == 200
        assert two.asked == (1, 5)
        await asyncio.sleep(1.05)
        two.first.script = whole(chat_body())
        other = {**PLAIN, "messages": [{"role": "user", "content": "another conversation"}]}
        assert (await two.rig.post("/v1/chat/completions", other))[1]["x-dragoman-provider"] == "first"


async def test_E06_the_keys_of_an_account_take_over_for_one_another() -> None:
    async def by_key(asked: Asked, wire: Wire) -> None:
        if asked.headers["authorization"] == "Bearer bad-key":
            await wire.json({"error": {"message": "Incorrect API key", "code": "invalid_api_key"}}, 401)
        else:
            await wire.json(chat_body())

    accounts = {"first": {"api_key": "bad-key", "api_keys": ["good-key-1", "good-key-2"]}}
    async with two_accounts(by_key, whole(chat_body()), accounts=accounts) as two:
        for number in range(20):
            body = {**PLAIN, "messages": [{"role": "user", "content": f"conversation {number}"}]}
            status, headers, _ = await two.rig.post("/v1/chat/completions", body)
            assert status == 200
            assert headers["x-dragoman-provider"] == "first"
        keys = [asked.headers["authorization"] for asked in two.first.asked]
        assert keys.count("Bearer bad-key") == 1
        assert {"Bearer good-key-1", "Bearer good-key-2"} < set(keys)
        assert two.asked[1] == 0


async def test_K06_a_conversation_keeps_its_key() -> None:
    accounts = {"first": {"api_keys": ["k1", "k2", "k3"]}}
    async with two_accounts(whole(chat_body()), whole(chat_body()), accounts=accounts) as two:
        seen = set()
        for session in range(12):
            keys = set()
            for turn in range(3):
                body = {**PLAIN, "messages": [{"role": "user", "content": f"turn {turn}"}]}
                await two.rig.post("/v1/chat/completions", body, x_claude_code_session_id=f"s{session}")
                keys.add(two.first.asked[-1].headers["authorization"])
            assert len(keys) == 1
            seen |= keys
        assert len(seen) > 1


async def test_a_route_overrides_effort_output_and_headers() -> None:
    targets = [
        {"provider": "first", "model": "gpt-5", "effort": "low", "max_output": 500, "headers": {"X-Team": "core"}}
    ]
    async with two_accounts(whole(chat_body()), reset, targets=targets) as two:
        await two.rig.post("/v1/chat/completions", {**PLAIN, "reasoning_effort": "high", "max_completion_tokens": 900})
        sent = two.first.asked[0]
        assert sent.json["reasoning_effort"] == "low"
        assert sent.json["max_completion_tokens"] == 500
        assert sent.headers["x-team"] == "core"
        thinking = {"type": "enabled", "budget_tokens": 2000}
        await two.rig.post("/v1/messages", {**ASK, "model": "main", "max_tokens": 4000, "thinking": thinking})
        sent = two.first.asked[1]
        assert sent.json["reasoning_effort"] == "low"
        assert sent.json["max_completion_tokens"] == 500


async def test_N7_a_class_of_calls_goes_elsewhere() -> None:
    when = {"background": "second/small", "compaction": "second/small", "subagent": "second/small"}
    async with two_accounts(whole(chat_body()), whole(chat_body()), when=when) as two:
        for headers in (
            {"x_claude_code_request_class": "auxiliary"},
            {"x_claude_code_compaction": "true"},
            {"x_claude_code_agent_id": "a1", "x_claude_code_session_id": "s"},
            {"x_codex_turn_metadata": '{"request_kind": "compaction"}'},
        ):
            _, answer_headers, _ = await two.rig.post("/v1/messages", {**ASK, "model": "main"}, **headers)
            assert answer_headers["x-dragoman-provider"] == "second"
            assert two.second.asked[-1].json["model"] == "small"
        for headers in ({}, {"x_claude_code_request_class": "odd"}, {"x_codex_turn_metadata": "{"}):
            _, answer_headers, _ = await two.rig.post("/v1/messages", {**ASK, "model": "main"}, **headers)
            assert answer_headers["x-dragoman-provider"] == "first"


async def test_aliases_patterns_and_dates_find_the_route() -> None:
    async with two_accounts(whole(chat_body()), reset, aliases=["claude-x", "gpt-*-turbo"]) as two:
        for name in ("main", "MAIN", "claude-x", "claude-x-20260101", "gpt-9-turbo"):
            status, _, answer = await two.rig.post("/v1/chat/completions", {**PLAIN, "model": name})
            assert (status, answer.get("model")) == (200, name), answer
            assert two.first.asked[-1].json["model"] == "one"
        status, _, answer = await two.rig.post("/v1/chat/completions", {**PLAIN, "model": "gpt-9"})
        assert status == 404
    async with two_accounts(whole(chat_body()), reset) as two:
        # Some clients list only names of Claude's.
        status, _, answer = await two.rig.post("/v1/chat/completions", {**PLAIN, "model": "claude-main"})
        assert (status, answer["model"]) == (200, "claude-main")


async def test_a_parameter_that_is_refused_by_name_is_left_out_from_then_on() -> None:
    async def strict(asked: Asked, wire: Wire) -> None:
        if "temperature" in asked.json:
            message = "Unsupported parameter: 'temperature' is not supported with this model."
            error = {"message": message, "param": "temperature", "code": "unsupported_parameter"}
            await wire.json({"error": error}, 400)
        else:
            await wire.json(chat_body("Hello"))

    async with two_accounts(strict, reset) as two:
        for _ in range(2):
            status, headers, _ = await two.rig.post("/v1/messages", {**ASK, "model": "main", "temperature": 0.5})
            assert status == 200
            assert "dropped" in headers["x-dragoman-receipt"]
        assert two.asked == (3, 0)
        # A client that speaks the provider's own dialect hears the refusal itself.
        status, _, answer = await two.rig.post("/v1/chat/completions", {**PLAIN, "temperature": 0.5})
        assert status == 400
        assert answer["error"]["param"] == "temperature"


async def test_E08_a_models_own_mistake_is_tried_once_more_and_then_shown() -> None:
    error = {"message": "Failed to call a function", "code": "tool_use_failed", "failed_generation": "<tool>"}
    failing = whole({"error": error}, 400)
    async with two_accounts(failing, reset, accounts={"first": {"vendor": "groq"}}) as two:
        status, _, answer = await two.rig.post("/v1/messages", {**ASK, "model": "main"})
        assert status == 400
        assert "Failed to call a function" in answer["error"]["message"]
        assert two.asked == (2, 0)


# ---------------------------------------------------------------- storms


async def _storm(two: Two, calls: int, at_once: int, body: dict[str, Any] = PLAIN) -> list[tuple[int, float]]:
    gate = asyncio.Semaphore(at_once)

    async def one(number: int) -> tuple[int, float]:
        async with gate:
            began = time.monotonic()
            changed = {**body, "messages": [{"role": "user", "content": f"conversation {number}"}]}
            path = "/v1/messages" if "max_tokens" in body else "/v1/chat/completions"
            status, _, _ = await two.rig.post(path, changed)
            return status, time.monotonic() - began

    return await asyncio.gather(*(one(number) for number in range(calls)))


async def test_a_storm_of_429_on_one_of_two_deployments() -> None:
    async with two_accounts(throttle(retry_after="1"), whole(chat_body())) as two:
        seen = await _storm(two, 600, 30)
        good = sum(status == 200 for status, _ in seen)
        assert good / len(seen) >= 0.995
        assert sum(two.asked) / len(seen) <= 1.1


@pytest.mark.parametrize("status", [429, 500])
async def test_a_storm_everywhere_is_not_amplified(status: int) -> None:
    failing = whole(THROTTLED if status == 429 else {"error": {"message": "oops"}}, status)
    async with two_accounts(failing, failing) as two:
        seen = await _storm(two, 500, 30)
        assert {got for got, _ in seen} == {status}
        assert sum(two.asked) / len(seen) <= 1.1


async def test_a_dead_host_costs_little() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    accounts = {"first": {"base_url": f"http://127.0.0.1:{port}/v1"}}
    async with two_accounts(reset, whole(chat_body()), accounts=accounts) as two:
        seen = await _storm(two, 200, 20)
        assert {status for status, _ in seen} == {200}
        assert sorted(seconds for _, seconds in seen)[int(0.99 * len(seen))] < 2


async def test_slow_first_bytes_are_left_within_the_deadline() -> None:
    async with two_accounts(silent, whole(chat_body()), first_byte=0.3, deadline=2) as two:
        seen = await _storm(two, 60, 20)
        assert {status for status, _ in seen} == {200}
        assert max(seconds for _, seconds in seen) < 2


async def test_half_streams_are_errors_and_never_doubled() -> None:
    async with two_accounts(half, replay(*chat_stream("Hello"))) as two:
        status, _, answer = await two.rig.post("/v1/messages", STREAM)
        assert status == 200
        assert answer.count(b'"text":"Hel') == 1
        assert b"event: error" in answer


async def test_a_failure_that_was_kept_back_is_told_when_nobody_else_can_serve() -> None:
    async def slow_error(asked: Asked, wire: Wire) -> None:
        await wire.stream(end=False)
        await asyncio.sleep(0.5)
        await wire.chunk(b'data: {"error": {"message": "overloaded", "code": 503}}\n\n')
        await wire.end()

    # The second account gives one answer, and two are wanted.
    kinds = ("openai_compatible", "anthropic")
    async with two_accounts(slow_error, reset, kinds=kinds, patience=PINGING) as two:
        _, _, answer = await two.rig.post("/v1/chat/completions", {**PLAIN, "n": 2, "stream": True})
        assert b": ping" in answer
        assert [event["error"]["message"] for event in events_of(answer)] == ["n: the target gives one answer, not 2"]
        assert (await two.rig.record()).outcome == "failed"
        assert two.asked == (1, 0)


async def test_a_broken_block_is_left_open_so_that_the_client_asks_again() -> None:
    """Claude Code repeats a call that broke, but not when a block of its answer had been ended."""

    async def cut(asked: Asked, wire: Wire) -> None:
        await wire.stream(chat_chunk("Hel", role="assistant"), end=False)
        await asyncio.sleep(0.05)
        wire.reset()

    async with two_accounts(cut, reset) as two:
        _, _, answer = await two.rig.post("/v1/messages", STREAM)
        kinds = [event["type"] for event in events_of(answer) if event["type"] != "ping"]
        assert kinds == ["message_start", "content_block_start", "content_block_delta", "error"]
