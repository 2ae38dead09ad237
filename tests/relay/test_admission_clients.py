"""Refusals of ours, as the real SDKs take them: a spent budget is asked once, a limit waits as told (N6, clients)."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai
from google.genai import errors as google_errors
from google.genai import types as google

from tests.relay.admission_gateway import House, house

pytestmark = pytest.mark.slow

Ask = Callable[[str, str], int]
"""Asks at an address with a key, as patiently as the SDK can; how many requests it took. Raises the SDK's error."""


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[House]:
    async with house(tmp_path) as one:
        yield one


class Counted(httpx2.Client):
    """A client that counts its requests, also of those that fail."""

    def __init__(self) -> None:
        self.count = 0
        super().__init__(timeout=60)

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        self.count += 1
        return super().send(request, **options)


class Refused(Exception):
    """The SDK gave up after so many requests, with this error."""

    def __init__(self, count: int, error: Any) -> None:
        super().__init__(str(error))
        self.count, self.error = count, error


def counted(ask: Callable[[Counted], Any]) -> int:
    with Counted() as client:
        try:
            ask(client)
        except (anthropic.APIError, openai.APIError, google_errors.APIError) as error:
            raise Refused(client.count, error) from error
        return client.count


def by_anthropic(url: str, key: str, *, stream: bool = False) -> int:
    def ask(client: Counted) -> None:
        sdk = anthropic.Anthropic(base_url=url, api_key=key, max_retries=5, http_client=client)
        messages: Any = [{"role": "user", "content": json.dumps({"out": 5})}]
        if stream:
            with sdk.messages.stream(model="main", max_tokens=2_000, messages=messages) as answer:
                answer.get_final_message()
        else:
            sdk.messages.create(model="main", max_tokens=2_000, messages=messages)

    return counted(ask)


def by_chat(url: str, key: str, model: str = "main") -> int:
    def ask(client: Counted) -> None:
        sdk = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=5, http_client=client)
        messages: Any = [{"role": "user", "content": json.dumps({"out": 5})}]
        sdk.chat.completions.create(model=model, max_tokens=2_000, messages=messages)

    return counted(ask)


def by_responses(url: str, key: str) -> int:
    def ask(client: Counted) -> None:
        sdk = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=5, http_client=client)
        sdk.responses.create(model="main", max_output_tokens=2_000, input=json.dumps({"out": 5}))

    return counted(ask)


def by_google(url: str, key: str) -> int:
    def ask(client: Counted) -> None:
        options = google.HttpOptions(base_url=url, httpx_client=client)
        sdk = genai.Client(api_key=key, http_options=options)
        config = google.GenerateContentConfig(max_output_tokens=2_000)
        sdk.models.generate_content(model="main", contents=json.dumps({"out": 5}), config=config)

    return counted(ask)


SDKS = {
    "anthropic": by_anthropic,
    "anthropic stream": lambda url, key: by_anthropic(url, key, stream=True),
    "chat": by_chat,
    "responses": by_responses,
    "google": by_google,
}


async def test_N6_a_spent_budget_is_asked_for_once_by_every_sdk(running: House) -> None:
    _, key = await running.key("ann", budgets=[{"window": "month", "nano_usd": 0}])
    for name, ask in SDKS.items():
        with pytest.raises(Refused) as caught:
            await asyncio.to_thread(ask, running.url, key)
        assert caught.value.count == 1, name
        assert "The monthly budget of this key is spent" in str(caught.value), name
        error = caught.value.error
        if name == "google":
            assert error.code == 429
        else:
            assert isinstance(error, anthropic.RateLimitError | openai.RateLimitError), name
            assert error.response.headers["x-dragoman-budget-reset"].endswith("01T00:00:00Z")
    assert not running.upstream.seen


async def test_N6_K02_a_model_without_a_price_is_asked_for_once(running: House) -> None:
    _, key = await running.key("ann", budgets=[{"window": "month", "nano_usd": 10**12}])
    with pytest.raises(Refused) as caught:
        await asyncio.to_thread(by_chat, running.url, key, "up/nobody-knows-7b")
    assert isinstance(caught.value.error, openai.BadRequestError)
    assert caught.value.count == 1
    assert not running.upstream.seen


async def test_N6_a_limit_waits_as_told_and_then_lets_through(running: House) -> None:
    """60,000 tokens are a minute's: 2,000 and the prompt more are there after two seconds and a bit."""
    for number, (name, ask) in enumerate(SDKS.items()):
        _, key = await running.key(f"ann{number}", tpm=60_000)
        status, headers, _ = await running.chat(key, out=59_900)
        assert status == 200
        assert headers["x-ratelimit-limit-tokens"] == "60000"
        began = time.monotonic()
        if name == "google":
            # Without being told to, this SDK asks once; how long to wait stands in the error.
            with pytest.raises(Refused) as caught:
                await asyncio.to_thread(ask, running.url, key)
            assert caught.value.count == 1
            assert "retryDelay" in json.dumps(caught.value.error.details)
            continue
        assert await asyncio.to_thread(ask, running.url, key) == 2, name
        assert 1.5 < time.monotonic() - began < 60, f"{name} waits as told, and not a whole minute"


async def test_N6_every_answer_tells_limits_in_the_sdks_words(running: House) -> None:
    _, key = await running.key("ann", rpm=60, tpm=100_000)
    claude = anthropic.Anthropic(base_url=running.url, api_key=key, max_retries=0)
    messages: Any = [{"role": "user", "content": '{"out": 5}'}]
    ask = claude.messages.with_raw_response.create
    told = (await asyncio.to_thread(lambda: ask(model="main", max_tokens=50, messages=messages))).headers
    assert told["anthropic-ratelimit-requests-limit"] == "60"
    assert told["anthropic-ratelimit-requests-remaining"] == "59"
    assert told["anthropic-ratelimit-tokens-limit"] == "100000"
    assert told["anthropic-ratelimit-tokens-reset"].endswith("Z")
    status, headers, body = await running.post(
        "/v1/responses", key, {"model": "main", "max_output_tokens": 50, "input": '{"out": 5}'}
    )
    assert status == 200, body
    assert headers["x-ratelimit-remaining-requests"] == "58"
