"""Serves the calls of the earlier proxies: path, who asks, parameters, call, answer.

Who may ask is the matched row's ``level`` alone. It must not know what the calls do.
"""

from __future__ import annotations

from collections.abc import Sequence

from dragoman.observe.logs import get_logger
from dragoman.store.accounts.errors import AccountError
from dragoman.store.accounts.model import ANONYMOUS, Caller
from dragoman.store.database import StoreUnavailable
from dragoman.web.api.grants import RESTRICTED, restricted
from dragoman.web.attempts import TooManyAttempts
from dragoman.web.exchange import BodyRoom, BodyTooLarge, ClientGone, Exchange, NoRoom, Receive, Scope, Send
from dragoman.web.legacy.answers import Answer, Refused, refusal, signed_out
from dragoman.web.legacy.asked import Asked
from dragoman.web.legacy.calls import ROWS
from dragoman.web.legacy.office import Office
from dragoman.web.legacy.parameters import read_json, read_parameters
from dragoman.web.legacy.rows import Found, Row, Rows
from dragoman.web.signin import SAFE_METHODS, ForeignOrigin, NotSignedIn
from dragoman.web.slowness import SlowBody, hurried
from dragoman.web.surfaces import tidy

BODY = 1024 * 1024
"""Bytes of a request's body at most."""

_log = get_logger("web")


class Legacy:
    """The ASGI application of the calls."""

    def __init__(self, office: Office, rows: Sequence[Row] = ROWS) -> None:
        self._office = office
        self._rows = Rows(rows)
        self._room = BodyRoom(each=BODY)

    def takes(self, path: str) -> bool:
        """Whether the (tidied) path is one of ours."""
        return self._rows.takes(path)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        exchange = Exchange(scope, hurried(receive), send)
        found = self._rows.find(scope["method"], tidy(scope["path"]))
        try:
            answer = await self._answered(exchange, found)
        except ClientGone:
            return
        except Refused as error:
            answer = refusal(error, plain=found.plain)
        except AccountError as error:
            answer = refusal(Refused(400, f"{error.field}: {error}"), plain=found.plain)
        except TooManyAttempts as error:
            wait = {"retry-after": str(error.retry_after)}
            answer = refusal(Refused(429, "too many failed attempts: wait", wait), plain=found.plain)
        except StoreUnavailable as error:
            _log.error("store unavailable", exc_info=error)
            unavailable = Refused(503, "the database cannot do this now", {"retry-after": "2"})
            answer = refusal(unavailable, plain=found.plain)
        except Exception as error:
            _log.error("defect", request_id=exchange.request_id, exc_info=error)
            answer = refusal(Refused(500, "internal error"), plain=found.plain)
        finally:
            self._room.give_back(exchange.held)
        await exchange.answer(answer.status, answer.data() if answer.body is not None else b"", answer.lines())

    async def _answered(self, exchange: Exchange, found: Found) -> Answer:
        if exchange.scope["method"] == "OPTIONS":
            return Answer(None, 204)
        row = found.row
        if row is None and not found.allowed:
            raise Refused(404, "not found")
        if row is None:
            allowed = ", ".join([*found.allowed, *(("HEAD",) if "GET" in found.allowed else ()), "OPTIONS"])
            raise Refused(405, "method not allowed", {"allow": allowed})
        caller = await self._caller(exchange, row)
        asked = Asked(
            caller=caller,
            said=await self._parameters(exchange, row),
            value=found.id,
            address=self._office.signin.address(exchange.scope, exchange.headers),
            headers=exchange.headers,
            secure=exchange.scope.get("scheme") == "https",
        )
        return await row.call(self._office, asked)

    async def _caller(self, exchange: Exchange, row: Row) -> Caller:
        if row.level in ("open", "self"):
            return ANONYMOUS
        try:
            caller = await self._office.signin.caller(exchange.scope, exchange.headers)
        except NotSignedIn as error:
            raise signed_out(shown=error.shown) from None
        except ForeignOrigin:
            raise Refused(403, "a page of another origin may not use this sign-in") from None
        if row.level == "admin" and caller.role != "admin":
            raise Refused(403, "this needs an admin credential")
        if row.level == "admin" and row.method not in SAFE_METHODS and restricted(caller):
            raise Refused(403, RESTRICTED)
        if row.level == "user" and caller.user_id is None:
            raise Refused(403, "this needs the key of a user")
        return caller

    async def _parameters(self, exchange: Exchange, row: Row) -> dict[str, object]:
        try:
            body = await exchange.body(self._room)
        except BodyTooLarge:
            raise Refused(413, f"the body is larger than {BODY} bytes", {"connection": "close"}) from None
        except SlowBody:
            raise Refused(408, "the body did not come in time", {"connection": "close"}) from None
        except NoRoom:
            raise Refused(503, "too many large requests at once", {"retry-after": "2"}) from None
        if row.level == "self":
            return read_json(body) if body.strip() else {}
        return read_parameters(exchange.scope["query_string"], exchange.headers.get("content-type", ""), body)
