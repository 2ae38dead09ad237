"""This machine: free ports, started programs, their CPU and memory, the core each runs on.

A program is stopped by its own process id, never by name. It must not know what is measured.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

SERVER_CORE, LOAD_CORE = 0, 1
_TICK = os.sysconf("SC_CLK_TCK")


class NotReady(RuntimeError):
    """A program did not start, or a port was taken."""


def refuse_busy(port: int) -> None:
    """Raise when something listens on the port already: a stranger must not be measured."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise NotReady(f"port {port} is busy; choose others with --ports")


def pinned(command: Sequence[str], core: int) -> list[str]:
    """Return the command bound to one core, where there are two and ``taskset`` exists."""
    if shutil.which("taskset") and len(os.sched_getaffinity(0)) > core and len(os.sched_getaffinity(0)) > 1:
        return ["taskset", "-c", str(sorted(os.sched_getaffinity(0))[core]), *command]
    return list(command)


def family_of(pid: int) -> list[int]:
    """Return a program's id and those of its children, all the way down."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            found += family_of(int(child))
    return found


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a program and its living children."""
    ticks = 0
    for one in family_of(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICK


def memory_mib(pid: int) -> float:
    """Return resident memory of a program and its children."""
    pages = 0
    for one in family_of(pid):
        try:
            pages += int(Path(f"/proc/{one}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * os.sysconf("SC_PAGE_SIZE") / 1_048_576


class Program:
    """A started program that is stopped when its block ends."""

    def __init__(self, command: Sequence[str], port: int, core: int, folder: Path, env: dict[str, str]) -> None:
        refuse_busy(port)
        self.port = port
        self.log = folder / f"{Path(command[0]).name}-{port}.log"
        self.started = time.monotonic()
        with self.log.open("wb") as log:
            self.child = subprocess.Popen(
                pinned(command, core), cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        """The id of the program (``taskset`` replaces itself by it)."""
        return self.child.pid

    def wait_until_listening(self, seconds: float = 15.0) -> float:
        """Wait for the port to open; return how long it took."""
        while time.monotonic() - self.started < seconds:
            if self.child.poll() is not None:
                break
            with socket.socket() as probe:
                probe.settimeout(0.2)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return time.monotonic() - self.started
            time.sleep(0.01)
        raise NotReady(f"{self.child.args!r} does not listen on {self.port}:\n{self.last_words()}")

    def last_words(self) -> str:
        """Return the end of what the program printed."""
        return self.log.read_text(errors="replace")[-2_000:]

    def __enter__(self) -> Program:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.child.terminate()
        try:
            self.child.wait(10)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait(5)
