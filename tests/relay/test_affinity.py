"""Which conversation a call belongs to: the client's own word, in one order, and never an id of one request (K06)."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.language.ir import Message, Request, Text
from dragoman.relay.affinity import conversation_of
from dragoman.relay.detours import LIFE, Detours
from dragoman.relay.health import Spot

CLAUDE = {"x-claude-code-session-id": "claude"}
OLD_USER = {"metadata": {"user_id": "user_a_account_b_session_in-the-body"}}
JSON_USER = {"metadata": {"user_id": '{"device_id":"d","session_id":"in-the-body"}'}}
NAMED: dict[str, Any] = {"prompt_cache_key": "key", "conversation": {"id": "talk"}}
EVERYTHING = {**CLAUDE, "session-id": "header", "session_id": "header", "thread-id": "thread"}
LATER = {name: word for name, word in EVERYTHING.items() if name not in CLAUDE}

ORDER: tuple[tuple[dict[str, str], dict[str, Any], str], ...] = (
    (EVERYTHING, {**OLD_USER, **NAMED}, "claude"),
    (LATER, {**OLD_USER, **NAMED}, "in-the-body"),
    (LATER, {**JSON_USER, **NAMED}, "in-the-body"),
    (LATER, NAMED, "header"),
    ({"session_id": "header", "thread-id": "thread"}, NAMED, "header"),
    ({"thread-id": "header"}, NAMED, "header"),
    ({}, NAMED, "key"),
    ({}, {"conversation": {"id": "talk"}}, "talk"),
    ({}, {"conversation": "talk"}, "talk"),
)


def said(*texts: str) -> Request:
    """A conversation: a system text, then user and assistant in turn."""
    roles = ["system", *("user", "assistant") * 10]
    messages = [Message(role, [Text(text)]) for role, text in zip(roles, texts, strict=False)]  # type: ignore[arg-type]
    return Request("openai_chat", "m", messages)


def place(headers: dict[str, str], body: dict[str, Any], *texts: str) -> str:
    return conversation_of(headers, body, said(*(texts or ("Be kind.", "Hello"))))


@pytest.mark.parametrize(("headers", "body", "word"), ORDER)
def test_K06_the_clients_word_in_its_order(headers: dict[str, str], body: dict[str, Any], word: str) -> None:
    assert place(headers, body) == place({"x-claude-code-session-id": word}, {})
    assert word not in place(headers, body)


REQUEST_IDS = ("x-request-id", "request-id", "x-client-request-id", "x-claude-code-prompt-id", "idempotency-key")


def test_K06_an_id_of_one_request_names_no_conversation() -> None:
    plain = place({}, {})
    for name in REQUEST_IDS:
        assert place({name: "one-of-many"}, {}) == plain, name
    bodies: list[dict[str, Any]] = [{"metadata": {"user_id": "just-a-user"}}, {"metadata": {"user_id": "{"}}]
    bodies += [{"user": "u"}, {"id": "1"}, {"metadata": None}, {"conversation": 7}, {"prompt_cache_key": ""}]
    for body in bodies:
        assert place({}, body) == plain, body


def test_K06_without_a_word_the_beginning_tells_and_stays_as_it_grows() -> None:
    first = place({}, {}, "Be kind.", "Hello")
    assert place({}, {}, "Be kind.", "Hello", "Hi", "And now?") == first
    assert place({}, {}, "Be kind.", "Another") != first
    assert place({}, {}, "Be rude.", "Hello") != first
    billing = "x-anthropic-billing-header: cc_version=1.2.3; cch="
    assert place({}, {}, f"{billing}abc", "Hello") == place({}, {}, f"{billing}def", "Hello")


def test_K06_where_a_conversation_went_is_bounded_per_key_and_has_an_end() -> None:
    now = [0.0]
    detours = Detours(clock=lambda: now[0])
    name, spot = ("user:1", "x", "route"), Spot("a", 0, "m")
    detours.put(name, spot)
    assert detours.take(name) == spot
    assert detours.take(("user:2", "x", "route")) is None, "nobody goes where another has gone"
    now[0] += LIFE - 1
    assert detours.take(name) == spot, "being asked for keeps it"
    now[0] += LIFE + 1
    assert detours.take(name) is None
    for number in range(60_000):
        detours.put(("user:1", str(number), "route"), spot)
    kept = sum(detours.take(("user:1", str(number), "route")) is not None for number in range(60_000))
    assert 40_000 <= kept <= 50_000
