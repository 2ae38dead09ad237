"""Every snippet in the manual works: commands are run, settings loaded, programs executed (C-104)."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
import shutil
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from dragoman.app import build
from dragoman.settings import load_settings
from tests.compat.azure import DEPLOYMENT, answering, message
from tests.relay.rig import Asked, Rig, Wire, chat_body, chat_stream, running

PROJECT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "README.zh-CN.md", *(f"docs/{page.name}" for page in sorted((PROJECT / "docs").glob("*.md")))]
TOKEN = "your-gateway-token"
PLACE = "http://127.0.0.1:8080"
NOT_RUN = {"make", "export", "claude", "codex", "gemini", "cloudflared", "dragoman", "docker", "git", "cp", "cd"}
"""Programs of others, and the start of the gateway itself, which the tests of the command line run."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Snippet:
    """One fenced block of a page."""

    page: str
    number: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.number}"


def snippets(*languages: str) -> Iterator[Snippet]:
    """All blocks of the manual in these languages."""
    for page in PAGES:
        for number, found in enumerate(_FENCE.finditer((PROJECT / page).read_text(encoding="utf-8"))):
            if found[1] in languages:
                yield Snippet(page, number, found[1], found[2])


def commands(text: str) -> list[str]:
    """The commands of a shell block as they stand, joined over lines while a quote is open."""
    found: list[str] = []
    for line in text.splitlines():
        if found and found[-1].count("'") % 2:
            found[-1] += "\n" + line
        elif line.strip() and not line.startswith("#"):
            found.append(line)
    return found


def program_of(command: str) -> str:
    """The program that a command starts, variables set before it passed over."""
    words = shlex.split(command, comments=True)
    return next((word for word in words if not re.match(r"[A-Z_]+=", word)), "")


async def speak(asked: Asked, wire: Wire) -> None:
    """A provider that answers on Chat and on Responses."""
    path = asked.path.partition("?")[0]
    if path.endswith("/responses"):
        await answering(message("Hi"))(asked, wire)
    elif asked.json.get("stream"):
        await wire.stream(*chat_stream("Hi"))
    else:
        await wire.json(chat_body("Hi"))


def documented(port: int) -> dict[str, Any]:
    """The configuration that the manual talks about, with its providers on loopback."""
    openai = {"kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "allow_private": True, "api_key": "k"}
    azure = {"kind": "azure_openai", "base_url": f"http://127.0.0.1:{port}", "allow_private": True, "api_key": "k"}
    names = {"big": "gpt-5.2", "small": "gpt-5-mini", "preferred": "openai", "cursor_deployment": DEPLOYMENT}
    return {
        "providers": {"openai": openai, "azure": azure},
        "models": {**names, "families": {DEPLOYMENT: "gpt-5"}, "unmapped": "passthrough"},
    }


async def run(command: str, rig: Rig) -> tuple[int, str]:
    """Run a command with the manual's address moved to the running gateway: exit code and output."""
    known = {**os.environ, "ANTHROPIC_AUTH_TOKEN": TOKEN, "DRAGOMAN_API_KEY": TOKEN, "no_proxy": "127.0.0.1"}
    program = await asyncio.create_subprocess_shell(
        command.replace(PLACE, rig.url), env=known, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await asyncio.wait_for(program.communicate(), 30)
    return program.returncode or 0, said.decode()


class Documented:
    """The gateway of the manual, running, with its token or open."""

    def __init__(self, token: str | None = TOKEN) -> None:
        self._auth = {"token": token} if token else {}

    async def __aenter__(self) -> Rig:
        from dragoman.settings import Settings

        self._upstream = running()
        provider = (await self._upstream.__aenter__()).provider
        self._gateway = running(settings=Settings.model_validate({**documented(provider.port), "auth": self._auth}))
        rig = await self._gateway.__aenter__()
        provider.script = speak
        return rig

    async def __aexit__(self, *error: object) -> None:
        await self._gateway.__aexit__(None, None, None)
        await self._upstream.__aexit__(None, None, None)


# ---------------------------------------------------------------- shell


@pytest.mark.parametrize("snippet", snippets("sh"), ids=str)
async def test_C_104_every_curl_of_the_manual_gets_its_answer(snippet: Snippet) -> None:
    given = commands(snippet.text)
    assert {program_of(command) for command in given} <= {"curl", *NOT_RUN}
    calls = [command for command in given if program_of(command) == "curl"]
    if not calls:
        return
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    async with Documented(token=TOKEN if "$" in snippet.text else None) as rig:
        for call in calls:
            code, said = await run(call.replace("curl ", "curl --fail-with-body ", 1), rig)
            assert code == 0, said
            assert said.strip()
            assert '"error":{' not in said


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize("snippet", snippets("env"), ids=str)
def test_C_104_variables_are_a_configuration(snippet: Snippet, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(snippet.text, encoding="utf-8")
    settings = load_settings(environment={}, folder=tmp_path)
    build(settings)
    assert not [note for note in settings.notes if "ignored" in note or "unknown" in note]
    if "CURSOR_AZURE_DEPLOYMENT" in snippet.text:
        assert settings.models.cursor_deployment == "my-gpt-5-deployment"
        assert settings.models.families == {"my-gpt-5-deployment": "gpt-5"}
        assert settings.auth.required


@pytest.mark.parametrize("snippet", snippets("yaml"), ids=str)
def test_C_104_files_are_what_they_claim(snippet: Snippet, tmp_path: Path) -> None:
    tree = yaml.safe_load(snippet.text)
    if "tunnel" in tree:
        assert tree["credentials-file"].endswith(f"{tree['tunnel']}.json")
        assert tree["ingress"][-1] == {"service": "http_status:404"}
        assert tree["ingress"][0]["service"] == PLACE
        return
    file = tmp_path / "config.yaml"
    file.write_text(snippet.text, encoding="utf-8")
    names = dict.fromkeys(re.findall(r"\$\{([A-Z_]+)[}:]", snippet.text), "some-secret-value")
    build(load_settings(config=str(file), environment=names, folder=tmp_path))


@pytest.mark.parametrize("snippet", snippets("json"), ids=str)
async def test_C_97_claude_codes_settings_reach_the_gateway(snippet: Snippet) -> None:
    settings = json.loads(snippet.text)
    if "env" not in settings:
        assert settings == {"hasCompletedOnboarding": True}
        return
    said = settings["env"]
    assert (said["API_TIMEOUT_MS"], said["CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC"]) == ("3000000", "1")
    async with Documented() as rig:
        assert said["ANTHROPIC_BASE_URL"] == PLACE
        ask = {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
        bearer = f"Bearer {said['ANTHROPIC_AUTH_TOKEN']}"
        status, _, answer = await rig.post("/v1/messages?beta=true", ask, authorization=bearer)
        assert (status, answer["content"][0]["text"]) == (200, "Hi")


@pytest.mark.parametrize("snippet", snippets("toml"), ids=str)
async def test_C_104_codexs_configuration_reaches_the_gateway(snippet: Snippet) -> None:
    said = tomllib.loads(snippet.text)
    account = said["model_providers"][said["model_provider"]] if "model_provider" in said else {}
    base = account.get("base_url") or said["openai_base_url"]
    assert account.get("wire_api", "responses") == "responses"
    async with Documented() as rig:
        ask = {"model": said.get("model", "gpt-5.5"), "input": "Hello", "stream": True}
        path = base.removeprefix(PLACE) + "/responses"
        status, _, raw = await rig.post(path, ask, authorization=f"Bearer {TOKEN}")
        assert status == 200
        assert b"response.completed" in raw


@pytest.mark.parametrize("snippet", snippets("python"), ids=str)
async def test_C_104_programs_run(snippet: Snippet) -> None:
    async with Documented() as rig:
        code, said = await run(shlex.join([sys.executable, "-c", snippet.text]), rig)
        assert code == 0, said


# ---------------------------------------------------------------- what the pages must say


def page(name: str) -> str:
    """One page, blanks evened out."""
    return " ".join((PROJECT / "docs" / name).read_text(encoding="utf-8").split())


def test_C_29_cursors_page_tells_base_key_and_models() -> None:
    text = page("cursor.md")
    assert "/cursor`. It ends in `/cursor`, never in `/v1`" in text
    assert "blank" in text
    assert all(f"`gpt-{effort}`" in text for effort in ("high", "medium", "low", "minimal"))


def test_C_30_C_31_cursors_page_tells_both_tunnels() -> None:
    text = page("cursor.md")
    assert "cloudflared tunnel --url http://127.0.0.1:8080" in text
    steps = ["tunnel login", "tunnel create", "tunnel route dns", "ingress:", "http_status:404", "tunnel run"]
    places = [text.index(step) for step in steps]
    assert places == sorted(places)


def test_snippets_are_found_and_cut_right() -> None:
    assert {snippet.language for snippet in snippets("sh", "env", "yaml", "json", "toml")} >= {"sh", "json", "toml"}
    text = "curl -d '{\n  \"a\": 1}' http://x\n# by hand\nmake run  # serve\nA=1 claude\nexport B=2"
    assert [program_of(command) for command in commands(text)] == ["curl", "make", "claude", "export"]
    assert commands(text)[0] == "curl -d '{\n  \"a\": 1}' http://x"
