"""What pictures, documents and sounds cost: read from their size, never from the length of their base64.

Only the first bytes of a picture are decoded. It must not know who sent them, nor fetch anything.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable

from dragoman.language.ir import Media

LEAST, MOST = 85, 2_000
"""Tokens of one picture, whatever its size."""

UNSEEN_PICTURE = 765
"""A picture whose size cannot be read (a URL, a file id): 1024 × 1024 pixels in tiles."""

_HEAD = 262_144
"""Base64 characters decoded to find a picture's size."""

_BYTES_PER_PAGE = 60_000
_PAGE_TOKENS = {"claude": 2_000, "gemini": 258}
_PAGE_TOKENS_ELSE = 800
_PAGE = re.compile(rb"/Type\s*/Page(?![a-zA-Z])")
_DOCUMENT_HEAD = 8_000_000
_SOUND_BYTES_PER_TOKEN = 1_600
_FILM_BYTES_PER_TOKEN = 1_000
_UNSEEN = {"image": UNSEEN_PICTURE, "document": 1_500, "audio": 500, "video": 2_000}

Size = tuple[int, int]


def _decoded(text: str, limit: int) -> bytes:
    """Decode the beginning of base64 text; what cannot be decoded is empty."""
    head = text[:limit].replace("\n", "").replace("\r", "").replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return binascii.a2b_base64(head[: len(head) // 4 * 4])
    except (binascii.Error, ValueError):
        return b""


def _png(data: bytes) -> Size | None:
    return (int.from_bytes(data[16:20]), int.from_bytes(data[20:24])) if len(data) >= 24 else None


def _gif(data: bytes) -> Size | None:
    return (int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")) if len(data) >= 10 else None


def _jpeg(data: bytes) -> Size | None:
    at = 2
    while at + 9 <= len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            return int.from_bytes(data[at + 7 : at + 9]), int.from_bytes(data[at + 5 : at + 7])
        alone = marker == 0xFF or marker == 0x01 or 0xD0 <= marker <= 0xD9
        at += (1 if marker == 0xFF else 2) if alone else 2 + max(2, int.from_bytes(data[at + 2 : at + 4]))
    return None


def _webp(data: bytes) -> Size | None:
    if len(data) < 30:
        return None
    form = data[12:16]
    if form == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if form == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF


_READERS: tuple[tuple[bytes, Callable[[bytes], Size | None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", _png),
    (b"GIF8", _gif),
    (b"\xff\xd8", _jpeg),
    (b"RIFF", _webp),
)


def picture_size(base64_text: str) -> Size | None:
    """Return width and height of a PNG, JPEG, GIF or WebP, or nothing when its head does not say."""
    for limit in (1_024, _HEAD):
        data = _decoded(base64_text, limit)
        for magic, read in _READERS:
            if data.startswith(magic) and (size := read(data)) and all(size):
                return size
        if len(base64_text) <= limit:
            break
    return None


def picture_tokens(width: int, height: int, family: str = "") -> int:
    """Return what a picture of that size costs: by area, or by tiles of 512 or 768 pixels."""
    longest, shortest = max(width, height), max(1, min(width, height))
    if family == "claude":
        scale = min(1.0, 1568 / longest)
        tokens = width * height * scale * scale / 750
    elif family == "gemini":
        tokens = 258 if longest <= 384 else 258 * math.ceil(width / 768) * math.ceil(height / 768)
    else:
        scale = min(1.0, 2048 / longest)
        scale *= min(1.0, 768 / max(1.0, shortest * scale))
        tokens = 85 + 170 * math.ceil(width * scale / 512) * math.ceil(height * scale / 512)
    return max(LEAST, min(MOST, math.ceil(tokens)))


def document_tokens(base64_text: str, family: str = "") -> int:
    """Estimate a document by its pages, or by its size when its pages cannot be seen."""
    size = len(base64_text) * 3 // 4
    pages = len(_PAGE.findall(_decoded(base64_text, _DOCUMENT_HEAD))) or math.ceil(size / _BYTES_PER_PAGE)
    return max(1, pages) * _PAGE_TOKENS.get(family, _PAGE_TOKENS_ELSE)


def media_tokens(media: Media, family: str = "") -> int:
    """Return what a medium that is not plain text costs."""
    if media.source != "base64":
        return _UNSEEN[media.kind]
    if media.kind == "image":
        size = picture_size(media.value)
        return picture_tokens(*size, family) if size else UNSEEN_PICTURE
    if media.kind == "document":
        return document_tokens(media.value, family)
    per_token = _SOUND_BYTES_PER_TOKEN if media.kind == "audio" else _FILM_BYTES_PER_TOKEN
    return max(1, len(media.value) * 3 // 4 // per_token)
