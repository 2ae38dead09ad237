"""The client gets its own tools back, in any chunking (C14, C15, R19)."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    unfold,
)
from dragoman.language.fitting import Original, Restorer, ToolNames
from dragoman.language.ir import Choice, Finish, Response, Text, ToolCall, Usage


def names() -> ToolNames:
    found = ToolNames()
    found.back["apply_patch"] = Original("apply_patch", "functions", "custom")
    found.back["jobs__spawn"] = Original("spawn", "jobs", "function")
    return found


def restored(pieces: list[str], name: str = "apply_patch") -> tuple[list[str], ToolCall]:
    """The deltas a client sees, and the folded call."""
    restorer = Restorer(names())
    events: list[Event] = [Started("1", "m"), PartStarted(0, ToolCall("c", name, ""))]
    events += [PartDelta(0, piece) for piece in pieces]
    events += [PartEnded(0), UsageReported(Usage()), Finished([Finish("tool_calls")])]
    out = list(check(new for event in events for new in restorer.pass_event(event)))
    call = fold(out).parts[0]
    assert isinstance(call, ToolCall)
    return [event.text for event in out if isinstance(event, PartDelta)], call


def test_C15_name_and_namespace_come_back() -> None:
    deltas, call = restored(['{"a"', ":1}"], "jobs__spawn")
    assert deltas == ['{"a"', ":1}"]
    assert call == ToolCall("c", "spawn", '{"a":1}', namespace="jobs")


def test_R19_other_names_pass_as_the_same_events() -> None:
    restorer = Restorer(names())
    for event in (
        PartStarted(0, ToolCall("c", "read", "")),
        PartDelta(0, "{}"),
        PartEnded(0),
        PartStarted(1, Text("")),
    ):
        assert restorer.pass_event(event)[0] is event


def test_C14_raw_text_arrives_while_the_model_still_writes() -> None:
    deltas, call = restored(['{"inp', 'ut": "*** Be', "gin\\n", 'x\\"y', '"}'])
    assert deltas == ["*** Be", "gin\n", 'x"y']
    assert call == ToolCall("c", "apply_patch", '*** Begin\nx"y', kind="custom", namespace="functions")


def test_C14_a_whole_answer_is_restored_the_same_way() -> None:
    call = ToolCall("c", "apply_patch", json.dumps({"input": "raw é\n"}))
    response = Response("1", "m", [Choice([Text("hi"), call], Finish("tool_calls"))])
    restorer = Restorer(names())
    again = fold(new for event in unfold(response) for new in restorer.pass_event(event))
    assert again.parts == [Text("hi"), ToolCall("c", "apply_patch", "raw é\n", kind="custom", namespace="functions")]


def test_C14_arguments_in_the_opening_event_are_unwrapped_too() -> None:
    opened = Restorer(names()).pass_event(PartStarted(0, ToolCall("c", "apply_patch", '{"input":"x"}')))
    assert opened[1:] == [PartDelta(0, "x")]


@pytest.mark.parametrize(
    ("arguments", "raw"),
    [
        ("", ""),
        ("{}", "{}"),
        ("*** Begin Patch", "*** Begin Patch"),
        ('{"patch":"x"}', '{"patch":"x"}'),
        ('{"input":5}', '{"input":5}'),
        ('{"why":"because","input":"x"}', "x"),
        ('["input"]', '["input"]'),
        ('{"input":"broken', "broken"),
        ('{"input":"broken \\ud83d', "broken \ufffd"),
        ('{"input":"broken \\u00', "broken "),
        ('{"input":"\\ud83dx"}', "\ufffdx"),
        ('{"input":"\\ude00"}', "\ufffd"),
        ('{"input":"\\ud83d\\u0041"}', "\ufffdA"),
        (' {\n "input" :\t"x" }', "x"),
        ('{"input":"line\nbreak"}', "line\nbreak"),
    ],
)
def test_C14_other_shapes_fall_back_to_what_the_model_wrote(arguments: str, raw: str) -> None:
    for size in (1, 3, 1000):
        pieces = [arguments[at : at + size] for at in range(0, len(arguments), size)]
        assert restored(pieces)[1].arguments == raw, size


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40), st.booleans(), st.lists(st.integers(0, 400), max_size=8))
def test_C14_any_text_survives_any_split(text: str, ascii_only: bool, cuts: list[int]) -> None:
    arguments = json.dumps({"input": text}, ensure_ascii=ascii_only)
    edges = sorted({0, len(arguments), *(cut for cut in cuts if cut < len(arguments))})
    pieces = [arguments[start:end] for start, end in itertools.pairwise(edges)]
    assert restored(pieces)[1].arguments == text


def test_C14_a_character_split_between_its_halves() -> None:
    arguments = '{"input":"a\\ud83d\\ude00b"}'
    for cut in range(len(arguments)):
        assert restored([arguments[:cut], arguments[cut:]])[1].arguments == "a😀b", cut


def test_C14_long_arguments_of_another_shape_cost_linear_time() -> None:
    pieces = ['{"x":"', *(["y" * 50] * 20000), '"}']
    assert restored(pieces)[1].arguments == "".join(pieces)
