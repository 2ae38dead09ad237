"""Text is cut at stop sequences the target was not told of (S19; compat T-16)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.language.events import (
    Event,
    Failed,
    Finished,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
    UsageReported,
    check,
    fold,
)
from dragoman.language.failures import Failure
from dragoman.language.fitting import StopCutter
from dragoman.language.ir import Citation, Finish, Reasoning, Response, Text, ToolCall, Usage


def cut(stops: list[str], *events: Event) -> tuple[Response, StopCutter]:
    cutter = StopCutter(stops)
    whole: list[Event] = [Started("1", "m"), *events, UsageReported(Usage(output=5)), Finished([Finish("end")])]
    return fold(check(new for event in whole for new in cutter.pass_event(event))), cutter


def said(pieces: list[str], index: int = 0) -> list[Event]:
    return [PartStarted(index, Text("")), *(PartDelta(index, piece) for piece in pieces), PartEnded(index)]


@pytest.mark.parametrize("at", range(14))
def test_T16_a_stop_sequence_split_between_deltas(at: int) -> None:
    text = "one ENDSTOP two"
    answer, cutter = cut(["ENDSTOP"], *said([text[:at], text[at:]]))
    assert answer.parts == [Text("one ")]
    assert answer.finish == Finish("stop_sequence", stop_sequence="ENDSTOP")
    assert answer.usage.output == 5
    assert cutter.done


def test_T16_without_a_stop_sequence_nothing_changes() -> None:
    answer, cutter = cut(["ENDSTOP"], *said(["one EN", "D tw", "o ENDSTO"]))
    assert answer.parts == [Text("one END two ENDSTO")]
    assert answer.finish == Finish("end")
    assert not cutter.done


def test_T16_the_sequence_that_is_complete_first_cuts() -> None:
    answer, _ = cut(["abcdef", "cd"], *said(["xabcdefy"]))
    assert answer.parts == [Text("xab")]
    assert answer.finish.stop_sequence == "cd"


def test_T16_thoughts_and_arguments_are_not_searched() -> None:
    events: list[Event] = [
        PartStarted(0, Reasoning("")),
        PartDelta(0, "I must END"),
        PartEnded(0),
        PartStarted(1, ToolCall("c", "f", "")),
        PartDelta(1, '{"x":"END"}'),
        PartEnded(1),
    ]
    answer, _ = cut(["END"], *events)
    assert answer.parts == [Reasoning("I must END"), ToolCall("c", "f", '{"x":"END"}')]
    assert answer.finish == Finish("end")


def test_T16_what_comes_after_the_cut_was_never_said() -> None:
    after: list[Event] = [PartStarted(2, ToolCall("c", "f", "")), PartDelta(2, "{}"), PartEnded(2)]
    answer, _ = cut(["END"], *said(["a END b"]), *said(["more"], 1), *after)
    assert answer.parts == [Text("a ")]
    assert answer.finish.reason == "stop_sequence"


def test_T16_choices_are_cut_apart() -> None:
    cutter = StopCutter(["END"])
    events: list[Event] = [Started("1", "m")]
    for index, text in enumerate(["a END", "b"]):
        events += [PartStarted(index, Text(""), index), PartDelta(index, text), PartEnded(index)]
    events.append(Finished([Finish("length"), Finish("length")]))
    answer = fold(check(new for event in events for new in cutter.pass_event(event)))
    assert [choice.parts for choice in answer.choices] == [[Text("a ")], [Text("b")]]
    assert [choice.finish.reason for choice in answer.choices] == ["stop_sequence", "length"]
    assert not cutter.done


def test_T16_citations_logprobs_and_failures_pass() -> None:
    citation = Citation(url="u")
    cutter = StopCutter(["END"])
    assert cutter.pass_event(PartStarted(0, Text(""))) == [PartStarted(0, Text(""))]
    assert cutter.pass_event(PartDelta(0, citation=citation)) == [PartDelta(0, citation=citation)]
    assert cutter.pass_event(PartDelta(0, "E", logprobs=[1])) == [PartDelta(0, "", logprobs=[1])]
    failed = Failed(Failure("server", "gone"))
    assert cutter.pass_event(failed) == [failed]


@settings(max_examples=300, deadline=None)
@given(
    st.text("ab<", max_size=30),
    st.lists(st.text("ab<", min_size=1, max_size=4), min_size=1, max_size=3),
    st.integers(1, 5),
)
def test_T16_any_chunking_cuts_like_the_whole(text: str, stops: list[str], size: int) -> None:
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    answer, _ = cut(stops, *said(pieces))
    ends = [(text.find(stop) + len(stop), text.find(stop)) for stop in stops if stop in text]
    expected = text[: min(ends)[1]] if ends else text
    assert answer.parts == [Text(expected)]
    assert (answer.finish.reason == "stop_sequence") == bool(ends)
