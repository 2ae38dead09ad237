"""The vocabularies are the published ones, and counting any text is bounded."""

from __future__ import annotations

import base64
import hashlib
import time
from importlib.resources import files

import pytest

from dragoman.language.tokens import count_text, vocabulary

PUBLISHED = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
}


def packed(name: str) -> bytes:
    return files("dragoman.language").joinpath("vocabularies", f"{name}.ranks").read_bytes()


@pytest.mark.parametrize("name", PUBLISHED)
def test_shipped_vocabulary_is_the_published_one(name: str) -> None:
    tokens = vocabulary.unpack(name, packed(name))
    text = b"".join(base64.b64encode(token) + b" %d\n" % rank for rank, token in enumerate(tokens))
    assert hashlib.sha256(text).hexdigest() == PUBLISHED[name]


def test_vocabularies_are_small() -> None:
    assert sum(len(packed(name)) for name in PUBLISHED) <= 2_700_000


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_damaged_vocabulary_is_refused(name: str) -> None:
    data = bytearray(packed(name))
    data[1000] ^= 1
    with pytest.raises(vocabulary.DamagedVocabulary, match=name):
        vocabulary.unpack(name, bytes(data))


@pytest.mark.parametrize(
    ("text", "model", "count"),
    [
        ("", "", 0),
        ("hello world", "gpt-4o", 2),
        ("hello world", "gpt-4", 2),
        ("tiktoken is great!", "gpt-4o", 6),
        ("tiktoken is great!", "gpt-4", 6),
        ("antidisestablishmentarianism", "gpt-4o", 6),
        ("antidisestablishmentarianism", "gpt-4", 6),
        ("2 + 2 = 4", "gpt-4o", 7),
        ("2 + 2 = 4", "gpt-4", 7),
        ("お誕生日おめでとう", "gpt-4o", 8),
        ("お誕生日おめでとう", "gpt-4", 9),
    ],
)
def test_known_counts(text: str, model: str, count: int) -> None:
    """Counts published in OpenAI's cookbook."""
    assert count_text(text, model) == count


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("", "o200k_base"),
        ("gpt-4", "cl100k_base"),
        ("gpt-4-0613", "cl100k_base"),
        ("gpt-4-turbo", "cl100k_base"),
        ("openai/gpt-4", "cl100k_base"),
        ("gpt-3.5-turbo", "cl100k_base"),
        ("gpt-35-turbo", "cl100k_base"),
        ("gpt-4o", "o200k_base"),
        ("gpt-4o-mini", "o200k_base"),
        ("chatgpt-4o-latest", "o200k_base"),
        ("gpt-4.1", "o200k_base"),
        ("gpt-4.5-preview", "o200k_base"),
        ("gpt-5.2", "o200k_base"),
        ("o4-mini", "o200k_base"),
        ("claude-sonnet-4-5", "o200k_base"),
    ],
)
def test_vocabulary_of_a_model(model: str, name: str) -> None:
    assert vocabulary.vocabulary_name(model) == name


def test_special_tokens_in_text_are_ordinary_text() -> None:
    assert count_text("<|endoftext|>") > 1
    assert count_text("<|endofprompt|>", "gpt-4") > 1


def test_half_a_surrogate_pair_is_counted() -> None:
    assert count_text("x\ud83d" * 40) > 0


def test_a_repeated_text_is_remembered() -> None:
    text = "Remembered words. " * 10_000
    started = time.perf_counter()
    first = count_text(text)
    slow = time.perf_counter() - started
    assert vocabulary.remembered(text)
    started = time.perf_counter()
    assert count_text(text) == first
    assert time.perf_counter() - started < slow / 2


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "_REMEMBERED", 10)
    for number in range(50):
        count_text(f"A text that is long enough to be remembered, number {number}.")
    assert len(vocabulary._counts) <= 10


def test_cutting_loses_nothing() -> None:
    for text in ("word " * 30_000, "line\n" * 30_000, "x" * 100_000, "字" * 70_000):
        cut = vocabulary.pieces(text)
        assert "".join(cut) == text
        assert max(map(len, cut)) <= vocabulary.PIECE


def test_cutting_hardly_changes_the_count() -> None:
    text = "The quick brown fox jumps over 13 lazy dogs.\n" * 4_000
    whole = len(vocabulary.encoding().encode_ordinary(text))
    assert count_text(text) == pytest.approx(whole, rel=0.0005)


@pytest.mark.parametrize("character", ["a", " ", "\n", ".", "字", "😀", "A", "\x00"])
@pytest.mark.parametrize("model", ["gpt-4o", "gpt-4"])
def test_one_character_repeated_is_bounded(character: str, model: str) -> None:
    started = time.perf_counter()
    assert count_text(character * 900_000, model) > 0
    assert time.perf_counter() - started < 5


def test_a_huge_text_is_sampled() -> None:
    text = "Some words about nothing in particular, again and again. " * 100_000
    part = text[: len(text) // 20]
    started = time.perf_counter()
    assert count_text(text) == pytest.approx(count_text(part) * 20, rel=0.01)
    assert time.perf_counter() - started < 2
