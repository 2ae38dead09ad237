"""The Gemini ``generateContent`` dialect, as clients speak it and as AI Studio and Vertex AI do.

It must not know any other dialect, nor where a provider is reached: the model and the choice between
stream and body stand in the URL and are given by the caller.

Wire: https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

from dragoman.language.dialects.gemini.errors import read_failure, write_failure
from dragoman.language.dialects.gemini.reading import StreamReader, read_response
from dragoman.language.dialects.gemini.requests import read_request, write_request
from dragoman.language.dialects.gemini.spelling import NAME
from dragoman.language.dialects.gemini.writing import StreamWriter, write_response

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
