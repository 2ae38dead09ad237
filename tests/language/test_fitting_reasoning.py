"""How much to think, in everybody's words (R14, R15, T02, T03; compat T-12, T-57)."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.language.fitting import fit
from dragoman.language.fitting.reasoning import nearest_effort
from dragoman.language.ir import Message, Reasoning, ReasoningSetting, Request, Text, Tool, ToolCall, ToolResult
from dragoman.language.losses import Receipt
from dragoman.language.profiles import find_profile


def run(
    target: tuple[str, str], dialect: str, setting: ReasoningSetting | None, **fields: Any
) -> tuple[ReasoningSetting | None, list[tuple[str, str]]]:
    receipt = Receipt()
    messages = fields.pop("messages", [Message("user", [Text("go")])])
    request = Request(dialect, "m", messages, reasoning=setting, **fields)
    fitted = fit(request, find_profile(*target), receipt).request
    return fitted.reasoning, [(loss.path, loss.what) for loss in receipt.losses if loss.path.startswith("reasoning")]


GPT5 = ("openai_responses", "gpt-5")
GPT51 = ("openai_responses", "gpt-5.1")
HAIKU = ("anthropic", "claude-haiku-4-5")
OPUS = ("anthropic", "claude-opus-4-6")
FLASH = ("gemini", "gemini-2.5-flash")
THREE = ("gemini", "gemini-3-pro-preview")
ON = ReasoningSetting


@pytest.mark.parametrize("target", [GPT5, HAIKU, OPUS, FLASH, THREE, ("openai_chat", "glm-4.6")])
def test_R15_nothing_said_nothing_asked(target: tuple[str, str]) -> None:
    dialect = "gemini" if target[0] != "gemini" else "anthropic"
    assert run(target, dialect, None) == (None, [])


@pytest.mark.parametrize(
    ("target", "dialect", "said", "expected"),
    [
        # T-12: Claude clients; a budget means medium, an effort means itself, disabled means nothing.
        (GPT5, "anthropic", ON("on", budget=31999), ON("on", effort="medium", summary="auto")),
        (GPT5, "anthropic", ON("adaptive"), ON("on", effort="medium", summary="auto")),
        (GPT5, "anthropic", ON("adaptive", effort="high"), ON("on", effort="high", summary="auto")),
        (GPT5, "anthropic", ON("adaptive", effort="max"), ON("on", effort="high", summary="auto")),
        (GPT5, "anthropic", ON("off", effort="high"), None),
        (GPT5, "anthropic", ON(effort="high"), None),
        # Gemini clients say tokens or levels.
        (GPT5, "gemini", ON("on", budget=8192), ON("on", effort="medium")),
        (GPT5, "gemini", ON("on", budget=500), ON("on", effort="minimal")),
        (GPT51, "gemini", ON("off"), ON("off", effort="none")),
        (GPT5, "gemini", ON("off"), ON("on", effort="minimal")),
        # Chat and Responses pass efforts to each other.
        (GPT5, "openai_chat", ON(effort="low"), ON("on", effort="low")),
        (GPT51, "openai_chat", ON(effort="minimal"), ON("on", effort="low")),
        (GPT51, "openai_chat", ON("off", effort="none"), ON("off", effort="none")),
        (("openai_chat", "gpt-5.1"), "openai_responses", ON("on", effort="xhigh"), ON("on", effort="high")),
        # Token counters.
        (HAIKU, "openai_responses", ON(effort="high"), ON("on", budget=24576)),
        (HAIKU, "gemini", ON("on", budget=500), ON("on", budget=1024)),
        (HAIKU, "openai_chat", ON("off", effort="none"), ON("off")),
        (FLASH, "anthropic", ON("on", budget=31999), ON("on", budget=24576, summary="auto")),
        (FLASH, "anthropic", ON("adaptive"), ON("adaptive", summary="auto")),
        (FLASH, "openai_chat", ON(effort="low"), ON("on", budget=4096)),
        (("gemini", "gemini-2.5-pro"), "openai_chat", ON("off", effort="none"), ON("on", budget=128)),
        # Words.
        (OPUS, "openai_chat", ON(effort="xhigh"), ON("adaptive", effort="high")),
        (OPUS, "openai_chat", ON(effort="minimal"), ON("adaptive", effort="low")),
        (OPUS, "gemini", ON("on", budget=8192), ON("adaptive", effort="medium")),
        (OPUS, "gemini", ON("adaptive", summary="auto"), ON("adaptive", summary="auto")),
        (("anthropic", "claude-fable-5"), "openai_chat", ON("off", effort="none"), ON("adaptive", effort="low")),
        (THREE, "anthropic", ON("on", budget=31999), ON("on", effort="high", summary="auto")),
        (THREE, "openai_chat", ON(effort="medium"), ON("on", effort="low")),
        # Switches, and models that do not think on demand.
        (("openai_chat", "glm-4.6"), "anthropic", ON("on", budget=4000), ON("on")),
        (("openai_chat", "glm-4.6"), "anthropic", ON("off"), ON("off")),
        (("openai_chat", "deepseek-v4-flash"), "anthropic", ON("adaptive", effort="xhigh"), ON("on", effort="high")),
        (("openai_chat", "gpt-4.1"), "anthropic", ON("on", budget=4000), None),
    ],
)
def test_R15_table(
    target: tuple[str, str], dialect: str, said: ReasoningSetting, expected: ReasoningSetting | None
) -> None:
    fitted, losses = run(target, dialect, said)
    assert fitted == expected
    kept = fitted is not None and (fitted.effort, fitted.budget) == (said.effort, said.budget)
    asked = (said.effort, said.budget) not in ((None, None), ("none", None))
    if asked and not kept:
        assert losses


@pytest.mark.parametrize(
    ("word", "known", "expected"),
    [
        ("max", ("low", "medium", "high"), "high"),
        ("xhigh", ("low", "max"), "low"),
        ("minimal", ("none", "low"), "low"),
        ("none", ("minimal", "low"), "minimal"),
        ("low", ("none",), None),
        ("enormous", ("low",), None),
        ("enormous", ("enormous",), "enormous"),
        ("low", (), None),
    ],
)
def test_R15_the_nearest_lower_effort_that_still_thinks(
    word: str, known: tuple[str, ...], expected: str | None
) -> None:
    assert nearest_effort(word, known) == expected


def test_R15_a_wish_to_see_thoughts_is_no_wish_to_think() -> None:
    # Codex says {"summary": "auto"} and no effort for models it does not know.
    assert run(HAIKU, "openai_responses", ON(summary="auto")) == (None, [("reasoning.summary", "dropped")])
    assert run(FLASH, "openai_responses", ON(summary="auto")) == (ON(summary="auto"), [])


def test_R14_tools_on_chat_where_newer_models_refuse_them_while_thinking() -> None:
    target = ("openai_chat", "gpt-5.6")
    fitted, losses = run(target, "anthropic", ON("on", budget=4000), tools=[Tool("a")])
    assert fitted == ON("off", effort="none")
    assert ("reasoning", "dropped") in losses
    fitted, _ = run(target, "anthropic", None, tools=[Tool("a")])
    assert fitted == ON("off", effort="none")
    fitted, _ = run(target, "anthropic", ON("on", effort="high"))
    assert fitted == ON("on", effort="high")


def _loop(thought: list[Any]) -> list[Message]:
    return [
        Message("user", [Text("go")]),
        Message("assistant", [*thought, ToolCall("a", "f", "{}")]),
        Message("tool", [ToolResult("a", [Text("r")])]),
    ]


SIGNED = Reasoning("hm", {"anthropic": {"signature": "sig"}})


def test_T03_a_tool_turn_without_claudes_own_thought_switches_thinking_off() -> None:
    asked = ON(effort="high")
    for thought in ([], [Reasoning("hm")], [Reasoning("", {"openai_responses": {"encrypted_content": "x"}})]):
        fitted, losses = run(HAIKU, "openai_responses", asked, messages=_loop(thought))
        assert fitted == ON("off")
        assert ("reasoning", "dropped") in losses
    fitted, _ = run(HAIKU, "openai_responses", asked, messages=_loop([SIGNED]))
    assert fitted == ON("on", budget=24576)


def test_T03_adaptive_thinking_has_no_such_demand() -> None:
    fitted, _ = run(OPUS, "openai_responses", ON(effort="high"), messages=_loop([]))
    assert fitted == ON("adaptive", effort="high")


def test_T03_an_answer_in_words_ends_the_tool_loop() -> None:
    over = [*_loop([]), Message("assistant", [Text("done")]), Message("user", [Text("more")])]
    fitted, _ = run(HAIKU, "openai_responses", ON(effort="high"), messages=over)
    assert fitted is not None
    assert fitted.mode == "on"
