"""One field of a JSON object changes in its bytes, and nothing else."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman.language import splice

NEW = b'"NEW"'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"a","x":{"model":"b"}}', b'{"model":"NEW","x":{"model":"b"}}'),
        (b'{"x":{"model":"b"}, "model" :\n "a" }', b'{"x":{"model":"b"}, "model" :\n "NEW" }'),
        (b'{"\\u006dodel":"a","x":{"model":"b"}}', b'{"\\u006dodel":"NEW","x":{"model":"b"}}'),
        (b'{"a\\"model":"q","model":3}', b'{"a\\"model":"q","model":"NEW"}'),
        (b'{"t":"say \\"model\\": \\"x\\"","model":null}', b'{"t":"say \\"model\\": \\"x\\"","model":"NEW"}'),
        (b'{"t":["model",{"model":[]}],"model":{"a":"]}"}}', b'{"t":["model",{"model":[]}],"model":"NEW"}'),
        (b"{}", b'{"model":"NEW"}'),
        (b' { } ', b' {"model":"NEW" } '),
        (b'{"a":1}', b'{"model":"NEW","a":1}'),
    ],
)  # fmt: skip
def test_the_top_level_value_is_replaced(body: bytes, expected: bytes) -> None:
    assert splice.replaced(body, "model", NEW) == expected


def test_a_repeated_key_is_replaced_everywhere() -> None:
    body = b'{"model":"cheap","a":1,"model":"dear","\\u006dodel":"dearer"}'
    assert splice.replaced(body, "model", NEW) == b'{"model":"NEW","a":1,"model":"NEW","\\u006dodel":"NEW"}'


def test_T39_big_numbers_blanks_and_escapes_survive() -> None:
    body = b'{ "seed": 123456789012345678901234567890, "f": 1.0e5,\t"t":"\\ud83d \\/ \xe4\xb8\xad", "model":"a"}'
    assert splice.replaced(body, "model", NEW) == body.replace(b'"a"', NEW)


def test_a_nested_place_is_replaced_and_never_added() -> None:
    body = b'{"type":"x","message":{"o":{"model":1},"model":"up"}}'
    assert splice.replaced_at(body, ("message", "model"), NEW) == body.replace(b'"up"', NEW)
    assert splice.replaced_at(b'{"type":"x"}', ("message", "model"), NEW) == b'{"type":"x"}'
    assert splice.replaced_at(b'{"message":null}', ("message", "model"), NEW) == b'{"message":null}'


KEYS = st.sampled_from(["model", "mod\u00e9l", "a", '"model', "model\\", "messages"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(["model", '"model":']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=5), st.booleans(), st.sampled_from([None, 1]))
def test_only_that_field_differs(body: dict[str, object], ascii_only: bool, indent: int | None) -> None:
    data = json.dumps(body, ensure_ascii=ascii_only, indent=indent).encode("utf-8", "surrogatepass")
    assert json.loads(splice.replaced(data, "model", NEW)) == {**body, "model": "NEW"}


def test_a_body_full_of_the_word_costs_linear_time() -> None:
    def cost(count: int) -> float:
        body = b'{"a":[' + b",".join([b'{"model":"x"}'] * count) + b'],"model":"a"}'
        best = 1e9
        for _ in range(3):
            began = time.perf_counter()
            assert splice.replaced(body, "model", NEW).endswith(b'"model":"NEW"}')
            best = min(best, time.perf_counter() - began)
        return best

    assert cost(40_000) < 10 * cost(10_000) + 0.05
