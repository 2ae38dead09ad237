"""The simulated provider over HTTP: four dialects on their usual paths, faults on request.

A bare ASGI application. Knows the paths and framing of the wires; what is said comes from ``mind``.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

from dragoman.language.events import Event, Failed, PartDelta, unfold
from dragoman.language.failures import Failure, FailureKind, Refused
from dragoman.language.ir import Request, Response
from dragoman.language.registry import DIALECTS
from dragoman.language.streams import Asked, StreamWriter
from dragoman.language.wire import decode, encode
from dragoman.upstream.sim.mind import answer
from dragoman.upstream.sim.script import Script, read_script

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

PATHS = {
    "/v1/messages": "anthropic",
    "/v1/chat/completions": "openai_chat",
    "/v1/responses": "openai_responses",
}
"""Where a dialect is spoken that says everything in its body."""

_GEMINI = re.compile(r"/v1(?:beta)?/models/(.+):(generateContent|streamGenerateContent|countTokens)$")
_KINDS: dict[int, FailureKind] = {
    400: "invalid_request",
    401: "authentication",
    403: "permission",
    404: "not_found",
    413: "too_large",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    529: "overloaded",
}
MODELS = ("sim-large", "sim-small")


async def sim_app(scope: Scope, receive: Receive, send: Send) -> None:
    """The ASGI application."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
    elif scope["type"] == "http":
        await _call(scope["path"], receive, send)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _call(path: str, receive: Receive, send: Send) -> None:
    data = await _body(receive)
    if path in ("/v1/models", "/v1beta/models"):
        await _json(send, 200, {"object": "list", "data": [{"id": name, "object": "model"} for name in MODELS]})
        return
    match = _GEMINI.match(path)
    dialect = "gemini" if match else PATHS.get(path)
    if dialect is None:
        await _json(send, 404, {"error": {"message": f"nothing at {path}", "type": "not_found", "code": "not_found"}})
        return
    try:
        body = decode(data)
        if not isinstance(body, dict):
            raise Refused("", "the body is not an object")
        model, stream = (match[1], match[2].startswith("stream")) if match else (None, None)
        request = DIALECTS[dialect].read_request(body, model=model, stream=stream)
    except (ValueError, Refused) as error:
        status, wrong = DIALECTS[dialect].write_failure(Failure("invalid_request", str(error)))
        await _json(send, status, wrong)
        return
    await _answer(dialect, request, hashlib.sha256(data).hexdigest()[:24], receive, send)


async def _body(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        pieces.append(message.get("body", b""))
        if message["type"] != "http.request" or not message.get("more_body"):
            return b"".join(pieces)


async def _answer(dialect: str, request: Request, seed: str, receive: Receive, send: Send) -> None:
    script = read_script(request)
    await asyncio.sleep(script.delay)
    if script.status:
        kind = _KINDS.get(script.status, "invalid_request" if script.status < 500 else "server")
        failure = Failure(kind, "the script asked for this error", status=script.status)
        status, wrong = DIALECTS[dialect].write_failure(failure)
        extra = [(b"retry-after", str(script.retry_after).encode())] if script.retry_after is not None else []
        await _json(send, status, wrong, extra)
        return
    response = answer(request, seed)
    asked = Asked(request, request.model, seed, 0, input_estimate=response.usage.prompt)
    if request.stream:
        await _stream(DIALECTS[dialect].StreamWriter(asked), response, script, receive, send)
    else:
        await _json(send, 200, DIALECTS[dialect].write_response(response, asked))


async def _stream(writer: StreamWriter, response: Response, script: Script, receive: Receive, send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number, event in enumerate(_spoken(response)):
        if script.cut == number:
            raise ConnectionAbortedError("the script cuts the stream here")
        if script.stall == number:
            await _gone(receive)
            return
        if script.error == number:
            event = Failed(Failure("overloaded", "the script asked for this error"))
        data = writer.write(event)
        if data:
            await send({"type": "http.response.body", "body": data, "more_body": True})
        if isinstance(event, Failed):
            break
        await asyncio.sleep(script.pace)
    await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _spoken(response: Response) -> Iterator[Event]:
    """The events of the answer, text in pieces of a few words as a model would say it."""
    for event in unfold(response):
        if isinstance(event, PartDelta) and len(event.text) > 24:
            for at in range(0, len(event.text), 24):
                yield PartDelta(event.index, event.text[at : at + 24])
        else:
            yield event


async def _json(send: Send, status: int, body: object, extra: list[tuple[bytes, bytes]] | None = None) -> None:
    data = encode(body)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(data)).encode()), *(extra or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": data})
