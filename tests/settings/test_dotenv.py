"""Variables from the environment and the nearest ``.env``."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.settings.dotenv import read_variables, unquoted
from dragoman.settings.errors import ConfigError


def write(path: Path, text: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)


def test_bom_crlf_export_quotes_and_comments(tmp_path: Path) -> None:
    write(
        tmp_path / ".env",
        b"\xef\xbb\xbf# head\r\nexport A=one\r\n  B = 'two # not a comment'  # a comment\r\n"
        b'C="say \\"hi\\" # no" rest\r\nD=four # yes\r\nE=a#b\r\nF=\r\nG=# nothing\r\nH="C:\\new\\temp"\r\nnone\r\n',
    )
    said = read_variables({}, tmp_path)
    assert {name: said[name] for name in said} == {
        "A": "one",
        "B": "two # not a comment",
        "C": 'say "hi" # no',
        "D": "four",
        "E": "a#b",
        "H": "C:\\new\\temp",
    }
    assert said.origin("A") == "A in .env:2"


def test_the_nearest_file_upwards_is_read_alone(tmp_path: Path) -> None:
    write(tmp_path / ".env", "A=far\nB=far\n")
    write(tmp_path / "x" / ".env", "A=near\n")
    (tmp_path / "x" / "y").mkdir()
    said = read_variables({}, tmp_path / "x" / "y")
    assert said["A"] == "near"
    assert "B" not in said


def test_T50_the_environment_wins_and_an_empty_variable_is_unset(tmp_path: Path) -> None:
    write(tmp_path / ".env", "A=file\nB=file\n")
    said = read_variables({"A": "real", "B": "", "C": "  "}, tmp_path)
    assert said["A"] == "real"
    assert said["B"] == "file"
    assert "C" not in said


def test_a_quoted_value_may_span_lines(tmp_path: Path) -> None:
    write(tmp_path / ".env", 'A="one\ntwo"\nB="never closed\nC=3\n')
    said = read_variables({}, tmp_path)
    assert said["A"] == "one\ntwo"
    assert said["B"] == '"never closed'
    assert said["C"] == "3"


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ('"value"  # note', "value"),
        ("'a b' tail", "a b"),
        ('"open', '"open'),
        ("plain # kept", "plain # kept"),
        ('""', ""),
    ],
)
def test_T49_quotes_in_real_variables(raw: str, clean: str, tmp_path: Path) -> None:
    assert unquoted(raw) == clean
    assert read_variables({"A": raw}, tmp_path)["A"] == clean


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / ".env", b"A=\xff\xfe")
    with pytest.raises(ConfigError, match=r"\.env: cannot be read"):
        read_variables({}, tmp_path)
