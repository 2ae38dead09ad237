"""The command line as a person meets it: real processes, exit codes, and what they print."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dragoman import __version__

CANARY = "sk-canary-0123456789"


def environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "LANG") if name in os.environ}
    return {**kept, "PYTHONUTF8": "1", **more}


def dragoman(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "dragoman", *words],
        cwd=folder, env=environment(**more), capture_output=True, text=True, timeout=90, encoding="utf-8",
    )  # fmt: skip


@contextmanager
def serving(folder: Path, *words: str, **more: str) -> Iterator[tuple[str, list[str]]]:
    """A running gateway: its URL and the lines it printed until it listened."""
    with subprocess.Popen(
        [sys.executable, "-m", "dragoman", *words],
        cwd=folder, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, encoding="utf-8",
    ) as child:  # fmt: skip
        assert child.stdout is not None
        printed: list[str] = []
        try:
            for line in child.stdout:
                printed.append(line)
                if line.startswith("  other names") or "other names" in line or "every model name" in line:
                    break
            url = re.search(r"listens on (http://\S+)", "".join(printed))
            assert url is not None, printed
            yield url[1], printed
        finally:
            child.send_signal(signal.SIGTERM)
            printed += child.stdout.readlines()
            child.wait(60)


def test_version(tmp_path: Path) -> None:
    assert dragoman(tmp_path, "version").stdout.strip() == __version__


def test_T52_wrong_values_are_one_line_and_exit_2(tmp_path: Path) -> None:
    for more, line in (
        ({"PORT": "abc"}, "dragoman: PORT: 'abc' is not a port (0 to 65535)\n"),
        (
            {"PREFERRED_PROVIDER": "bard"},
            "dragoman: PREFERRED_PROVIDER: 'bard' is not one of anthropic, azure, google, openai",
        ),
    ):
        done = dragoman(tmp_path, **more)
        assert done.returncode == 2
        assert done.stderr.startswith(line.rstrip("\n"))
        assert done.stderr.count("\n") == 1


def test_config_check(tmp_path: Path) -> None:
    good = dragoman(tmp_path, "config", "check", OPENAI_API_KEY=CANARY)
    assert good.returncode == 0
    assert "provider openai: openai (OPENAI_API_KEY)" in good.stdout
    assert CANARY not in good.stdout + good.stderr
    (tmp_path / "config.yaml").write_text("version: 1\nservr: {}\n")
    bad = dragoman(tmp_path, "config", "check")
    assert (bad.returncode, bad.stderr) == (2, "config.yaml:2: unknown key servr; did you mean server?\n")
    (tmp_path / "config.yaml").write_text("version: 1\nproviders: {a: {kind: openai, api_key: '${NOPE}'}}\n")
    assert dragoman(tmp_path, "config", "check").returncode == 0
    missing = dragoman(tmp_path, "config", "check", "--strict")
    assert missing.returncode == 1
    assert "NOT READY, set NOPE" in missing.stdout


def test_config_show_tells_values_and_origins_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        f"version: 1\nserver: {{port: 81}}\nproviders: {{a: {{kind: openai, api_key: {CANARY}}}}}\n"
    )
    said = dragoman(tmp_path, "config", "show", "--origin", PORT="82")
    assert said.returncode == 0
    lines = said.stdout.splitlines()
    assert "server.port = 82  (PORT, over config.yaml:2, over preset dragoman)" in lines
    assert 'providers.a.api_key = "••••"  (config.yaml:3)' in lines
    assert CANARY not in said.stdout
    assert "timeout" not in said.stdout
    assert "timeout = 600.0  (default)" in dragoman(tmp_path, "config", "show", "--all").stdout
    wrong = dragoman(tmp_path, "config", "show", PORT="x")
    assert (wrong.returncode, wrong.stdout) == (2, "")


def test_a_busy_port_is_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = dragoman(tmp_path, "serve", "--port", str(taken.getsockname()[1]))
    assert done.returncode == 1
    assert done.stderr.startswith("dragoman: cannot listen on 127.0.0.1:")
    assert done.stderr.count("\n") == 1


def test_serve_answers_with_nothing_configured(tmp_path: Path) -> None:
    with serving(tmp_path, "--port", "0") as (url, printed):
        asked = {"model": "claude-sonnet-4-5", "max_tokens": 50, "messages": [{"role": "user", "content": "hi"}]}
        call = urllib.request.Request(
            f"{url}/v1/messages", json.dumps(asked).encode(), {"content-type": "application/json"}
        )
        with urllib.request.urlopen(call, timeout=60) as answer:
            assert json.load(answer)["type"] == "message"
            assert "server" not in {name.lower() for name in answer.headers}
    text = "".join(printed)
    assert "every model name is answered by the simulated one" in text
    assert "no token required" in text
    assert f"\n  database {tmp_path / 'dragoman.db'}\n" in text


def test_serve_tells_providers_reasons_and_what_is_missing_but_no_secret(tmp_path: Path) -> None:
    with serving(
        tmp_path, "serve", "--port", "0", OPENAI_API_KEY=CANARY, AZURE_OPENAI_ENDPOINT="https://r.example",
        ANTHROPIC_AUTH_TOKEN="token-canary", HOST="0.0.0.0", DEBUG="true",
    ) as (url, printed):  # fmt: skip
        assert url.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(f"{url}/health", timeout=60) as answer:
            assert answer.status == 200
    text = "".join(printed)
    assert "(OPENAI_API_KEY is set); token required" in text
    assert (
        "provider azure: azure_openai at r.example (AZURE_OPENAI_ENDPOINT); NOT READY, set AZURE_OPENAI_API_KEY" in text
    )
    assert "haiku → gpt-4.1-mini; sonnet, opus → gpt-4.1; other names pass" in text
    assert CANARY not in text
    assert "token-canary" not in text


def test_an_open_gateway_on_all_addresses_warns(tmp_path: Path) -> None:
    with serving(tmp_path, "--port", "0", HOST="0.0.0.0", OPENAI_API_KEY=CANARY) as (_, printed):
        pass
    assert "set ANTHROPIC_AUTH_TOKEN to require a token" in "".join(printed)


def test_on_all_addresses_our_own_preset_asks_for_a_token_and_says_how_to_set_one(tmp_path: Path) -> None:
    with serving(tmp_path, "--port", "0", HOST="0.0.0.0") as (url, printed):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{url}/v1/models", timeout=60)
        assert refused.value.code == 401
    text = "".join(printed)
    assert "a token is required (0.0.0.0 is not loopback), but none is set" in text
    assert "set ANTHROPIC_AUTH_TOKEN, or DRAGOMAN_AUTH=open" in text
    with (
        serving(tmp_path, "--port", "0", HOST="0.0.0.0", DRAGOMAN_AUTH="open") as (url, _),
        urllib.request.urlopen(f"{url}/v1/models", timeout=60) as answer,
    ):
        assert answer.status == 200


@pytest.mark.parametrize("words", [("--help",), ("serve", "--help"), ("config", "check", "--help")])
def test_help_has_examples(words: tuple[str, ...], tmp_path: Path) -> None:
    done = dragoman(tmp_path, *words)
    assert done.returncode == 0
    assert words == ("--help",) or "dragoman serve" in done.stdout or "dragoman config check" in done.stdout
