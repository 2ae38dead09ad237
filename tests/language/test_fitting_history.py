"""Calls and results in order, whatever a client sends (R01 to R04, T16)."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.language.fitting import fit
from dragoman.language.fitting.history import NO_RESULT
from dragoman.language.ir import Message, Part, Reasoning, Request, Text, ToolCall, ToolResult
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile, find_profile

RESPONSES = find_profile("openai_responses", "gpt-4.1")


def request(messages: list[Message], dialect: str = "anthropic", **fields: Any) -> Request:
    return Request(dialect, "m", messages, **fields)


def fitted(messages: list[Message], profile: Profile = RESPONSES, **fields: Any) -> tuple[list[Message], Receipt]:
    receipt = Receipt()
    return fit(request(messages, **fields), profile, receipt).request.messages, receipt


def user(text: str = "go") -> Message:
    return Message("user", [Text(text)])


def calls(*ids: str) -> Message:
    return Message("assistant", [ToolCall(id_, "weather", "{}") for id_ in ids])


def results(*ids: str, text: str = "") -> Message:
    return Message("tool", [ToolResult(id_, [Text(text or f"result of {id_}")]) for id_ in ids])


def shape(messages: list[Message]) -> list[tuple[str, list[str]]]:
    return [(message.role, [_word(part) for part in message.parts]) for message in messages]


def _word(part: Part) -> str:
    match part:
        case ToolCall(id=id_):
            return f"call {id_}"
        case ToolResult(call_id=id_):
            return f"result {id_}"
        case Text(text=text):
            return text
    return type(part).__name__


def test_R03_a_conversation_in_order_is_shared_not_copied() -> None:
    messages = [user(), calls("a", "b"), results("b", "a"), user()]
    out, receipt = fitted(messages)
    assert out is messages
    assert receipt.losses == []


def test_R03_results_out_of_order_are_matched_by_id() -> None:
    messages = [user(), calls("a", "b"), results("b"), results("a"), user("next"), calls("c"), results("c")]
    out, _ = fitted(messages)
    assert out is messages


def test_R03_of_two_results_the_last_stands() -> None:
    messages = [user(), calls("a"), results("a", text="old"), results("a", text="new"), user()]
    out, receipt = fitted(messages)
    assert shape(out) == [("user", ["go"]), ("assistant", ["call a"]), ("tool", ["result a"]), ("user", ["go"])]
    assert out[2].parts == [ToolResult("a", [Text("new")])]
    assert [(loss.path, loss.what) for loss in receipt.losses] == [("messages[2].parts[0]", "dropped")]


def test_R03_an_orphan_result_is_dropped() -> None:
    out, receipt = fitted([user(), results("ghost"), user("next")])
    assert shape(out) == [("user", ["go"]), ("user", ["next"])]
    assert [(loss.path, loss.what) for loss in receipt.losses] == [("messages[1].parts[0]", "dropped")]


def test_R03_a_result_before_its_call_answers_nothing() -> None:
    out, _ = fitted([user(), results("a"), calls("a"), user("next")])
    assert out[2].parts == [ToolResult("a", [Text(NO_RESULT)], is_error=True, name="weather")]


def test_R03_a_missing_result_is_a_failed_one() -> None:
    out, receipt = fitted([user(), calls("a", "b"), results("b"), user("next")])
    assert shape(out)[2] == ("tool", ["result a", "result b"])
    assert out[2].parts[0] == ToolResult("a", [Text(NO_RESULT)], is_error=True, name="weather")
    assert [(loss.path, loss.what) for loss in receipt.losses] == [("messages[1].parts[0]", "repaired")]


def test_R03_calls_at_the_very_end_are_answered_too() -> None:
    out, _ = fitted([user(), calls("a")])
    assert shape(out)[-1] == ("tool", ["result a"])


def test_R02_a_result_behind_something_else_moves_behind_its_turn() -> None:
    out, receipt = fitted([user(), calls("a"), user("wait"), results("a")])
    assert shape(out) == [("user", ["go"]), ("assistant", ["call a"]), ("tool", ["result a"]), ("user", ["wait"])]
    assert [(loss.path, loss.what) for loss in receipt.losses] == [("messages[3].parts[0]", "moved")]


def test_R02_a_system_message_between_call_and_result_moves_behind_the_result() -> None:
    out, _ = fitted([user(), calls("a"), Message("system", [Text("rule")]), results("a")])
    assert shape(out)[1:] == [("assistant", ["call a"]), ("tool", ["result a"]), ("system", ["rule"])]


def test_R02_calls_of_one_turn_stand_together_with_their_results_behind() -> None:
    # As compat.deepseek refuses it: call, text, call, result, result.
    says = Message("assistant", [Text("and now")])
    out, receipt = fitted([user(), calls("a"), says, calls("b"), results("a"), results("b")])
    assert shape(out)[1:] == [("assistant", ["and now", "call a", "call b"]), ("tool", ["result a", "result b"])]
    assert [(loss.path, loss.what) for loss in receipt.losses] == [("messages[1]", "moved")]


def test_R01_text_behind_a_call_is_moved_before_it_never_refused() -> None:
    turn = Message("assistant", [Text("first"), ToolCall("a", "weather", "{}"), Text("afterthought")])
    out, receipt = fitted([user(), turn, results("a")])
    assert shape(out)[1] == ("assistant", ["first", "afterthought", "call a"])
    assert receipt.losses[0].what == "moved"


def test_R06_blank_text_behind_a_call_is_nothing_to_repair() -> None:
    messages = [user(), Message("assistant", [ToolCall("a", "weather", "{}"), Text(" \n")]), results("a")]
    assert fitted(messages)[0] is messages


def test_T06_words_move_before_the_reasoning_item_that_belongs_to_a_call() -> None:
    thought = Reasoning("", {"openai_responses": {"encrypted_content": "gAAA"}})
    turn = Message("assistant", [thought, ToolCall("a", "weather", "{}"), Text("words")])
    out, _ = fitted([user(), turn, results("a")])
    assert shape(out)[1] == ("assistant", ["words", "Reasoning", "call a"])


def test_R04_ids_that_repeat_across_turns_become_unique() -> None:
    messages = [user(), calls("f:0"), results("f:0", text="1"), user(), calls("f:0"), results("f:0", text="2")]
    out, receipt = fitted(messages)
    ids = [part.id for message in out for part in message.parts if isinstance(part, ToolCall)]
    answered = {part.call_id: part.content for message in out for part in message.parts if isinstance(part, ToolResult)}
    assert len(set(ids)) == 2
    assert [answered[id_] for id_ in ids] == [[Text("1")], [Text("2")]]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,64}", id_) for id_ in ids)
    assert [loss.what for loss in receipt.losses] == ["repaired", "repaired"]


def test_R04_an_id_that_repeats_in_one_turn_pairs_in_order() -> None:
    out, _ = fitted(
        [user(), calls("0", "0"), Message("tool", [*results("0", text="1").parts, *results("0", text="2").parts])]
    )
    first, second = (part for part in out[1].parts if isinstance(part, ToolCall))
    assert out[2].parts == [ToolResult(first.id, [Text("1")]), ToolResult(second.id, [Text("2")])]
    assert first.id != second.id


def test_R04_empty_ids_are_made_from_their_place() -> None:
    out, _ = fitted([user(), calls(""), results("")])
    call, result = out[1].parts[0], out[2].parts[0]
    assert isinstance(call, ToolCall)
    assert isinstance(result, ToolResult)
    assert call.id == result.call_id != ""


def test_R04_a_long_id_stays_readable() -> None:
    long = "call_" + "x" * 80
    out, _ = fitted([user(), calls(long), results(long)])
    call = out[1].parts[0]
    assert isinstance(call, ToolCall)
    assert call.id.startswith("call_xxx")
    assert len(call.id) <= 64


def test_R04_mistral_takes_nine_letters_and_digits() -> None:
    out, _ = fitted(
        [user(), calls("toolu_01"), results("toolu_01")], find_profile("openai_chat", "mistral-small-latest")
    )
    call = out[1].parts[0]
    assert isinstance(call, ToolCall)
    assert re.fullmatch(r"[A-Za-z0-9]{9}", call.id)


def test_R04_T14_a_longer_conversation_keeps_the_ids_of_the_shorter() -> None:
    turn = [user(), calls("f:0", "g 1"), results("g 1", "f:0")]
    short, _ = fitted(turn * 2)
    long, _ = fitted(turn * 3)
    assert long[: len(short)] == short


def test_T16_claude_does_not_get_the_thoughts_of_a_turn_that_was_repaired() -> None:
    thought = Reasoning("hm", {"anthropic": {"signature": "sig"}})
    good = Message("assistant", [thought, ToolCall("a", "weather", "{}")])
    bad = Message("assistant", [thought, ToolCall("b:1", "weather", "{}")])
    profile = find_profile("anthropic", "claude-opus-4-6")
    out, receipt = fitted([user(), good, results("a"), bad, results("b:1")], profile, dialect="openai_chat")
    assert out[1].parts[0] == thought
    assert not any(isinstance(part, Reasoning) for part in out[3].parts)
    assert ("messages[3]", "dropped") in [(loss.path, loss.what) for loss in receipt.losses]


_ids = st.sampled_from(["a", "b", "f:0", "", "x" * 70])
_parts = st.one_of(
    _ids.map(lambda id_: ("assistant", ToolCall(id_, "weather", "{}"))),
    _ids.map(lambda id_: ("tool", ToolResult(id_, [Text("r")]))),
    st.sampled_from([("assistant", Text("says")), ("user", Text("asks")), ("system", Text("rules"))]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_parts, max_size=14))
def test_R03_whatever_comes_in_goes_out_paired(pieces: list[Any]) -> None:
    messages = [user(), *(Message(role, [part]) for role, part in pieces)]
    out, receipt = fitted(messages)
    pending: list[str] = []
    seen: set[str] = set()
    for message in out:
        if message.role == "tool":
            for part in message.parts:
                assert isinstance(part, ToolResult)
                pending.remove(part.call_id)
            continue
        if message.role != "assistant":
            assert not pending
        for part in message.parts:
            if isinstance(part, ToolCall):
                assert part.id not in seen
                seen.add(part.id)
                pending.append(part.id)
            else:
                assert not pending
    assert not pending
    again, second = fitted(out)
    assert again == out
    assert all("begun answer" in loss.why for loss in second.losses)
    said = [part for message in messages for part in message.parts if isinstance(part, Text)]
    assert sorted(part.text for part in said) == sorted(
        part.text for message in out for part in message.parts if isinstance(part, Text)
    )
    if out != messages:
        assert receipt.losses


# ---------------------------------------------------------------- an answer in pieces


def test_R02_an_answer_kept_in_the_pieces_of_its_stream_is_one_answer() -> None:
    said: list[list[Part]] = [
        [Text("I'll lo")],
        [Text("ok.")],
        [Text("")],
        [ToolCall("a", "weather", "{}")],
        [Text("")],
    ]
    pieces = [Message("assistant", parts, {"gemini": {"~turn": at}}) for at, parts in enumerate(said)]
    words = [Message("assistant", [Text(word)]) for word in ("one", " ", "two", "\n\n", "three")]
    out, receipt = fitted([user(), *pieces, results("a"), *words, user()], dialect="gemini")
    assert shape(out) == [
        ("user", ["go"]),
        ("assistant", ["I'll look.", "call a"]),
        ("tool", ["result a"]),
        ("assistant", ["one two\n\nthree"]),
        ("user", ["go"]),
    ]
    assert receipt.losses == []


def test_R02_what_other_clients_keep_apart_stays_apart() -> None:
    messages = [user(), Message("assistant", [Text("one")]), Message("assistant", [Text("two")]), user()]
    assert fitted(messages)[0] is messages
    [_, silent] = fitted([user(), Message("assistant", [Text("")])], dialect="gemini")[0]
    assert silent.parts == [Text("")]


def test_T12_a_thought_in_pieces_is_one_thought() -> None:
    thought = [Message("assistant", [Reasoning(word)]) for word in ("Let me", " see.")]
    kept = Reasoning("signed", {"openai_responses": {"encrypted_content": "x"}})
    messages = [user(), *thought, Message("assistant", [kept, Text("Yes.")]), user()]
    deepseek = find_profile("openai_chat", "deepseek-reasoner", "deepseek")
    out, _ = fitted(messages, deepseek, dialect="gemini")
    assert [part.text for part in out[1].parts] == ["Let me see.", "Yes."]  # type: ignore[union-attr]
    assert fitted(messages, dialect="gemini")[0][1].parts == [kept, Text("Yes.")]
