"""The branches of the configuration that are about the house itself: its logs, its name, its keeper.

It must not know providers or models.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from dragoman.settings.parts import Part, Secret, check_secret, check_unguessed
from dragoman.settings.scalars import Flag, Size, Whole


class LogSettings(Part):
    """``level`` is a standard level name in upper case; ``json_lines`` is None for: unless a terminal.

    ``file`` gets text, ``json_file`` one JSON object per line; either may hold strftime codes, and both
    are closed at local midnight. ``pattern`` (strftime) names closed text files; ``backup_count`` of
    them stay, 0 keeps all. ``max_bytes`` closes a file early. ``bodies`` lets bodies into debug lines.
    """

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = "INFO"
    json_lines: Flag | None = None
    bodies: Flag = False
    file: str = ""
    pattern: str = ""
    backup_count: Whole = Field(default=7, ge=0)
    max_bytes: Size | None = None
    json_file: str = ""


class AboutSettings(Part):
    """What ``GET /`` says. ``version`` is empty for our own; ``status`` is the word for being well."""

    name: str = Field(default="AnthropicProxy", min_length=1)
    version: str = ""
    status: str = "ok"


class AdminSettings(Part):
    """Who keeps the house. Without ``key`` and ``password`` the first start makes ``init_user`` with ``init_token``."""

    key: Secret | None = None
    username: str = "admin"
    password: Secret | None = None
    init_user: str = Field(default="root", min_length=1)
    init_token: Secret | None = None

    @field_validator("key")
    @classmethod
    def _key(cls, value: Secret | None) -> Secret | None:
        return check_unguessed(value, 16)

    @field_validator("init_token")
    @classmethod
    def _init_token(cls, value: Secret | None) -> Secret | None:
        return check_unguessed(value, 8)

    @field_validator("password")
    @classmethod
    def _password(cls, value: Secret | None) -> Secret | None:
        return check_secret(value)  # an example is none: signing in with it is refused, and the gateway serves


class SmtpSettings(Part):
    """Where mail is handed over; without ``server`` none is sent."""

    server: str = ""
    port: Whole = Field(default=465, ge=1, le=65535)
    user: str = ""
    password: Secret | None = None
    use_ssl: Flag = True

    @field_validator("password")
    @classmethod
    def _password(cls, value: Secret | None) -> Secret | None:
        return check_secret(value)


class InitUser(Part):
    """A user that is created at the start, or whose token is brought up to date."""

    username: str = Field(min_length=1)
    token: Secret

    @field_validator("token")
    @classmethod
    def _token(cls, value: Secret) -> Secret:
        check_secret(value)
        return value
