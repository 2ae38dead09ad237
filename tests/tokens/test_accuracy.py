"""Counts against what OpenAI reported for recorded requests: median error ≤ 1 %, p95 ≤ 3 %."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Iterator
from typing import Any

import pytest

from dragoman.language.registry import DIALECTS
from dragoman.language.tokens import count_request
from tests import corpus

OURS = re.compile(r"(gpt|o\d|chatgpt)")
HOSTS = re.compile(r"(api\.openai\.com|openai|RESOURCE\..*azure\.com)$")
FEATURES_NOT_IN_THE_BODY = {"image-in", "pdf-in", "audio-in", "audio-out", "server-tool-def", "previous-response-id"}


def _chunks(response: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if isinstance(response.get("body"), dict):
        yield response["body"]
    for line in (response.get("sse") or "").splitlines():
        if line.startswith("data: {"):
            chunk = json.loads(line[6:])
            yield chunk["response"] if isinstance(chunk.get("response"), dict) else chunk


def reported(response: dict[str, Any]) -> tuple[str, int]:
    """Return the model that answered and the prompt tokens it reported (0: none)."""
    model, tokens = "", 0
    for chunk in _chunks(response):
        model = chunk.get("model") or model
        usage = chunk.get("usage") or {}
        tokens = usage.get("prompt_tokens") or usage.get("input_tokens") or tokens
    return model, tokens


def is_plain_text(exchange: dict[str, Any], body: dict[str, Any]) -> bool:
    """Say whether all that was charged for stands in the body as text.

    Not: media, hosted tools, conversations kept by the provider, sealed thoughts, bodies that the
    recording changed, and the legacy ``functions``.
    """
    if exchange["edits"] or FEATURES_NOT_IN_THE_BODY.intersection(exchange["features"]):
        return False
    if body.get("previous_response_id") or body.get("conversation") or "functions" in body:
        return False
    if (body.get("reasoning") or {}).get("context"):
        return False
    written = json.dumps(body)
    return not any(word in written for word in ('"encrypted_content"', '"input_image"', '"image_url"', '"file"'))


def samples() -> Iterator[tuple[str, int, int]]:
    """Yield id, reported and counted prompt tokens of every usable exchange."""
    for identifier in corpus.identifiers():
        exchange = corpus.exchange(identifier)
        if exchange["protocol"] not in ("openai-chat", "openai-responses"):
            continue
        if not HOSTS.match(exchange["upstream_host"] or "") or not exchange["request"]:
            continue
        body = exchange["request"]["body"]
        model, tokens = reported(exchange["response"])
        if not tokens or not OURS.match(model) or not is_plain_text(exchange, body):
            continue
        request = DIALECTS[corpus.DIALECT_OF[exchange["protocol"]]].read_request(body, model=body.get("model"))
        yield identifier, tokens, count_request(request, model)


def test_counts_agree_with_reports() -> None:
    if not corpus.available():
        pytest.skip("the recorded corpus (../shared/corpus) is not here")
    found = list(samples())
    errors = sorted((abs(counted - tokens) / tokens, identifier) for identifier, tokens, counted in found)
    values = [error for error, _ in errors]
    p95 = statistics.quantiles(values, n=20)[-1]
    print(f"\n{len(found)} requests: median {statistics.median(values):.2%}, p95 {p95:.2%}, worst {errors[-5:]}")
    assert len(found) >= 80
    assert statistics.median(values) <= 0.01
    assert p95 <= 0.03, errors[-10:]
