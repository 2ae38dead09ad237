"""Bodies that come in drops, or not at all, to the applications below the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time

import pytest

from dragoman.store.database import Database
from dragoman.web import slowness
from tests.patience import SOON
from tests.web.api.rig import ADMIN_KEY, House, living

SILENCE, WHOLE = 0.3, 0.8
PATHS = ("/api/v1/users", "/admin/login")


async def sent(
    house: House, path: str, *pieces: bytes, length: int, pause: float, patience: float = 5
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of the answer; the pieces go on, with pauses, until there is one."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_KEY}\r\ncontent-type: application/json\r\n"
    writer.write(f"{head}content-length: {length}\r\n\r\n".encode())

    async def drip() -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)

    dripping = asyncio.ensure_future(drip())
    async with asyncio.timeout(patience):
        lines = await reader.readuntil(b"\r\n\r\n")
        first, *rest = lines.decode().strip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in rest)
        # Not to the end: what still drips after the answer is met with a reset.
        body = await reader.readexactly(int(headers["content-length"]))
    dripping.cancel()
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return int(first.split()[1]), headers, body


def said(path: str, body: bytes) -> str:
    """The message, in the error's shape of the application."""
    data = json.loads(body)
    return str(data["error"]["message"] if path.startswith("/api/v1") else data["detail"])


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slowness, "SILENCE", SILENCE)
    monkeypatch.setattr(slowness, "WHOLE", WHOLE)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("path", PATHS)
async def test_C4_a_body_that_does_not_come_is_answered_408(database: Database, path: str) -> None:
    async with living(database) as house:
        for pieces in ((), (b'{"name"',)):
            began = time.monotonic()
            status, headers, body = await sent(house, path, *pieces, length=100, pause=0)
            assert (status, headers["connection"]) == (408, "close")
            assert said(path, body) == "the body did not come in time"
            assert SILENCE <= time.monotonic() - began < SILENCE + SOON


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("path", PATHS)
async def test_C4_a_body_in_drops_is_answered_408(database: Database, path: str) -> None:
    """No pause is too long, all of them together are."""
    async with living(database) as house:
        began = time.monotonic()
        status, headers, _ = await sent(house, path, *[b" "] * 60, length=100, pause=SILENCE / 3)
        assert (status, headers["connection"]) == (408, "close")
        assert WHOLE <= time.monotonic() - began < WHOLE + SOON


@pytest.mark.parametrize("path", PATHS)
async def test_C4_a_body_that_is_announced_too_large_is_not_waited_for(database: Database, path: str) -> None:
    async with living(database) as house:
        status, headers, body = await sent(house, path, length=2**30, pause=0)
        assert (status, headers["connection"]) == (413, "close")
        assert "larger than 1048576 bytes" in said(path, body)


@pytest.mark.usefixtures("impatient")
async def test_C4_a_body_in_pieces_in_time_is_read(database: Database) -> None:
    async with living(database) as house:
        body = b'{"name":"slow"}'
        pieces = [body[at : at + 5] for at in range(0, len(body), 5)]
        status, headers, _ = await sent(house, "/api/v1/users", *pieces, length=len(body), pause=SILENCE / 4)
        assert (status, headers.get("connection")) == (201, None)  # it stays open
        assert [one["name"] for one in (await house.get("/users?name=slow")).json["items"]] == ["slow"]
