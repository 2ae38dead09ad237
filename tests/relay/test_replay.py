"""What a provider was told before, it is told again in the same bytes, so that its cache finds it (T14, N5)."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from tests.relay.strict import Call, Say
from tests.relay.switchyard import CLIENTS, TARGETS, Yard, yard
from tests.relay.test_switching import Talk

HISTORY = ("messages", "input", "contents")
HEAD = ("system", "instructions", "systemInstruction", "tools")


def raw_fields(body: bytes) -> dict[str, str]:
    """The top-level fields of a JSON object, each as the text it is."""
    text = body.decode()
    decoder = json.JSONDecoder()
    fields: dict[str, str] = {}
    at = text.index("{") + 1
    while True:
        while text[at] in " \r\n\t,":
            at += 1
        if text[at] == "}":
            return fields
        name, at = decoder.raw_decode(text, at)
        at = text.index(":", at) + 1
        while text[at] in " \r\n\t":
            at += 1
        begin = at
        _, at = decoder.raw_decode(text, at)
        fields[name] = text[begin:at]


def check_prefix(before: bytes, after: bytes, where: str) -> None:
    """The later body's history begins with the bytes of the earlier one's, and its head is the same."""
    first, second = raw_fields(before), raw_fields(after)
    for name in HEAD:
        assert second.get(name) == first.get(name), f"{where}: {name}"
    for name in HISTORY:
        if name in first:
            begun = first[name].rstrip().removesuffix("]").rstrip()
            assert second[name].startswith(begun), f"{where}: {name}"


def say(turn: int) -> Say:
    calls = [Call("read_file", {"path": f"/tmp/ü{turn}"}), Call("mcp__browser__look", {"page": turn})]
    return Say(f"thought-{turn}", f"said-{turn}", calls if turn % 3 else [])


async def replayed(one: Yard, dialect: str, models: list[str], stream: bool) -> list[bytes]:
    talk = Talk(one, CLIENTS[dialect](stream))
    begin = len(one.seen)
    for turn, model in enumerate(models, 1):
        await talk.turn(model, say(turn), image=turn in (1, 3) and "deep" not in model, failed=turn == 2)
    assert one.refused == []
    return [seen.raw for seen in one.seen[begin:]]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("dialect", CLIENTS)
async def test_T14_each_turn_begins_with_the_bytes_of_the_one_before(dialect: str, stream: bool) -> None:
    async with yard() as one:
        for model in TARGETS[stream::2]:
            bodies = await replayed(one, dialect, [model] * 4, stream)
            for turn, (before, after) in enumerate(pairwise(bodies), 1):
                check_prefix(before, after, f"{model}, turn {turn}")


@pytest.mark.parametrize("dialect", CLIENTS)
async def test_T14_also_when_others_took_part(dialect: str) -> None:
    """Whatever had to be repaired or left out of the turns of others is the same every time."""
    others = ["kimi/kimi-k2.5", "gem/gemini-3-pro-preview", "ant/claude-opus-4-8", "resp/gpt-5"]
    async with yard() as one:
        for model in TARGETS[1::3]:
            bodies = await replayed(one, dialect, [*others, model, model, model], stream=False)
            for before, after in pairwise(bodies[4:]):
                check_prefix(before, after, model)


async def test_T14_the_same_call_is_written_in_the_same_bytes() -> None:
    async with yard() as one:
        for dialect in CLIENTS:
            for model in TARGETS[::3]:
                client = CLIENTS[dialect](stream=False)
                talk = Talk(one, client)
                await talk.turn("kimi/kimi-k2.5", say(1))
                history: list[Any] = json.loads(json.dumps(client.history))
                await talk.turn(model, say(2))
                client.history = history
                first = one.seen[-1].raw
                path, body = client.body(model, talk.last)
                assert (await one.post(path, body))[0] == 200
                assert one.seen[-1].raw == first, f"{dialect} to {model}"
