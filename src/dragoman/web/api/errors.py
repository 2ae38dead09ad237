"""How the management API says no: ``{"error": {"code", "message", "details"}}``, always JSON.

``code`` is for programs and never changes its meaning; ``message`` is one sentence for people;
``details`` lists the fields at fault. It must not know resources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dragoman.observe.logs import get_logger
from dragoman.store.accounts.errors import AccountError, Missing, Taken
from dragoman.store.database import StoreUnavailable
from dragoman.web.api.permissions import methods_of
from dragoman.web.attempts import TooManyAttempts
from dragoman.web.signin import ForeignOrigin, NotSignedIn

_log = get_logger("web")
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


class ApiError(Exception):
    """An answer other than the one that was asked for."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = list(details)
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The JSON of the answer."""
        return {"error": {"code": self.code, "message": self.message, "details": self.details}}

    def answer(self) -> JSONResponse:
        """The answer."""
        return JSONResponse(self.body(), self.status, self.headers)


def not_found(what: str) -> ApiError:
    """What was asked for is not there, or is not the caller's to know of."""
    return ApiError(404, "not_found", f"there is no such {what}")


def forbidden(message: str, code: str = "forbidden") -> ApiError:
    """The caller is known and may not do this."""
    return ApiError(403, code, message)


def invalid(field: str, problem: str) -> ApiError:
    """One field cannot be what it is."""
    return ApiError(400, "invalid_request", f"{field}: {problem}", [{"field": field, "problem": problem}])


def signed_out(error: NotSignedIn | ForeignOrigin) -> ApiError:
    """Nobody we know, or somebody's cookie in a foreign page's hands."""
    if isinstance(error, ForeignOrigin):
        return forbidden("a page of another origin may not use this sign-in", "foreign_origin")
    return ApiError(401, "invalid_api_key", str(error), headers={"www-authenticate": "Bearer"})


def too_many(error: TooManyAttempts) -> ApiError:
    """Too many guesses."""
    return ApiError(
        429, "too_many_attempts", "too many failed attempts: wait", headers={"retry-after": str(error.retry_after)}
    )


async def _defect(request: Request, error: Exception) -> JSONResponse:
    """Our own fault; what it was stays in the log, where whoever serves the application writes it."""
    return ApiError(500, "internal_error", "internal error").answer()


def answer_errors(app: FastAPI) -> None:
    """Let every error of the application be told in the one shape."""
    app.add_exception_handler(ApiError, _told)
    app.add_exception_handler(AccountError, _of_accounts)
    app.add_exception_handler(RequestValidationError, _misformed)
    app.add_exception_handler(HTTPException, _of_framework)
    app.add_exception_handler(StoreUnavailable, _no_store)
    app.add_exception_handler(Exception, _defect)


async def _told(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return error.answer()


async def _of_accounts(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, AccountError)
    status, code = (404, "not_found") if isinstance(error, Missing) else (400, "invalid_request")
    if isinstance(error, Taken):
        status, code = 409, "conflict"
    problem = {"field": error.field, "problem": str(error)}
    return ApiError(status, code, f"{error.field}: {error}", [problem]).answer()


async def _misformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    if any(problem["loc"][0] == "path" for problem in problems):
        return not_found("object").answer()
    # Neither input nor context of a problem is told: they may hold secrets.
    details = [{"field": _field(problem["loc"]), "problem": plain(problem["msg"])} for problem in problems]
    first = f"{details[0]['field']}: {details[0]['problem']}" if details else "the request cannot be read"
    return ApiError(400, "invalid_request", first, details).answer()


def plain(problem: str) -> str:
    """What validation says, without what only its programmers know."""
    return problem.removeprefix("Value error, ")


def _field(place: Sequence[Any]) -> str:
    return ".".join(map(str, place[1:])) or str(place[0])


async def _of_framework(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "invalid_request")
    headers = dict(error.headers or {})
    if error.status_code == 405:  # the framework names the methods of its first route only
        headers["allow"] = ", ".join(methods_of(request.scope["path"]))
    return ApiError(error.status_code, code, str(error.detail), headers=headers).answer()


async def _no_store(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StoreUnavailable)
    return no_store(error).answer()


def no_store(error: StoreUnavailable) -> ApiError:
    """The database is away, or gave up."""
    _log.error("store unavailable", exc_info=error)
    message = "the database cannot do this now: nothing was done"
    if error.uncertain:
        message = "the database was lost in the middle: look whether it was done, or use an Idempotency-Key"
    return ApiError(503, "store_unavailable", message, headers={"retry-after": "2"})
