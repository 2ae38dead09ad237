"""The OpenAI Responses dialect: what Codex and the OpenAI SDKs speak, and what OpenAI, Azure and many others answer.

Requests are lists of items, answers too; both halves share ``items``. This package must not know
providers' addresses nor what other dialects look like.

Wire: https://platform.openai.com/docs/api-reference/responses
"""

from dragoman.language.dialects.openai_responses.answers import read_response, write_response
from dragoman.language.dialects.openai_responses.failures import read_failure, write_failure
from dragoman.language.dialects.openai_responses.fields import NAME
from dragoman.language.dialects.openai_responses.reader import StreamReader
from dragoman.language.dialects.openai_responses.requests import read_request, write_request
from dragoman.language.dialects.openai_responses.writer import StreamWriter

__all__ = [
    "NAME",
    "StreamReader",
    "StreamWriter",
    "read_failure",
    "read_request",
    "read_response",
    "write_failure",
    "write_request",
    "write_response",
]
