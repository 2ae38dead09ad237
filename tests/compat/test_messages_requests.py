"""What reaches the model of a Messages request, on Chat and on Responses (compat §3.4, §3.5; T-01 to T-17)."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tests.compat.azure import message
from tests.compat.upstreams import APIS, LOOK, PNG, chat_call, upstream
from tests.relay.rig import ASK, chat_body, running, whole

TEXT = {"type": "text", "text": "Hello"}
USE = {"type": "tool_use", "id": "call_1", "name": "look", "input": {"at": 1}}
RESULT = {"type": "tool_result", "tool_use_id": "call_1", "content": "seen"}
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
LINK = {"type": "image", "source": {"type": "url", "url": "https://pictures.example/a.png"}}
DATA_URI = f"data:image/png;base64,{PNG}"


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def call_item(identifier: str, arguments: str = '{"at":1}') -> dict[str, Any]:
    return {"type": "function_call", "call_id": identifier, "name": "look", "arguments": arguments}


def words(turn: Any) -> Any:
    """The texts of a turn, of whichever API."""
    content = turn.get("content", turn.get("output"))
    if isinstance(content, str) or content is None:
        return content
    return "\n".join(part["text"] for part in content)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_T_01_a_string_and_its_one_block_give_the_same_bytes(api: str, stream: bool) -> None:
    async with upstream(api) as place:
        bodies = set()
        for form in (lambda text: text, lambda text: [{"type": "text", "text": text}]):
            result = {**RESULT, "content": form("seen")}
            turns = [user(form("Look")), assistant([USE]), user([result]), assistant(form("I see")), user(form("And?"))]
            await place.ask(system=form("Be brief"), messages=turns, tools=[LOOK], stream=stream)
            bodies.add(place.raw)
        assert len(bodies) == 1


@pytest.mark.parametrize("api", APIS)
async def test_T_02_hints_and_sources_on_blocks_never_change_the_text(api: str) -> None:
    hint = {"cache_control": {"type": "ephemeral"}}
    cited = {"type": "char_location", "cited_text": "x", "document_index": 0, "document_title": None,
             "start_char_index": 0, "end_char_index": 1}  # fmt: skip
    system = [{"type": "text", "text": "Be brief", **hint}, {"type": "text", "text": "Be kind", "citations": None}]
    turns = [
        user([{**TEXT, **hint}, {"type": "text", "text": "there", **hint}]),
        assistant([{"type": "text", "text": "Hi", "citations": [cited]}, {"type": "text", "text": "you", **hint}]),
        user([{**TEXT, **hint}]),
    ]
    async with upstream(api) as place:
        await place.ask(system=system, messages=turns)
        told = place.turns[0]["content"] if api == "chat" else place.sent["instructions"]
        assert told == "Be brief\n\nBe kind"
        rest = place.turns[1:] if api == "chat" else place.turns
        assert [words(turn) for turn in rest] == ["Hello\nthere", "Hi\nyou", "Hello"]
        assert b"cache_control" not in place.raw
        assert b"citations" not in place.raw
        assert b"ephemeral" not in place.raw


@pytest.mark.parametrize("api", APIS)
async def test_T_03_text_and_calls_are_one_turn_and_results_come_first(api: str) -> None:
    turns = [user("Go"), assistant([{"type": "text", "text": "I look"}, USE]), user([TEXT, RESULT])]
    async with upstream(api) as place:
        await place.ask(messages=turns, tools=[LOOK])
        if api == "chat":
            said = {"role": "assistant", "content": "I look", "tool_calls": [chat_call("call_1", "look", '{"at":1}')]}
            assert place.turns[1:] == [
                said,
                {"role": "tool", "tool_call_id": "call_1", "content": "seen"},
                {"role": "user", "content": "Hello"},
            ]
        else:
            spoke, called, result, asked = place.turns[1:]
            assert (spoke["role"], words(spoke)) == ("assistant", "I look")
            assert called == call_item("call_1")
            assert result == {"type": "function_call_output", "call_id": "call_1", "output": "seen"}
            assert (asked["role"], words(asked)) == ("user", "Hello")


@pytest.mark.parametrize("api", APIS)
async def test_T_04_a_turn_of_calls_alone_gets_no_words(api: str) -> None:
    second = {**USE, "id": "call_2"}
    turns = [user("Go"), assistant([USE, second]), user([RESULT, {**RESULT, "tool_use_id": "call_2"}])]
    async with upstream(api) as place:
        await place.ask(messages=turns, tools=[LOOK])
        if api == "chat":
            [_, called, *results] = place.turns
            assert not called.get("content")
            assert [one["id"] for one in called["tool_calls"]] == ["call_1", "call_2"]
            assert [one["tool_call_id"] for one in results] == ["call_1", "call_2"]
        else:
            kinds = [(turn["type"], turn["call_id"]) for turn in place.turns[1:]]
            ids = ("call_1", "call_2")
            expected = [(kind, one) for kind in ("function_call", "function_call_output") for one in ids]
            assert kinds == expected


@pytest.mark.parametrize("api", APIS)
async def test_T_04_turns_of_one_role_are_taken_in_their_order(api: str) -> None:
    turns = [user("one"), user("two"), assistant("three"), assistant("four"), user("five"), user([TEXT])]
    async with upstream(api) as place:
        await place.ask(messages=turns)
        assert "\n".join(words(turn) for turn in place.turns) == "one\ntwo\nthree\nfour\nfive\nHello"
        roles = [turn["role"] for turn in place.turns]
        assert sorted(set(roles), key=roles.index) == ["user", "assistant"]
        assert roles[0] == roles[-1] == "user"


RESULTS: list[tuple[dict[str, Any], str]] = [
    ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "a\nb"),
    ({"content": {"found": [1, 2], "at": "x"}}, '{"found":[1,2],"at":"x"}'),
    ({"content": ""}, "No content provided"),
    ({"content": []}, "No content provided"),
    ({"content": None}, "No content provided"),
    ({}, "No content provided"),
    ({"content": "no such file", "is_error": True}, "[ERROR] no such file"),
    ({"content": [{"type": "text", "text": "no"}, {"type": "text", "text": "file"}], "is_error": True},
     "[ERROR] no\nfile"),
    ({"content": "", "is_error": True}, "[ERROR] "),
    ({"content": "fine", "is_error": False}, "fine"),
]  # fmt: skip


@pytest.mark.parametrize("api", APIS)
async def test_T_05_results_of_every_form_are_text(api: str) -> None:
    """The fixed mark at the head of a failed result is trap R26's as well."""
    async with upstream(api) as place:
        for fields, expected in RESULTS:
            result = {"type": "tool_result", "tool_use_id": "call_1", **fields}
            await place.ask(messages=[user("Go"), assistant([USE]), user([result])], tools=[LOOK])
            got = words(place.turns[2])
            if expected == "[ERROR] ":
                assert got.startswith(expected)
            elif expected.startswith("{"):
                assert json.loads(got) == json.loads(expected)
            else:
                assert got == expected, fields


ODD_HISTORY = [
    user([{"type": "text", "text": "Read"},
          {"type": "document", "title": "Notes", "source": {"type": "text", "media_type": "text/plain",
                                                            "data": "the notes"}},
          {"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "the parts"}]}},
          {"type": "search_result", "title": "Page", "source": "https://page.example/x",
           "content": [{"type": "text", "text": "the finding"}]}]),
    assistant([{"type": "thinking", "thinking": "secret thought", "signature": "c2ln"},
               {"type": "redacted_thinking", "data": "ZGF0YQ=="},
               {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
               {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1",
                "content": [{"type": "web_search_result", "url": "https://found.example", "title": "F",
                             "encrypted_content": "eA==", "page_age": None}]},
               {"type": "block_of_tomorrow", "payload": {"a": [1]}},
               {"type": "text", "text": "I know"}]),
    user("Go on"),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_T_06_every_block_of_a_history_is_taken(api: str, stream: bool) -> None:
    async with upstream(api) as place:
        answer = await place.ask(messages=ODD_HISTORY, stream=stream)
        assert answer["content"] == [{"type": "text", "text": "Hi"}]
        first, said, last = place.turns
        for text in ("Read", "Notes", "the notes", "the parts", "Page", "https://page.example/x", "the finding"):
            assert text in words(first)
        assert words(said) == "I know"
        assert words(last) == "Go on"
        for hidden in (b"secret thought", b"c2ln", b"block_of_tomorrow", b"eA=="):
            assert hidden not in place.raw


@pytest.mark.parametrize("api", APIS)
async def test_T_07_a_system_message_in_the_middle_stays_there(api: str) -> None:
    turns = [user("one"), assistant("two"), {"role": "system", "content": "Be brief now"}, user("three")]
    async with upstream(api) as place:
        await place.ask(system="Be kind", messages=turns)
        told = place.turns if api == "chat" else [{"content": place.sent["instructions"]}, *place.turns]
        assert [words(turn) for turn in told] == ["Be kind", "one", "two", "Be brief now", "three"]
        assert told[3]["role"] in ("system", "developer")


@pytest.mark.parametrize("api", APIS)
async def test_T_08_pictures_arrive_from_a_turn_and_from_a_result(api: str) -> None:
    """A result's picture stays in the result where the wire has room for it (trap R17): on Responses."""
    result = {**RESULT, "content": [{"type": "text", "text": "seen"}, PICTURE, LINK]}
    turns = [user([{"type": "text", "text": "Look"}, PICTURE, LINK]), assistant([USE]), user([result])]
    async with upstream(api) as place:
        await place.ask(messages=turns, tools=[LOOK])
        urls = [DATA_URI, "https://pictures.example/a.png"]
        assert picture_urls(place.turns[0]["content"]) == urls
        if api == "chat":
            told, shown = place.turns[2:]
            assert (told["role"], shown["role"]) == ("tool", "user")
            assert isinstance(told["content"], str)
            assert told["content"].startswith("seen")
            assert picture_urls(shown["content"]) == urls
        else:
            assert picture_urls(place.turns[2]["output"]) == urls
        assert PNG.encode() in place.raw
        assert not re.search(rb"(?i)placeholder|not supported|omitted|cannot be shown", place.raw)


def picture_urls(content: Any) -> list[str]:
    """Where the pictures of a content are."""
    pictures = [part["image_url"] for part in content if part["type"] in ("image_url", "input_image")]
    return [one["url"] if isinstance(one, dict) else one for one in pictures]


@pytest.mark.parametrize("api", APIS)
async def test_T_09_a_pdf_is_a_file_part(api: str) -> None:
    data = "JVBERi0xLjQKJSVFT0YK"
    pdf = {"type": "document", "title": "a.pdf",
           "source": {"type": "base64", "media_type": "application/pdf", "data": data}}  # fmt: skip
    async with upstream(api) as place:
        await place.ask(messages=[user([pdf, {"type": "text", "text": "Sum up"}])])
        [file, text] = place.turns[0]["content"]
        inner = file["file"] if api == "chat" else file
        assert file["type"] == ("file" if api == "chat" else "input_file")
        assert inner["file_data"] == f"data:application/pdf;base64,{data}"
        assert inner["filename"]
        assert text["text"] == "Sum up"


CHOICES: list[tuple[dict[str, Any], Any, Any]] = [
    ({"type": "auto"}, "auto", "auto"),
    ({"type": "any"}, "required", "required"),
    ({"type": "none"}, "none", "none"),
    ({"type": "tool", "name": "look"}, {"type": "function", "function": {"name": "look"}},
     {"type": "function", "name": "look"}),
]  # fmt: skip


@pytest.mark.parametrize("api", APIS)
async def test_T_10_choices_in_the_words_of_the_target(api: str) -> None:
    async with upstream(api) as place:
        for choice, chat, responses in CHOICES:
            for parallel in (None, False, True):
                said = choice if parallel is None else {**choice, "disable_parallel_tool_use": not parallel}
                await place.ask(tools=[LOOK], tool_choice=said)
                assert place.sent["tool_choice"] == (chat if api == "chat" else responses)
                assert place.sent.get("parallel_tool_calls") in ((False,) if parallel is False else (None, True))
        await place.ask(tool_choice={"type": "any", "disable_parallel_tool_use": True})
        assert not {"tools", "tool_choice", "parallel_tool_calls"} & place.sent.keys()


@pytest.mark.parametrize("api", APIS)
async def test_T_11_a_tool_without_a_schema_and_one_of_the_servers(api: str) -> None:
    bare = {"name": "ping"}
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}
    async with upstream(api) as place:
        await place.ask(tools=[bare, search, LOOK])
        functions = [tool["function"] if api == "chat" else tool for tool in place.sent["tools"]]
        assert [tool["name"] for tool in functions] == ["ping", "look"]
        assert functions[0]["parameters"] == {"type": "object", "properties": {}}
        assert {tool["type"] for tool in place.sent["tools"]} == {"function"}
        if api == "responses":
            assert [tool["strict"] for tool in functions] == [False, False]
        await place.ask(tools=[search])
        assert "tools" not in place.sent


THINKING: list[tuple[Any, bool]] = [
    ({"type": "enabled", "budget_tokens": 1024}, True),
    ({"type": "adaptive"}, True),
    ({"type": "disabled"}, False),
    ({"enabled": False}, False),
    ({"enabled": True, "budget_tokens": 1024}, True),
    (None, False),
]


@pytest.mark.parametrize("api", APIS)
async def test_T_12_effort_only_where_thinking_is_enabled(api: str) -> None:
    async with upstream(api) as place:
        for thinking, on in THINKING:
            await place.ask(model="gpt-5", thinking=thinking, max_tokens=4000)
            said = place.sent if api == "chat" else place.sent.get("reasoning", {})
            effort = said.get("reasoning_effort" if api == "chat" else "effort")
            assert effort == ("medium" if on else None), thinking
            if api == "responses":
                assert bool(said.get("summary")) is on
        await place.ask(model="gpt-4.1", thinking={"type": "enabled", "budget_tokens": 1024}, max_tokens=4000)
        assert not {"reasoning", "reasoning_effort"} & place.sent.keys()


KNOBS = {"temperature": 0.3, "top_p": 0.9, "top_k": 5, "stop_sequences": ["END"]}


@pytest.mark.parametrize("model", ["gpt-5", "gpt-5-mini", "o3", "o4-mini", "gpt-5.1-codex"])
@pytest.mark.parametrize("api", APIS)
async def test_T_13_knobs_a_family_refuses_are_not_sent(api: str, model: str) -> None:
    async with upstream(api) as place:
        await place.ask(model=model, **KNOBS)
        assert not {"temperature", "top_p", "top_k", "stop", "stop_sequences"} & place.sent.keys()


@pytest.mark.parametrize("api", APIS)
async def test_T_13_no_temperature_is_invented_and_one_that_is_taken_goes_out(api: str) -> None:
    async with upstream(api) as place:
        await place.ask()
        assert not {"temperature", "top_p", "top_k", "stop"} & place.sent.keys()
        await place.ask(model="gpt-4.1", **KNOBS)
        assert (place.sent["temperature"], place.sent["top_p"]) == (0.3, 0.9)
        assert place.sent.get("stop") == (["END"] if api == "chat" else None)
        assert "top_k" not in place.sent


@pytest.mark.parametrize("model", ["gpt-5", "gpt-5-nano", "gpt-5.1", "o1", "o3-mini"])
@pytest.mark.parametrize("api", APIS)
async def test_T_14_the_field_of_the_limit_and_its_smallest_value(api: str, model: str) -> None:
    field = "max_completion_tokens" if api == "chat" else "max_output_tokens"
    async with upstream(api) as place:
        for asked, sent in ((1, 16), (500, 500)):
            await place.ask(model=model, max_tokens=asked)
            assert place.sent[field] == sent
            names = {"max_tokens", "max_completion_tokens", "max_output_tokens"}
            assert names & place.sent.keys() == {field}
        await place.ask(model="gpt-4o", max_tokens=1)
        assert place.sent["max_tokens" if api == "chat" else "max_output_tokens"] == (1 if api == "chat" else 16)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("api", APIS)
async def test_T_15_no_limit_is_invented_and_one_above_the_models_is_lowered(api: str, stream: bool) -> None:
    async with upstream(api) as place:
        await place.ask(max_tokens=None, stream=stream)
        assert not {"max_tokens", "max_completion_tokens", "max_output_tokens"} & place.sent.keys()
        for model, limit in (("gpt-4o", 16384), ("gpt-4.1", 32768), ("o3", 100000), ("gpt-5", 128000)):
            await place.ask(model=model, max_tokens=200000, stream=stream)
            assert limit in place.sent.values(), model
        await place.ask(model="gpt-3.5-turbo", max_tokens=200000)
        assert 4096 in place.sent.values()
    async with upstream(api, max_output_tokens=1000) as place:
        await place.ask(model="gpt-4o", max_tokens=200000)
        assert 1000 in place.sent.values()
        await place.ask(model="gpt-4o", max_tokens=None)
        assert 1000 not in place.sent.values()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["gpt-5", "gpt-4.1"])
async def test_T_16_a_stop_sequence_cuts_the_text_of_responses(model: str, stream: bool) -> None:
    async with upstream("responses") as place:
        place.says(message("Hello STOP and more"))
        answer = await place.ask(model=model, stop_sequences=["never", "STOP"], stream=stream)
        assert answer["content"] == [{"type": "text", "text": "Hello "}]
        assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "STOP")
        assert "stop" not in place.sent
        place.says(message("Hello and more"))
        answer = await place.ask(model=model, stop_sequences=["STOP"], stream=stream)
        assert (answer["stop_reason"], answer["stop_sequence"]) == ("end_turn", None)
        assert answer["content"] == [{"type": "text", "text": "Hello and more"}]


@pytest.mark.parametrize("api", APIS)
async def test_T_17_a_long_user_id_goes_out_as_64_hex_digits(api: str) -> None:
    async with upstream(api) as place:
        await place.ask(metadata={"user_id": "u" * 100})
        key = place.sent["prompt_cache_key"]
        assert re.fullmatch(r"[0-9a-f]{64}", key)
        await place.ask(metadata={"user_id": "v" * 100})
        assert place.sent["prompt_cache_key"] != key
        await place.ask(metadata={"user_id": "short-id"})
        assert place.sent["prompt_cache_key"] == "short-id"


async def test_T_17_other_backends_get_it_as_user() -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body("Hi"))
        for identifier, sent in (("u" * 100, r"[0-9a-f]{64}"), ("short-id", "short-id")):
            body = {**ASK, "model": "glm-4.6", "metadata": {"user_id": identifier}}
            assert (await rig.post("/v1/messages", body))[0] == 200
            assert re.fullmatch(sent, rig.provider.asked[-1].json["user"])
