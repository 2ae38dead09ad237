"""Cursor's surface: names, bodies that mix dialects, thoughts between tags, and its chunks (compat §3.10)."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState

from dragoman.language.events import (
    Event,
    Finished,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
    UsageReported,
    check,
    fold,
)
from dragoman.language.ir import Finish, Reasoning, Text, ToolCall, Usage
from dragoman.relay.stages import ThinkTags
from tests.compat.azure import DEPLOYMENT, answering, call, cursor_rig, custom_call, message, thought
from tests.relay.rig import DONE, Rig, chat_body, events_of, replay, running, whole

PATHS = ("/cursor/v1/chat/completions", "/cursor/chat/completions")
FOUR = ["gpt-high", "gpt-medium", "gpt-low", "gpt-minimal"]
SAY = [{"role": "user", "content": "Hello"}]
HELLO: list[Any] = SAY
PATCH = "*** Begin Patch\n*** Add File: a.py\n+print('a')\n*** End Patch"
APPLY_PATCH = {
    "type": "custom",
    "name": "ApplyPatch",
    "description": "Edits files",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/s"},
}
READ = {
    "type": "function",
    "function": {
        "name": "read_file",
        "description": "Reads",
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
    },
}


async def ask(rig: Rig, path: str = PATHS[0], **body: Any) -> tuple[int, Any]:
    """Ask on Cursor's path: the status and, of a stream, its raw bytes."""
    status, _, answer = await rig.post(path, {"model": "gpt-high", "messages": SAY, **body})
    return status, answer


def sent(rig: Rig) -> Any:
    """The body of the last call upstream."""
    return rig.provider.asked[-1].json


# ---------------------------------------------------------------- names


async def test_C_25_models_on_both_paths() -> None:
    async with cursor_rig() as rig:
        for path in ("/cursor/v1/models", "/cursor/models"):
            status, _, listed = await rig.get(path)
            assert status == 200
            assert listed == {
                "object": "list",
                "data": [{"id": name, "object": "model", "created": 0, "owned_by": "cursor"} for name in FOUR],
            }
        assert rig.provider.asked == []


async def test_C_26_health_is_open() -> None:
    async with cursor_rig(auth={"token": "shared-token"}) as rig:
        assert (await rig.get("/cursor/health"))[::2] == (200, {"status": "ok"})
        assert (await rig.get("/cursor/health", "HEAD"))[0] == 200
        status, headers, refused = await rig.get("/cursor/v1/models")
        assert (status, refused["error"]["code"]) == (401, "invalid_api_key")
        assert headers["www-authenticate"] == "Bearer"
        assert (await rig.get("/cursor/models", authorization="Bearer shared-token"))[0] == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("model", "effort"),
    [
        ("gpt-high", "high"),
        ("GPT-Medium", "medium"),
        ("low", "low"),
        ("Minimal", "minimal"),
        ("gpt-minimal", "minimal"),
    ],
)
async def test_C_27_names_are_efforts_on_one_deployment(path: str, model: str, effort: str) -> None:
    async with cursor_rig() as rig:
        rig.provider.script = answering(message("Hi"))
        status, answer = await ask(rig, path, model=model, reasoning_effort="xhigh")
        assert status == 200
        assert (sent(rig)["model"], sent(rig)["reasoning"]["effort"]) == (DEPLOYMENT, effort)
        assert rig.provider.asked[0].path.startswith("/openai/responses?api-version=")
        assert rig.provider.asked[0].headers["api-key"] == "upstream-secret-key"
        assert answer["model"] == model


@pytest.mark.parametrize(
    ("family", "model", "reasoning"),
    [
        ("gpt-5.1", "gpt-minimal", "low"),
        ("o-series", "gpt-minimal", "low"),
        ("gpt-5:chat", "gpt-low", "low"),
        ("gpt-4.1", "gpt-high", None),
    ],
)
@pytest.mark.parametrize("shape", [{"messages": SAY}, {"messages": None, "input": "Hello"}])
async def test_C_27_the_effort_fits_the_family(family: str, model: str, reasoning: str | None, shape: Any) -> None:
    async with cursor_rig(family) as rig:
        rig.provider.script = answering(message("Hi"))
        assert (await ask(rig, model=model, **shape))[0] == 200
        assert sent(rig).get("reasoning", {}).get("effort") == reasoning
        assert rig.provider.asked[0].path.startswith("/openai/responses")


async def test_C_28_the_deployment_is_used_whatever_the_preferred_provider() -> None:
    azure = {"kind": "azure_openai", "api_key": "azure-key-1", "allow_private": True}
    async with running() as other, running() as rig:
        url = f"http://127.0.0.1:{rig.provider.port}"
        settings = {
            "providers": {
                "openai": {"kind": "openai", "base_url": f"http://127.0.0.1:{other.provider.port}/v1",
                           "allow_private": True, "api_key": "k"},
                "azure": {**azure, "base_url": url},
            },
            "models": {"preferred": "openai", "unmapped": "passthrough", "cursor_deployment": DEPLOYMENT},
        }  # fmt: skip
        from dragoman.settings import Settings

        async with running(settings=Settings.model_validate(settings)) as gateway:
            rig.provider.script = answering(message("Hi"))
            assert (await ask(gateway))[0] == 200
            assert (len(other.provider.asked), sent(rig)["model"]) == (0, DEPLOYMENT)


@pytest.mark.parametrize("stream", [False, True])
async def test_T_43_without_a_deployment_the_error_names_the_variable(stream: bool) -> None:
    async with cursor_rig(models={"cursor_deployment": ""}) as rig:
        status, answer = await ask(rig, stream=stream)
        assert (status, answer["error"]["code"]) == (500, "internal_error")
        assert "CURSOR_AZURE_DEPLOYMENT" in answer["error"]["message"]
        assert rig.provider.asked == []
    async with running(models={"cursor_deployment": DEPLOYMENT}) as rig:
        status, answer = await ask(rig, stream=stream)
        assert status == 500
        assert "AZURE_OPENAI_ENDPOINT" in answer["error"]["message"]
        assert "CURSOR_AZURE_DEPLOYMENT" not in answer["error"]["message"]


@pytest.mark.parametrize("model", ["gpt-4o", "claude-sonnet-4-5", "gpt-ultra", "", "unknown/model"])
async def test_T_43_an_unknown_model_is_a_400_with_the_four_names(model: str) -> None:
    async with cursor_rig() as rig:
        status, answer = await ask(rig, model=model)
        assert status == 400
        assert answer["error"].keys() == {"message", "type", "param", "code"}
        assert all(name in answer["error"]["message"] for name in FOUR)
        assert rig.provider.asked == []


async def test_C_24_routes_and_provider_names_work_as_well() -> None:
    routes = {
        "fast": {"targets": [{"provider": "fake", "model": "deployed-fast"}], "aliases": ["quick"]},
        "hidden": {"targets": [{"provider": "fake", "model": "x"}], "listed": False},
    }
    async with cursor_rig(
        routes=routes, account={"families": {DEPLOYMENT: "gpt-5", "deployed-fast": "gpt-4.1"}}
    ) as rig:
        _, _, listed = await rig.get("/cursor/v1/models")
        assert [entry["id"] for entry in listed["data"]] == [*FOUR, "fast"]
        rig.provider.script = whole(chat_body("Hi"))
        for model, path in (("quick", "deployed-fast"), ("fake/deployed-fast", "deployed-fast")):
            status, answer = await ask(rig, model=model)
            assert (status, answer["model"]) == (200, model)
            assert f"/deployments/{path}/chat/completions" in rig.provider.asked[-1].path
            assert "reasoning_effort" not in sent(rig)


# ---------------------------------------------------------------- requests


async def test_T_40_a_chat_body_becomes_a_responses_body() -> None:
    system = {
        "role": "system",
        "content": [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}],
    }
    history = [
        system,
        {"role": "user", "content": [
            {"type": "text", "text": "Look"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "call_a", "type": "function", "function": {"name": "read_file", "arguments": '{"path":"a"}'}},
            {"id": "call_b", "type": "function", "function": {"name": "read_file", "arguments": '{"path":"b"}'}},
        ]},
        {"role": "tool", "content": "A"},
        {"role": "tool", "tool_call_id": "call_b", "content": "B"},
    ]  # fmt: skip
    async with cursor_rig() as rig:
        rig.provider.script = answering(message("Hi"))
        status, _ = await ask(
            rig, messages=history, tools=[READ], tool_choice={"type": "function", "function": {"name": "read_file"}},
            user="someone", max_completion_tokens=5, temperature=0.2, top_p=0.9,
            response_format={"type": "json_schema", "json_schema": {"name": "s", "schema": {"type": "object"}}},
        )  # fmt: skip
        assert status == 200
        body = sent(rig)
        assert body["instructions"] == "Be brief.\n\nBe kind."
        assert [item["type"] for item in body["input"]] == [
            "message", "function_call", "function_call", "function_call_output", "function_call_output",
        ]  # fmt: skip
        assert body["input"][0]["content"][1] | {"detail": "auto"} == {
            "type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "auto",
        }  # fmt: skip
        assert [item["call_id"] for item in body["input"][3:]] == ["call_a", "call_b"]
        assert body["tools"][0]["strict"] is False
        assert body["tools"][0]["name"] == "read_file"
        assert body["tool_choice"] == {"type": "function", "name": "read_file"}
        assert (body["prompt_cache_key"], body["max_output_tokens"]) == ("someone", 16)
        assert body["text"]["format"]["type"] == "json_schema"
        assert not body.keys() & {"temperature", "top_p", "user"}


async def test_C10_a_responses_body_is_read_by_its_shape_and_answered_in_chat() -> None:
    given = {
        "model": "gpt-high",
        "input": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
            {"type": "function_call", "call_id": "call_1", "name": "read_file", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "call_1", "output": "text"},
        ],
        "tools": [
            {"type": "function", "name": "read_file", "parameters": {"type": "object", "properties": {}}},
            APPLY_PATCH,
        ],
        "reasoning": {"effort": "low", "summary": "concise"},
        "text": {"verbosity": "low"},
        "temperature": 0.5,
        "user": "u" * 100,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    async with cursor_rig() as rig:
        rig.provider.script = answering(message("Hi there"))
        status, _, raw = await rig.post(PATHS[1], given)
        assert status == 200
        body = sent(rig)
        assert body["reasoning"] == {"effort": "high", "summary": "concise"}
        assert body["tools"][0]["strict"] is False
        assert body["tools"][1] == APPLY_PATCH
        assert body["text"] == {"verbosity": "low"}
        assert len(body["prompt_cache_key"]) == 64
        assert not body.keys() & {"temperature", "user", "stream_options"}
        chunks = events_of(raw)
        assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
        assert text_of(chunks) == "Hi there"


@pytest.mark.parametrize("shape", ["flat", "nested", "responses"])
@pytest.mark.parametrize("stream", [False, True])
async def test_C11_a_free_form_call_returns_as_a_function_and_comes_back_as_itself(shape: str, stream: bool) -> None:
    nested = {key: value for key, value in APPLY_PATCH.items() if key != "type"}
    tool = {"type": "custom", "custom": nested} if shape == "nested" else APPLY_PATCH
    said = {"input": SAY, "messages": None} if shape == "responses" else {"messages": SAY}
    async with cursor_rig() as rig:
        rig.provider.script = answering(custom_call("ApplyPatch", PATCH))
        status, answer = await ask(rig, tools=[READ, tool], stream=stream, **said)
        assert status == 200
        assert [one["type"] for one in sent(rig)["tools"]] == ["function", "custom"]
        assert sent(rig)["tools"][1]["format"] == APPLY_PATCH["format"]
        [returned] = calls_of(events_of(answer)) if stream else answer["choices"][0]["message"]["tool_calls"]
        assert returned["type"] == "function"
        assert returned["function"] == {"name": "ApplyPatch", "arguments": PATCH}
        echoed = {key: returned[key] for key in ("id", "type", "function")}
        back = [
            {"role": "assistant", "content": None, "tool_calls": [echoed]},
            {"role": "tool", "tool_call_id": returned["id"], "content": "done"},
        ]  # fmt: skip
        if shape == "responses":
            named = {"call_id": returned["id"], "name": "ApplyPatch"}
            back = [
                {"type": "function_call", "id": "fc_1", **named, "arguments": PATCH},
                {"type": "function_call_output", "call_id": returned["id"], "output": "done"},
            ]  # fmt: skip
            said = {"input": [*SAY, *back], "messages": None}
        else:
            said = {"messages": [*SAY, *back]}
        rig.provider.script = answering(message("ok"))
        assert (await ask(rig, tools=[READ, tool], **said))[0] == 200
        items = [item for item in sent(rig)["input"] if item.get("type") not in ("message", None)]
        assert [item["type"] for item in items] == ["custom_tool_call", "custom_tool_call_output"]
        assert items[0]["input"] == PATCH
        assert not str(items[0].get("id", "")).startswith("fc")
        assert items[1]["output"] == "done"


async def test_C11_a_free_form_tool_towards_a_chat_provider_is_a_function_with_one_string() -> None:
    call_of_it = {
        "id": "call_9",
        "type": "function",
        "function": {"name": "ApplyPatch", "arguments": json.dumps({"input": PATCH})},
    }
    answer = chat_body("")
    answer["choices"][0]["message"]["tool_calls"] = [call_of_it]
    answer["choices"][0]["finish_reason"] = "tool_calls"
    async with running(account={"deployments": {"house": "some-model"}}) as rig:
        rig.provider.script = whole(answer)
        status, got = await ask(rig, model="house", tools=[READ, APPLY_PATCH])
        assert status == 200
        outward = sent(rig)["tools"][1]["function"]
        assert list(outward["parameters"]["properties"]) == ["input"]
        assert got["choices"][0]["message"]["tool_calls"][0]["function"] == {"name": "ApplyPatch", "arguments": PATCH}


async def test_C12_anthropic_blocks_on_the_chat_path() -> None:
    history = [
        {"role": "user", "content": "Read a"},
        {"role": "assistant", "content": [
            {"type": "text", "text": "Reading"},
            {"type": "tool_use", "id": "toolu_1", "name": "read_file", "input": {"path": "a"}},
        ]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "A"}]},
        {"role": "assistant", "content": []},
    ]  # fmt: skip
    tool = {"name": "read_file", "description": "Reads", "input_schema": {"type": "object", "properties": {}}}
    async with cursor_rig() as rig:
        rig.provider.script = answering(message("Hi"))
        status, _ = await ask(rig, messages=history, tools=[tool], user="u", stream_options={"include_usage": True})
        assert status == 200
        kinds = [item["type"] for item in sent(rig)["input"]]
        assert kinds[:4] == ["message", "message", "function_call", "function_call_output"]
        assert json.loads(sent(rig)["input"][2]["arguments"]) == {"path": "a"}
        assert sent(rig)["tools"][0]["parameters"] == tool["input_schema"]


async def test_T_40_thoughts_are_taken_out_of_what_comes_back() -> None:
    history = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "<think>secret plan</think>Answer about <think> tags"},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "<think>only this</think>"},
        {"role": "user", "content": "<think>mine</think> stays"},
    ]
    async with cursor_rig() as rig:
        rig.provider.script = answering(message("Hi"))
        assert (await ask(rig, messages=history))[0] == 200
        raw = rig.provider.asked[0].body.decode()
        assert "secret plan" not in raw
        assert "only this" not in raw
        assert "Answer about <think> tags" in raw
        assert "<think>mine</think> stays" in raw


async def test_keepsakes_outlive_cursors_missing_fields() -> None:
    async with cursor_rig() as rig:
        rig.provider.script = answering(thought("plan"), call("read_file", "{}", "call_k"))
        _, answer = await ask(rig, tools=[READ])
        said = answer["choices"][0]["message"]
        assert said["content"] == "<think>plan</think>"
        turn = [{**said}, {"role": "tool", "tool_call_id": "call_k", "content": "A"}]
        rig.provider.script = answering(message("ok"))
        assert (await ask(rig, messages=[*SAY, *turn], tools=[READ]))[0] == 200
        kinds = [item["type"] for item in sent(rig)["input"]]
        assert kinds == ["message", "reasoning", "function_call", "function_call_output"]
        assert sent(rig)["input"][1]["encrypted_content"] == "opaque"


# ---------------------------------------------------------------- answers


def text_of(chunks: list[Any]) -> str:
    """All text of a stream."""
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


def calls_of(chunks: list[Any]) -> list[Any]:
    """The calls of a stream put together, as Cursor does: the name from the first delta alone."""
    calls: list[Any] = []
    for chunk in chunks:
        for choice in chunk["choices"]:
            for delta in choice["delta"].get("tool_calls", []):
                if delta["index"] == len(calls):
                    calls.append({**delta, "function": dict(delta["function"])})
                else:
                    assert "name" not in delta["function"]
                    calls[delta["index"]]["function"]["arguments"] += delta["function"]["arguments"]
    return calls


@pytest.mark.parametrize("asks_usage", [False, True])
async def test_T_40_chunks_of_two_parallel_calls(asks_usage: bool) -> None:
    options: dict[str, Any] = {"stream_options": {"include_usage": True}} if asks_usage else {}
    async with cursor_rig() as rig:
        rig.provider.script = answering(
            thought("First this, then that."),
            message("Reading both."),
            call("read_file", '{"path":"a"}', "call_a"),
            call("read_file", '{"path":"b"}', "call_b"),
        )
        status, raw = await ask(rig, tools=[READ], stream=True, **options)
        assert status == 200
        chunks = events_of(raw)
        assert text_of(chunks) == "<think>First this, then that.</think>Reading both."
        assert [(one["id"], one["function"]["arguments"]) for one in calls_of(chunks)] == [
            ("call_a", '{"path":"a"}'),
            ("call_b", '{"path":"b"}'),
        ]
        assert raw.count(DONE) == 1
        assert raw.endswith(DONE)
        assert raw.count(b'"role"') == 1
        assert [one["finish_reason"] for chunk in chunks for one in chunk["choices"] if one["finish_reason"]] == [
            "tool_calls"
        ]
        reports = [chunk["usage"] for chunk in chunks if "usage" in chunk]
        assert [(one["prompt_tokens"], one["completion_tokens"]) for one in reports] == (
            [(120, 30)] if asks_usage else []
        )
        assert "reasoning_content" not in raw.decode()
        assert {chunk["model"] for chunk in chunks} == {"gpt-high"}


@pytest.mark.parametrize(
    ("items", "status", "finish"),
    [
        ((message("Hi"),), "completed", "stop"),
        ((message("Hi"),), "incomplete", "length"),
        ((call("read_file", "{}"),), "completed", "tool_calls"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_C_24_finish_reasons(items: Any, status: str, finish: str, stream: bool) -> None:
    async with cursor_rig() as rig:
        rig.provider.script = answering(*items, status=status)
        _, answer = await ask(rig, stream=stream, tools=[READ])
        chunks = events_of(answer) if stream else [answer]
        assert [one["finish_reason"] for chunk in chunks for one in chunk["choices"]][-1] == finish


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("items", [(thought(""), message("Hi")), (message("Hi"),)])
async def test_T_40_there_is_never_an_empty_pair_of_tags(items: Any, stream: bool) -> None:
    async with cursor_rig() as rig:
        rig.provider.script = answering(*items)
        _, answer = await ask(rig, stream=stream)
        text = text_of(events_of(answer)) if stream else answer["choices"][0]["message"]["content"]
        assert text == "Hi"


async def test_T_40_stream_false_is_one_chat_completion() -> None:
    async with cursor_rig() as rig:
        rig.provider.script = answering(thought("Hm."), message("Hi"))
        for streamed in ({}, {"stream": False}, {"stream": None}):
            status, answer = await ask(rig, **streamed)
            assert (status, answer["object"], len(answer["choices"])) == (200, "chat.completion", 1)
            choice = answer["choices"][0]
            assert choice["message"]["content"] == "<think>Hm.</think>Hi"
            assert choice["finish_reason"] == "stop"
            assert answer["usage"]["prompt_tokens"] == 120
            assert not sent(rig).get("stream")


@pytest.mark.parametrize("stream", [False, True])
async def test_T_40_an_upstream_429_keeps_its_status(stream: bool) -> None:
    refusal = {"error": {"code": "429", "message": "Requests have exceeded the rate limit. Retry after 7 seconds."}}
    async with cursor_rig() as rig:
        rig.provider.script = whole(refusal, 429, retry_after="7")
        status, headers, answer = await rig.post(PATHS[0], {"model": "gpt-low", "messages": SAY, "stream": stream})
        assert (status, headers["retry-after"]) == (429, "7")
        assert "rate limit" in answer["error"]["message"]
        assert answer["error"].keys() >= {"message", "type", "param", "code"}


async def test_C_24_the_openai_sdk_reads_every_chunk() -> None:
    async with cursor_rig() as rig:
        rig.provider.script = answering(thought("Hm."), message("Hi"), custom_call("ApplyPatch", PATCH))
        base = f"{rig.url}/cursor"
        async with openai.AsyncOpenAI(base_url=base, api_key="blank", max_retries=0) as client:
            assert [model.id async for model in client.models.list()] == FOUR
            tools: Any = [READ, {**APPLY_PATCH, "type": "custom"}]
            asked = await client.chat.completions.create(model="gpt-low", messages=HELLO, tools=tools, stream=True)
            state = ChatCompletionStreamState()
            async for chunk in asked:
                state.handle_chunk(chunk)
            final = state.get_final_completion()
            said = final.choices[0].message
            assert said.content == "<think>Hm.</think>Hi"
            assert said.tool_calls is not None
            [made] = said.tool_calls
            assert (made.type, made.function.name, made.function.arguments) == ("function", "ApplyPatch", PATCH)


async def test_thoughts_of_a_chat_provider_are_shown_between_tags_too() -> None:
    from tests.relay.rig import chat_chunk, chat_usage

    pieces = [
        chat_chunk("", role="assistant"),
        chat_chunk(reasoning_content="Let me "),
        chat_chunk(reasoning_content="see."),
        chat_chunk("Hi"),
        chat_chunk(finish="stop"),
        chat_usage(),
        DONE,
    ]
    async with running(account={"deployments": {"house": "some-model"}}) as rig:
        rig.provider.script = replay(*pieces)
        status, raw = await ask(rig, model="house", stream=True)
        assert status == 200
        assert text_of(events_of(raw)) == "<think>Let me see.</think>Hi"
        assert b"reasoning_content" not in raw
        assert raw.count(DONE) == 1


# ---------------------------------------------------------------- the stage alone


def staged(*events: Event) -> list[Event]:
    """The events, one by one, through a fresh stage; what comes out keeps the grammar."""
    stage = ThinkTags()
    out = [passed for event in events for passed in stage([event])]
    return list(check(out))


def part(index: int, kind: Any, *pieces: str, choice: int = 0) -> list[Event]:
    """One part in pieces."""
    return [PartStarted(index, kind, choice), *(PartDelta(index, piece) for piece in pieces), PartEnded(index)]


END = (UsageReported(Usage()), Finished([Finish("end")]))
START = Started("id", "model")


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([part(0, Reasoning(""), "a", "b"), part(1, Text(""), "c")], "<think>ab</think>c"),
        ([part(0, Reasoning("a")), part(1, Reasoning(""), "b"), part(2, Text(""), "c")], "<think>a\n\nb</think>c"),
        ([part(0, Reasoning("")), part(1, Text(""), "c"), part(2, Reasoning(""), "late")], "c"),
        ([part(0, Reasoning(""), "a")], "<think>a</think>"),
        (
            [part(0, ToolCall("i", "n", ""), "{}"), part(1, Reasoning(""), "a"), part(2, Text(""), "c")],
            "<think>a</think>c",
        ),
        (
            [part(0, Reasoning(""), "a"), part(1, ToolCall("i", "n", "")), part(2, Reasoning(""), "b")],
            "<think>a</think>",
        ),
        ([part(0, Reasoning("")), part(1, Reasoning(""))], ""),
    ],
)
def test_T_40_one_pair_of_tags_at_the_head(parts: list[list[Event]], text: str) -> None:
    response = fold(staged(START, *(event for one in parts for event in one), *END))
    assert "".join(one.text for one in response.parts if isinstance(one, Text)) == text
    assert not [one for one in response.parts if isinstance(one, Reasoning)]


def test_T_40_a_thought_that_overlaps_the_text_is_closed_before_it() -> None:
    events: list[Event] = [
        PartStarted(0, Reasoning("")), PartDelta(0, "a"), PartStarted(1, Text("")), PartDelta(1, "b"),
        PartDelta(0, "late"), PartEnded(0), PartEnded(1),
    ]  # fmt: skip
    response = fold(staged(START, *events, *END))
    assert [one.text for one in response.parts if isinstance(one, Text)] == ["<think>a</think>", "b"]


def test_T_40_each_choice_has_its_own_pair() -> None:
    parts = [*part(0, Reasoning(""), "a"), *part(1, Reasoning(""), "b", choice=1)]
    response = fold(staged(START, *parts, Finished([Finish("end"), Finish("end")])))
    assert [choice.parts[0].text for choice in response.choices if isinstance(choice.parts[0], Text)] == [
        "<think>a</think>",
        "<think>b</think>",
    ]
