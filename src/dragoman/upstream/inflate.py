"""Undoing a compression nobody asked for, in small bounded pieces.

We ask for ``identity``; some services compress all the same. Output comes at most ``PIECE`` bytes at a
time, so a bomb costs time and not memory; whoever reads a whole body bounds the sum.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

PIECE = 128 * 1024
"""Most bytes that come out in one piece."""


class UndecodableAnswer(ValueError):
    """The encoding is not known, or the bytes do not follow it."""


class Inflater:
    """Decodes ``gzip`` and ``deflate``. Raises UndecodableAnswer for any other encoding."""

    def __init__(self, encoding: str) -> None:
        if encoding in ("gzip", "x-gzip"):
            self._bits = 16 + zlib.MAX_WBITS
        elif encoding == "deflate":
            self._bits = zlib.MAX_WBITS
        else:
            raise UndecodableAnswer("the answer is compressed in a way that was not asked for")
        self._encoding = encoding
        self._stream = zlib.decompressobj(self._bits)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decoded pieces of the data."""
        while data:
            try:
                piece = self._stream.decompress(data, PIECE)
            except zlib.error as error:
                raise UndecodableAnswer("the answer's compression is broken") from error
            data = self._stream.unconsumed_tail
            if self._stream.eof:
                # gzip allows several members one after the other.
                data = self._stream.unused_data
                self._stream = zlib.decompressobj(self._bits)
            if piece:
                yield piece
