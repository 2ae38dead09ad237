"""The vocabularies: loaded once, when first asked for, and checked by hash; counts of texts are remembered.

Counting a text must stay bounded whatever the text is: it is cut before it reaches the encoder, and
of a very large text only samples are counted. This module must not know what the text is part of.
"""

from __future__ import annotations

import re
import zlib
from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b, sha256
from importlib.resources import files
from threading import Lock

import tiktoken

_CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"

_PATTERNS = {
    "o200k_base": "|".join(
        [
            rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_CONTRACTIONS}",
            rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_CONTRACTIONS}",
            r"\p{N}{1,3}",
            r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
            r"\s*[\r\n]+",
            r"\s+(?!\S)",
            r"\s+",
        ]
    ),
    "cl100k_base": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++$|\s*[\r\n]|\s+(?!\S)|\s"
    ),
}

_SHA256 = {
    "o200k_base": "815ad0c59958aa18ac2136a9d9ac315c38394f2584aefdc5e2aa426fb96722c4",
    "cl100k_base": "b65cdaaedbfd77b3b19f247b231a5461f9fc4f51209606d33d523f78cc07288b",
}

_SIZES = {"o200k_base": 199_998, "cl100k_base": 100_256}

_OLD_NAMES = re.compile(r"(?:^|[/.:])gpt-?(?:4(?![o\d.])|3\.5|35)")

PIECE = 32_768
"""Characters given to the encoder at once: bounds its worst case (one character repeated) to some 20 ms."""

SAMPLED = 1_000_000
"""Characters above which a text is sampled instead of counted."""

_SAMPLES = 16
_REMEMBERED = 20_000
_WORTH_HASHING = 48

_lock = Lock()
_encodings: dict[str, tiktoken.Encoding] = {}
_counts: OrderedDict[bytes, int] = OrderedDict()


class DamagedVocabulary(RuntimeError):
    """The packed vocabulary is not the one this code was written for."""


@lru_cache(maxsize=1_024)
def vocabulary_name(model: str) -> str:
    """Return ``cl100k_base`` for gpt-4 and gpt-3.5 names (not gpt-4o, gpt-4.1), else ``o200k_base``."""
    return "cl100k_base" if _OLD_NAMES.search(model.lower()) else "o200k_base"


def unpack(name: str, packed: bytes) -> list[bytes]:
    """Return the tokens in rank order, or raise when the data is not what was shipped."""
    if sha256(packed).hexdigest() != _SHA256[name]:
        raise DamagedVocabulary(f"the token vocabulary {name} is damaged: reinstall the package")
    data = zlib.decompress(packed)
    size = _SIZES[name]
    tokens, at = [], size
    for length in data[:size]:
        tokens.append(data[at : at + length])
        at += length
    return tokens


def _load(name: str) -> tiktoken.Encoding:
    packed = files("dragoman.language").joinpath("vocabularies", f"{name}.ranks").read_bytes()
    ranks = {token: rank for rank, token in enumerate(unpack(name, packed))}
    return tiktoken.Encoding(name, pat_str=_PATTERNS[name], mergeable_ranks=ranks, special_tokens={})


def encoding(model: str = "") -> tiktoken.Encoding:
    """Return the encoder of a model, loading its vocabulary at the first use."""
    return _encoding(vocabulary_name(model))


def _encoding(name: str) -> tiktoken.Encoding:
    found = _encodings.get(name)
    if found is None:
        with _lock:
            found = _encodings.get(name)
            if found is None:
                found = _encodings[name] = _load(name)
    return found


def pieces(text: str) -> list[str]:
    """Cut a text into pieces the encoder can bear, at line ends or spaces where there are any."""
    if len(text) <= PIECE:
        return [text]
    cut, start = [], 0
    while len(text) - start > PIECE:
        end = start + PIECE
        line = text.rfind("\n", end - 2048, end)
        space = text.rfind(" ", end - 2048, end)
        if line >= 0:
            end = line + 1
        elif space > start:
            end = space
        cut.append(text[start:end])
        start = end
    cut.append(text[start:])
    return cut


def _encode(text: str, encoder: tiktoken.Encoding) -> int:
    """Count without memory. Special tokens in a text are ordinary text."""
    if len(text) <= SAMPLED:
        return sum(len(encoder.encode_ordinary(piece)) for piece in pieces(text))
    stride = len(text) // _SAMPLES
    counted = sum(len(encoder.encode_ordinary(text[at : at + PIECE])) for at in range(0, stride * _SAMPLES, stride))
    return round(counted * len(text) / (_SAMPLES * PIECE))


def _digest(text: str, encoder: tiktoken.Encoding) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return blake2b(data, digest_size=16, key=encoder.name.encode()).digest()


def remembered(text: str, model: str = "") -> bool:
    """Say whether counting the text would cost next to nothing."""
    return len(text) < _WORTH_HASHING or _digest(text, encoding(model)) in _counts


def count_text(text: str, model: str = "") -> int:
    """Count the tokens of a text; repeated texts are looked up by hash."""
    if not text:
        return 0
    if len(text) < _WORTH_HASHING:
        return _short(text, vocabulary_name(model))
    return _recalled(text, lambda: text, encoding(model))


@lru_cache(maxsize=8_192)
def _short(text: str, name: str) -> int:
    """Count a word or two: names and small arguments come again and again."""
    return len(_encoding(name).encode_ordinary(text))


def count_rendered(source: str, render: Callable[[], str], model: str = "") -> int:
    """Count what ``render`` writes, remembered under ``source``: rendering is done once."""
    return _recalled(source, render, encoding(model))


def _recalled(source: str, render: Callable[[], str], encoder: tiktoken.Encoding) -> int:
    key = _digest(source, encoder)
    with _lock:
        known = _counts.get(key)
        if known is not None:
            _counts.move_to_end(key)
            return known
    count = _encode(render(), encoder)
    with _lock:
        _counts[key] = count
        while len(_counts) > _REMEMBERED:
            _counts.popitem(last=False)
    return count
