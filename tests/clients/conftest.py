"""A running gateway in front of the simulated provider, reached in each of the four dialects."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from dragoman.upstream.sim import sim_app
from tests.ports import free_port

CONFIG = """
version: 1
providers:
  chat: {{kind: openai_compatible, base_url: "{sim}/v1", api_key: upstream-key, api: chat, allow_private: true}}
  responses:
    {{kind: openai_compatible, base_url: "{sim}/v1", api_key: upstream-key, api: responses, allow_private: true}}
  claude: {{kind: anthropic, base_url: "{sim}", api_key: upstream-key, allow_private: true}}
  google: {{kind: gemini, base_url: "{sim}", api_key: upstream-key, allow_private: true}}
"""
PROVIDERS = ["chat", "responses", "claude", "google"]


@pytest.fixture(scope="session")
def simulated() -> Iterator[str]:
    """The simulated provider on loopback."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(sim_app, port=port, log_level="error", ws="none"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(5)


@pytest.fixture(scope="session")
def gateway(simulated: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``dragoman serve`` as its own process, in an environment that holds nothing else."""
    folder = tmp_path_factory.mktemp("gateway")
    (folder / "config.yaml").write_text(CONFIG.format(sim=simulated))
    yield from serve(folder, "--config", "config.yaml")


def serve(folder: Path, *words: str, **environment: str) -> Iterator[str]:
    """Run the command in a folder and give its base URL once it is healthy."""
    port = free_port()
    command = [sys.executable, "-m", "dragoman", "serve", "--host", "127.0.0.1", "--port", str(port), *words]
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder), **environment}
    with (folder / "serve.log").open("wb") as log:
        child = subprocess.Popen(command, cwd=folder, env=clean, stdout=log, stderr=subprocess.STDOUT)
    base = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(base, child, folder / "serve.log")
        yield base
    finally:
        child.terminate()
        child.wait(60)


def _wait_until_healthy(base: str, child: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{base}/health", timeout=5):
                return
        except OSError:
            assert child.poll() is None, log.read_text()
            time.sleep(0.05)
    raise AssertionError(f"not healthy: {log.read_text()}")
