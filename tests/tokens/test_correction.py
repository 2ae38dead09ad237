"""The learned factor: where it starts, how it moves, where it stops."""

from __future__ import annotations

import pytest

from dragoman.language.tokens import Correction, correction


@pytest.mark.parametrize(
    ("model", "factor"),
    [
        ("gpt-5.2", 1.0),
        ("claude-opus-4-7", 1.35),
        ("claude-sonnet-5", 1.35),
        ("anthropic/claude-opus-4.8", 1.35),
        ("claude-sonnet-4-5-20250929", 1.15),
        ("claude-sonnet-4-20250514", 1.15),
        ("claude-3-5-haiku-latest", 1.15),
        ("claude-3-7-sonnet-20250219", 1.15),
        ("gemini-2.5-flash", 1.1),
        ("qwen3-coder", 1.0),
    ],
)
def test_first_factor(model: str, factor: float) -> None:
    assert Correction().factor(model) == factor


def test_it_learns_towards_what_is_reported() -> None:
    learned = Correction()
    for _ in range(40):
        learned.learn("qwen3-coder", 1000, 1400)
    assert learned.factor("qwen3-coder") == pytest.approx(1.4, abs=0.01)
    assert learned.corrected("qwen3-coder", 2000) == pytest.approx(2800, rel=0.01)
    assert learned.factor("another") == 1.0


def test_it_is_clamped() -> None:
    learned = Correction()
    for _ in range(200):
        learned.learn("high", 100, 100_000)
        learned.learn("low", 100_000, 1)
    assert learned.factor("high") <= 2.5
    assert learned.factor("low") >= 0.5
    assert learned.factor("high") == pytest.approx(2.5)
    assert learned.factor("low") == pytest.approx(0.5)


def test_small_or_missing_reports_teach_nothing() -> None:
    learned = Correction()
    learned.learn("m", 10, 200)
    learned.learn("m", 1000, 0)
    assert learned.factor("m") == 1.0


def test_it_remembers_a_bounded_number_of_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(correction, "_REMEMBERED", 5)
    learned = Correction()
    for number in range(50):
        learned.learn(f"model-{number}", 100, 200)
    assert learned.factor("model-49") > 1.0
    assert learned.factor("model-0") == 1.0
    assert len(learned._factors) == 5
