"""Changing one top-level field of a JSON object in its bytes, leaving every other byte alone.

The short cut of same-dialect traffic lives by it: numbers above 2^53, unknown fields, escapes, key
order and blanks reach the other side as they were sent. This module must not know any dialect's fields.

All functions expect bytes that decode to a JSON object. A repeated key is changed everywhere it
stands, because readers disagree about which one counts.
"""

from __future__ import annotations

import re

import orjson

from dragoman.language.wire import decode

Span = tuple[int, int]
"""First byte and the byte after the last."""

_BLANKS = b" \t\r\n"
_BEFORE_KEY = (b"{", b",", b" ", b"\t", b"\r", b"\n")
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]:,]', re.DOTALL)
_SCALAR = re.compile(rb'"(?:[^"\\]|\\.)*"|[^\s,}\]]+', re.DOTALL)
_MAX_CANDIDATES = 8


def value_spans(body: bytes, key: str) -> list[Span]:
    """Where the values of the top-level key stand, in order; empty when the object has no such key."""
    # A key may be spelt with escaped letters; then only reading every token finds it.
    escaped = b"\\u006" in body or b"\\u007" in body
    candidates = None if escaped else _candidates(body, key)
    if candidates is None:
        return _scanned_spans(body, key)
    return [_value_span(body, at, key) for at in candidates if _is_top_level(body, at)]


def replaced(body: bytes, key: str, value: bytes) -> bytes:
    """The body with the top-level key's value replaced by JSON text, the key added in front when it is absent."""
    spans = value_spans(body, key)
    if not spans:
        return inserted(body, key, value)
    for start, end in reversed(spans):
        body = body[:start] + value + body[end:]
    return body


def replaced_at(body: bytes, path: tuple[str, ...], value: bytes) -> bytes:
    """The body with the value at a path of keys replaced, or the same body where nothing stands there."""
    key, *rest = path
    for start, end in reversed(value_spans(body, key)):
        if not rest:
            body = body[:start] + value + body[end:]
        elif body[start : start + 1] == b"{":
            body = body[:start] + replaced_at(body[start:end], tuple(rest), value) + body[end:]
    return body


def inserted(body: bytes, key: str, value: bytes) -> bytes:
    """The body with a field added in front of the others. The key must be absent."""
    brace = body.index(b"{") + 1
    empty = body[brace:].lstrip(_BLANKS).startswith(b"}")
    return body[:brace] + orjson.dumps(key) + b":" + value + (b"" if empty else b",") + body[brace:]


def _candidates(body: bytes, key: str) -> list[int] | None:
    """Positions where the key's plain spelling stands as a key at some depth; None when there are many."""
    token = orjson.dumps(key)
    found: list[int] = []
    at = body.find(token)
    while at >= 0:
        after = at + len(token)
        if body[at - 1 : at] in _BEFORE_KEY and body[after : after + 64].lstrip(_BLANKS)[:1] == b":":
            found.append(at)
            if len(found) > _MAX_CANDIDATES:
                return None
        at = body.find(token, after)
    return found


def _is_top_level(body: bytes, at: int) -> bool:
    """Whether the key at this position belongs to the outermost object: what precedes it then closes to one."""
    try:
        return isinstance(decode(body[:at] + b'"":0}'), dict)
    except ValueError:
        return False


def _value_span(body: bytes, at: int, key: str) -> Span:
    """Span of the value whose plain key stands at this position."""
    return _span_from(body, body.index(b":", at + len(orjson.dumps(key))) + 1)


def _span_from(body: bytes, start: int) -> Span:
    """Span of the value that starts here, blanks before it skipped."""
    while body[start : start + 1] in (b" ", b"\t", b"\r", b"\n"):
        start += 1
    if body[start : start + 1] not in (b"{", b"["):
        scalar = _SCALAR.match(body, start)
        return start, scalar.end() if scalar else start
    depth = 0
    for token in _TOKEN.finditer(body, start):
        if token[0] in (b"{", b"["):
            depth += 1
        elif token[0] in (b"}", b"]"):
            depth -= 1
            if depth == 0:
                return start, token.end()
    return start, len(body)


def _scanned_spans(body: bytes, key: str) -> list[Span]:
    """The same by reading every token: for escaped spellings and bodies full of the word."""
    spans: list[Span] = []
    depth = 0
    before = b""
    for token in _TOKEN.finditer(body):
        text = token[0]
        if text in (b"{", b"["):
            depth += 1
        elif text in (b"}", b"]"):
            depth -= 1
        elif text == b":" and depth == 1 and decode(before) == key:
            spans.append(_span_from(body, token.end()))
        before = text
    return spans
