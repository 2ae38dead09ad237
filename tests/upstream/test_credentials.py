"""Tokens: when they are fetched, by whom, and what happens when they cannot be."""

from __future__ import annotations

import asyncio
import threading

import pytest

from dragoman.upstream.calls import UpstreamTrouble
from dragoman.upstream.credentials import FreshToken, HeaderKey, Step, Token, TokenFlow


def test_when_a_token_is_fetched() -> None:
    flow = TokenFlow()
    assert flow.step(0) is Step.FETCH
    flow.fetched(Token("t", 3600), 0)
    assert flow.step(0) is Step.USE
    assert flow.step(3299) is Step.USE
    assert flow.step(3300) is Step.USE_AND_RENEW
    assert flow.step(3589) is Step.USE_AND_RENEW
    assert flow.step(3590) is Step.FETCH
    flow.fetched(Token("u", 7200), 3590)
    assert flow.step(3590) is Step.USE


def test_a_failed_renewal_waits_a_little_while_the_old_token_serves() -> None:
    flow = TokenFlow()
    flow.fetched(Token("t", 3600), 0)
    flow.failed(3400)
    assert flow.step(3401) is Step.USE
    assert flow.step(3405) is Step.USE_AND_RENEW
    flow.failed(3595)
    assert flow.step(3596) is Step.FETCH


class Source:
    """A token server in this process: counts fetches, may be slow or fail."""

    def __init__(self) -> None:
        self.fetches = 0
        self.now = 0.0
        self.fails = False
        self.gate = threading.Event()
        self.gate.set()

    def fetch(self) -> Token:
        self.fetches += 1
        self.gate.wait(5)
        if self.fails:
            raise OSError("https://token.example/secret refused")
        return Token(f"t{self.fetches}", self.now + 3600)

    def fresh(self) -> FreshToken:
        return FreshToken(self.fetch, lambda: self.now)


async def test_one_fetch_serves_all_who_wait() -> None:
    source = Source()
    source.gate.clear()
    token = source.fresh()
    waiting = [asyncio.create_task(token.headers("p")) for _ in range(50)]
    await asyncio.sleep(0.05)
    waiting[0].cancel()
    source.gate.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert found[1:] == [{"authorization": "Bearer t1"}] * 49
    assert source.fetches == 1


async def test_renewal_five_minutes_early_keeps_nobody_waiting() -> None:
    source = Source()
    token = source.fresh()
    await token.headers("p")
    source.now = 3310
    source.gate.clear()
    assert await token.headers("p") == {"authorization": "Bearer t1"}
    source.gate.set()
    for _ in range(100):
        await asyncio.sleep(0.01)
        if await token.headers("p") == {"authorization": "Bearer t2"}:
            break
    assert source.fetches == 2


async def test_without_a_token_the_failure_is_ours_and_says_no_secret() -> None:
    source = Source()
    source.fails = True
    token = source.fresh()
    with pytest.raises(UpstreamTrouble) as caught:
        await token.headers("google")
    failure = caught.value.failure
    assert (failure.kind, failure.http_status, failure.code) == ("credential", 502, "upstream_credential")
    assert "secret" not in failure.message
    source.fails = False
    assert await token.headers("google") == {"authorization": "Bearer t2"}


async def test_a_failed_renewal_leaves_the_old_token() -> None:
    source = Source()
    token = source.fresh()
    await token.headers("p")
    source.now, source.fails = 3310, True
    for _ in range(3):
        assert await token.headers("p") == {"authorization": "Bearer t1"}
        await asyncio.sleep(0.02)
    assert source.fetches == 2


def test_X11_nothing_prints_a_secret() -> None:
    assert "secret-value" not in repr(HeaderKey("x-api-key", "secret-value"))
    assert "secret-value" not in repr(Token("secret-value", 1))


# ---------------------------------------------------------------- short lives, copies and refusals


def test_a_short_lived_token_is_renewed_at_half_its_life() -> None:
    flow = TokenFlow()
    flow.fetched(Token("t", 120), 0)
    assert flow.step(59) is Step.USE
    assert flow.step(60) is Step.USE_AND_RENEW


def test_an_issuer_that_hands_out_the_old_token_again_is_left_alone_for_a_while() -> None:
    flow = TokenFlow()
    flow.fetched(Token("t", 3600), 0)
    flow.fetched(Token("t", 3600), 3400)
    assert flow.step(3401) is Step.USE
    assert flow.step(3405) is Step.USE_AND_RENEW


def test_a_refused_token_is_thrown_away_once_it_has_some_age() -> None:
    flow = TokenFlow()
    assert flow.refused("", 0)
    flow.fetched(Token("t", 3600), 0)
    assert not flow.refused("t", 29), "a new one would fare no better"
    assert flow.step(29) is Step.USE
    assert flow.refused("t", 31)
    assert flow.step(31) is Step.FETCH
    flow.fetched(Token("u", 7200), 31)
    assert flow.refused("t", 32), "who was sent the old one may ask again"
    assert flow.step(32) is Step.USE


async def test_a_refused_token_is_fetched_anew_and_its_issuer_forgets_it() -> None:
    source = Source()
    forgotten: list[float] = []
    token = FreshToken(source.fetch, lambda: source.now, forget=lambda: forgotten.append(source.now))
    sent = await token.headers("p")
    source.now = 40
    assert token.refused(sent)
    assert token.refused(sent)
    assert forgotten == [40]
    assert await token.headers("p") == {"authorization": "Bearer t2"}


async def test_a_token_server_that_hangs_fails_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman.upstream.credentials.tokens.FETCH_TIMEOUT", 0.05)
    source = Source()
    source.gate.clear()
    with pytest.raises(UpstreamTrouble, match="TimeoutError"):
        await source.fresh().headers("p")
    source.gate.set()


async def test_fixed_keys_stay_refused() -> None:
    key = HeaderKey("x-api-key", "k")
    assert not key.refused(await key.headers("p"))
