"""The application: one path from an ASGI scope to the relay or to a small answer of our own.

Model traffic runs on this bare path with nothing around it. What an operation of ``SURFACES`` does
stands in ``Gateway._operations``. It must not know wires, providers or translation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dragoman.language.failures import Failure
from dragoman.language.registry import DIALECTS
from dragoman.language.splice import replaced
from dragoman.language.wire import encode
from dragoman.observe.logs import get_logger
from dragoman.relay.calls import Call, Client, Operation
from dragoman.web.credentials import ANONYMOUS, Caller, Gate
from dragoman.web.exchange import (
    BodyRoom,
    BodyTooLarge,
    ClientGone,
    Exchange,
    Message,
    NoRoom,
    Receive,
    Scope,
    Send,
)
from dragoman.web.information import Information
from dragoman.web.models import Catalog, client_shape
from dragoman.web.permission import surface_refusal
from dragoman.web.readiness import Readiness
from dragoman.web.surfaces import CHAT, GEMINI, Match, Surfaces, Unmatched, tidy

Operate = Callable[[Exchange, Match, Caller], Awaitable[None]]
Hook = Callable[[], Awaitable[None]]

_UPGRADE = b'{"error":{"message":"WebSocket is not offered here: use POST with an event stream.",' \
    b'"type":"invalid_request_error","param":null,"code":"upgrade_required"}}'  # fmt: skip
_log = get_logger("web")


class Carrier(Protocol):
    """What carries calls: the relay."""

    async def carry(self, call: Call, client: Client) -> None: ...


class Remembered(Protocol):
    """Where answers lie that a client may ask for again."""

    async def recall(self, owner: str, response_id: str) -> None: ...
    def get(self, owner: str, response_id: str) -> dict[str, object] | None: ...
    def delete(self, owner: str, response_id: str) -> bool: ...


class Mount(Protocol):
    """An application of its own below this one, for paths that no surface has."""

    def takes(self, path: str) -> bool:
        """Whether the (tidied) path is its own."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...


@dataclass(frozen=True, slots=True)
class Serving:
    """What calls go to while one configuration holds.

    ``carriers`` carry the calls of surfaces by name, the relay those of all others; ``cursor_catalog``
    lists what Cursor is shown.
    """

    relay: Carrier
    catalog: Catalog
    cursor_catalog: Catalog
    information: Information
    carriers: Mapping[str, Carrier] = field(default_factory=dict)


class Gateway:
    """The ASGI application. ``serving`` may be replaced at any time: calls under way end as they began.

    ``mounts`` are asked, in order, about paths that no surface has: model traffic never passes them.
    """

    def __init__(
        self,
        serving: Serving,
        gate: Gate,
        remembered: Remembered,
        *,
        body_limit: int = 32 * 1024 * 1024,
        cors_origins: Sequence[str] = (),
        surfaces: Surfaces | None = None,
        readiness: Readiness | None = None,
        mounts: Sequence[Mount] = (),
        on_start: Sequence[Hook] = (),
        on_stop: Sequence[Hook] = (),
    ) -> None:
        self.serving = serving
        self._gate = gate
        self._remembered = remembered
        self._room = BodyRoom(each=body_limit)
        self._cors = frozenset(cors_origins)
        self._surfaces = surfaces or Surfaces()
        self._readiness = readiness or Readiness()
        self._mounts = mounts
        self._on_start = on_start
        self._on_stop = on_stop
        self._operations: dict[str, Operate] = {
            "generate": self._generate,
            "stream": self._generate,
            "count_tokens": self._generate,
            "complete": self._generate,
            "models": self._models,
            "model": self._model,
            "cursor_models": self._list_for_cursor,
            "stored_response": self._stored_response,
            "forget_response": self._forget_response,
            "websocket": self._websocket,
            "info": self._info,
            "health": self._health,
            "hello": self._hello,
            "ok": self._ok,
            "nothing": self._nothing,
            "ready": self._ready,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection event: a request, or start and stop of the process."""
        if scope["type"] == "http":
            await self._serve(Exchange(scope, receive, send))
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})

    # ------------------------------------------------------------ one request

    async def _serve(self, exchange: Exchange) -> None:
        method = exchange.scope["method"]
        found = self._surfaces.find(method, exchange.scope["path"])
        if isinstance(found, Unmatched) and not found.allowed:
            mount = self._mounted(exchange.scope["path"])
            if mount is not None:
                # Before any word about other origins: they have no business there (SR10).
                await exchange.pass_on(mount)
                return
        self._allow_origin(exchange)
        if method == "OPTIONS":
            await exchange.answer(204, b"")
            return
        if isinstance(found, Unmatched):
            await self._refuse_path(exchange, found)
            return
        surface = found.surface
        if surface.dialect == "anthropic":
            exchange.add_header("request-id", exchange.request_id)
        caller = ANONYMOUS if surface.open else self._gate.caller(exchange.headers, exchange.scope["query_string"])
        if caller is None:
            failure = Failure("authentication", "invalid credential: send a valid key", code="invalid_api_key")
            await self._refuse(exchange, surface.dialect, failure)
            return
        if (forbidden := surface_refusal(caller, surface)) is not None:
            await self._refuse(exchange, surface.dialect, forbidden)
            return
        try:
            await self._operations[surface.operation](exchange, found, caller)
        except Exception as error:
            _log.error("defect", request_id=exchange.request_id, exc_info=error)
            if not exchange.started:
                failure = Failure("server", "internal error", status=500, code="internal_error")
                await self._refuse(exchange, surface.dialect, failure)
        finally:
            self._room.give_back(exchange.held)

    def _mounted(self, path: str) -> Mount | None:
        path = tidy(path)
        return next((mount for mount in self._mounts if mount.takes(path)), None)

    async def _generate(self, exchange: Exchange, match: Match, caller: Caller) -> None:
        surface = match.surface
        try:
            body = await exchange.body(self._room)
        except ClientGone:
            return
        except BodyTooLarge:
            failure = Failure("too_large", f"the body is larger than {self._room.each} bytes", code="request_too_large")
            await self._refuse(exchange, surface.dialect, failure, [("connection", "close")])
            return
        except NoRoom:
            failure = Failure("overloaded", "too many large requests at once", retry_after=2)
            await self._refuse(exchange, surface.dialect, failure, [("connection", "close")])
            return
        serving = self.serving
        carrier = serving.carriers.get(match.surface.name, serving.relay)
        await carrier.carry(self._call(exchange, match, caller, body), exchange)

    def _call(self, exchange: Exchange, match: Match, caller: Caller, body: bytes) -> Call:
        surface = match.surface
        if match.value and surface.dialect != GEMINI:
            body = with_model(body, match.value)
        operation: Operation = "generate"
        if surface.operation in ("count_tokens", "complete"):
            operation = surface.operation  # type: ignore[assignment]
        call = Call(
            dialect=surface.dialect,
            body=body,
            headers=exchange.headers,
            operation=operation,
            owner=caller.owner,
            caller=caller,
            request_id=exchange.request_id,
            surface=surface.name,
        )
        if surface.dialect == GEMINI:
            call.model = match.value
            call.stream = surface.operation == "stream"
            call.json_array = call.stream and b"alt=sse" not in exchange.scope["query_string"]
        return call

    # ------------------------------------------------------------ small answers

    async def _models(self, exchange: Exchange, match: Match, caller: Caller) -> None:
        shape = client_shape(match.surface.dialect, exchange.headers)
        await exchange.answer(200, encode(await self.serving.catalog.listed(shape, caller)))

    async def _list_for_cursor(self, exchange: Exchange, match: Match, caller: Caller) -> None:
        await exchange.answer(200, encode(await self.serving.cursor_catalog.listed_for_cursor(caller)))

    async def _model(self, exchange: Exchange, match: Match, caller: Caller) -> None:
        shape = client_shape(match.surface.dialect, exchange.headers)
        entry = await self.serving.catalog.one(match.value, shape, caller)
        if entry is None:
            failure = Failure("not_found", f"model {match.value!r} is not known here", code="model_not_found")
            await self._refuse(exchange, shape, failure)
            return
        await exchange.answer(200, encode(entry))

    async def _stored_response(self, exchange: Exchange, match: Match, caller: Caller) -> None:
        await self._remembered.recall(caller.owner, match.value)
        stored = self._remembered.get(caller.owner, match.value)
        if stored is None:
            await self._refuse_response(exchange, match)
            return
        await exchange.answer(200, encode(stored))

    async def _forget_response(self, exchange: Exchange, match: Match, caller: Caller) -> None:
        await self._remembered.recall(caller.owner, match.value)
        if not self._remembered.delete(caller.owner, match.value):
            await self._refuse_response(exchange, match)
            return
        await exchange.answer(200, encode({"id": match.value, "object": "response", "deleted": True}))

    async def _refuse_response(self, exchange: Exchange, match: Match) -> None:
        failure = Failure("not_found", f"Response with id '{match.value}' not found.", code="not_found")
        await self._refuse(exchange, match.surface.dialect, failure)

    async def _websocket(self, exchange: Exchange, match: Match, caller: Caller) -> None:
        """Codex tries a WebSocket first; 426 is the one answer after which it uses HTTP at once."""
        if exchange.headers.get("upgrade", "").lower() == "websocket":
            # Without "close" the server would go on to read frames as a request.
            await exchange.answer(426, _UPGRADE, [("upgrade", "HTTP/1.1"), ("connection", "close")])
            return
        await self._refuse_path(exchange, Unmatched(("POST",), match.surface.dialect))

    async def _info(self, exchange: Exchange, match: Match, caller: Caller) -> None:
        await exchange.answer(200, encode(self.serving.information.about()))

    async def _health(self, exchange: Exchange, match: Match, caller: Caller) -> None:
        await exchange.answer(200, encode(self.serving.information.health()))

    async def _hello(self, exchange: Exchange, match: Match, caller: Caller) -> None:
        await exchange.answer(200, b"{}")

    async def _ok(self, exchange: Exchange, match: Match, caller: Caller) -> None:
        await exchange.answer(200, b'{"status":"ok"}')

    async def _nothing(self, exchange: Exchange, match: Match, caller: Caller) -> None:
        await exchange.answer(204, b"")

    async def _ready(self, exchange: Exchange, match: Match, caller: Caller) -> None:
        missing = self._readiness.missing()
        await exchange.answer(503 if missing else 200, encode({"ready": not missing, "missing": missing}))

    # ------------------------------------------------------------ refusals

    async def _refuse_path(self, exchange: Exchange, found: Unmatched) -> None:
        path = tidy(exchange.scope["path"])
        dialect = error_dialect(path, found, exchange.headers)
        if dialect == "anthropic":
            exchange.add_header("request-id", exchange.request_id)
        method = exchange.scope["method"]
        if found.allowed:
            failure = Failure("invalid_request", f"{method} is not allowed here", status=405, code="method_not_allowed")
            allowed = [*found.allowed, *(("HEAD",) if "GET" in found.allowed else ()), "OPTIONS"]
            await self._refuse(exchange, dialect, failure, [("allow", ", ".join(allowed))])
            return
        # Never "model_not_found": Codex takes that for the end of the matter.
        failure = Failure("not_found", f"there is no {method} {path[:200]}", code="not_found")
        await self._refuse(exchange, dialect, failure)

    async def _refuse(
        self, exchange: Exchange, dialect: str, failure: Failure, headers: list[tuple[str, str]] | None = None
    ) -> None:
        status, body = DIALECTS[dialect].write_failure(failure, exchange.request_id)
        lines = list(headers or [])
        if failure.kind == "authentication":
            lines.append(("www-authenticate", "Bearer"))
        if failure.retry_after:
            lines.append(("retry-after", str(int(failure.retry_after))))
        await exchange.answer(status, encode(body), lines)

    def _allow_origin(self, exchange: Exchange) -> None:
        origin = exchange.headers.get("origin") if self._cors else None
        if not origin or not (origin in self._cors or "*" in self._cors):
            return
        exchange.add_header("access-control-allow-origin", "*" if "*" in self._cors else origin)
        exchange.add_header("vary", "origin")
        exchange.add_header("access-control-expose-headers", "x-request-id, request-id, retry-after, x-should-retry")
        if exchange.scope["method"] == "OPTIONS":
            exchange.add_header("access-control-allow-methods", "GET, POST, DELETE, OPTIONS")
            exchange.add_header("access-control-allow-headers", "*, authorization")
            exchange.add_header("access-control-max-age", "86400")

    # ------------------------------------------------------------ start and stop

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            for hook in self._on_start:
                await hook()
        except Exception as error:
            _log.error("start failed", exc_info=error)
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        for hook in self._on_stop:
            await hook()
        await send({"type": "lifespan.shutdown.complete"})


def with_model(body: bytes, model: str) -> bytes:
    """The body with the model that the path names; one that is no JSON object as it came, for the relay to refuse."""
    try:
        return replaced(body, "model", encode(model))
    except (ValueError, RecursionError):
        return body


def error_dialect(path: str, found: Unmatched, headers: dict[str, str]) -> str:
    """The dialect in which a client that asked for an unknown path understands no."""
    if found.dialect:
        return found.dialect
    if path.startswith("/v1beta"):
        return GEMINI
    if "anthropic-version" in headers or path.startswith("/v1/messages"):
        return "anthropic"
    if path.startswith("/v1/models/") and "x-goog-api-key" in headers:
        return GEMINI
    return CHAT


__all__ = ["Gateway", "Message"]
