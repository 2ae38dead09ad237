"""Signing in and out of the admin's page by JSON.

The page itself comes with the screens.
"""

from __future__ import annotations

from dragoman.web.attempts import TooManyAttempts
from dragoman.web.legacy.answers import Answer, Refused
from dragoman.web.legacy.asked import Asked
from dragoman.web.legacy.office import Office
from dragoman.web.sessions import COOKIE, LIFETIME
from dragoman.web.signin import same_origin


async def log_in(office: Office, asked: Asked) -> Answer:
    """``{username, password}`` → a cookie for a day."""
    _check_origin(asked)
    username, password = asked.said.get("username"), asked.said.get("password")
    if not (isinstance(username, str) and username and isinstance(password, str) and password):
        raise Refused(400, "username and password are needed")
    if not office.login.offered:
        raise Refused(403, "no admin password is set, or it is a known default: set ADMIN_PASSWORD")
    office.signin.attempts.guess(asked.address)
    try:
        caller = await office.login.caller(username, password)
    except TooManyAttempts:
        office.signin.attempts.forgive(asked.address)
        raise
    if caller is None:
        raise Refused(401, "wrong user name or password")
    office.signin.attempts.forgive(asked.address)
    token = await office.signin.sessions.start(caller)
    return Answer({"success": True, "message": "signed in"}, headers=[("set-cookie", _cookie(token, LIFETIME, asked))])


async def log_out(office: Office, asked: Asked) -> Answer:
    """The cookie opens nothing any more."""
    _check_origin(asked)
    await office.signin.sessions.end(asked.headers.get("cookie", ""))
    return Answer({"success": True, "message": "signed out"}, headers=[("set-cookie", _cookie("", 0, asked))])


def _check_origin(asked: Asked) -> None:
    """A browser says where it comes from; what says nothing is none."""
    if asked.headers.keys() & {"origin", "sec-fetch-site"} and not same_origin(asked.headers):
        raise Refused(403, "a page of another origin may not do this")


def _cookie(value: str, seconds: int, asked: Asked) -> str:
    secure = "; Secure" if asked.secure or asked.headers.get("x-forwarded-proto", "").lower() == "https" else ""
    return f"{COOKIE}={value}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict{secure}"
