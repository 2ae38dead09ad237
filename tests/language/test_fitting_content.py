"""Media, thoughts, foreign blocks and extras (R07, R16 to R18, R20, R22 to R24, T02, T09, T12, T13, C04)."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from dragoman.language.failures import Refused
from dragoman.language.fitting import fit, foreign
from dragoman.language.ir import (
    Citation,
    Media,
    Message,
    Opaque,
    OutputFormat,
    Part,
    Reasoning,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile, find_profile

CHAT = find_profile("openai_chat", "gpt-4.1")
DEEPSEEK = find_profile("openai_chat", "deepseek-v4-flash")
RESPONSES = find_profile("openai_responses", "gpt-5")
CLAUDE = find_profile("anthropic", "claude-haiku-4-5")
NEWEST = find_profile("anthropic", "claude-opus-4-8")
GEMINI = find_profile("gemini", "gemini-2.5-flash")
PNG = Media("image", "base64", "iVBORw0KGgo=", "image/png")


def run(
    profile: Profile, messages: list[Message], dialect: str = "anthropic", **fields: Any
) -> tuple[Request, Receipt]:
    receipt = Receipt()
    return fit(Request(dialect, "m", messages, **fields), profile, receipt).request, receipt


def lines(receipt: Receipt) -> list[tuple[str, str]]:
    return [(loss.path, loss.what) for loss in receipt.losses]


def user(*parts: Part) -> Message:
    return Message("user", list(parts))


def loop(*content: Part) -> list[Message]:
    return [
        user(Text("go")),
        Message("assistant", [ToolCall("a", "shot", "{}"), ToolCall("b", "shot", "{}")]),
        Message("tool", [ToolResult("a", list(content)), ToolResult("b", [Text("none")])]),
        user(Text("and?")),
    ]


# ---------------------------------------------------------------- media


def test_R17_a_screenshot_stands_behind_all_results_of_its_turn() -> None:
    request, receipt = run(CHAT, loop(Text("here"), PNG))
    assert [message.role for message in request.messages] == ["user", "assistant", "tool", "user", "user"]
    result = request.messages[2].parts[0]
    assert isinstance(result, ToolResult)
    assert result.content == [Text("here"), Text("[image below]")]
    label, image = request.messages[3].parts
    assert isinstance(label, Text)
    assert "tool call a" in label.text
    assert image is PNG
    assert lines(receipt) == [("messages[2].parts[0].content[1]", "moved")]


def test_R17_results_in_several_messages_stay_together() -> None:
    messages = loop(PNG)
    both = messages[2].parts
    messages[2:3] = [Message("tool", [both[0]]), Message("tool", [both[1]])]
    request, _ = run(CHAT, messages)
    assert [message.role for message in request.messages] == ["user", "assistant", "tool", "tool", "user", "user"]


def test_R17_the_label_names_the_id_that_goes_out() -> None:
    messages = [
        user(Text("go")),
        Message("assistant", [ToolCall("f:0", "shot", "{}")]),
        Message("tool", [ToolResult("f:0", [PNG])]),
    ]
    request, _ = run(CHAT, messages)
    call, label = request.messages[1].parts[0], request.messages[3].parts[0]
    assert isinstance(call, ToolCall)
    assert isinstance(label, Text)
    assert call.id in label.text


@pytest.mark.parametrize("profile", [RESPONSES, find_profile("gemini", "gemini-3-flash-preview")])
def test_R17_a_target_with_media_in_results_gets_them_there(profile: Profile) -> None:
    messages = loop(PNG)
    request, receipt = run(profile, messages)
    assert request.messages is messages
    assert receipt.losses == []


@pytest.mark.parametrize(
    ("profile", "media"),
    [
        (DEEPSEEK, PNG),
        (DEEPSEEK, Media("document", "base64", "JVBERi0=", "application/pdf")),
        (CLAUDE, Media("audio", "base64", "AAAA", "audio/wav")),
        (CHAT, Media("video", "base64", "AAAA", "video/mp4")),
        (CHAT, Media("document", "url", "https://example.com/a.pdf")),
        (CHAT, Media("image", "file", "file_1")),
        (CHAT, Media("image", "url", "gs://bucket/a.png")),
    ],
)
def test_R16_R18_what_a_target_cannot_take_is_refused_by_its_path(profile: Profile, media: Media) -> None:
    with pytest.raises(Refused) as caught:
        run(profile, [user(Text("see"), media)], "gemini")
    assert caught.value.path == "messages[0].parts[1]"
    assert caught.value.kind == "invalid_request"


def test_R18_a_refusal_inside_a_tool_result_names_the_place() -> None:
    with pytest.raises(Refused) as caught:
        run(DEEPSEEK, loop(Text("x"), PNG))
    assert caught.value.path == "messages[2].parts[0].content[1]"


def test_R16_a_url_stays_a_url_where_it_is_taken() -> None:
    messages = [user(Media("image", "url", "https://example.com/a.png"))]
    assert run(CHAT, messages)[0].messages is messages


@pytest.mark.parametrize("profile", [CLAUDE, GEMINI])
def test_R16_a_misnamed_picture_goes_out_under_its_right_type(profile: Profile) -> None:
    media = Media("image", "base64", "/9j/", "image/jpg")
    assert run(profile, [user(media)], "openai_chat")[0].messages[0].parts == [replace(media, media_type="image/jpeg")]


def test_R18_a_text_document_becomes_text_with_its_title() -> None:
    request, receipt = run(CHAT, [user(Media("document", "text", "body", "text/plain", "Notes"))])
    assert request.messages[0].parts == [Text("Title: Notes\n\nbody")]
    assert lines(receipt) == [("messages[0].parts[0]", "approximated")]


def test_R18_text_in_base64_is_read_where_only_pdf_is_taken() -> None:
    media = Media("document", "base64", base64.b64encode("tä".encode()).decode(), "text/plain")
    assert run(CHAT, [user(media)], "gemini")[0].messages[0].parts == [Text("tä")]
    part = run(CLAUDE, [user(media)], "gemini")[0].messages[0].parts[0]
    assert isinstance(part, Media)
    assert (part.source, part.value) == ("text", "tä")
    with pytest.raises(Refused):
        run(CHAT, [user(Media("document", "base64", "/w==", "text/plain"))], "gemini")


def test_R18_a_file_of_openai_is_known_on_both_of_its_surfaces() -> None:
    messages = [user(Media("document", "file", "file-1"))]
    assert run(CHAT, messages, "openai_responses")[0].messages is messages
    with pytest.raises(Refused):
        run(CLAUDE, messages, "openai_responses")


def test_R18_an_image_the_model_made_is_left_out_of_history_and_noted() -> None:
    request, receipt = run(
        CHAT, [user(Text("go")), Message("assistant", [Text("here"), PNG]), user(Text("?"))], "gemini"
    )
    assert request.messages[1].parts == [Text("here")]
    assert lines(receipt) == [("messages[1].parts[1]", "dropped")]


# ---------------------------------------------------------------- thoughts


def thinking(**extras: Any) -> list[Message]:
    return [user(Text("go")), Message("assistant", [Reasoning("hm", dict(extras)), Text("yes")]), user(Text("?"))]


OWN = {"anthropic": {"signature": "s"}}
ENCRYPTED = {"openai_responses": {"encrypted_content": "e"}}
SIGNED = {"gemini": {"thoughtSignature": "t"}}


@pytest.mark.parametrize(
    ("profile", "extras", "kept"),
    [
        (CLAUDE, OWN, True),
        (CLAUDE, {"anthropic": {"redacted": "d"}}, True),
        (CLAUDE, {}, False),
        (CLAUDE, {"anthropic": {"signature": ""}}, False),
        (CLAUDE, ENCRYPTED, False),
        (CLAUDE, OWN | ENCRYPTED, True),
        (RESPONSES, ENCRYPTED, True),
        (RESPONSES, {"openai_responses": {"id": "rs_1"}}, False),
        (RESPONSES, OWN, False),
        (GEMINI, SIGNED, True),
        (GEMINI, OWN, False),
        (DEEPSEEK, {}, True),
        (DEEPSEEK, {"anthropic": {"~form": 1}}, True),
        (DEEPSEEK, OWN, False),
        (CHAT, {}, False),
    ],
)
def test_T02_T09_T12_a_thought_goes_back_only_to_its_issuer(profile: Profile, extras: Any, kept: bool) -> None:
    dialect = "openai_chat" if profile.dialect != "openai_chat" else "anthropic"
    request, receipt = run(profile, thinking(**extras), dialect)
    assert any(isinstance(part, Reasoning) for part in request.messages[1].parts) == kept
    assert (("messages[1].parts[0]", "dropped") in lines(receipt)) == (not kept)


def test_T02_a_turn_of_nothing_but_a_foreign_thought_vanishes_whole() -> None:
    messages = [user(Text("go")), Message("assistant", [Reasoning("hm", OWN)]), user(Text("?"))]
    request, _ = run(CHAT, messages)
    assert [message.role for message in request.messages] == ["user", "user"]


# ---------------------------------------------------------------- system messages


BILLING = "x-anthropic-billing-header: cc_version=2.1.197; cc_entrypoint=cli;"


def test_T13_C04_the_attribution_line_goes_to_claude_alone() -> None:
    messages = [Message("system", [Text(BILLING), Text("You are")]), user(Text(BILLING))]
    request, receipt = run(CHAT, messages)
    assert request.messages == [Message("system", [Text("You are")]), user(Text(BILLING))]
    assert lines(receipt) == [("messages[0].parts[0]", "dropped")]
    routed = find_profile("openai_chat", "anthropic/claude-haiku-4.5", vendor="openrouter")
    assert run(routed, messages)[0].messages is messages


def test_T13_only_the_head_of_a_block_is_looked_at() -> None:
    quoted = [Message("system", [Text(f"Never write {BILLING}")]), user(Text("go"))]
    assert run(CHAT, quoted)[0].messages is quoted
    request, _ = run(CHAT, [Message("system", [Text(f"{BILLING}\nYou are")]), user(Text("go"))])
    assert request.messages[0].parts == [Text("You are")]


def _mid(*roles: str) -> list[Message]:
    return [Message(role, [Text(role)]) for role in roles]  # type: ignore[arg-type]


def test_R07_a_system_message_stays_in_place_where_it_may() -> None:
    messages = _mid("system", "user", "assistant", "system", "user")
    assert run(CHAT, messages)[0].messages is messages


@pytest.mark.parametrize("profile", [CLAUDE, GEMINI])
def test_R07_else_it_becomes_marked_user_text_in_the_same_place(profile: Profile) -> None:
    request, receipt = run(profile, _mid("system", "user", "assistant", "system", "user"), "openai_chat")
    assert request.messages[3] == user(Text("<system>\nsystem\n</system>"))
    assert [message.role for message in request.messages] == ["system", "user", "assistant", "user", "user"]
    assert lines(receipt) == [("messages[3]", "approximated")]


@pytest.mark.parametrize(
    ("roles", "stays"),
    [
        (("user", "system"), True),
        (("user", "system", "assistant", "user"), True),
        (("user", "system", "user"), False),
        (("user", "assistant", "system", "user"), False),
    ],
)
def test_R07_the_newest_claude_takes_it_between_question_and_answer_only(roles: tuple[str, ...], stays: bool) -> None:
    request, receipt = run(NEWEST, _mid(*roles), "openai_responses")
    assert any(message.role == "system" for message in request.messages) == stays
    assert bool(receipt.losses) == (not stays)


def test_R07_neighbours_are_joined_for_claude_as_each_must_precede_an_answer() -> None:
    request, _ = run(NEWEST, _mid("user", "system", "system"), "openai_responses")
    assert request.messages == [user(Text("user")), Message("system", [Text("system"), Text("system")])]


def test_R07_a_model_without_system_role() -> None:
    request, receipt = run(find_profile("openai_chat", "o1-mini"), _mid("system", "user"))
    assert request.messages[0] == user(Text("<system>\nsystem\n</system>"))
    assert lines(receipt) == [("messages[0]", "approximated")]


def test_R23_a_begun_answer_is_noted_or_left_out() -> None:
    messages = _mid("user", "assistant")
    assert run(find_profile("openai_chat", "mistral-small-latest"), messages)[1].losses == []
    request, receipt = run(CHAT, messages)
    assert request.messages is messages
    assert lines(receipt) == [("messages[1]", "approximated")]
    request, receipt = run(NEWEST, messages, "openai_chat")
    assert request.messages == messages[:1]
    assert lines(receipt) == [("messages[1]", "dropped")]


# ---------------------------------------------------------------- blocks and extras


def test_R20_hosted_blocks_are_dropped_and_noted_by_type() -> None:
    hosted = Opaque("anthropic", {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}})
    request, receipt = run(CHAT, [user(Text("go")), Message("assistant", [hosted, Text("found")]), user(Text("?"))])
    assert request.messages[1].parts == [Text("found")]
    assert lines(receipt) == [("messages[1].parts[0]", "dropped")]
    assert "server_tool_use" in receipt.losses[0].why


def test_R20_a_block_with_words_goes_out_as_words() -> None:
    block = Opaque(
        "anthropic",
        {
            "type": "search_result",
            "title": "Rain",
            "source": "https://example.com",
            "content": [{"type": "text", "text": "It rained."}],
        },
    )
    request, receipt = run(CHAT, [user(block)])
    assert request.messages[0].parts == [Text("Title: Rain\nSource: https://example.com\n\nIt rained.")]
    assert lines(receipt) == [("messages[0].parts[0]", "approximated")]


def test_R20_a_document_of_blocks_goes_out_as_words() -> None:
    source = {"type": "content", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}
    block = Opaque("anthropic", {"type": "document", "title": "T", "source": source})
    assert run(CHAT, [user(block)])[0].messages[0].parts == [Text("Title: T\n\none\ntwo")]


def test_R20_extras_are_noted_with_their_path_and_form_is_not() -> None:
    messages = [
        Message("user", [Text("go", extras={"anthropic": {"~content": "string", "novel": 1}})], {"anthropic": {"m": 1}})
    ]
    _, receipt = run(CHAT, messages, extras={"anthropic": {"service_tier": "standard_only", "~empty": {}}})
    assert lines(receipt) == [
        ("service_tier", "dropped"),
        ("messages[0].m", "dropped"),
        ("messages[0].parts[0].novel", "dropped"),
    ]


def test_R20_the_targets_own_extras_are_no_loss() -> None:
    _, receipt = run(CHAT, [user(Text("go", extras={"openai_chat": {"x": 1}}))])
    assert receipt.losses == []


def test_T15_cache_hints_get_one_line_and_none_where_they_are_taken() -> None:
    hint = {"anthropic": {"cache_control": {"type": "ephemeral"}}}
    messages = [Message("system", [Text("s", extras=hint)]), user(Text("go", extras=hint))]
    tools: list[Tool | Opaque] = [Tool("a", extras=hint)]
    _, receipt = run(CHAT, messages, tools=tools)
    assert lines(receipt) == [("cache_control", "dropped")]
    assert receipt.losses[0].why.startswith("3 ")
    routed = find_profile("openai_chat", "anthropic/claude-haiku-4.5", vendor="openrouter")
    assert run(routed, messages, tools=tools)[1].losses == []


def test_T15_a_cache_hint_in_a_chat_body_is_one_too() -> None:
    hint: Any = {"openai_chat": {"cache_control": {}}, "anthropic": {"cache_control": {}}}
    assert run(CLAUDE, [user(Text("go", extras=hint))], "openai_chat")[1].losses == []
    assert lines(run(RESPONSES, [user(Text("go", extras=hint))], "openai_chat")[1]) == [("cache_control", "dropped")]


def test_U06_what_the_gateway_itself_obeys_is_no_loss() -> None:
    asked = {"openai_chat": {"stream_options": {"include_usage": True}}}
    assert run(CLAUDE, [user(Text("go"))], "openai_chat", extras=asked)[1].losses == []


def test_R20_one_line_for_a_field_that_stands_in_many_places() -> None:
    messages = [user(Text("go", extras={"openai_responses": {"id": f"msg_{number}"}})) for number in range(20)]
    _, receipt = run(CHAT, messages, "openai_responses")
    assert lines(receipt) == [("messages[*].parts[*].id", "dropped")]


def test_V10_citations_of_the_past_are_noted() -> None:
    cited = Text("fact", [Citation(url="u", extras={"anthropic": {"type": "web_search_result_location"}})])
    request, receipt = run(CHAT, [user(Text("go")), Message("assistant", [cited]), user(Text("?"))])
    assert request.messages[1].parts == [Text("fact")]
    assert lines(receipt) == [("messages[1].parts[0].citations", "dropped")]


def test_R20_foreign_finds_every_extra_and_block_on_every_node() -> None:
    def own(name: str) -> Any:
        return {"gemini": {name: 1, "~form": 1}, "openai_chat": {"ours": 1}}

    request = Request(
        "gemini",
        "m",
        [
            Message(
                "user",
                [
                    Text("t", [Citation(extras=own("citation"))], extras=own("text")),
                    Media("image", "url", "u", extras=own("media")),
                    Reasoning("r", own("thought")),
                    ToolCall("a", "f", "{}", extras=own("call")),
                    ToolResult(
                        "a", [Text("r", extras=own("inner")), Opaque("gemini", {"type": "deep"})], extras=own("result")
                    ),
                    Opaque("gemini", {"executableCode": {}}),
                    Opaque("openai_chat", {"type": "ours"}),
                ],
                own("message"),
            )
        ],
        tools=[Tool("f", extras=own("tool")), Opaque("gemini", {"googleSearch": {}})],
        tool_choice=ToolChoice("auto", extras=own("choice")),
        output=OutputFormat(extras=own("output")),
        extras=own("top"),
    )
    found = list(foreign(request, "openai_chat"))
    assert {owner for _, owner, _ in found} == {"gemini"}
    names = {name for _, _, name in found}
    assert names == {
        *("top", "tool", "googleSearch", "choice", "output", "message", "text", "citation", "media", "thought"),
        *("call", "result", "inner", "deep", "executableCode"),
    }


# ---------------------------------------------------------------- output and stored words


SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def test_R22_a_schema_is_carried_where_it_is_native() -> None:
    output = OutputFormat(SCHEMA, "City", strict=True)
    for profile in (CHAT, RESPONSES):
        request, receipt = run(profile, _mid("system", "user"), output=output)
        assert request.output is output
        assert receipt.losses == []


def test_R22_a_target_held_to_json_is_told_the_schema() -> None:
    request, receipt = run(DEEPSEEK, _mid("system", "user"), output=OutputFormat(SCHEMA))
    assert request.output == OutputFormat()
    told = request.messages[1]
    assert told.role == "system"
    assert isinstance(told.parts[0], Text)
    assert '"city"' in told.parts[0].text
    assert lines(receipt) == [("output", "approximated")]


def test_R22_a_schema_that_cannot_be_carried_is_refused() -> None:
    with pytest.raises(Refused) as caught:
        run(
            find_profile("anthropic", "claude-3-haiku-20240307"),
            _mid("user"),
            "openai_chat",
            output=OutputFormat(SCHEMA),
        )
    assert caught.value.path == "output"


def test_R22_gemini_two_and_a_half_takes_no_schema_beside_tools() -> None:
    request, receipt = run(GEMINI, _mid("user"), output=OutputFormat(SCHEMA), tools=[Tool("a")])
    assert request.output is None
    assert request.messages[0].role == "system"
    assert lines(receipt) == [("output", "approximated")]


def test_R22_free_json_is_said_in_words_to_claude() -> None:
    request, receipt = run(CLAUDE, _mid("user"), "openai_chat", output=OutputFormat())
    assert request.output is None
    assert "JSON" in str(request.messages[0].parts[0])
    assert lines(receipt) == [("output", "approximated")]


@pytest.mark.parametrize(
    ("dialect", "fields"),
    [
        ("openai_responses", {"previous": "resp_1"}),
        ("openai_responses", {"extras": {"openai_responses": {"conversation": "conv_1"}}}),
        ("openai_responses", {"extras": {"openai_responses": {"prompt": {"id": "pmpt_1"}}}}),
        ("gemini", {"extras": {"gemini": {"cachedContent": "cachedContents/1"}}}),
    ],
)
def test_R24_words_stored_elsewhere_are_not_silently_missing(dialect: str, fields: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        run(CHAT, _mid("user"), dialect, **fields)
