"""Log lines: one exit, where everything secret is masked."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from dragoman.observe import logs
from dragoman.settings.house import LogSettings

CANARY = 'canary "quoted" é-0123456789'


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """Leave the logging of the test process as it was."""
    root = logging.getLogger()
    sinks, level = root.handlers[:], root.level
    redact, logs.redact = logs.redact, logs.Redactor()
    yield
    logs.redact = redact
    root.handlers[:] = sinks
    root.setLevel(level)
    structlog.reset_defaults()


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer abc.DEF-123456",
        "authorization=Basic dXNlcjpwdw==",
        "https://x.example/v1?a=1&key=abcdef123",
        "https://x.example/v1?api-key=abcdef123",
        '{"api_key": "abcdef123"}',
        "{'x-api-key': 'abcdef123'}",
        "api-key: abcdef123",
        "x-goog-api-key: abcdef123",
        "Cookie: session=abcdef123",
        "password=abcdef123",
        "client_secret=abcdef123",
        "incorrect key sk-proj-abcdef123456 given",
        "sk-ant-api03-abcdef123456",
        "gsk_abcdef123456",
        "xai-abcdef123456",
        "AIzaSyabcdef1234567890abcdef",
        "ya29.abcdef1234567890",
        "eyJhbGciOiJub25l.eyJabcdef123.c2ln",
    ],
)
def test_X11_what_looks_like_a_credential_is_masked(text: str) -> None:
    masked = logs.Redactor()(text)
    assert logs.MASK in masked
    for secret in ("abcdef123", "abc.DEF", "dXNlcjpwdw"):
        assert secret not in masked


@pytest.mark.parametrize(
    "text",
    [
        "input_tokens=12 output_tokens=3",
        "model gpt-4.1 by provider openai",
        '{"request_id":"req_5b62fb934d12e8d4effcbf42","user":"anonymous"}',
        "risk-assessment and task-list",
        "bearer of news",
    ],
)
def test_ordinary_words_stay(text: str) -> None:
    assert logs.Redactor()(text) == text


@pytest.mark.parametrize("as_json", [True, False])
def test_X11_a_known_secret_appears_in_no_form(as_json: bool) -> None:
    out = io.StringIO()
    logs.set_up_logging(LogSettings(json_lines=as_json, level="DEBUG"), secrets=[CANARY], stream=out)
    log = logs.get_logger("test")
    log.info(
        f"said {CANARY}",
        plain=CANARY,
        nested={"deep": [CANARY]},
        url="https://x/?q=canary%20%22quoted%22%20%C3%A9-0123456789",
    )
    try:
        raise ValueError(CANARY)
    except ValueError:
        log.exception("broke")
        logging.getLogger("library").exception("broke %s", CANARY)
    text = out.getvalue()
    assert text.count(logs.MASK) >= 6
    assert "0123456789" not in text


def test_lines_are_json_with_time_level_and_room() -> None:
    out = io.StringIO()
    logs.set_up_logging(LogSettings(json_lines=True), stream=out)
    logs.get_logger("relay").info("call", status=200, usage={"in": 1}, other=object)
    logs.get_logger("relay").debug("unseen")
    logging.getLogger("library").warning("%s", "heard")
    logging.getLogger("library").info("heard too")
    logging.getLogger("uvicorn.error").info("unseen")
    first, second, third = lines(out)
    assert (first["event"], first["level"], first["room"], first["status"]) == ("call", "info", "relay", 200)
    assert first["timestamp"].endswith("Z")
    assert first["usage"] == {"in": 1}
    assert (second["event"], second["logger"]) == ("heard", "library")
    assert third["event"] == "heard too"


def test_T52_debug_shows_more() -> None:
    out = io.StringIO()
    logs.set_up_logging(LogSettings(json_lines=True, level="DEBUG"), stream=out)
    logs.get_logger("relay").debug("seen")
    logging.getLogger("urllib3").debug("GET /token?key=abcdef HTTP/1.1")
    assert [line["event"] for line in lines(out)] == ["seen"]


def test_setting_up_again_replaces_what_was() -> None:
    first, second = io.StringIO(), io.StringIO()
    log = logs.get_logger("early")
    logs.set_up_logging(LogSettings(json_lines=True), stream=first)
    logs.set_up_logging(LogSettings(json_lines=True), stream=second)
    log.info("x")
    logging.getLogger("y").warning("z")
    assert first.getvalue() == ""
    assert len(lines(second)) == 2


def test_a_closed_terminal_does_not_break_the_caller() -> None:
    out = io.StringIO()
    logs.set_up_logging(LogSettings(json_lines=True), stream=out)
    out.close()
    logs.get_logger("x").info("nobody hears")
