"""How credentials are kept, and passwords (X08, X10, SR7)."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
from argon2 import PasswordHasher
from pydantic import ValidationError

from dragoman.settings import Settings
from dragoman.store.accounts.hashing import equal, looks_generated, new_key, shown_prefix
from dragoman.store.accounts.passwords import AT_ONCE, Passwords, is_example
from tests.patience import until
from tests.store.accounts_rig import HASHER

QUICK = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


def test_C_50_a_generated_key_is_256_random_bits_kept_as_sha256_of_all_of_it() -> None:
    key = new_key()
    assert looks_generated(key)
    assert len({new_key() for _ in range(100)}) == 100
    assert HASHER.generated(key) == hashlib.sha256(key.encode()).hexdigest()
    assert HASHER.both(key) == (HASHER.generated(key), HASHER.chosen(key))
    assert shown_prefix(key) == key[:12]


def test_T_66_a_short_token_means_nothing_without_the_secret() -> None:
    token = "hunter22"
    assert HASHER.chosen(token) != hashlib.sha256(token.encode()).hexdigest()
    assert HASHER.chosen(token) == HASHER.both(token)[1]
    assert shown_prefix(token) == ""
    assert [shown_prefix("x" * length) for length in (23, 24)] == ["", "x" * 12]
    assert "secret" not in repr(HASHER)


def test_X02_odd_values_are_hashed_like_any() -> None:
    for value in ("", "é", "\udce9", "\x00", "'; DROP TABLE users; --", "x" * 100_000):
        assert all(len(one) == 64 for one in HASHER.both(value))
    assert equal("é", "é")
    assert not equal("é", "e")


# ---------------------------------------------------------------- passwords


async def test_X10_passwords_are_argon2id_and_nothing_fits_where_none_was_kept() -> None:
    passwords = Passwords(QUICK)
    kept = await passwords.hashed("a long enough phrase")
    assert kept.startswith("$argon2id$")
    assert kept != await passwords.hashed("a long enough phrase")
    assert await passwords.fits("a long enough phrase", kept)
    for wrong in ("another phrase", "", "\ud800"):
        assert not await passwords.fits(wrong, kept)
    for nothing in (None, "", "plain", "$argon2id$broken"):
        assert not await passwords.fits("", nothing)
        assert not await passwords.fits("nobody's password", nothing)


async def test_X10_few_passwords_are_hashed_at_once_and_the_loop_goes_on() -> None:
    passwords = Passwords(QUICK)
    running, most, lock = 0, 0, threading.Lock()
    release = threading.Event()

    class Slow(PasswordHasher):
        def hash(self, *arguments: Any, **more: Any) -> str:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            release.wait(5)
            with lock:
                running -= 1
            return "hashed"

    passwords = Passwords(Slow())
    tasks = [asyncio.ensure_future(passwords.hashed("x")) for _ in range(12)]
    await until(lambda: running == AT_ONCE)
    await asyncio.sleep(0.1)  # for one more, if there were room for it
    assert (running, most) == (AT_ONCE, AT_ONCE)
    release.set()
    assert await asyncio.gather(*tasks) == ["hashed"] * 12
    assert most == AT_ONCE


@pytest.mark.parametrize("known", [None, "", "  ", "changeme", "ChangeMe", "123456", "password", "root", "admin"])
def test_T_62_a_default_password_is_none(known: str | None) -> None:
    assert is_example(known)


# ---------------------------------------------------------------- secrets of the configuration

SECRETS: dict[str, Callable[[str], dict[str, Any]]] = {
    "auth.token": lambda value: {"auth": {"token": value}},
    "admin.key": lambda value: {"admin": {"key": value}},
    "admin.init_token": lambda value: {"admin": {"init_token": value}},
    "admin.password": lambda value: {"admin": {"password": value}},
    "smtp.password": lambda value: {"smtp": {"password": value}},
    "init_users.token": lambda value: {"init_users": [{"username": "ann", "token": value}]},
}
GUARDS = ("auth.token", "admin.key", "admin.init_token")


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("empty", ["", "   ", "\n"])
def test_X08_an_empty_secret_stops_the_start(name: str, empty: str) -> None:
    with pytest.raises(ValidationError, match=name.rpartition(".")[2]):
        Settings.model_validate(SECRETS[name](empty))
    Settings.model_validate(SECRETS[name]("a-secret-that-nobody-knows"))


@pytest.mark.parametrize("name", GUARDS)
@pytest.mark.parametrize("known", ["changeme", "password", "ADMIN", "12345678"])
def test_X08_a_secret_that_everybody_knows_stops_the_start(name: str, known: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(SECRETS[name](known))
    assert known not in str(caught.value)


def test_X08_short_secrets_of_the_house_stop_the_start() -> None:
    for tree in ({"admin": {"key": "fifteen-letters"}}, {"admin": {"init_token": "seven77"}}):
        with pytest.raises(ValidationError, match="characters or more"):
            Settings.model_validate(tree)
