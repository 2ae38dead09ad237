"""A conversation goes on whoever answers it next: no refusal, no lost call, nothing left out in silence (N3)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.relay.strict import Call, Say
from tests.relay.switchyard import CLIENTS, TARGETS, Answered, Asking, ChatClient, Client, Yard, yard


class Talk:
    """One conversation: what was truly said, and the checks after each turn."""

    def __init__(self, one: Yard, client: Client) -> None:
        self._yard = one
        self._client = client
        self._asked: list[str] = []
        self._said: list[str] = []
        self._calls: list[tuple[str, Any]] = []
        self._results: list[tuple[str, bool]] = []
        self._images = 0
        self._open: list[tuple[str, str, Any]] = []
        self.turns = 0
        self.last = Asking()

    async def turn(self, model: str, say: Say, *, image: bool = False, failed: bool = False) -> Answered:
        """One turn of the conversation with this model."""
        self.turns += 1
        asking = self.last = self._asking(image, failed)
        path, body = self._client.body(model, asking)
        self._yard.next_say = say
        status, data = await self._yard.post(path, body)
        assert status == 200, f"turn {self.turns} to {model}: {self._yard.refused[-1:]} {data[:600]!r}"
        self._check_told(model)
        answered = self._client.take(data)
        assert say.text == answered.text, f"turn {self.turns} to {model}: {answered.text!r}"
        assert [(name, arguments) for _, name, arguments in answered.calls] == [
            (call.name, call.arguments) for call in say.calls
        ], f"turn {self.turns} to {model}"
        if say.text:
            self._said.append(say.text)
        self._calls += [(call.name, call.arguments) for call in say.calls]
        self._open = answered.calls
        return answered

    def move(self, one: Yard) -> None:
        """Go on in front of another gateway."""
        self._yard = one

    def _asking(self, image: bool, failed: bool) -> Asking:
        asking = Asking()
        for at, (identifier, name, _) in enumerate(self._open):
            text = f"result-{self.turns}-{at}"
            bad = failed and at == 0
            asking.results.append((identifier, name, text, bad, image and at == 0))
            self._results.append((text, bad))
        if not self._open:
            asking.words = f"ask-{self.turns}"
            asking.image = image
            self._asked.append(asking.words)
        self._images += image
        return asking

    def _check_told(self, model: str) -> None:
        """Everything said so far has reached the one who is asked, in order, each result with its call."""
        told = self._yard.seen[-1].history
        where = f"turn {self.turns} to {model}"
        assert [(name, arguments) for _, name, arguments in told.calls] == self._calls, where
        results = [told.results[at] for at in range(len(told.calls))]
        assert [(text.split("\n")[0].strip(), bad) for text, bad, _ in results] == self._results, where
        lines = [line for text in told.asked for line in text.split("\n")]
        assert [line for line in lines if line.startswith("ask-")] == self._asked, where
        assert "".join(told.said).replace("\n", "") == "".join(self._said), where
        if "deep" not in model:
            assert told.images == self._images, where


def plan(turns: int) -> list[tuple[Say, bool, bool]]:
    """What happens in each turn: what is said, whether an image comes in, whether a tool failed."""
    out: list[tuple[Say, bool, bool]] = []
    for turn in range(1, turns + 1):
        calls = []
        if turn % 4 in (1, 2):
            calls.append(Call("read_file", {"path": f"/tmp/ü {turn}.py"}))
        if turn % 4 == 2:
            calls.append(Call("mcp__browser__look", {"page": turn, "deep": True}))
            calls.append(Call("read_file", {"path": f"again-{turn}"}))
        text = f"said-{turn}" if turn % 4 != 1 or turn % 8 == 1 else ""
        thought = f"thought-{turn}" if turn % 5 else ""
        out.append((Say(thought, text, calls), turn % 7 == 3, turn % 6 == 2))
    return out


def order(turns: int, seed: int) -> list[str]:
    """Another model every turn, so that each of them is met after every other before long."""
    step = (2, 4, 7, 8)[seed % 4]
    return [TARGETS[(seed + turn * step) % len(TARGETS)] for turn in range(turns)]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("dialect", CLIENTS)
async def test_N3_forty_turns_and_another_model_every_turn(dialect: str, stream: bool) -> None:
    async with yard() as one:
        talk = Talk(one, CLIENTS[dialect](stream))
        for model, (say, image, failed) in zip(order(40, len(dialect) + stream), plan(40), strict=True):
            await talk.turn(model, say, image=image and "deep" not in model, failed=failed)
        assert one.refused == []


@pytest.mark.parametrize("dialect", CLIENTS)
async def test_N3_what_was_left_out_is_in_the_receipt_of_its_turn(dialect: str) -> None:
    """Each thought the client sends is either told to the target or on a line of the receipt."""
    async with yard() as one:
        client = CLIENTS[dialect](stream=False)
        talk = Talk(one, client)
        for number, model in enumerate(order(24, 5), 1):
            say = Say(f"thought-{number}", f"said-{number}", [Call("read_file", {"path": str(number)})])
            await talk.turn(model, say)
            sent = thoughts_in(dialect, client.history[: -len_of_answer(dialect, client)])
            told = len(one.seen[-1].history.thoughts)
            receipt = (await one.record(number)).receipt
            dropped = [loss for loss in receipt.losses if loss.what == "dropped" and "thought" in loss.why]
            assert sent <= told + len(dropped), f"turn {number} to {model}: {sent} sent, {told} told, {dropped}"


def len_of_answer(dialect: str, client: Client) -> int:
    """How many entries of the history are the last answer."""
    if dialect != "openai_responses":
        return 1
    return next(n for n, item in enumerate(reversed(client.history)) if item.get("role") == "user" or "output" in item)


def thoughts_in(dialect: str, history: list[Any]) -> int:
    """Thoughts a client sends: those it can see are thoughts."""
    if dialect == "anthropic":
        blocks = [block for turn in history if turn["role"] == "assistant" for block in turn["content"]]
        return sum(block["type"] in ("thinking", "redacted_thinking") for block in blocks)
    if dialect == "openai_chat":
        return sum(bool(turn.get("reasoning_content") or turn.get("reasoning_details")) for turn in history)
    if dialect == "openai_responses":
        return sum(item.get("type") == "reasoning" for item in history)
    return sum(any(part.get("thought") for part in turn["parts"]) for turn in history)


OWNERS = (
    "ant/claude-opus-4-8",
    "kimi/kimi-k2.5",
    "router/anthropic/claude-sonnet-4.5",
    "resp/gpt-5",
    "gem/gemini-3-pro-preview",
)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("model", "dialect"),
    # This Chat client does not ask for thoughts, and without that Claude has none.
    [(model, dialect) for model in OWNERS for dialect in CLIENTS if (model, dialect) != (OWNERS[0], "openai_chat")],
)
async def test_N3_switching_back_restores_what_the_owner_signed(model: str, dialect: str, stream: bool) -> None:
    """The strict upstream checks each signature, so a thought that is told at all is told byte for byte."""
    other = "plain/gpt-4.1"
    async with yard() as one:
        talk = Talk(one, CLIENTS[dialect](stream))
        await talk.turn(model, Say("thought-1", "said-1", [Call("read_file", {"path": "1"})]))
        await talk.turn(other, Say("thought-2", "said-2", [Call("read_file", {"path": "2"})]))
        await talk.turn(model, Say("thought-3", "said-3", [Call("read_file", {"path": "3"})]))
        assert len(one.seen[-1].history.thoughts) >= 1
        await talk.turn(model, Say("", "said-4"))
        assert len(one.seen[-1].history.thoughts) >= 2
        assert one.refused == []


PORTABLE = [("ant/claude-haiku-4-5", "ant2/claude-haiku-4-5", True), ("resp/gpt-5", "resp2/gpt-5", False),
            ("ant/claude-haiku-4-5", "ant/claude-sonnet-4-6", False), ("resp/gpt-5", "resp/o3", False),
            ("gem/gemini-3-pro-preview", "gem2/gemini-3-pro-preview", False)]  # fmt: skip


@pytest.mark.parametrize("dialect", CLIENTS)
@pytest.mark.parametrize(("first", "second", "portable"), PORTABLE)
async def test_T08_the_account_and_the_family_own_a_signature(
    first: str, second: str, portable: bool, dialect: str
) -> None:
    async with yard() as one:
        talk = Talk(one, CLIENTS[dialect](stream=False))
        await talk.turn(first, Say("thought-1", "said-1", [Call("read_file", {"path": "1"})]))
        await talk.turn(second, Say("", "said-2"))
        asked = not (dialect == "openai_chat" and first.startswith("ant"))  # this client asks Claude for no thoughts
        assert bool(one.seen[-1].history.thoughts) is (portable and asked)
        assert one.refused == []


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_T05_T12_a_client_that_drops_what_it_does_not_know(stream: bool) -> None:
    """OpenAI's SDK gives back words and calls alone; what belongs to the calls comes from the keepsakes."""
    async with yard() as one:
        talk = Talk(one, ChatClient(stream, plain=True))
        for number, model in enumerate(order(30, 4), 1):
            await talk.turn(model, Say(f"thought-{number}", "", [Call("read_file", {"path": str(number)})]))
        assert one.refused == []
        await talk.turn("kimi/kimi-k2.5", Say("", "said"))
        assert one.seen[-1].history.thoughts


Turn = tuple[str, bool, bool, int, bool, bool]
TURNS = st.lists(
    st.tuples(
        st.sampled_from(TARGETS),
        st.booleans(),  # a thought
        st.booleans(),  # words
        st.integers(0, 3),  # calls
        st.booleans(),  # an image
        st.booleans(),  # the first tool failed
    ),
    min_size=2,
    max_size=12,
)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(dialect=st.sampled_from(sorted(CLIENTS)), stream=st.booleans(), turns=TURNS)
def test_N3_whatever_the_order(dialect: str, stream: bool, turns: list[Turn]) -> None:
    async def talked() -> None:
        async with yard() as one:
            talk = Talk(one, CLIENTS[dialect](stream))
            for number, (model, thinks, speaks, calls, image, failed) in enumerate(turns, 1):
                say = Say(
                    f"thought-{number}" if thinks else "",
                    f"said-{number}" if speaks or not calls else "",
                    [Call("read_file", {"path": f"{number}-{at}"}) for at in range(calls)],
                )
                await talk.turn(model, say, image=image and "deep" not in model, failed=failed)
            assert one.refused == []

    asyncio.run(talked())


async def test_T02_a_restart_forgets_who_issued_what_and_bricks_nothing_of_our_own() -> None:
    """Envelopes name their issuer themselves, so that another process knows it, too."""
    client = CLIENTS["anthropic"](stream=True)
    async with yard() as one:
        talk = Talk(one, client)
        await talk.turn("kimi/kimi-k2.5", Say("thought-1", "said-1", [Call("read_file", {"path": "1"})]))
        await talk.turn("resp/gpt-5", Say("thought-2", "said-2", [Call("read_file", {"path": "2"})]))
    async with yard() as one:
        talk.move(one)
        for model in ("deep/deepseek-chat", "resp2/gpt-5", "ant/claude-opus-4-8", "gem/gemini-3-pro-preview"):
            await talk.turn(model, Say("", f"said-{model}"))
            assert one.seen[-1].history.thoughts == []
        await talk.turn("kimi/kimi-k2.5", Say("", "said-6"))
        assert [thought.partition(":")[2] for thought in one.seen[-1].history.thoughts] == ["thought-1"]
        assert one.refused == []
