"""Numbers and strings on the wire come out as they went in, or are refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman.language.wire import decode, decode_exactly, encode

BIG = 12345678901234567890123


@pytest.mark.parametrize(
    "number",
    [0, -1, 2**53 + 1, 2**63 - 1, -(2**63), -(2**63) - 1, 2**64 - 1, 2**64, BIG, -BIG, 10**18, 10**19, 10**300],
)
def test_T39_integers_of_any_size_are_kept(number: int) -> None:
    text = b'{"a":[%d],"b":{"c":%d}}' % (number, number)
    assert decode_exactly(text) == {"a": [number], "b": {"c": number}}
    assert encode(decode_exactly(text)) == text
    assert encode(decode_exactly(text.decode())) == text


@given(st.integers() | st.integers(-(10**40), 10**40))
def test_T39_any_integer(number: int) -> None:
    assert encode(decode_exactly(str(number))) == str(number).encode()


@pytest.mark.parametrize("text", ["1e400", "-1e999", "[" + "9" * 5000 + "]", "NaN", "Infinity", '{"a":1e309}', "01"])
def test_T39_what_cannot_be_kept_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        decode_exactly(text)
    with pytest.raises(ValueError):
        decode_exactly(text.encode())


@pytest.mark.parametrize("text", ["1e400", "NaN", '{"a":-1e309}'])
def test_no_number_becomes_infinite(text: str) -> None:
    with pytest.raises(ValueError):
        decode(text)


def test_digits_in_strings_and_lone_surrogates_beside_large_numbers() -> None:
    text = '{"id":"99999999999999999999999","n":99999999999999999999999,"s":"\\ud83d","f":1.25}'
    value = decode_exactly(text)
    assert (value["id"], value["n"], value["f"]) == ("9" * 23, int("9" * 23), 1.25)
    assert encode(value) == '{"id":"%s","n":%s,"s":"\ufffd","f":1.25}'.encode() % (b"9" * 23, b"9" * 23)
