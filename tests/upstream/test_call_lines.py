"""The line that is written once per call: the same as any other, masked like any other."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from dragoman.observe import logs
from dragoman.settings.house import LogSettings
from tests.upstream.test_logs import lines, restored

__all__ = ["restored"]

SECRET = "canary-0123456789"
FIELDS: dict[str, Any] = {"request_id": "req_1", "status": 200, "stream": False, "ms": 1.5, "receipt": ["dropped x: y"]}


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Leave no short way to a stream of these tests."""
    yield
    logs._short_way = None


def written(*, level: Literal["INFO", "WARNING"] = "INFO", **fields: Any) -> io.StringIO:
    out = io.StringIO()
    logs.set_up_logging(LogSettings(level=level, json_lines=True), secrets=[SECRET], stream=out)
    logs.log_plain("calls", "call", {**FIELDS, **fields})
    return out


def test_the_short_way_writes_what_a_logger_writes() -> None:
    out = written()
    logs.get_logger("calls").info("call", **FIELDS)
    short, long = lines(out)
    assert list(short) == list(long)
    assert len(short.pop("timestamp")) == len(long.pop("timestamp"))
    assert short == long == {**FIELDS, "room": "calls", "event": "call", "level": "info"}


@pytest.mark.parametrize("text", [SECRET, f"x{SECRET}", "sk-proj-abcdef123456", "Authorization: Bearer abcdef.123456"])
def test_X11_a_call_line_is_masked(text: str) -> None:
    out = written(model=text).getvalue()
    assert SECRET not in out
    assert "abcdef" not in out
    assert logs.MASK in json.loads(out)["model"]


def test_a_lone_surrogate_does_not_break_the_line() -> None:
    assert lines(written(model="a\ud800b"))[0]["model"] == "a\ufffdb"


def test_a_higher_level_hides_call_lines() -> None:
    assert written(level="WARNING").getvalue() == ""


def test_call_lines_go_to_files_too(tmp_path: Path) -> None:
    file, out = tmp_path / "calls.jsonl", io.StringIO()
    logs.set_up_logging(LogSettings(json_lines=True, json_file=str(file)), secrets=[SECRET], stream=out)
    logs.log_plain("calls", "call", {**FIELDS, "model": SECRET})
    logs.set_up_logging(LogSettings(json_lines=True), stream=out)
    assert [line["event"] for line in lines(out)] == ["call"]
    assert json.loads(file.read_text())["model"] == logs.MASK
