"""Real ``dragoman serve`` replicas on free ports, with accounts of four dialects at one provider.

Processes are ended by their own id and never outlive the block that started them.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fault.watched import HOLDS
from tests.ports import free_port

ADMIN_KEY = f"admin-{secrets.token_urlsafe(24)}"
SECRET = secrets.token_urlsafe(48)

DIALECTS = ("chat", "responses", "anthropic", "gemini")
ROUTES = tuple(f"to-{dialect}" for dialect in DIALECTS)
"""Each asks an account of its dialect first, then one of the next dialect."""

_BUDGETS = ["1000000 USD/month", "900g tokens/day"]
TEAM = {"rpm": 10_000_000, "tpm": 1_000_000_000, "parallel": 100_000, "budget": _BUDGETS}
"""Rules of the group that all callers are in: everything is counted, nothing is refused."""

PRICE = {"in": 3, "cache_read": 0.3, "cache_write": 3.75, "out": 15, "unit": "usd_per_million"}
NANO_IN, NANO_CACHED, NANO_WRITTEN, NANO_OUT = 3_000, 300, 3_750, 15_000


_LOUD = re.compile(r'"level": ?"(warning|error)"')
_EVENT = re.compile(r'"event": ?"([^"]*)"')


@dataclass
class Gateway:
    """One replica: one process at a time, in one folder. ``database`` is a URL, empty for a SQLite file."""

    folder: Path
    upstream: int
    database: str = ""
    redis: str = ""
    rules: dict[str, Any] = field(default_factory=lambda: dict(TEAM))
    port: int = 0
    child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def store(self) -> str:
        return self.database or f"sqlite:///{self.folder / 'dragoman.db'}"

    @property
    def up(self) -> bool:
        return self.child is not None and self.child.poll() is None

    def start(self, seconds: float = 60.0) -> float:
        """Start it and wait until it listens; returns after how many seconds."""
        began = time.monotonic()
        self.launch()
        self.wait_listening(seconds)
        return time.monotonic() - began

    def launch(self) -> None:
        """Start it."""
        self.port = self.port or free_port()
        config = self.folder / "config.yaml"
        config.write_text(json.dumps(self._config()))  # JSON is YAML
        env = {"PATH": os.environ.get("PATH", ""), "HOME": str(self.folder), "PYTHONPATH": _sources()}
        command = [sys.executable, "-m", "tests.fault.watched", "serve", "--config", str(config)]
        with (self.folder / "serve.log").open("ab") as log:
            self.child = subprocess.Popen(
                command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait_listening(self, seconds: float = 60.0) -> None:
        """Wait until it takes connections. Raises RuntimeError with its last words."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.up:
            with socket.socket() as probe:
                probe.settimeout(0.2)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        self.kill()
        raise RuntimeError(f"the gateway does not start:\n{self.last_words()}")

    def _config(self) -> dict[str, Any]:
        said: dict[str, Any] = {
            "version": 1,
            "server": {"host": "127.0.0.1", "port": self.port},
            "database": self.store,
            "secrets": {"key": SECRET},
            "admin": {"key": ADMIN_KEY},
            "providers": {f"{one}-{place}": self._account(one, place) for one in DIALECTS for place in "ab"},
            "routes": {f"to-{one}": {"targets": _targets(one)} for one in DIALECTS},
            "prices": {"up-model": PRICE},
            "groups": {"team": self.rules},
        }
        return said | ({"redis": self.redis} if self.redis else {})

    def _account(self, dialect: str, place: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.upstream}/{dialect}-{place}"
        said = {"allow_private": True, "api_key": f"upstream-key-{place}-{dialect}"}
        if dialect in ("chat", "responses"):
            return said | {"kind": "openai_compatible", "api": dialect, "base_url": f"{url}/v1"}
        return said | {"kind": dialect, "base_url": url}

    # ------------------------------------------------------------ its end

    def kill(self) -> None:
        """End it without a word."""
        self._end(signal.SIGKILL)

    def stop(self, seconds: float = 30.0) -> int | None:
        """Ask it to stop, and wait: its exit code, None when it was not there or had to be killed."""
        return self._end(signal.SIGTERM, seconds)

    def send(self, which: signal.Signals) -> None:
        """Send it a signal."""
        if self.child is not None:
            self.child.send_signal(which)

    def _end(self, how: signal.Signals, seconds: float = 30.0) -> int | None:
        child, self.child = self.child, None
        if child is None:
            return None
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(how)
        try:
            return child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait(60)
            return None

    # ------------------------------------------------------------ what it says

    def holds(self, seconds: float = 10.0) -> dict[str, Any]:
        """What it holds now: see ``watched``. Raises RuntimeError when it does not say."""
        path = self.folder / HOLDS
        path.unlink(missing_ok=True)
        self.send(signal.SIGUSR1)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if path.exists():
                seen: dict[str, Any] = json.loads(path.read_text())
                return seen
            time.sleep(0.02)
        raise RuntimeError(f"the gateway does not say what it holds:\n{self.last_words()}")

    def last_words(self) -> str:
        """The end of its log."""
        return (self.folder / "serve.log").read_text("utf-8", "replace")[-3000:]

    def defects(self) -> list[str]:
        """Lines of its log that tell of a defect of ours."""
        return [line[:300] for line in self._lines() if "Traceback" in line or _event(line) == "defect"]

    def events(self) -> Counter[str]:
        """Warnings and errors of its log, by their names."""
        return Counter(_event(line) for line in self._lines() if _LOUD.search(line))

    def _lines(self) -> list[str]:
        return (self.folder / "serve.log").read_text("utf-8", "replace").splitlines()


def _event(line: str) -> str:
    found = _EVENT.search(line)
    return found[1] if found is not None else ""


def _targets(dialect: str) -> list[dict[str, str]]:
    following = DIALECTS[(DIALECTS.index(dialect) + 1) % len(DIALECTS)]
    return [{"provider": f"{dialect}-a", "model": "up-model"}, {"provider": f"{following}-b", "model": "up-model"}]


def _sources() -> str:
    import dragoman

    package = Path(dragoman.__file__).resolve().parents[1]
    return os.pathsep.join([str(package), str(Path(__file__).resolve().parents[2])])
