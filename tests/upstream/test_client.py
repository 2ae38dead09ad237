"""The HTTP client against real sockets: answers, faults, deadlines, hang-ups, back-pressure."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from dragoman.upstream.calls import UpstreamCall, UpstreamTrouble
from dragoman.upstream.client import READ_BUFFER, UpstreamClient
from tests.patience import SOON
from tests.upstream.servers import Line, playing, self_signed

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.fixture
async def client() -> AsyncIterator[UpstreamClient]:
    made = UpstreamClient()
    yield made
    await made.close()


async def trouble(client: UpstreamClient, call: UpstreamCall, **deadlines: Any) -> UpstreamTrouble:
    with pytest.raises(UpstreamTrouble) as caught:
        async with await client.open(call, **deadlines) as answer:
            await answer.read()
    return caught.value


# ---------------------------------------------------------------- what goes out and comes back


async def test_a_call_goes_out_as_it_is_and_the_answer_comes_back(client: UpstreamClient) -> None:
    seen: list[tuple[str, dict[str, str], bytes]] = []

    async def play(line: Line) -> None:
        seen.append(await line.request())
        await line.answer(
            b'{"ok":1}',
            "429 Too Many Requests",
            "Content-Type: application/json\r\nRetry-After: 3\r\nX-RateLimit-Reset-Tokens: 6m0s\r\nSet-Cookie: a=b\r\n"
            "Strict-Transport-Security: x\r\nAccess-Control-Allow-Origin: *\r\nServer: secret\r\n"
            "Anthropic-Organization-Id: o\r\nX-Request-Id: r-1\r\n",
        )

    async with playing(play) as server, await client.open(server.call(authorization="Bearer k")) as answer:
        assert answer.status == 429
        assert answer.headers == {
            "content-type": "application/json",
            "retry-after": "3",
            "x-ratelimit-reset-tokens": "6m0s",
            "anthropic-organization-id": "o",
            "x-request-id": "r-1",
        }
        assert await answer.read() == b'{"ok":1}'
    head, headers, body = seen[0]
    assert head == "POST /v1/x?y=1 HTTP/1.1"
    assert body == b'{"a":1}'
    host = headers.pop("host")
    assert host.startswith("127.0.0.1:")
    assert headers == {
        "content-type": "application/json",
        "authorization": "Bearer k",
        "accept-encoding": "identity",
        "content-length": "7",
    }


async def test_a_large_body_goes_out_whole(client: UpstreamClient) -> None:
    body = bytes(range(256)) * 12_000
    seen: list[bytes] = []

    async def play(line: Line) -> None:
        _, headers, data = await line.request()
        assert "transfer-encoding" not in headers
        seen.append(data)
        await line.answer()

    async with playing(play) as server, await client.open(server.call(body)) as answer:
        assert answer.status == 200
    assert seen == [body]


async def test_T72_connections_are_kept_and_used_again(client: UpstreamClient) -> None:
    async def play(line: Line) -> None:
        while True:
            await line.request()
            await line.answer()

    async with playing(play) as server:
        for _ in range(5):
            async with await client.open(server.call()) as answer:
                await answer.read()
        assert server.connections == 1


async def test_cookies_are_not_kept(client: UpstreamClient) -> None:
    cookies: list[str] = []

    async def play(line: Line) -> None:
        while True:
            _, headers, _ = await line.request()
            cookies.append(headers.get("cookie", ""))
            await line.answer(headers="Set-Cookie: a=b\r\n")

    async with playing(play) as server:
        # By name: jars leave bare addresses out anyway.
        call = UpstreamCall("POST", f"http://localhost:{server.port}/", {}, b"", "p", True)
        for _ in range(2):
            async with await client.open(call) as answer:
                await answer.read()
    assert cookies == ["", ""]


async def test_chunks_come_as_they_arrive(client: UpstreamClient) -> None:
    step = asyncio.Event()

    async def play(line: Line) -> None:
        await line.request()
        await line.send(STREAM + chunk(b"data: 1\n\n"))
        await step.wait()
        await line.send(chunk(b"data: 2\n\n") + b"0\r\n\r\n")
        await line.gone()

    async with playing(play) as server, await client.open(server.call()) as answer:
        chunks = answer.chunks()
        assert await anext(chunks) == b"data: 1\n\n"
        step.set()
        assert [piece async for piece in chunks] == [b"data: 2\n\n"]


async def test_X07_proxies_of_the_environment_are_ignored(
    client: UpstreamClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    async def play(line: Line) -> None:
        await line.request()
        await line.answer(b"direct")

    async with playing(play) as server, await client.open(server.call()) as answer:
        assert await answer.read() == b"direct"


# ---------------------------------------------------------------- redirects and addresses


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary", "308 Permanent"])
async def test_X07_redirects_are_not_followed(client: UpstreamClient, status: str) -> None:
    reached: list[str] = []

    async def other(line: Line) -> None:
        reached.append((await line.request())[0])
        await line.answer()

    async with playing(other) as elsewhere:

        async def play(line: Line) -> None:
            await line.request()
            await line.answer(b"", status, f"Location: http://127.0.0.1:{elsewhere.port}/\r\n")

        async with playing(play) as server:
            error = await trouble(client, server.call(authorization="Bearer k"))
    assert error.failure.http_status == 502
    assert "redirect" in error.failure.message
    assert reached == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
async def test_X07_private_addresses_are_refused_when_connecting(client: UpstreamClient, host: str) -> None:
    async def play(line: Line) -> None:
        await line.request()
        await line.answer()

    async with playing(play) as server:
        call = UpstreamCall("POST", f"http://{host}:{server.port}/", {}, b"{}", "p", allow_private=False)
        error = await trouble(client, call)
        assert "allow_private" in error.failure.message
        assert server.connections == 0
        if host == "localhost":  # the permission belongs to the call, whatever the name's cache holds
            call.allow_private = True
            async with await client.open(call) as answer:
                assert answer.status == 200


@pytest.mark.parametrize("host", ["169.254.169.254", "2130706433", "[::ffff:169.254.169.254]"])
async def test_X07_metadata_and_disguised_addresses_are_refused(client: UpstreamClient, host: str) -> None:
    error = await trouble(client, UpstreamCall("POST", f"http://{host}:9/", {}, b"", "p", allow_private=True))
    assert error.failure.http_status == 502


async def test_X07_a_name_that_leads_inside_is_refused(client: UpstreamClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(self: object, host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
        return [{"hostname": host, "host": "10.0.0.7", "port": port, "family": socket.AF_INET, "proto": 0, "flags": 0}]

    monkeypatch.setattr("aiohttp.resolver.ThreadedResolver.resolve", resolve)
    error = await trouble(client, UpstreamCall("POST", "https://api.rebound.example/", {}, b"", "p"))
    assert "its name leads to a private address" in error.failure.message


# ---------------------------------------------------------------- what goes wrong


async def test_refused(client: UpstreamClient) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    failure = (await trouble(client, UpstreamCall("POST", f"http://127.0.0.1:{port}/", {}, b"", "p", True))).failure
    assert (failure.http_status, failure.code, failure.kind) == (502, "upstream_unreachable", "server")
    assert failure.message == "provider p: cannot be reached (refused)"


async def test_X11_troubles_never_name_the_address(client: UpstreamClient) -> None:
    call = UpstreamCall("POST", "http://no-such-host.invalid:81/path?key=secret", {}, b"", "p", True)
    error = await trouble(client, call)
    assert error.failure.http_status == 502
    for word in ("no-such-host", "81", "path", "secret"):
        assert word not in str(error)


async def test_a_provider_that_is_silent_after_the_call(client: UpstreamClient) -> None:
    async def play(line: Line) -> None:
        await line.gone()

    async with playing(play) as server:
        start = time.monotonic()
        failure = (await trouble(client, server.call(), first_byte_timeout=0.2)).failure
        assert 0.15 < time.monotonic() - start < SOON
        assert (failure.http_status, failure.code, failure.kind) == (504, "upstream_timeout", "timeout")
        await asyncio.wait_for(server.ended.wait(), SOON)


async def test_a_port_that_takes_no_connection(client: UpstreamClient) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        call = UpstreamCall("POST", f"http://127.0.0.1:{port}/", {}, b"", "p", True)
        failure = (await trouble(client, call, connect_timeout=0.2)).failure
        for filler in fillers:
            filler.close()
    assert failure.http_status == 504
    assert "no connection within 0.2 s" in failure.message


async def test_E13_silence_inside_a_stream_ends_it(client: UpstreamClient) -> None:
    async def play(line: Line) -> None:
        await line.request()
        await line.send(STREAM + chunk(b"data: 1\n\n"))
        await line.gone()

    async with playing(play) as server:
        async with await client.open(server.call()) as answer:
            chunks = answer.chunks(idle_timeout=0.2)
            await anext(chunks)
            start = time.monotonic()
            with pytest.raises(UpstreamTrouble, match="silent for") as caught:
                await anext(chunks)
            assert 0.15 < time.monotonic() - start < SOON
            assert caught.value.failure.http_status == 504
        await asyncio.wait_for(server.ended.wait(), SOON)


async def test_E13_the_callers_own_time_is_not_silence(client: UpstreamClient) -> None:
    async def play(line: Line) -> None:
        await line.request()
        await line.send(STREAM + chunk(b"1"))
        for _ in range(6):
            await asyncio.sleep(0.1)
            await line.send(chunk(b"2"))
        await line.send(b"0\r\n\r\n")
        await line.gone()

    async with playing(play) as server, await client.open(server.call()) as answer:
        got = b""
        async for piece in answer.chunks(idle_timeout=0.8):
            if not got:
                await asyncio.sleep(1.0)
            got += piece
        assert got == b"1222222"


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n64\r\nhalf",
    ],
)
async def test_an_answer_that_breaks_off(client: UpstreamClient, head: bytes) -> None:
    async def play(line: Line) -> None:
        await line.request()
        await line.send(head)

    async with playing(play) as server:
        failure = (await trouble(client, server.call())).failure
    assert failure.http_status == 502
    assert failure.message == "provider p: the answer broke off"


async def test_a_close_delimited_stream_simply_ends(client: UpstreamClient) -> None:
    async def play(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")

    async with playing(play) as server, await client.open(server.call()) as answer:
        assert await answer.read() == b"data: 1\n\n"


async def test_what_is_not_http(client: UpstreamClient) -> None:
    async def play(line: Line) -> None:
        await line.request()
        await line.send(b"SSH-2.0-OpenSSH\r\n\r\n")

    async with playing(play) as server:
        assert (await trouble(client, server.call())).failure.http_status == 502


async def test_an_endless_head_is_refused(client: UpstreamClient) -> None:
    async def play(line: Line) -> None:
        await line.request()
        await line.send(b"HTTP/1.1 200 OK\r\nx: " + b"a" * 100_000 + b"\r\n\r\n")

    async with playing(play) as server:
        assert (await trouble(client, server.call())).failure.http_status == 502


async def test_tls_that_is_none(client: UpstreamClient) -> None:
    async def play(line: Line) -> None:
        await line.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with playing(play) as server:
        call = UpstreamCall("POST", f"https://127.0.0.1:{server.port}/", {}, b"", "p", True)
        failure = (await trouble(client, call)).failure
    assert (failure.http_status, failure.message) == (502, "provider p: TLS failed")


async def test_tls_that_is_not_trusted(client: UpstreamClient, tmp_path: Path) -> None:
    heard: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(100))
        writer.close()

    listener = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=self_signed(tmp_path))
    port = listener.sockets[0].getsockname()[1]
    call = UpstreamCall("POST", f"https://127.0.0.1:{port}/", {"authorization": "Bearer k"}, b"", "p", True)
    failure = (await trouble(client, call)).failure
    listener.close()
    assert (failure.http_status, failure.message) == (502, "provider p: its TLS certificate is not trusted")
    assert b"".join(heard) == b""


# ---------------------------------------------------------------- stale connections


async def test_a_stale_kept_connection_is_tried_once_more(client: UpstreamClient) -> None:
    bodies: list[bytes] = []

    async def play(line: Line) -> None:
        bodies.append((await line.request())[2])
        await line.answer()
        if line.number == 1:
            # Wait for the second call and break before answering it.
            bodies.append((await line.request())[2])
            return
        await line.gone()

    async with playing(play) as server:
        for body in (b"one", b"two"):
            async with await client.open(server.call(body)) as answer:
                assert answer.status == 200
                await answer.read()
        assert server.connections == 2
    assert bodies == [b"one", b"two", b"two"]


async def test_I1_who_books_hears_of_a_second_sending_before_it(client: UpstreamClient) -> None:
    heard: list[str] = []

    async def play(line: Line) -> None:
        heard.append((await line.request())[2].decode())
        await line.answer()
        if line.number == 1:
            heard.append((await line.request())[2].decode())
            return
        await line.gone()

    async def again() -> None:
        heard.append("again")

    async with playing(play) as server:
        for body in (b"one", b"two"):
            call = server.call(body)
            assert not call.sent
            async with await client.open(call, again=again) as answer:
                await answer.read()
            assert call.sent
    assert heard == ["one", "two", "again", "two"]


async def test_I1_a_call_that_found_no_connection_was_not_sent(client: UpstreamClient) -> None:
    async def play(line: Line) -> None:
        await line.request()

    async with playing(play) as server:
        call = server.call(b"body")
    with pytest.raises(UpstreamTrouble):
        await client.open(call)
    assert not call.sent


async def test_a_new_connection_that_breaks_is_not_tried_again(client: UpstreamClient) -> None:
    async def play(line: Line) -> None:
        await line.request()

    async with playing(play) as server:
        failure = (await trouble(client, server.call())).failure
        assert failure.http_status == 502
        assert server.connections == 1


async def test_a_kept_connection_that_breaks_inside_the_answer_is_not_tried_again(client: UpstreamClient) -> None:
    calls = 0

    async def play(line: Line) -> None:
        nonlocal calls
        await line.request()
        await line.answer()
        await line.request()
        calls += 1
        await line.send(b"HTTP/1.1 200 OK\r\ncontent-le")

    async with playing(play) as server:
        async with await client.open(server.call()) as answer:
            await answer.read()
        await trouble(client, server.call())
    assert calls == 1


# ---------------------------------------------------------------- leaving early


async def test_E14_closing_an_unread_answer_cuts_the_connection(client: UpstreamClient) -> None:
    async def play(line: Line) -> None:
        await line.request()
        await line.send(STREAM + chunk(b"data: 1\n\n"))
        await line.gone()

    async with playing(play) as server:
        answer = await client.open(server.call())
        assert await anext(answer.chunks()) == b"data: 1\n\n"
        start = time.monotonic()
        await answer.close()
        await asyncio.wait_for(server.ended.wait(), SOON)
        assert time.monotonic() - start < SOON
        await answer.close()


async def test_E14_closing_does_not_wait_for_what_was_not_sent_yet(client: UpstreamClient) -> None:
    body = bytes(16_000_000)
    closed = asyncio.Event()
    received = 0

    async def play(line: Line) -> None:
        nonlocal received
        await line.reader.readuntil(b"\r\n\r\n")
        await line.send(STREAM + chunk(b"no"))
        await closed.wait()
        while piece := await line.reader.read(1_000_000):
            received += len(piece)

    async with playing(play) as server:
        answer = await client.open(server.call(body))
        assert await anext(answer.chunks()) == b"no"
        await answer.close()
        closed.set()
        await asyncio.wait_for(server.ended.wait(), SOON)
    assert received < len(body)


async def test_E14_cancelling_before_the_answer_cuts_the_connection(client: UpstreamClient) -> None:
    arrived = asyncio.Event()

    async def play(line: Line) -> None:
        await line.request()
        arrived.set()
        await line.gone()

    async with playing(play) as server:
        opening = asyncio.create_task(client.open(server.call()))
        await asyncio.wait_for(arrived.wait(), SOON)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await asyncio.wait_for(server.ended.wait(), SOON)


async def test_a_slow_reader_stops_the_sender(client: UpstreamClient) -> None:
    sent = 0

    async def play(line: Line) -> None:
        nonlocal sent
        await line.request()
        await line.send(STREAM)
        piece = chunk(b"x" * 65536)
        while True:
            await line.send(piece)
            sent += 65536

    async with playing(play) as server, await client.open(server.call()) as answer:
        await anext(answer.chunks())
        await asyncio.sleep(0.3)
        level = sent
        await asyncio.sleep(0.5)
        assert sent == level, "the sender was never stopped"
        content = answer._response.content
        assert content._size <= 2 * READ_BUFFER + 256 * 1024


# ---------------------------------------------------------------- sizes and encodings


async def test_a_body_over_the_limit_is_refused(client: UpstreamClient) -> None:
    async def play(line: Line) -> None:
        await line.request()
        await line.answer(b"x" * 5000)

    async with playing(play) as server, await client.open(server.call()) as answer:
        with pytest.raises(UpstreamTrouble, match="larger than 1000 bytes"):
            await answer.read(1000)


@pytest.mark.parametrize("members", [1, 3])
async def test_E01_compression_nobody_asked_for_is_undone(client: UpstreamClient, members: int) -> None:
    async def play(line: Line) -> None:
        await line.request()
        await line.answer(gzip.compress(b"hello " * 10) * members, headers="Content-Encoding: gzip\r\n")

    async with playing(play) as server, await client.open(server.call()) as answer:
        assert await answer.read() == b"hello " * 10 * members


async def test_a_bomb_is_cut_at_the_limit(client: UpstreamClient) -> None:
    bomb = gzip.compress(bytes(50_000_000))

    async def play(line: Line) -> None:
        await line.request()
        await line.answer(bomb, headers="Content-Encoding: gzip\r\n")

    async with playing(play) as server, await client.open(server.call()) as answer:
        with pytest.raises(UpstreamTrouble, match="larger than"):
            await answer.read(1_000_000)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip"])
async def test_E01_what_cannot_be_decoded_is_a_failure(client: UpstreamClient, encoding: str) -> None:
    async def play(line: Line) -> None:
        await line.request()
        await line.answer(b"\x00nonsense", headers=f"Content-Encoding: {encoding}\r\n")

    async with playing(play) as server:
        failure = (await trouble(client, server.call())).failure
    assert failure.http_status == 502
    assert "compress" in failure.message


async def test_closing_twice_and_using_again() -> None:
    client = UpstreamClient()

    async def play(line: Line) -> None:
        await line.request()
        await line.answer()

    async with playing(play) as server:
        for _ in range(2):
            async with await client.open(server.call()) as answer:
                await answer.read()
            await client.close()
            await client.close()
