"""Function arguments that arrive as values at JSON paths, put together to one document (V05).

This module must not know events.

Wire: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling#streaming-fc
"""

from __future__ import annotations

from typing import Any

from dragoman.language.dialects.gemini.spelling import as_list
from dragoman.language.ir import Json
from dragoman.language.wire import encode

_MAX_GAP = 1000
"""How far past the end of a list a path may point: a longer gap is a mistake, and filling it costs memory."""

Step = str | int


class PartialArguments:
    """A document that grows by pieces such as ``{"jsonPath": "$.a[0].b", "stringValue": "x"}``."""

    def __init__(self, start: Json = None) -> None:
        self._document: dict[str, Json] = dict(start) if isinstance(start, dict) else {}
        self._strings: dict[str, tuple[Any, Step, list[str]]] = {}

    def add(self, pieces: Json) -> None:
        """Take the pieces of one chunk."""
        for piece in as_list(pieces):
            if isinstance(piece, dict) and isinstance(piece.get("jsonPath"), str):
                self._piece(piece["jsonPath"], piece)

    def _piece(self, path: str, piece: dict[str, Json]) -> None:
        text = piece.get("stringValue")
        if path in self._strings:
            if isinstance(text, str):
                self._strings[path][2].append(text)
            if not piece.get("willContinue"):
                self._settle(path)
            return
        place = self._place(_steps(path))
        if place is None:
            return
        holder, step = place
        if isinstance(text, str):
            holder[step] = text
            if piece.get("willContinue"):
                self._strings[path] = (holder, step, [text])
        elif "numberValue" in piece:
            holder[step] = _plain_number(piece["numberValue"])
        elif "boolValue" in piece:
            holder[step] = piece["boolValue"]
        elif "nullValue" in piece:
            holder[step] = None

    def _settle(self, path: str) -> None:
        holder, step, pieces = self._strings.pop(path)
        holder[step] = "".join(pieces)

    def _place(self, steps: list[Step]) -> tuple[Any, Step] | None:
        """The holder of the value and its key there; holders on the way are made."""
        if not steps or not isinstance(steps[0], str):
            return None
        holder: Any = self._document
        for step, below in zip(steps, [*steps[1:], None], strict=True):
            if isinstance(step, int) != isinstance(holder, list):
                return None
            if isinstance(step, int):
                if step > len(holder) + _MAX_GAP:
                    return None
                holder.extend([None] * (step + 1 - len(holder)))
                value = holder[step]
            else:
                value = holder.get(step)
            if below is None:
                return holder, step
            if not isinstance(value, dict | list):
                value = [] if isinstance(below, int) else {}
                holder[step] = value
            holder = value
        return None

    def text(self, *, cut: bool = False) -> str:
        """The document as JSON text; a ``cut`` one is left open, so that nobody takes it for whole (S15)."""
        for path in list(self._strings):
            self._settle(path)
        text = encode(self._document).decode()
        return text.rstrip('"]}') if cut else text


def _plain_number(value: Json) -> Json:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 2**53 else value


def _steps(path: str) -> list[Step]:
    """``$.a[0]['b c']`` as ``["a", 0, "b c"]``; empty when it is no such path."""
    steps: list[Step] = []
    at = 1 if path.startswith("$") else 0
    while at < len(path):
        if path[at] == "[":
            end = path.find("]", at)
            quote = path[at + 1 : at + 2]
            if quote in ("'", '"'):
                end = path.find(f"{quote}]", at + 2) + 1
            if end <= at:
                return []
            inner = path[at + 1 : end]
            if quote in ("'", '"'):
                steps.append(inner[1:-1])
            elif inner.isdigit():
                steps.append(int(inner))
            else:
                return []
            at = end + 1
        else:
            at += path[at] == "."
            end = min((found for found in (path.find(".", at), path.find("[", at)) if found >= 0), default=len(path))
            if end == at:
                return []
            steps.append(path[at:end])
            at = end
    return steps
