"""The list of dialects, by name. To add one, follow the recipe in docs/ARCHITECTURE.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from dragoman.language.dialects import anthropic, gemini, openai_chat, openai_responses
from dragoman.language.failures import Failure
from dragoman.language.ir import Json, Request, Response
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile
from dragoman.language.streams import Asked, StreamReader, StreamWriter


class Dialect(Protocol):
    """The nine names of a dialect module; ``dragoman.language.dialects`` tells what each is for."""

    NAME: str

    def read_request(
        self, body: dict[str, Json], *, model: str | None = None, stream: bool | None = None
    ) -> Request: ...
    def write_request(self, request: Request, profile: Profile, receipt: Receipt) -> dict[str, Json]: ...
    def StreamReader(self) -> StreamReader: ...  # noqa: N802
    def StreamWriter(self, asked: Asked) -> StreamWriter: ...  # noqa: N802
    def read_response(self, body: dict[str, Json]) -> Response: ...
    def write_response(self, response: Response, asked: Asked) -> dict[str, Json]: ...
    def read_failure(self, status: int, headers: Mapping[str, str], body: bytes) -> Failure: ...
    def write_failure(self, failure: Failure, request_id: str = "") -> tuple[int, dict[str, Json]]: ...


DIALECTS: dict[str, Dialect] = {module.NAME: module for module in (anthropic, openai_chat, openai_responses, gemini)}
