"""The management API as an ASGI application below ``/api/v1``: signs in first, then asks FastAPI.

Who calls is settled before a body is read; whether they may is settled on the matched route
(``permissions``). It must not know resources but by their routers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from fastapi import Depends, FastAPI
from fastapi.responses import Response
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from dragoman import __version__
from dragoman.observe.logs import get_logger
from dragoman.store.database import StoreUnavailable
from dragoman.web.api.desk import Desk, admitted
from dragoman.web.api.errors import ApiError, answer_errors, no_store, signed_out, too_many
from dragoman.web.api.permissions import ROOT
from dragoman.web.api.resources import ROUTERS
from dragoman.web.attempts import TooManyAttempts
from dragoman.web.exchange import SAFE_ID, new_request_id
from dragoman.web.signin import ForeignOrigin, NotSignedIn
from dragoman.web.slowness import SlowBody, hurried
from dragoman.web.surfaces import tidy

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BODY = 1024 * 1024
"""Bytes of a request's body at most."""

_SPILT = 16 * BODY
"""Bytes that are read of one that is too large: who hangs up on a client that still sends is not heard by it."""

_CLOSE = {"connection": "close"}

_log = get_logger("web")
_ABOUT = """\
Everything about people, keys, groups, providers, routes, prices, limits, usage and audit.

Send an admin key or the key of a user: `Authorization: Bearer <key>`. Errors are
`{"error": {"code", "message", "details"}}`. Lists have `limit`, `cursor` and `next_cursor`, and come as
CSV with `?format=csv`. Money is whole nano-USD (10⁻⁹ USD), moments are ISO 8601 in UTC. Creation takes an
`Idempotency-Key`. What is not yours does not exist for you: 404.
"""


class Api:
    """The ASGI application of everything below ``/api/v1``."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._app = make_app(desk)

    def takes(self, path: str) -> bool:
        """Whether the (tidied) path is one of ours."""
        return path == ROOT or path.startswith(f"{ROOT}/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = Headers(scope=scope)
        send = _with_headers(send, headers.get("x-request-id", ""))
        method = "GET" if scope["method"] == "HEAD" else scope["method"]  # the server keeps the body back
        inner: Scope = {**scope, "method": method, "path": tidy(scope["path"]), "root_path": "", "state": {}}
        answer = await self._first_answer(inner, headers)
        if answer is None:
            try:
                body = await _whole(hurried(receive), headers.get("content-length", ""))
            except ClientDisconnect:
                return
            except ApiError as error:
                answer = error.answer()
            else:
                await _serve(self._app, inner, body, receive, send)
                return
        await answer(inner, receive, send)

    async def _first_answer(self, scope: Scope, headers: Headers) -> Response | None:
        """What is answered without looking further; None for a request of somebody known."""
        if scope["method"] == "OPTIONS":
            return Response(status_code=204)
        try:
            scope["state"]["caller"] = await self._desk.signin.caller(scope, headers)
        except TooManyAttempts as error:
            return too_many(error).answer()
        except (NotSignedIn, ForeignOrigin) as error:
            return signed_out(error).answer()
        except StoreUnavailable as error:
            return no_store(error).answer()
        return None


def make_app(desk: Desk) -> FastAPI:
    """The FastAPI application: the routers below the root, one shape of errors, no pages of its own."""
    app = FastAPI(
        title="Dragoman management API",
        version=__version__,
        description=_ABOUT,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(admitted)],
    )
    app.state.desk = desk
    answer_errors(app)
    for router in ROUTERS:
        app.include_router(router, prefix=ROOT)
    return app


async def _serve(app: FastAPI, scope: Scope, body: bytes, receive: Receive, send: Send) -> None:
    replayed = False

    async def heard() -> Message:
        nonlocal replayed
        if replayed:
            return await receive()
        replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    try:
        await app(scope, heard, send)
    except Exception as error:  # it has been answered
        _log.error("defect", exc_info=error)


async def _whole(receive: Receive, length: str) -> bytes:
    """The body. Raises ApiError where it is too large or too slow, ClientDisconnect: half of one says nothing."""
    pieces: list[bytes] = []
    size = 0
    announced = int(length) if length.isascii() and length.isdigit() else 0
    while max(size, announced) <= _SPILT:
        try:
            message = await receive()
        except SlowBody:
            raise ApiError(408, "too_slow", "the body did not come in time", headers=_CLOSE) from None
        if message["type"] != "http.request":
            raise ClientDisconnect
        piece = message.get("body", b"")
        size += len(piece)
        if size <= BODY:
            pieces.append(piece)
        if not message.get("more_body", False):
            break
    if max(size, announced) > BODY:
        raise ApiError(413, "too_large", f"the body is larger than {BODY} bytes", headers=_CLOSE)
    return b"".join(pieces)


def _with_headers(send: Send, given: str) -> Send:
    request_id = given if SAFE_ID.fullmatch(given) else new_request_id()
    lines = [
        (b"x-request-id", request_id.encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *lines]}
        await send(message)

    return sent
