"""Estimates of prompts that come true: how far ours are from what providers report, model by model.

Two are corrected: counts by vocabulary, which answer ``count_tokens`` (trap U10), and guesses by size,
which cost nothing and fill a stream's first usage (trap U06). Counting costs time and memory, so it is
learnt only for models somebody counts for, and ever more rarely. It must not know dialects or providers.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from dragoman.language.ir import Media, Opaque, Request, ToolResult, Usage
from dragoman.language.tokens import Correction, count_request
from dragoman.language.tokens.correction import family
from dragoman.language.tokens.media import media_tokens

EAGER, SELDOM = 16, 8
"""How many calls of a model are learnt from one by one, and every how many later on."""

_REMEMBERED = 1_000


class Estimates:
    """What was learnt by this process."""

    def __init__(self) -> None:
        self._counts = Correction()
        self._sizes = Correction(lambda model: 1.0)
        self._calls: OrderedDict[str, int] = OrderedDict()

    def counted(self, model: str, tokens: int) -> int:
        """A count by vocabulary, corrected. From now on reports of the model are learnt from."""
        self._calls[model] = self._calls.pop(model, 0)
        while len(self._calls) > _REMEMBERED:
            self._calls.popitem(last=False)
        return self._counts.corrected(model, tokens)

    def sized(self, model: str, tokens: int) -> int:
        """A guess by size, corrected; at least 1."""
        return max(1, self._sizes.corrected(model, tokens))

    def learn(self, model: str, request: Request, guess: int, usage: Usage) -> None:
        """Take in what a provider reported for a request of which ``guess`` is the uncorrected guess by size."""
        if usage.estimated or usage.input is None or not is_telling(request):
            return
        self._sizes.learn(model, guess, usage.prompt)
        calls = self._calls.get(model)
        if calls is None:
            return
        self._calls[model] = calls + 1
        if calls < EAGER or calls % SELDOM == 0:
            asyncio.get_running_loop().run_in_executor(None, self._learn_count, model, request, usage.prompt)

    def _learn_count(self, model: str, request: Request, reported: int) -> None:
        self._counts.learn(model, count_request(request, model), reported)


def inline_media(request: Request, model: str) -> tuple[int, int]:
    """What lies in a body that is no words: how many bytes of it, and the tokens those come to."""
    size = tokens = 0
    for message in request.messages:
        for part in message.parts:
            for piece in part.content if isinstance(part, ToolResult) else (part,):
                if isinstance(piece, Media) and piece.source == "base64":
                    size += len(piece.value)
                    tokens += media_tokens(piece, family(model))
    return size, tokens


def is_telling(request: Request) -> bool:
    """Whether a prompt is words alone: media and what only an owner reads have prices of their own."""
    if request.previous or any(isinstance(tool, Opaque) for tool in request.tools):
        return False
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, Media | Opaque):
                return False
            if isinstance(part, ToolResult) and any(isinstance(piece, Media | Opaque) for piece in part.content):
                return False
    return bool(request.messages)
