"""The Messages surface as the earlier proxies promised it, on both upstream APIs (compat C-01 to C-18, C-23)."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from tests.compat.azure import answering, call, message, thought
from tests.compat.setups import load
from tests.compat.upstreams import (
    APIS,
    LOOK,
    MODELS,
    PNG,
    chat_answering,
    delta,
    folded,
    stream_of,
    upstream,
)
from tests.relay.rig import ASK, Asked, Wire, chat_body, chat_stream, events_of, replay, running, whole

THINK = {"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 4000}
KEYS = ["id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "usage"]


def said(turn: Any) -> Any:
    """The words of a turn, whose parts may be listed."""
    content = turn["content"]
    return content if isinstance(content, str) else "".join(part["text"] for part in content)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_C_01_C_04_a_message_with_every_key(api: str, stream: bool) -> None:
    async with upstream(api, models={"big": MODELS[api]}) as place:
        answers = [await place.ask(model="claude-sonnet-4-5", stream=stream) for _ in range(2)]
        for answer in answers:
            assert answer.keys() >= set(KEYS)
            assert (answer["type"], answer["role"], answer["model"]) == ("message", "assistant", "claude-sonnet-4-5")
            assert answer["id"].startswith("msg_")
            assert answer["content"] == [{"type": "text", "text": "Hi"}]
            assert (answer["stop_reason"], answer["stop_sequence"]) == ("end_turn", None)
            assert answer["usage"].keys() >= {
                "input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens"
            }  # fmt: skip
        if api == "chat":
            assert answers[0]["id"] != answers[1]["id"]


async def test_C_02_C_03_each_api_gets_its_own_body() -> None:
    fields = {"system": "Be brief", "temperature": 0.5, "max_tokens": 50}
    async with upstream("chat") as place:
        await place.ask(**fields)
        assert place.rig.provider.asked[0].path == "/v1/chat/completions"
        assert place.sent["messages"] == [
            {"role": "system", "content": "Be brief"},
            {"role": "user", "content": "Hello"},
        ]
        assert (place.sent["max_tokens"], place.sent["temperature"]) == (50, 0.5)
    async with upstream("responses") as place:
        await place.ask(**fields)
        assert place.rig.provider.asked[0].path == "/v1/responses"
        assert (place.sent["instructions"], place.sent["max_output_tokens"]) == ("Be brief", 50)
        assert [said(turn) for turn in place.turns] == ["Hello"]


@pytest.mark.parametrize("field", [{"truncation": "auto"}, {"user": "ann"}, {"store": False}, {"include": []}])
async def test_C_03_a_field_of_responses_chooses_that_api_on_azure(field: dict[str, Any]) -> None:
    body = {**ASK, "model": "prod-main"}
    azure: dict[str, Any] = {"account": {"families": {"prod-main": "gpt-4.1"}}, "models": {"preferred": "azure"}}
    async with running("azure_openai", **azure) as rig:
        rig.provider.script = chat_answering(message("Hi"))
        assert (await rig.post("/v1/messages", body))[0] == 200
        rig.provider.script = answering(message("Hi"))
        assert (await rig.post("/v1/messages", {**body, **field}))[0] == 200
        first, second = (asked.path.partition("?")[0] for asked in rig.provider.asked)
        assert first == "/openai/deployments/prod-main/chat/completions"
        assert second == "/openai/responses"


@pytest.mark.parametrize("api", APIS)
async def test_C_05_the_events_of_a_stream_in_their_order(api: str) -> None:
    async with upstream(api) as place:
        place.says(message("Hello"), call("look", '{"at": 1}'))
        _, data = await place.post(stream=True, tools=[LOOK])
        names = [event["type"] for event in events_of(data)]
        assert names[:2] == ["message_start", "ping"]
        block = ["content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"]
        assert names[2:] == [*block, *block, "message_delta", "message_stop"]
        for line in data.split(b"\n\n")[:-1]:
            assert line.startswith(b"event: ")
            assert b"\ndata: {" in line


@pytest.mark.parametrize("stream", [False, True, None])
@pytest.mark.parametrize("api", APIS)
async def test_C_06_whole_or_streamed_as_the_client_chooses(api: str, stream: bool | None) -> None:
    async with upstream(api) as place:
        asked = {**ASK, "model": MODELS[api], "stream": stream}
        status, headers, answer = await place.rig.post("/v1/messages", asked)
        assert status == 200
        assert bool(place.sent.get("stream")) is bool(stream)
        if stream:
            assert headers["content-type"].startswith("text/event-stream")
            assert headers["cache-control"].startswith("no-cache")
            assert headers["x-accel-buffering"] == "no"
            assert folded(answer)["content"] == [{"type": "text", "text": "Hi"}]
        else:
            assert headers["content-type"].startswith("application/json")
            assert answer["content"] == [{"type": "text", "text": "Hi"}]


async def test_C_06_C_18_the_stream_is_a_real_one() -> None:
    go = asyncio.Event()

    async def script(asked: Asked, wire: Wire) -> None:
        first, *rest = stream_of(delta(role="assistant", content="first"), delta(content="second"), delta("stop"))
        await wire.stream(first, end=False)
        await go.wait()
        for piece in rest:
            await wire.chunk(piece)
        await wire.end()

    async with upstream("chat") as place:
        place.rig.provider.script = script
        body = json.dumps({**ASK, "model": "gpt-4.1", "stream": True})
        async with place.rig.client.post(place.rig.url + "/v1/messages", data=body) as got:
            begun = b""
            async with asyncio.timeout(3):
                while b'"first"' not in begun:
                    begun += await got.content.readany()
            assert b"second" not in begun
            go.set()
            assert b"second" in await got.content.read()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_C_07_C_10_a_conversation_with_calls_over_several_turns(api: str, stream: bool) -> None:
    turns: list[Any] = [{"role": "user", "content": "Go"}]
    async with upstream(api) as place:
        for number in range(3):
            place.says(message(f"look {number}"), call("look", json.dumps({"at": number}), f"call_{number}"))
            answer = await place.ask(messages=turns, tools=[LOOK], stream=stream)
            assert answer["stop_reason"] == "tool_use"
            [_, use] = answer["content"]
            assert (use["id"], use["name"], use["input"]) == (f"call_{number}", "look", {"at": number})
            result = {"type": "tool_result", "tool_use_id": use["id"], "content": f"seen {number}"}
            turns += [{"role": "assistant", "content": answer["content"]}, {"role": "user", "content": [result]}]
        place.says(message("Done"))
        answer = await place.ask(messages=turns, tools=[LOOK], stream=stream)
        assert answer["content"] == [{"type": "text", "text": "Done"}]
        results = [
            turn for turn in place.turns if turn.get("role") == "tool" or turn.get("type", "").endswith("output")
        ]
        told = [(turn.get("tool_call_id", turn.get("call_id")), turn.get("content", turn.get("output")))
                for turn in results]  # fmt: skip
        assert told == [(f"call_{number}", f"seen {number}") for number in range(3)]


async def test_C_08_tokens_are_counted_here() -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body("Hi"))
        counts = []
        picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
        shown = [{"role": "user", "content": [{"type": "text", "text": "Hello"}, picture]}]
        for more in ({}, {"system": "Be brief, please"}, {"tools": [LOOK]}, {"messages": shown}):
            body = {name: value for name, value in {**ASK, **more}.items() if name != "max_tokens"}
            status, _, answer = await rig.post("/v1/messages/count_tokens", body)
            assert (status, list(answer)) == (200, ["input_tokens"])
            counts.append(answer["input_tokens"])
        plain, *others = counts
        assert 0 < plain < 30
        assert all(plain < other < plain + 2000 for other in others)
        assert rig.provider.asked == []


async def test_T_68_counting_needs_nobody_and_a_picture_is_measured_not_its_bytes(tmp_path: Path) -> None:
    said = load(tmp_path, OPENAI_API_KEY="k", OPENAI_BASE_URL="http://127.0.0.1:9/v1", BIG_MODEL="gpt-5")
    large = base64.b64encode(base64.b64decode(PNG) + bytes(1_000_000)).decode()
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": large}}
    async with running(settings=said) as rig:
        counts = []
        for content, tools in (("Hello", []), ("Hello", [LOOK]), ([{"type": "text", "text": "Hello"}, picture], [])):
            body = {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": content}], "tools": tools}
            status, _, answer = await rig.post("/v1/messages/count_tokens", body)
            assert status == 200
            counts.append(answer["input_tokens"])
        assert counts[0] < counts[1]
        assert 85 <= counts[2] - counts[0] <= 2000


@pytest.mark.parametrize("api", APIS)
async def test_C_09_the_system_prompt_comes_first(api: str) -> None:
    blocks = [{"type": "text", "text": "Be brief"}, {"type": "text", "text": "Be kind"}]
    async with upstream(api) as place:
        for system, expected in (("Be brief", "Be brief"), (blocks, "Be brief\n\nBe kind")):
            await place.ask(system=system)
            if api == "chat":
                assert place.turns[0] == {"role": "system", "content": expected}
            else:
                assert place.sent["instructions"] == expected
        empty: list[Any] = ["", []]
        for nothing in empty:
            await place.ask(system=nothing)
            assert [said(turn) for turn in place.turns] == ["Hello"]
            assert not place.sent.get("instructions")


@pytest.mark.parametrize("api", APIS)
async def test_C_10_turns_keep_their_order(api: str) -> None:
    turns = [{"role": ("user", "assistant")[at % 2], "content": f"turn {at}"} for at in range(7)]
    async with upstream(api) as place:
        await place.ask(messages=turns)
        assert [(turn["role"], said(turn)) for turn in place.turns] == [
            (turn["role"], turn["content"]) for turn in turns
        ]


async def test_C_11_only_text_alone_is_flattened() -> None:
    one, two = {"type": "text", "text": "one"}, {"type": "text", "text": "two"}
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    async with upstream("chat") as place:
        await place.ask(messages=[{"role": "user", "content": [one, two]}])
        assert place.turns == [{"role": "user", "content": "one\ntwo"}]
        await place.ask(messages=[{"role": "user", "content": [one, picture, two]}])
        assert [part["type"] for part in place.turns[0]["content"]] == ["text", "image_url", "text"]


async def test_C_12_the_knobs_have_their_names() -> None:
    async with upstream("chat") as place:
        await place.ask(max_tokens=50, temperature=0.1, top_p=0.9, stop_sequences=["A", "B"])
        names = ("max_tokens", "temperature", "top_p", "stop")
        assert [place.sent[name] for name in names] == [50, 0.1, 0.9, ["A", "B"]]
    async with upstream("responses") as place:
        await place.ask(model="gpt-4.1", max_tokens=50, temperature=0.1, top_p=0.9)
        assert [place.sent[name] for name in ("max_output_tokens", "temperature", "top_p")] == [50, 0.1, 0.9]


@pytest.mark.parametrize("stream", [False, True])
async def test_C_13_stop_and_length(stream: bool) -> None:
    async with upstream("chat") as place:
        for finish, reason in (("stop", "end_turn"), ("length", "max_tokens")):
            place.says(message("Hi"), finish=finish)
            assert (await place.ask(stream=stream))["stop_reason"] == reason


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("word", "expected"), [("", "refusal"), ("content_filtered", "content_filtered")])
async def test_C_14_a_filtered_answer_is_a_refusal_or_the_old_word(word: str, expected: str, stream: bool) -> None:
    async with upstream("chat", **({"content_filter_stop": word} if word else {})) as place:
        place.says(message("Hi"), finish="content_filter")
        assert (await place.ask(stream=stream))["stop_reason"] == expected


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_C_15_the_upstreams_numbers_are_told(api: str, stream: bool) -> None:
    async with upstream(api) as place:
        usage = (await place.ask(stream=stream))["usage"]
        assert usage["input_tokens"] + usage["cache_read_input_tokens"] == 120
        assert usage["output_tokens"] == 30


@pytest.mark.parametrize("stream", [False, True])
async def test_C_16_reasoning_content_is_a_thinking_block(stream: bool) -> None:
    async with running() as rig:
        rig.provider.script = chat_answering(thought("Let me see"), message("Hi"))
        status, _, answer = await rig.post("/v1/messages", {**ASK, **THINK, "model": "glm-4.6", "stream": stream})
        assert status == 200
        blocks = (folded(answer) if stream else answer)["content"]
        assert [block["type"] for block in blocks] == ["thinking", "text"]
        assert (blocks[0]["thinking"], blocks[1]["text"]) == ("Let me see", "Hi")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("mode", "expected"), [("text", "[Thinking] Let me seeHi"), ("drop", "Hi")])
async def test_C_16_the_old_label_and_none_by_setting(mode: str, expected: str, stream: bool) -> None:
    async with upstream("chat", reasoning=mode) as place:
        place.says(thought("Let me see"), message("Hi"))
        answer = await place.ask(model="gpt-5", stream=stream, **THINK)
        assert "".join(block["text"] for block in answer["content"]).replace("\n", "") == expected


@pytest.mark.parametrize("api", APIS)
async def test_C_17_pictures_arrive(api: str) -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    async with upstream(api) as place:
        await place.ask(messages=[{"role": "user", "content": [picture, {"type": "text", "text": "What?"}]}])
        [shown, asked] = place.turns[0]["content"]
        assert f"data:image/png;base64,{PNG}" in json.dumps(shown)
        assert asked["text"] == "What?"


# ---------------------------------------------------------------- C-23


HELLO: list[Any] = [{"role": "user", "content": "Hello"}]


async def test_C_23_the_openai_sdk_with_v1_and_a_key() -> None:
    async with running(auth={"token": "sk-client-key"}) as rig:
        async with openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key="sk-client-key", max_retries=0) as client:
            rig.provider.script = whole(chat_body("Hi"))
            answer = await client.chat.completions.create(model="gpt-x", messages=HELLO)
            assert (answer.choices[0].message.content, answer.model) == ("Hi", "gpt-x")
            rig.provider.script = replay(*chat_stream("H", "i"))
            chunks = await client.chat.completions.create(model="gpt-x", messages=HELLO, stream=True)
            assert "".join([chunk.choices[0].delta.content or "" async for chunk in chunks if chunk.choices]) == "Hi"
        async with openai.AsyncOpenAI(base_url=f"{rig.url}/v1", api_key="sk-wrong", max_retries=0) as client:
            with pytest.raises(openai.AuthenticationError):
                await client.chat.completions.create(model="gpt-x", messages=HELLO)


async def test_C_23_the_anthropic_sdk_with_the_root_and_a_key() -> None:
    asked: dict[str, Any] = {"model": "gpt-5", "max_tokens": 100, "messages": HELLO}
    async with (
        upstream("responses", auth={"token": "sk-client-key"}) as place,
        anthropic.AsyncAnthropic(base_url=place.rig.url, api_key="sk-client-key", max_retries=0) as client,
    ):
        answer = await client.messages.create(**asked)
        assert answer.content[0].type == "text"
        async with client.messages.stream(**asked) as stream:
            assert await stream.get_final_text() == "Hi"


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize("stream", [False, True])
async def test_C_23_curl(stream: bool) -> None:
    async with running(auth={"token": "sk-client-key"}) as rig:
        rig.provider.script = replay(*chat_stream("H", "i")) if stream else whole(chat_body("Hi"))
        program = await asyncio.create_subprocess_exec(
            "curl", "--silent", "--no-buffer", "--noproxy", "*", f"{rig.url}/v1/chat/completions",
            "-H", "Authorization: Bearer sk-client-key", "-H", "Content-Type: application/json",
            "-d", json.dumps({"model": "gpt-x", "messages": HELLO, "stream": stream}),
            stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        data, _ = await asyncio.wait_for(program.communicate(), 10)
        assert program.returncode == 0
        if stream:
            assert data.endswith(b"data: [DONE]\n\n")
        else:
            assert json.loads(data)["choices"][0]["message"]["content"] == "Hi"


SCRIPT = """
const OpenAI = require("openai");
const client = new OpenAI({ baseURL: process.env.GATEWAY, apiKey: "sk-client-key", maxRetries: 0 });
const asked = { model: "gpt-x", messages: [{ role: "user", content: "Hello" }] };
(async () => {
  if (process.env.STREAM) {
    let text = "";
    for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
      text += chunk.choices[0]?.delta?.content ?? "";
    }
    console.log(text);
  } else {
    const answer = await client.chat.completions.create(asked);
    console.log(answer.choices[0].message.content);
  }
})();
"""


@pytest.fixture(scope="module")
def node() -> str:
    """A node that finds the OpenAI SDK for JavaScript (``NODE_PATH`` may name its folder)."""
    found = shutil.which("node")
    if found is None or subprocess.run([found, "-e", 'require("openai")'], capture_output=True, check=False).returncode:
        pytest.skip("no node with the openai package here")
    return found


@pytest.mark.parametrize("stream", ["", "1"])
async def test_C_23_the_javascript_sdk(stream: str, node: str) -> None:
    async with running(auth={"token": "sk-client-key"}) as rig:
        rig.provider.script = replay(*chat_stream("H", "i")) if stream else whole(chat_body("Hi"))
        known = {**os.environ, "GATEWAY": f"{rig.url}/v1", "STREAM": stream, "NO_PROXY": "127.0.0.1"}
        program = await asyncio.create_subprocess_exec(node, "-e", SCRIPT, env=known, stdout=asyncio.subprocess.PIPE)
        printed, _ = await asyncio.wait_for(program.communicate(), 20)
        assert (program.returncode, printed) == (0, b"Hi\n")
