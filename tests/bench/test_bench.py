"""The benchmark measures what it says: right answers only, on free ports only, stopped by itself."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bench.driver import Order, drive
from bench.scenes import BY_NAME, SCENES, Scene, anthropic_request, chat_request, expected
from bench.upstream import Provider

from bench import candidates, machine


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """The canned provider, listening on a free port of this machine."""
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.name)
async def test_the_upstream_gives_the_expected_answer(port: int, scene: Scene) -> None:
    request = candidates.DIRECT.request(scene, port).decode("latin-1")
    result = await drive(Order(port, request, parallel=3, seconds=0.0, deadline=10))
    assert (result.answers, result.failures) == (3, 0)
    candidates.DIRECT.check(scene, result.last)


async def test_a_wrong_answer_is_not_timed(port: int) -> None:
    scene = BY_NAME["burst"]
    request = candidates.DIRECT.request(scene, port).decode("latin-1")
    result = await drive(Order(port, request, parallel=1, seconds=0.0, deadline=10))
    with pytest.raises(AssertionError, match="wrong answer"):
        candidates.DIRECT.check(scene, result.last.replace("ipsum", "IPSUM", 1))
    with pytest.raises(AssertionError, match="no end"):
        candidates.DIRECT.check(scene, result.last.replace("[DONE]", "[DUNE]"))
    with pytest.raises(AssertionError, match="404"):
        candidates.DIRECT.check(scene, "HTTP/1.1 404 Not Found\r\n\r\n")


async def test_a_refusal_is_a_failure(port: int) -> None:
    request = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
    result = await drive(Order(port, request, parallel=2, seconds=5.0, deadline=10))
    assert (result.answers, result.failures) == (0, 2)


async def test_a_silent_server_ends_at_the_deadline() -> None:
    server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0)
    async with server:
        silent = server.sockets[0].getsockname()[1]
        result = await drive(Order(silent, "GET / HTTP/1.1\r\n\r\n", parallel=2, seconds=0.0, deadline=0.3))
    assert result.failures == 2
    assert result.seconds < 5


def test_a_busy_port_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(machine.NotReady, match="busy"):
            machine.refuse_busy(taken.getsockname()[1])


def test_the_agent_request_is_as_large_as_it_says() -> None:
    scene = BY_NAME["agent"]
    for candidate in (candidates.DIRECT, candidates.DRAGOMAN):
        assert 50_000 < len(candidate.request(scene, 1)) < 70_000
    assert len(chat_request(scene)["tools"]) == len(anthropic_request(scene)["tools"]) == 24
    assert len(anthropic_request(scene)["messages"]) >= 30
    assert len(expected(scene)) > 500


def test_the_gateway_runs_with_credentials_required(tmp_path: Path) -> None:
    command = candidates.dragoman_command(tmp_path, 4, 5)
    assert command[1:6] == ["serve", "--host", "127.0.0.1", "--port", "4"]
    assert "127.0.0.1:5/v1" in Path(command[-1]).read_text()
    assert candidates.dragoman_environment(tmp_path)["DRAGOMAN_AUTH"] == "required"
