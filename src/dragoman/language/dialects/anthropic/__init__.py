"""Anthropic Messages, both halves of the wire: as a client speaks it, as a provider does.

Wire: https://platform.claude.com/docs/en/api/messages, .../build-with-claude/streaming and
.../api/errors. This package must not know any other dialect nor any provider's address.
"""

from dragoman.language.dialects.anthropic.answers import read_response, write_response
from dragoman.language.dialects.anthropic.bodies import write_request
from dragoman.language.dialects.anthropic.failures import read_failure, write_failure
from dragoman.language.dialects.anthropic.fields import NAME
from dragoman.language.dialects.anthropic.reader import StreamReader
from dragoman.language.dialects.anthropic.requests import read_request
from dragoman.language.dialects.anthropic.writer import StreamWriter

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
