"""What the ledger holds after calls that went their ways through the whole gateway, and ended as calls do end."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.relay.booked_rig import ASK, House, booked_house
from tests.relay.rig import Asked, Wire, chat_body, chat_chunk, chat_stream, replay, whole


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with booked_house(tmp_path) as one:
        yield one


def piece(text: str, finish: str | None = None, **more: Any) -> bytes:
    """One chunk of a streamed text completion."""
    choice = {"index": 0, "text": text, "finish_reason": finish, "logprobs": None}
    body = {"id": "cmpl-1", "object": "text_completion", "created": 7, "model": "up", "choices": [choice], **more}
    return b"data: " + json.dumps(body).encode() + b"\n\n"


DONE = b"data: [DONE]\n\n"


# ---------------------------------------------------------------- text completions


async def test_K04_a_streamed_completion_without_usage_is_booked_by_what_was_relayed(house: House) -> None:
    house.rig.provider.script = replay(piece("x" * 400), piece("", "stop"), DONE)
    await house.rig.post("/v1/completions", {"model": "big", "prompt": "Hello", "stream": True})
    (row,) = await house.booked()
    assert (row["output"], row["usage_source"], row["outcome"]) == (100, "estimated", "answered")


async def test_U06_a_whole_completion_without_usage_is_booked_by_what_it_said(house: House) -> None:
    choice = {"index": 0, "text": "x" * 400, "finish_reason": "stop"}
    house.rig.provider.script = whole({"id": "c", "object": "text_completion", "model": "up", "choices": [choice]})
    await house.rig.post("/v1/completions", {"model": "big", "prompt": "Hello"})
    (row,) = await house.booked()
    assert (row["output"], row["usage_source"]) == (100, "estimated")


async def test_U11_a_streamed_completion_tells_which_model_a_deployment_is(house: House) -> None:
    house.rig.provider.script = replay(piece("Hi"), piece("", "stop"), DONE)
    await house.rig.post("/v1/completions", {"model": "big", "prompt": "Hello", "stream": True})
    (row,) = await house.booked()
    assert row["details"]["upstream_model"] == "up"


async def test_K04_a_completion_that_breaks_after_an_interim_report_has_failed(house: House) -> None:
    """Some tell the usage with every chunk."""
    usage = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}
    house.rig.provider.script = replay(piece("x", usage=usage), piece("x" * 399))
    await house.rig.post("/v1/completions", {"model": "big", "prompt": "Hello", "stream": True})
    (row,) = await house.booked()
    assert (row["outcome"], row["partial"], row["input"], row["output"]) == ("failed", True, 5, 100)


async def test_U04_a_completion_with_more_cached_than_prompt_has_no_negative_tokens(house: House) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 161}}
    house.rig.provider.script = whole({"id": "c", "object": "text_completion", "model": "up", "choices": [],
                                       "usage": usage})  # fmt: skip
    await house.rig.post("/v1/completions", {"model": "big", "prompt": "Hello"})
    (row,) = await house.booked()
    assert (row["input"], row["output"]) == (0, 1)


async def test_a_completion_in_a_frame_that_is_no_json_is_passed_on(house: House) -> None:
    house.rig.provider.script = replay(b'data: {"usage" broken\n\n', piece("ok", "stop"), DONE)
    status, _, data = await house.rig.post("/v1/completions", {"model": "big", "prompt": "Hello", "stream": True})
    assert status == 200
    assert b"internal error" not in data
    (row,) = await house.booked()
    assert row["outcome"] == "answered"


ERROR = b'data: {"error": {"message": "overloaded", "type": "server_error"}}\n\n'


async def test_E03_an_error_in_a_completion_before_its_text_is_left_to_the_next_target(house: House) -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        pieces = [ERROR, DONE] if asked.json["model"] == "one" else [piece("fine"), piece("", "stop"), DONE]
        await wire.stream(*pieces)

    house.rig.provider.script = script
    asked = {"model": "both", "prompt": "Hello", "stream": True}
    status, _, data = await house.rig.post("/v1/completions", asked)
    assert status == 200
    assert b"fine" in data
    assert b"overloaded" not in data
    first, second = await house.booked(2)
    assert (first["outcome"], first["closes"]) == ("failed", False)
    assert (second["outcome"], second["output"]) == ("answered", 1)


async def test_E03_an_error_in_a_completion_after_its_text_is_its_end(house: House) -> None:
    house.rig.provider.script = replay(piece("x" * 40), ERROR, DONE)
    status, _, data = await house.rig.post("/v1/completions", {"model": "big", "prompt": "Hello", "stream": True})
    assert status == 200
    assert b"overloaded" in data
    (row,) = await house.booked()
    assert (row["outcome"], row["partial"], row["output"]) == ("failed", True, 10)


# ---------------------------------------------------------------- what is reserved


@pytest.mark.parametrize(
    ("path", "body", "output"),
    [
        ("/v1/chat/completions", {**ASK, "max_tokens": 50}, 50),
        ("/v1/chat/completions", {**ASK, "max_tokens": 50, "n": 8}, 400),
        ("/v1/completions", {"model": "big", "prompt": "Hello", "max_tokens": 50}, 50),
        ("/v1/completions", {"model": "big", "prompt": "Hello", "max_tokens": 50, "n": 2, "best_of": 6}, 300),
        ("/v1/completions", {"model": "big", "prompt": ["a", "b", "c"], "max_tokens": 50, "n": 2}, 300),
        ("/v1/completions", {"model": "big", "prompt": [1, 2, 3], "max_tokens": 50}, 50),
        ("/v1/completions", {"model": "big", "prompt": [[1, 2], [3]], "max_tokens": 50}, 100),
    ],
)
async def test_K01_the_worst_case_counts_every_answer_asked_for(
    house: House, path: str, body: dict[str, Any], output: int
) -> None:
    """Eight choices are eight answers: one that is reserved lets seven through for nothing."""
    house.rig.provider.script = whole(chat_body(), 400)
    await house.rig.post(path, body)
    (wish,) = house.doorman.wishes
    assert wish.output_limit == output


@pytest.mark.parametrize("amount", [-1, -(10**12), 0])
@pytest.mark.parametrize(
    ("path", "name", "body"),
    [
        ("/v1/chat/completions", "max_tokens", ASK),
        ("/v1/chat/completions", "max_completion_tokens", ASK),
        ("/v1/messages", "max_tokens", ASK),
        ("/v1/responses", "max_output_tokens", {"model": "big", "input": "Hi"}),
        ("/v1/completions", "max_tokens", {"model": "big", "prompt": "Hi"}),
    ],
)
async def test_K01_nobody_reserves_less_than_nothing(
    house: House, path: str, name: str, body: dict[str, Any], amount: int
) -> None:
    """What is held below zero would be somebody else's to spend while the call runs."""
    house.rig.provider.script = whole(chat_body(), 400)
    await house.rig.post(path, {**body, name: amount})
    assert all((wish.output_limit or 0) >= 0 for wish in house.doorman.wishes)


async def test_N2_a_streamed_completion_asks_for_more_as_it_grows(house: House) -> None:
    house.rig.provider.script = replay(*[piece("x" * 2000)] * 4, piece("", "stop"), DONE)
    await house.rig.post("/v1/completions", {"model": "big", "prompt": "Hello", "stream": True})
    assert house.doorman.grown
    assert house.doorman.grown[-1] >= 1000


# ---------------------------------------------------------------- sessions, counting, first bytes


@pytest.mark.parametrize("model", ["chat/gpt-5.2", "resp/gpt-5.2"])
async def test_K02_a_dearer_tier_is_reserved_as_it_was_asked_for(house: House, model: str) -> None:
    house.rig.provider.script = whole({"error": {"message": "no"}}, 400)
    path, more = ("/v1/chat/completions", ASK) if "resp" not in model else ("/v1/responses", {"input": "Hello"})
    for tier in ("auto", "priority", "flex"):
        await house.rig.post(path, {**more, "model": model, "service_tier": tier})
    plain, dear, cheap = ((wish.unit_in or 0, wish.unit_out or 0) for wish in house.doorman.wishes)
    assert dear == (2 * plain[0], 2 * plain[1]) > (0, 0)
    # Who asks for less may be served at the usual price.
    assert cheap == plain


async def test_P7_what_is_thought_in_silence_is_reserved_when_it_is_reported(house: House) -> None:
    chunk = {
        "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "x" * 3000}]}}],
        "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 750, "thoughtsTokenCount": 30_000},
        "modelVersion": "up", "responseId": "r",
    }  # fmt: skip
    last = {**chunk, "candidates": [{"index": 0, "content": {"role": "model"}, "finishReason": "STOP"}]}
    house.rig.provider.script = replay(*(b"data: " + json.dumps(one).encode() + b"\n\n" for one in (chunk, last)))
    await house.rig.post("/v1/messages", {**ASK, "model": "gem/big", "max_tokens": 9, "stream": True})
    await house.booked()
    assert house.doorman.grown[0] == 30_750


async def test_K07_a_call_that_goes_on_to_another_target_is_counted_once(house: House) -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        broken = asked.json["model"] == "one"
        await wire.json({"error": {"message": "no"}} if broken else chat_body(), 500 if broken else 200)

    house.rig.provider.script = script
    assert (await house.rig.post("/v1/chat/completions", {**ASK, "model": "both"}))[0] == 200
    await house.booked(2)
    first, second = house.doorman.wishes
    assert (first.model, first.counted) == ("one", frozenset())
    assert (second.model, second.counted) == ("two", house.doorman.counted)


@pytest.mark.parametrize(
    "user",
    ["user_1_account_2_session_s-77", json.dumps({"device_id": "d", "account_uuid": "", "session_id": "s-77"})],
)
async def test_N7_without_hints_the_session_is_the_one_in_the_body(house: House, user: str) -> None:
    house.rig.provider.script = whole(chat_body())
    body = {**ASK, "max_tokens": 9, "metadata": {"user_id": user}}
    assert (await house.rig.post("/v1/messages", body))[0] == 200
    (row,) = await house.booked()
    assert row["session"] == "s-77"


async def test_N7_a_hint_is_nearer_than_the_body(house: House) -> None:
    house.rig.provider.script = whole(chat_body())
    body = {**ASK, "prompt_cache_key": "cache"}
    await house.rig.post("/v1/chat/completions", body)
    await house.rig.post("/v1/chat/completions", body, x_claude_code_session_id="hinted")
    first, second = await house.booked(2)
    assert (first["session"], second["session"]) == ("cache", "hinted")


async def test_N7_the_parent_of_an_agent_is_on_its_row(house: House) -> None:
    house.rig.provider.script = whole(chat_body())
    hints = {"x_claude_code_agent_id": "child", "x_claude_code_parent_agent_id": "root"}
    await house.rig.post("/v1/chat/completions", ASK, **hints)
    (row,) = await house.booked()
    assert (row["agent"], row["parent_agent"]) == ("child", "root")


async def test_U10_a_count_that_is_refused_is_no_call(house: House) -> None:
    status, _, _ = await house.rig.post("/v1/messages/count_tokens", {"model": "big", "messages": "none"})
    assert status == 400
    await asyncio.sleep(0.2)
    await house.booked(0)


async def test_K08_the_first_byte_is_that_of_the_answer_that_was_given(house: House) -> None:
    """The first target begins, says nothing and breaks; the second takes its time."""

    async def script(asked: Asked, wire: Wire) -> None:
        if asked.json["model"] == "one":
            await wire.stream(chat_chunk(role="assistant"), end=False)
            await asyncio.sleep(0.05)
            wire.reset()
            return
        await asyncio.sleep(0.4)
        await wire.stream(*chat_stream("Hi"))

    house.rig.provider.script = script
    status, _, data = await house.rig.post("/v1/messages", {**ASK, "model": "both", "max_tokens": 9, "stream": True})
    assert status == 200
    assert b"Hi" in data
    first, second = await house.booked(2)
    assert first["first_byte_milliseconds"] is None
    assert second["first_byte_milliseconds"] >= 400


# ---------------------------------------------------------------- departures


async def test_K04_a_departure_is_booked_by_bytes_and_not_by_characters(house: House) -> None:
    """A hundred Chinese characters are nearer to a hundred tokens than to twenty-five."""

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(chat_chunk("字" * 100), end=False)
        await wire.wait_gone()

    house.rig.provider.script = script
    for path in ("/v1/messages", "/v1/chat/completions"):
        reader, writer = await house.rig.raw(path, {**ASK, "max_tokens": 99, "stream": True})
        async with asyncio.timeout(5):
            while "字".encode() not in (data := await reader.read(65536)) and b"\\u5b57" not in data:
                assert data
        writer.close()
    for row in await house.booked(2):
        assert (row["outcome"], row["usage_source"]) == ("left", "estimated")
        assert row["output"] == 75


async def test_K04_whatever_the_client_leaves_is_booked_once(house: House) -> None:
    """Before the first byte, in a whole answer, and while the second target thinks."""

    async def script(asked: Asked, wire: Wire) -> None:
        if asked.json["model"] == "one":
            await wire.json({"error": {"message": "busy"}}, 529)
            return
        await wire.wait_gone()

    house.rig.provider.script = script
    for body in ({**ASK, "stream": True}, ASK, {**ASK, "model": "both", "stream": True}):
        house.rig.provider.arrived.clear()
        before = len(house.rig.provider.asked)
        _, writer = await house.rig.raw("/v1/chat/completions", body)
        async with asyncio.timeout(5):
            while len(house.rig.provider.asked) < before + (2 if body["model"] == "both" else 1):
                await asyncio.sleep(0.01)
        writer.close()
    got = await house.booked(4)
    told = [(row["model"], row["outcome"], row["status"], row["output"], row["closes"]) for row in got]
    assert told == [
        ("big", "left", 499, 0, True),
        ("big", "left", 499, 0, True),
        ("one", "failed", 529, None, False),
        ("two", "left", 499, 0, True),
    ]
    assert all((row["input"] or 0) > 0 for row in got if row["outcome"] == "left")


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/chat/completions"])
async def test_K04_a_picture_is_not_estimated_by_its_bytes(house: House, path: str) -> None:
    """A photograph of half a megabyte is some thousand tokens, not a hundred and fifty thousand."""

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.wait_gone()

    house.rig.provider.script = script
    data = base64.b64encode(bytes(450_000)).decode()
    picture: dict[str, Any] = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    if path != "/v1/messages":
        picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    words = {"type": "text", "text": "word " * 800}
    body = {"model": "big", "max_tokens": 9, "messages": [{"role": "user", "content": [picture, words]}]}
    _, writer = await house.rig.raw(path, body)
    async with asyncio.timeout(5):
        await house.rig.provider.arrived.wait()
    writer.close()
    (row,) = await house.booked()
    assert (row["outcome"], row["output"]) == ("left", 0)
    assert 1_000 < row["input"] < 6_000


async def test_K04_an_answer_cut_by_our_own_end_is_booked_as_far_as_it_came(house: House) -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        await wire.stream(chat_chunk("x" * 400), end=False)
        await wire.wait_gone()

    house.rig.provider.script = script
    reader, writer = await house.rig.raw("/v1/chat/completions", {**ASK, "stream": True})
    await reader.readuntil(b"xxx")
    house.rig.stop()
    (row,) = await house.booked()
    assert (row["outcome"], row["failure"], row["output"], row["partial"]) == ("failed", "overloaded", 100, True)
    writer.close()


@pytest.mark.parametrize(
    ("path", "more"),
    [
        ("/v1/messages", {"max_tokens": 9}),
        ("/v1/chat/completions", {}),
        ("/v1/responses", {"input": "Hello"}),
        ("/v1/responses/compact", {"input": "Hello"}),
        ("/v1beta/models/big:generateContent", {"contents": [{"parts": [{"text": "Hello"}]}]}),
        ("/v1beta/models/big:streamGenerateContent", {"contents": [{"parts": [{"text": "Hello"}]}]}),
        ("/v1beta/models/big:streamGenerateContent?alt=sse", {"contents": [{"parts": [{"text": "Hello"}]}]}),
        ("/cursor/v1/chat/completions", {"model": "fake/big"}),
        ("/openai/deployments/big/chat/completions?api-version=2024-10-21", {}),
        ("/v1/chat/completions", {"stream": True}),
        ("/v1/messages", {"max_tokens": 9, "stream": True}),
        ("/v1/responses", {"input": "Hello", "stream": True}),
    ],
)
async def test_K05_every_surface_is_booked_once_and_as_it_was_reported(house: House, path: str, more: Any) -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        if asked.json.get("stream"):
            assert asked.json["stream_options"]["include_usage"] is True
            await wire.stream(*chat_stream("Hi"))
        else:
            await wire.json(chat_body(usage={"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}))

    house.rig.provider.script = script
    body = {**(ASK if "contents" not in more and "input" not in more else {"model": "big"}), **more}
    status, _, data = await house.rig.post(path, body)
    assert status == 200, data
    (row,) = await house.booked()
    assert (row["input"], row["output"], row["usage_source"], row["outcome"]) == (11, 3, "provider", "answered")
    assert (row["status"], row["closes"], row["attempts"], row["model"]) == (200, True, 1, "big")
    assert row["cost"] == 11 * 10_000 + 3 * 100_000
    assert 0 <= row["first_byte_milliseconds"] <= row["milliseconds"] + 50


async def test_what_costs_nothing_is_not_booked(house: House) -> None:
    assert (await house.rig.get("/v1/models"))[0] == 200
    assert (await house.rig.post("/v1/messages/count_tokens", ASK))[0] == 200
    assert (await house.rig.post("/v1/responses/input_tokens", {"model": "big", "input": "Hi"}))[0] == 200
    await asyncio.sleep(0.2)
    await house.booked(0)


async def test_K01_S20_each_round_of_a_paused_turn_is_reserved(house: House) -> None:
    pauses = iter(["pause_turn", "pause_turn", "end_turn"])

    async def script(asked: Asked, wire: Wire) -> None:
        content = [{"type": "text", "text": "Looking."}]
        await wire.json({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-up", "content": content,
            "stop_reason": next(pauses), "stop_sequence": None, "usage": {"input_tokens": 10, "output_tokens": 5},
        })  # fmt: skip

    house.rig.provider.script = script
    status, _, _ = await house.rig.post("/v1/chat/completions", {**ASK, "model": "paused"})
    assert status == 200
    assert len(await house.booked(3)) == 3
    assert (len(house.doorman.wishes), house.doorman.resent) == (1, 2)


async def test_E10_a_limit_is_told_once_also_when_the_provider_refuses(house: House) -> None:
    """Where a provider tells a limit of the same name, ours is nearer."""
    house.doorman.headers = [("x-ratelimit-limit-requests", "60"), ("x-ratelimit-remaining-requests", "59")]
    theirs = {"x-ratelimit-limit-requests": "5", "x-ratelimit-limit-tokens": "700", "retry-after": "7"}

    async def script(asked: Asked, wire: Wire) -> None:
        await wire.json({"error": {"message": "slow down"}}, 429, **theirs)

    house.rig.provider.script = script
    async with house.rig.client.post(house.rig.url + "/v1/chat/completions", json=ASK) as answer:
        told = answer.headers
    assert (answer.status, told.getall("retry-after")) == (429, ["7"])
    assert told.getall("x-ratelimit-limit-requests") == ["60"]
    assert told.getall("x-ratelimit-limit-tokens") == ["700"]
