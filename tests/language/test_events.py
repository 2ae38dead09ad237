"""The event grammar, and the fold of events to a whole answer and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.language.events import (
    AnswerFailed,
    Event,
    Failed,
    Finished,
    GrammarError,
    PartDelta,
    PartEnded,
    PartStarted,
    Started,
    UsageReported,
    check,
    fold,
    unfold,
)
from dragoman.language.failures import Failure
from dragoman.language.ir import (
    Choice,
    Citation,
    Finish,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
    Usage,
)

START = Started("r1", "m")
END = Finished([Finish("end")])

words = st.text(max_size=20)
extras = st.dictionaries(
    st.sampled_from(["anthropic", "gemini"]), st.dictionaries(words, words, min_size=1, max_size=2), max_size=2
)
parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, words, st.lists(st.builds(Citation, words, words), max_size=2), st.just([]), extras),
    st.builds(Refusal, words, extras),
    st.builds(Reasoning, words, extras),
    st.builds(ToolCall, words, words, words, st.sampled_from(["function", "custom"]), words, extras),
    st.builds(Media, st.just("image"), st.just("base64"), words),
    st.builds(Opaque, words, st.dictionaries(words, words, max_size=2)),
)
counts = st.one_of(st.none(), st.integers(0, 10**6))
responses = st.builds(
    Response,
    words,
    words,
    st.lists(st.builds(Choice, st.lists(parts, max_size=4), st.builds(Finish, st.just("end"))), min_size=1, max_size=3),
    st.builds(Usage, counts, counts, counts, counts, counts),
    extras,
)


@given(responses)
def test_S21_fold_of_unfold_is_the_answer(response: Response) -> None:
    assert fold(check(unfold(response))) == response


@pytest.mark.parametrize(
    "events",
    [
        [],
        [START],
        [PartStarted(0, Text("")), END],
        [START, START, END],
        [START, PartDelta(0, "x"), END],
        [START, PartStarted(0, Text("")), END],
        [START, PartStarted(0, Text("")), PartEnded(0), PartDelta(0, "x"), END],
        [START, PartStarted(0, Text("")), PartEnded(0), PartStarted(0, Text("")), PartEnded(0), END],
        [START, PartEnded(3), END],
        [START, PartStarted(0, Opaque("gemini", {})), PartDelta(0, "x"), PartEnded(0), END],
        [START, END, UsageReported(Usage())],
        [START, Finished([])],
    ],
)
def test_S04_the_grammar_refuses_what_a_client_could_not_read(events: list[Event]) -> None:
    with pytest.raises(GrammarError):
        list(check(events))


def test_S08_overlapping_parts_fold_in_order_of_their_index() -> None:
    events: list[Event] = [
        START,
        PartStarted(0, ToolCall("a", "f", "")),
        PartStarted(1, ToolCall("b", "g", "")),
        PartDelta(1, "{}"),
        PartDelta(0, '{"x"'),
        PartEnded(1),
        PartDelta(0, ":1}"),
        PartEnded(0),
        END,
    ]
    assert [part.arguments for part in fold(check(events)).parts if isinstance(part, ToolCall)] == ['{"x":1}', "{}"]


def test_U02_reports_replace_each_other_field_by_field() -> None:
    events: list[Event] = [
        START,
        UsageReported(Usage(input=2049, output=1)),
        UsageReported(Usage(input=13520, cache_read=0)),
        UsageReported(Usage(output=7)),
        END,
    ]
    assert fold(events).usage == Usage(input=13520, cache_read=0, output=7)


def test_S12_a_failure_is_not_an_answer() -> None:
    with pytest.raises(AnswerFailed, match="gone"):
        fold(check([START, Failed(Failure("server", "gone"))]))


def test_extras_known_at_the_end_join_the_part() -> None:
    events: list[Event] = [
        START,
        PartStarted(0, Reasoning("", {"anthropic": {"a": 1}})),
        PartDelta(0, "hm"),
        PartEnded(0, {"anthropic": {"signature": "s"}}),
        END,
    ]
    assert fold(check(events)).parts == [Reasoning("hm", {"anthropic": {"a": 1, "signature": "s"}})]
