"""Log files: when they are closed, what they are called then, which of them stay, and what they hold."""

from __future__ import annotations

import io
import json
import logging
import multiprocessing
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from dragoman.observe import logs
from dragoman.observe.log_files import DatedFile
from dragoman.settings.house import LogSettings
from tests.compat.setups import gateway, load
from tests.relay.rig import ASK


def at(day: int, hour: int = 12, minute: int = 0) -> float:
    """A moment of January 2030, local time."""
    return time.mktime((2030, 1, day, hour, minute, 0, 0, 0, -1))


class Clock:
    """A clock that is set by hand."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def live(name: str, *days: int, pattern: str = "", backup_count: int = 7, folder: Path) -> DatedFile:
    """Start on the first day and write one line on each."""
    clock = Clock(at(days[0]))
    file = DatedFile(str(folder / name), pattern=pattern, backup_count=backup_count, clock=clock)
    for day in days:
        clock.now = at(day)
        file.write(f"day {day}\n")
    return file


def held(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


# ---------------------------------------------------------------- names


def test_T_69_C_73_C_74_three_midnights_without_a_pattern(tmp_path: Path) -> None:
    live("app.log", 1, 2, 3, 4, backup_count=2, folder=tmp_path)
    assert held(tmp_path) == {
        "app.log": "day 4\n",
        "app.log.2030-01-02": "day 2\n",
        "app.log.2030-01-03": "day 3\n",
    }


def test_T_69_C_75_three_midnights_with_a_pattern_and_a_stable_base_name(tmp_path: Path) -> None:
    live("app.log", 1, 2, 3, 4, pattern="old-%Y%m%d.txt", backup_count=2, folder=tmp_path)
    assert held(tmp_path) == {"app.log": "day 4\n", "old-20300102.txt": "day 2\n", "old-20300103.txt": "day 3\n"}


def test_T_69_three_midnights_with_a_dated_file_and_the_same_pattern(tmp_path: Path) -> None:
    live("app-%Y-%m-%d.log", 1, 2, 3, 4, pattern="app-%Y-%m-%d.log", backup_count=2, folder=tmp_path)
    assert held(tmp_path) == {
        "app-2030-01-02.log": "day 2\n",
        "app-2030-01-03.log": "day 3\n",
        "app-2030-01-04.log": "day 4\n",
    }


def test_T_69_three_midnights_with_a_dated_file_and_no_pattern(tmp_path: Path) -> None:
    # The codes are expanded once, at the start.
    live("app-%Y-%m-%d.log", 1, 2, 3, 4, backup_count=2, folder=tmp_path)
    assert held(tmp_path) == {
        "app-2030-01-01.log": "day 4\n",
        "app-2030-01-01.log.2030-01-02": "day 2\n",
        "app-2030-01-01.log.2030-01-03": "day 3\n",
    }


@pytest.mark.parametrize("pattern", ["", "old-%Y-%m-%d", "app-%F.log"])
def test_T_69_files_of_earlier_starts_count_too_under_either_naming(pattern: str, tmp_path: Path) -> None:
    for name in ("app-2029-12-28.log", "app-2029-12-29.log", "app-2029-12-28.log.2029-12-28", "app-2029-12-30.log"):
        (tmp_path / name).write_text("old\n")
    live("app-%F.log", 1, 2, pattern=pattern, backup_count=2, folder=tmp_path)
    assert len(held(tmp_path)) == 3
    assert "app-2029-12-30.log" in held(tmp_path)


def test_T_69_what_is_not_ours_is_never_deleted(tmp_path: Path) -> None:
    foreign = [
        "app.log.bak", "app.log.2030-1-1", "other.log.2029-01-01", "app.log.2029-01-01.gz", "app.log.old",
        "old-20290101.txt.gz", "old-2029.txt", "xold-20290101.txt", "app.log.7",
    ]  # fmt: skip
    for name in foreign:
        (tmp_path / name).write_text("theirs")
    (tmp_path / "app.log.2028-01-01").mkdir()
    live("app.log", 1, 2, 3, 4, 5, pattern="old-%Y%m%d.txt", backup_count=1, folder=tmp_path)
    assert {*foreign, "app.log.2028-01-01", "app.log", "old-20300104.txt"} == {path.name for path in tmp_path.iterdir()}


def test_T_69_a_taken_name_gets_a_number_and_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "app.log.2030-01-01").write_text("first\n")
    (tmp_path / "app.log.2030-01-01.1").write_text("second\n")
    live("app.log", 1, 2, folder=tmp_path)
    assert held(tmp_path)["app.log.2030-01-01"] == "first\n"
    assert held(tmp_path)["app.log.2030-01-01.1"] == "second\n"
    assert held(tmp_path)["app.log.2030-01-01.2"] == "day 1\n"


def test_C_74_none_is_all(tmp_path: Path) -> None:
    live("app.log", *range(1, 12), backup_count=0, folder=tmp_path)
    assert len(held(tmp_path)) == 11


def test_a_pattern_without_a_day_keeps_the_newest(tmp_path: Path) -> None:
    live("app.log", 1, 2, 3, 4, 5, pattern="old.log", backup_count=2, folder=tmp_path)
    assert sorted(held(tmp_path).values()) == ["day 3\n", "day 4\n", "day 5\n"]


def test_the_pattern_never_leaves_the_folder(tmp_path: Path) -> None:
    live("in/app.log", 1, 2, pattern="../../%Y-%m-%d.txt", folder=tmp_path)
    assert set(held(tmp_path / "in")) == {"app.log", "2030-01-01.txt"}


def test_C_73_codes_are_expanded_folders_made_and_lines_appended(tmp_path: Path) -> None:
    path = tmp_path / "logs" / "2030" / "01" / "app.log"
    for _ in range(2):
        live("logs/%Y/%m/app.log", 7, folder=tmp_path).close()
        os.utime(path, (at(7), at(7)))
    assert path.read_text() == "day 7\nday 7\n"


def test_midnight_is_the_local_one_and_quiet_days_are_skipped(tmp_path: Path) -> None:
    clock = Clock(at(1, 23, 59))
    file = DatedFile(str(tmp_path / "app.log"), clock=clock)
    file.write("before\n")
    clock.now = at(2, 0, 0)
    file.write("after\n")
    clock.now = at(9, 3)
    file.write("later\n")
    assert held(tmp_path) == {"app.log": "later\n", "app.log.2030-01-01": "before\n", "app.log.2030-01-02": "after\n"}


def test_a_file_that_an_earlier_day_left_is_closed_at_the_start(tmp_path: Path) -> None:
    path = tmp_path / "app.log"
    path.write_text("left\n")
    os.utime(path, (at(3), at(3)))
    live("app.log", 5, folder=tmp_path)
    assert held(tmp_path) == {"app.log": "day 5\n", "app.log.2030-01-03": "left\n"}


def test_a_large_file_is_closed_before_midnight(tmp_path: Path) -> None:
    for name, pattern, closed in (("a.log", "", "a.log.2030-01-01"), ("b-%d.log", "b-%d.log", "b-01.log.1")):
        folder = tmp_path / closed
        file = DatedFile(str(folder / name), pattern=pattern, max_bytes=15, clock=Clock(at(1)))
        for number in range(4):
            file.write(f"line {number} ..\n")
        active = file.path.name
        assert len(held(folder)) == 4
        assert held(folder)[closed] == "line 0 ..\n"
        assert held(folder)[active] == "line 3 ..\n"
        file.close()


# ---------------------------------------------------------------- several at once, and trouble


def _worker(path: str, name: str, ready: object) -> None:
    clock = Clock(at(1))
    file = DatedFile(path, clock=clock)
    for day in range(1, 6):
        clock.now = at(day)
        ready.wait(90)  # type: ignore[attr-defined]
        for number in range(50):
            file.write(f"{name} {day} {number}\n")
        ready.wait(90)  # type: ignore[attr-defined]


def test_T_69_several_workers_do_not_rotate_against_each_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    path = str(tmp_path / "app.log")
    workers = [context.Process(target=_worker, args=(path, f"w{number}", barrier)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
        assert worker.exitcode == 0
    files = held(tmp_path)
    assert set(files) == {"app.log", *(f"app.log.2030-01-0{day}" for day in range(1, 5))}
    for day in range(1, 6):
        text = files["app.log" if day == 5 else f"app.log.2030-01-0{day}"]
        expected = [f"w{worker} {day} {number}" for worker in range(3) for number in range(50)]
        assert sorted(text.splitlines()) == sorted(expected)


@pytest.fixture
def restored() -> Iterator[None]:
    """Leave the logging of the test process as it was."""
    root = logging.getLogger()
    sinks, level = root.handlers[:], root.level
    yield
    logs.set_up_logging(LogSettings(), stream=io.StringIO())
    root.handlers[:] = sinks
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("restored")
def test_a_path_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    out = io.StringIO()
    path = str(tmp_path / "file" / "app.log")
    logs.set_up_logging(LogSettings(file=path, json_file=path, json_lines=True), stream=out)
    logs.get_logger("x").info("heard")
    said = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["level"], line["event"]) for line in said] == [
        ("warning", "the log file cannot be written; lines go to the console only"),
        ("warning", "the log file cannot be written; lines go to the console only"),
        ("info", "heard"),
    ]
    assert said[0]["file"] == path


def test_a_full_disk_is_told_once_and_never_raised(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    told: list[str] = []
    (tmp_path / "app.log").symlink_to("/dev/full")
    file = DatedFile(str(tmp_path / "app.log"), on_trouble=told.append)
    file.write("x\n")
    file.write("x\n")
    assert len(told) == 1
    file.close()
    file.write("nobody hears\n")


# ---------------------------------------------------------------- what they hold


@pytest.mark.usefixtures("restored")
def test_C_73_text_and_json_lines_are_independent_and_both_masked(tmp_path: Path) -> None:
    text, lines = tmp_path / "app.log", tmp_path / "log.jsonl"
    out = io.StringIO()
    settings = LogSettings(file=str(text), json_file=str(lines), json_lines=True)
    logs.set_up_logging(settings, secrets=["canary-secret-1"], stream=out)
    logs.get_logger("relay").info("call", status=200, told="canary-secret-1")
    logging.getLogger("library").warning("key=%s", "canary-secret-1")
    try:
        raise ValueError("canary-secret-1")
    except ValueError:
        logs.get_logger("relay").exception("broke")
    logs.get_logger("relay").debug("unseen")
    said = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [line["event"] for line in said][::2] == ["call", "broke"]
    assert said == [json.loads(line) for line in out.getvalue().splitlines()]
    assert "\x1b" not in text.read_text()
    assert "call" in text.read_text()
    assert "ValueError" in text.read_text()
    for place in (text.read_text(), lines.read_text(), out.getvalue()):
        assert "canary-secret-1" not in place


@pytest.mark.usefixtures("restored")
async def test_T_70_C_76_no_words_of_the_conversation_in_any_file(tmp_path: Path) -> None:
    text, lines = tmp_path / "app.log", tmp_path / "log.jsonl"
    for level in ("false", "true"):
        settings = load(
            tmp_path, OPENAI_API_KEY="upstream-canary-1", DEBUG=level, LOG_FILE=str(text), LOG_FILE_PATH=str(lines)
        )
        assert settings.log.level == ("DEBUG" if level == "true" else "INFO")
        logs.set_up_logging(settings.log, secrets=settings.all_secrets(), stream=io.StringIO())
        async with gateway(settings) as rig:
            asked = {**ASK, "messages": [{"role": "user", "content": "prompt-canary-1"}]}
            assert (await rig.post("/v1/messages", asked))[0] == 200
    for place in (text.read_text(), lines.read_text()):
        for canary in ("prompt-canary-1", "upstream-canary-1", '"Hi"'):
            assert canary not in place


@pytest.mark.usefixtures("restored")
async def test_bodies_are_told_at_debug_level_where_the_operator_wants_them(tmp_path: Path) -> None:
    lines = tmp_path / "log.jsonl"
    settings = load(
        tmp_path, OPENAI_API_KEY="upstream-canary-1", DEBUG="true", DRAGOMAN_LOG_BODIES="true", LOG_FILE_PATH=str(lines)
    )
    logs.set_up_logging(settings.log, secrets=settings.all_secrets(), stream=io.StringIO())
    async with gateway(settings) as rig:
        content = "prompt-canary-1 upstream-canary-1"
        asked = {**ASK, "messages": [{"role": "user", "content": content}]}
        assert (await rig.post("/v1/messages", asked))[0] == 200
    told = {line["event"]: line for line in map(json.loads, lines.read_text().splitlines()) if line["room"] == "relay"}
    assert told["request"]["asked"].count("prompt-canary-1") == 1
    assert told["request"]["sent"].count("prompt-canary-1") == 1
    assert "Hi" in told["answer"]["got"]
    assert "upstream-canary-1" not in lines.read_text()


@pytest.mark.usefixtures("restored")
async def test_each_call_is_one_line_with_what_the_contract_asks_for(tmp_path: Path) -> None:
    from dragoman.relay.metering import log_record

    lines = tmp_path / "log.jsonl"
    settings = load(tmp_path, OPENAI_API_KEY="k", LOG_FILE_PATH=str(lines), ANTHROPIC_AUTH_TOKEN="token-1")
    logs.set_up_logging(settings.log, stream=io.StringIO())
    async with gateway(settings) as rig:
        status, headers, _ = await rig.post("/v1/messages", ASK, x_api_key="token-1")
        assert status == 200
        log_record(await rig.record())
        port = rig.provider.port
    [line] = [said for said in map(json.loads, lines.read_text().splitlines()) if said["event"] == "call"]
    assert line["upstream_url"] == f"http://127.0.0.1:{port}/v1/chat/completions"
    assert (line["user"], line["status"], line["model"]) == ("shared", 200, ASK["model"])
    assert line["request_id"] == headers["x-request-id"]
    assert line["tokens_in"] == 11
    assert line["ms"] > 0


# ---------------------------------------------------------------- the variables


def test_C_72_C_76_levels(tmp_path: Path) -> None:
    assert load(tmp_path).log.level == "INFO"
    assert load(tmp_path, LOG_LEVEL="eRRor").log.level == "ERROR"
    assert load(tmp_path, DEBUG="true").log.level == "DEBUG"
    unknown = load(tmp_path, LOG_LEVEL="loud")
    assert unknown.log.level == "INFO"
    assert unknown.notes == ("LOG_LEVEL: 'loud' is not a level; INFO is used",)


def test_C_73_C_74_C_75_file_variables(tmp_path: Path) -> None:
    assert load(tmp_path).log == LogSettings()
    said = load(
        tmp_path, LOG_FILE="logs/x.log", LOG_FILE_PATTERN="x-%F.log", LOG_FILE_BACKUP_COUNT="3",
        LOG_FILE_MAX_BYTES="1MiB", LOG_FILE_PATH="x.jsonl",
    ).log  # fmt: skip
    assert (said.file, said.pattern, said.backup_count) == ("logs/x.log", "x-%F.log", 3)
    assert (said.max_bytes, said.json_file) == (1024 * 1024, "x.jsonl")


def test_the_json_file_is_on_in_one_preset_until_it_is_emptied(tmp_path: Path) -> None:
    trio = {"OPENAI_API_KEY": "k", "BIG_MODEL_NAME": "a", "SMALL_MODEL_NAME": "b"}
    assert load(tmp_path, **trio).log.json_file == "log.jsonl"
    assert load(tmp_path, **trio, LOG_FILE_PATH="").log.json_file == ""
    (tmp_path / ".env").write_text("LOG_FILE_PATH=\n")
    assert load(tmp_path, **trio).log.json_file == ""
    assert load(tmp_path, **trio, LOG_FILE_PATH="x").log.json_file == "x"
