"""A conversation of the target's own dialect in which others took part is made good, and nothing else is touched."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from dragoman.language.fitting.history import NO_RESULT
from dragoman.language.fitting.mending import mend
from dragoman.language.fitting.ownership import Eyes, withhold
from dragoman.language.ir import Message, Reasoning, Request, Text, ToolCall
from dragoman.language.issuers import fingerprints, issuer_in, marked, unsigned
from dragoman.language.losses import Receipt
from dragoman.language.profiles import find_profile
from dragoman.language.registry import DIALECTS
from tests import corpus
from tests.corpus import DIALECT_OF, exchange, identifiers

HAIKU = find_profile("anthropic", "claude-haiku-4-5")
KIMI = find_profile("openai_chat", "kimi-k2.5")
MISTRAL = find_profile("openai_chat", "mistral-large-latest", None, "mistral")
GPT = find_profile("openai_chat", "gpt-4.1")


def claude(*turns: Any, **more: Any) -> dict[str, Any]:
    messages = [{"role": ("user", "assistant")[at % 2], "content": turn} for at, turn in enumerate(turns)]
    thinking = {"type": "enabled", "budget_tokens": 2000}
    return {"model": "m", "max_tokens": 8000, "thinking": thinking, "messages": messages, **more}


def use(identifier: str, name: str = "look") -> dict[str, Any]:
    return {"type": "tool_use", "id": identifier, "name": name, "input": {}}


def result(identifier: str, text: str = "1") -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": identifier, "content": text}


THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "S"}


def mended(dialect: str, body: dict[str, Any], profile: Any) -> tuple[dict[str, Any], Receipt, bool]:
    """The body after mending, the receipt, and whether it passed untouched."""
    request = DIALECTS[dialect].read_request(copy.deepcopy(body))
    before = copy.deepcopy(request)
    receipt = Receipt()
    whole = mend(request, profile, receipt)
    assert request == before, "the client's request was changed"
    return DIALECTS[dialect].write_request(whole, profile, receipt), receipt, whole is request


def test_B11_a_conversation_in_order_is_the_same_object() -> None:
    body = claude("a", [THOUGHT, use("toolu_1"), use("toolu_2")], [result("toolu_2"), result("toolu_1")], "b")
    written, receipt, same = mended("anthropic", body, HAIKU)
    assert same
    assert written == body
    assert receipt.losses == []


def test_R04_ids_claude_refuses_are_spelt_anew_and_nothing_else() -> None:
    body = claude("a", [use("functions.look:0")], [result("functions.look:0")], [use("functions.look:0")],
                  [result("functions.look:0", "2"), {"type": "text", "text": "b"}],
                  thinking={"type": "disabled"})  # fmt: skip
    written, receipt, same = mended("anthropic", body, HAIKU)
    assert not same
    ids = [block["id"] for turn in written["messages"] for block in turn["content"] if "id" in block]
    answered = [block["tool_use_id"] for turn in written["messages"] for block in turn["content"] if "content" in block]
    assert len(set(ids)) == 2
    assert ids == answered
    assert [loss.what for loss in receipt.losses] == ["repaired", "repaired"]
    assert written["messages"][4]["content"][1] == {"type": "text", "text": "b"}
    assert written == mended("anthropic", body, HAIKU)[0], "the same every time"


def test_R04_other_models_behind_claudes_wire_keep_their_ids() -> None:
    body = claude("a", [use("functions.look:0")], [result("functions.look:0")])
    assert mended("anthropic", body, find_profile("anthropic", "kimi-k2.5"))[2]


def test_R03_an_orphan_goes_and_a_gap_is_filled() -> None:
    body = claude("a", [THOUGHT, use("toolu_1")], [result("toolu_9"), {"type": "text", "text": "stop"}])
    written, receipt, _ = mended("anthropic", body, HAIKU)
    blocks = written["messages"][2]["content"]
    assert blocks[0]["tool_use_id"] == "toolu_1"
    assert blocks[0]["is_error"] is True
    assert NO_RESULT in json.dumps(blocks[0])
    assert blocks[1] == {"type": "text", "text": "stop"}
    assert {loss.what for loss in receipt.losses} == {"dropped", "repaired"}


def test_R02_mistral_gets_ids_of_its_form_within_chat() -> None:
    call = {"id": "call_0123456789", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    body = {"model": "m", "messages": [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [call], "annotations": [], "refusal": None},
        {"role": "tool", "tool_call_id": "call_0123456789", "content": "1"}]}  # fmt: skip
    written, _, _ = mended("openai_chat", body, MISTRAL)
    identifier = written["messages"][1]["tool_calls"][0]["id"]
    assert len(identifier) == 9
    assert identifier.isalnum()
    assert written["messages"][2]["tool_call_id"] == identifier
    assert not {"annotations", "refusal"} & set(written["messages"][1])
    assert mended("openai_chat", body, GPT)[2], "OpenAI takes it as it is"


def test_T03_an_open_turn_that_others_took_part_in_switches_thinking_off() -> None:
    edits = {"edits": [{"type": "clear_thinking_20251015"}, {"type": "clear_tool_uses_20250919"}]}
    body = claude("a", [THOUGHT, use("toolu_1")], [result("toolu_1")], [use("call_2")], [result("call_2")],
                  context_management=edits)  # fmt: skip
    written, receipt, _ = mended("anthropic", body, HAIKU)
    assert written["thinking"] == {"type": "disabled"}
    assert written["context_management"] == {"edits": [{"type": "clear_tool_uses_20250919"}]}
    assert [loss.path for loss in receipt.losses] == ["thinking", "context_management.edits"]
    assert mended("anthropic", claude("a", [THOUGHT, use("toolu_1")], [result("toolu_1")]), HAIKU)[2]
    alone = claude("a", [THOUGHT, use("toolu_1")], [result("toolu_1")], [use("toolu_2")], [result("toolu_2")])
    assert mended("anthropic", alone, HAIKU)[2], "Claude itself thinks once in a turn"
    over = claude("a", [use("call_1")], [result("call_1")], [{"type": "text", "text": "b"}], "c")
    assert mended("anthropic", over, HAIKU)[2], "a turn that is over needs no thought"


def test_T12_kimi_gets_something_for_a_thought_that_is_not_its_own() -> None:
    """https://github.com/MoonshotAI/kimi-agent-sdk/issues/169"""
    call = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    turns: list[dict[str, Any]] = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "1"},
    ]
    written, _, _ = mended("openai_chat", {"model": "m", "messages": turns}, KIMI)
    assert written["messages"][1]["reasoning_content"] == " "
    off = {"model": "m", "messages": turns, "thinking": {"type": "disabled"}}
    assert "reasoning_content" not in mended("openai_chat", off, KIMI)[0]["messages"][1]
    turns[1]["reasoning_content"] = "its own"
    assert mended("openai_chat", {"model": "m", "messages": turns}, KIMI)[2]


def test_N3_an_image_of_the_past_is_mentioned_and_a_new_one_passes_on() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "a"}, image]},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": [{"type": "text", "text": "c"}]},
    ]
    profile = find_profile("openai_chat", "deepseek-chat")
    written, receipt, _ = mended("openai_chat", {"model": "m", "messages": turns}, profile)
    assert "image_url" not in json.dumps(written)
    assert "image" in written["messages"][0]["content"][1]["text"]
    assert receipt.losses[0].path == "messages[0].parts[1]"
    assert mended("openai_chat", {"model": "m", "messages": turns[:1]}, profile)[2], "the provider's own to refuse"


@pytest.mark.skipif(not corpus.available(), reason="the recorded corpus (../shared/corpus) is not here")
def test_B11_recorded_conversations_pass_untouched() -> None:
    """What real providers have taken needs no mending, whatever its shape."""
    touched = []
    for identifier in identifiers():
        recorded = exchange(identifier)
        dialect = DIALECT_OF.get(recorded.get("protocol", ""))
        body = (recorded.get("request") or {}).get("body")
        if dialect is None or not isinstance(body, dict) or recorded["response"].get("status") != 200:
            continue
        try:
            request = DIALECTS[dialect].read_request(body, model=recorded.get("model") or "m")
        except Exception:
            continue
        if "mistral" in request.model:
            continue  # the recorder has replaced its ids by others
        profile = find_profile(dialect, request.model)
        if mend(request, profile, Receipt()) is not request:
            touched.append(identifier)
    assert touched == []


# ---------------------------------------------------------------- owners


def eyes(dialect: str, issuer: str, known: dict[bytes, str], client: str = "") -> Eyes:
    return Eyes(dialect, issuer, known.get, client)


def test_T02_a_mark_travels_with_the_thought_and_is_no_field() -> None:
    extras = marked({"anthropic": {"signature": "S"}}, "claude/claude-4.5")
    assert issuer_in(extras) == "claude/claude-4.5"
    assert marked(extras, "somebody") is extras
    written = DIALECTS["anthropic"].write_request(
        Request("anthropic", "m", [Message("assistant", [Reasoning("hm", extras)])]), HAIKU, Receipt()
    )
    assert "~" not in json.dumps(written)


def test_T02_only_what_is_known_to_be_anothers_stays_behind() -> None:
    mine, theirs, unknown = (Reasoning(word, {"anthropic": {"signature": word}}) for word in ("mine", "theirs", "new"))
    known = {next(fingerprints(mine, "anthropic")): "me", next(fingerprints(theirs, "anthropic")): "them"}
    messages = [
        Message("assistant", [mine, Text("a")]),
        Message("assistant", [theirs]),
        Message("assistant", [unknown]),
    ]
    receipt = Receipt()
    kept = withhold(messages, eyes("anthropic", "me", known), receipt)
    assert [message.parts[0] for message in kept] == [mine, unknown]
    assert [loss.path for loss in receipt.losses] == ["messages[1].parts[0]"]
    assert withhold(kept, eyes("anthropic", "me", known), receipt) is kept


def test_T02_a_thought_nobody_signed_is_known_by_its_words() -> None:
    thought = Reasoning("long and winding")
    known = {next(fingerprints(thought, "openai_chat")): "kimi/kimi"}
    messages = [Message("assistant", [thought, Text("a")])]
    assert withhold(messages, eyes("openai_chat", "kimi/kimi", known), Receipt()) is messages
    assert withhold(messages, eyes("openai_chat", "deep/deepseek", known), Receipt())[0].parts == [Text("a")]


def test_T06_what_stood_behind_a_withheld_thought_loses_its_items_id() -> None:
    item = {"openai_responses": {"~item": {"id": "fc_1", "status": "completed"}}}
    thought = Reasoning("", {"openai_responses": {"id": "rs_1", "encrypted_content": "E"}})
    call = ToolCall("call_1", "look", "{}", extras=item)
    known = {next(fingerprints(thought, "openai_responses")): "other/gpt-5"}
    kept = withhold([Message("assistant", [thought, call])], eyes("openai_responses", "mine/gpt-5", known), Receipt())
    assert kept[0].parts == [unsigned(call, "openai_responses")]
    assert "fc_1" not in str(kept[0])


def test_T05_a_signature_on_a_call_goes_to_its_issuer_alone() -> None:
    call = ToolCall("c", "look", "{}", extras={"gemini": {"thoughtSignature": "S"}})
    known = {next(fingerprints(call, "gemini")): "gem/gemini-3"}
    messages = [Message("assistant", [call])]
    receipt = Receipt()
    kept = withhold(messages, eyes("gemini", "gem2/gemini-3", known), receipt)
    assert kept[0].parts == [ToolCall("c", "look", "{}", extras={"gemini": {}})]
    assert "signature" in receipt.losses[0].why
