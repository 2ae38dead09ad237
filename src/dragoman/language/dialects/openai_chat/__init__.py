"""OpenAI Chat Completions, both halves of the wire: as a client speaks it, as a provider does.

Wire: https://platform.openai.com/docs/api-reference/chat and what a few dozen vendors made of it.
This package must not know any provider's address. It knows one other dialect by name: a body of
Responses shape that arrives on the chat path is read by that dialect's reader.
"""

from dragoman.language.dialects.openai_chat.answers import read_response, write_response
from dragoman.language.dialects.openai_chat.bodies import write_request
from dragoman.language.dialects.openai_chat.failures import read_failure, write_failure
from dragoman.language.dialects.openai_chat.fields import NAME
from dragoman.language.dialects.openai_chat.reader import StreamReader
from dragoman.language.dialects.openai_chat.requests import read_request
from dragoman.language.dialects.openai_chat.writer import StreamWriter

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
