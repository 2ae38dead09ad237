"""Pictures are counted by their pixels, documents by their pages, and never by the length of their base64."""

from __future__ import annotations

import base64
import struct
import zlib

import pytest

from dragoman.language.ir import Media, Message, Request, Text, ToolResult
from dragoman.language.tokens import count_request, media


def png(width: int, height: int, padding: int = 0) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", len(head)) + b"IHDR" + head + struct.pack(">I", zlib.crc32(b"IHDR" + head))
    return b"\x89PNG\r\n\x1a\n" + chunk + b"\x5a" * padding


def jpeg(width: int, height: int, metadata: int = 0) -> bytes:
    exif = b""
    while metadata > 0:
        size = min(metadata, 65_000)
        exif += b"\xff\xe1" + struct.pack(">H", size + 2) + b"\x00" * size
        metadata -= size
    return b"\xff\xd8" + exif + b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + b"\x00" * 20


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x00" * 20


def webp(form: bytes, width: int, height: int) -> bytes:
    body = {
        b"VP8X": b"\x00" * 8 + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little"),
        b"VP8L": b"\x00" * 4 + b"\x2f" + ((width - 1) | (height - 1) << 14).to_bytes(4, "little") + b"\x00" * 8,
        b"VP8 ": b"\x00" * 4 + b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width, height),
    }[form]
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + form + body + b"\x00" * 20


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    "data",
    [
        png(640, 480),
        jpeg(640, 480),
        jpeg(640, 480, metadata=150_000),
        gif(640, 480),
        webp(b"VP8X", 640, 480),
        webp(b"VP8L", 640, 480),
        webp(b"VP8 ", 640, 480),
    ],
)
def test_size_is_read(data: bytes) -> None:
    assert media.picture_size(encoded(data)) == (640, 480)


@pytest.mark.parametrize("text", ["", "!!!!", "AAAA", encoded(b"RIFF"), encoded(b"\xff\xd8\xff"), encoded(png(0, 5))])
def test_an_unreadable_picture_has_no_size(text: str) -> None:
    assert media.picture_size(text) is None


@pytest.mark.parametrize(
    ("width", "height", "family", "tokens"),
    [
        (1024, 1024, "", 765),
        (2048, 4096, "", 1105),
        (1, 1, "", 255),
        (1000, 1000, "claude", 1334),
        (10, 10, "claude", 85),
        (300, 300, "gemini", 258),
        (1600, 700, "gemini", 774),
        (50_000, 50_000, "gemini", 2000),
    ],
)
def test_tokens_by_pixels(width: int, height: int, family: str, tokens: int) -> None:
    assert media.picture_tokens(width, height, family) == tokens


@pytest.mark.parametrize("model", ["gpt-5.2", "claude-sonnet-5", "gemini-2.5-pro", "qwen3"])
def test_a_picture_of_a_megabyte_costs_at_most_2000(model: str) -> None:
    picture = Media("image", "base64", encoded(png(4000, 3000, padding=1_048_576)), "image/png")
    without = Request("anthropic", model, [Message("user", [Text("What is this?")])])
    with_one = Request("anthropic", model, [Message("user", [Text("What is this?"), picture])])
    inside = Request("anthropic", model, [Message("user", [Text("What is this?")]), _result(picture)])
    assert 85 <= count_request(with_one) - count_request(without) <= 2000
    assert 85 <= count_request(inside) - count_request(without) <= 2030


def _result(picture: Media) -> Message:
    return Message("tool", [ToolResult("call_1", [picture])])


def test_a_picture_elsewhere_has_a_fixed_price() -> None:
    assert media.media_tokens(Media("image", "url", "https://example.org/a.png")) == media.UNSEEN_PICTURE


def test_a_document_is_counted_by_pages() -> None:
    pages = b"%PDF-1.4\n" + b"1 0 obj << /Type /Pages /Count 3 >>\n" + b"2 0 obj << /Type /Page /Parent 1 0 R >>\n" * 3
    assert media.document_tokens(encoded(pages)) == 3 * 800
    assert media.document_tokens(encoded(pages), "gemini") == 3 * 258


def test_a_document_without_visible_pages_is_counted_by_size() -> None:
    assert media.document_tokens(encoded(b"%PDF-1.7" + b"\x00" * 600_000)) == 11 * 800
    assert media.document_tokens("") == 800
