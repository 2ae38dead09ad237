"""What replicas remember for one another, through a real Redis: responses and keepsakes (R04, R24, T05)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from dragoman.app import build
from dragoman.language.ir import Message, Reasoning, Request, ToolCall
from dragoman.language.losses import Receipt
from dragoman.relay.answering import Memory
from dragoman.relay.keepsakes import Keepsake, Keepsakes, read_keepsake, write_keepsake
from dragoman.relay.stored_responses import StoredResponses
from dragoman.store.secrets import Cipher
from tests.patience import SOON, until
from tests.relay.admission_rig import RealRedis
from tests.relay.rig import CALM, Asked, FakeProvider, Rig, Wire, chat_body, served, settings_for

pytest.importorskip("redis", reason="no client for Redis is installed")

from dragoman.store import deposit_redis
from dragoman.store.deposit_redis import RedisDeposit
from dragoman.store.news_redis import RedisNews

CIPHER = Cipher(["0123456789-abcdefghij-klmnopqrst-uvwxyz"])
ANSWER = {"id": "resp_1", "object": "response", "output": [{"type": "message", "role": "assistant", "content": "Ada."}]}
ASK = {"model": "gpt-x", "input": "My name is Ada."}


@pytest.fixture(scope="module")
def server() -> Iterator[RealRedis]:
    running = RealRedis()
    yield running
    running.close()


@pytest.fixture
def redis(server: RealRedis) -> RealRedis:
    """The server, empty and alive."""
    with contextlib.suppress(OSError):
        server.go_on()
    try:
        server.client.flushall()
    except Exception:
        server.start()
    return server


@dataclass
class Replica:
    """What one gateway remembers."""

    news: RedisNews
    deposit: RedisDeposit
    memory: Memory

    @property
    def stored(self) -> StoredResponses:
        return self.memory.stored

    @property
    def keepsakes(self) -> Keepsakes:
        return self.memory.keepsakes


@contextlib.asynccontextmanager
async def replica(redis: RealRedis, cipher: Cipher = CIPHER, key: bytes = b"key") -> AsyncIterator[Replica]:
    news, deposit = RedisNews(redis.url), RedisDeposit(redis.url, "dragoman", cipher, key)
    memory = Memory(Keepsakes(deposit=deposit), StoredResponses(deposit=deposit, news=news))
    await news.start()
    await deposit.start()
    try:
        await until(lambda: news.up)
        yield Replica(news, deposit, memory)
    finally:
        await deposit.close()
        await news.close()


# ---------------------------------------------------------------- responses


async def test_R24_an_answer_of_one_replica_is_known_on_the_other_and_to_its_owner_alone(redis: RealRedis) -> None:
    async with replica(redis) as here, replica(redis) as there:
        here.stored.store("user:7", {"input": "Who am I?"}, ANSWER)
        here.stored.issued("user:7", "resp_2", "openai")
        for name in ("resp_1", "resp_2"):
            await there.stored.recall("user:7", name)
        assert there.stored.get("user:7", "resp_1") == ANSWER
        expanded = there.stored.expanded("user:7", {"input": "And now?", "previous_response_id": "resp_1"})
        assert [item["role"] for item in expanded["input"]] == ["user", "assistant", "user"]
        there.stored.check_issuer("user:7", "resp_2", "openai", keeps=True)
        await there.stored.recall("user:8", "resp_1")
        assert there.stored.get("user:8", "resp_1") is None


async def test_R24_an_item_of_one_replica_is_known_on_the_other(redis: RealRedis) -> None:
    item = {"type": "message", "role": "assistant", "content": "Ada.", "id": "msg_1"}
    body = {"input": [{"type": "item_reference", "id": "msg_1"}]}
    async with replica(redis) as here, replica(redis) as there:
        here.stored.store("user:7", {"input": "Who am I?"}, {**ANSWER, "output": [item]})
        await until(lambda: redis.client.keys("dragoman:items:*"))
        for owner, known in ("user:8", False), ("user:7", True):
            await there.stored.recall_items(owner, body)
            assert (there.stored.expanded(owner, body) == {"input": [item]}) is known


async def test_R24_an_answer_deleted_on_one_replica_is_deleted_on_all(redis: RealRedis) -> None:
    async with replica(redis) as here, replica(redis) as there:
        here.stored.store("user:7", {"input": "Who am I?"}, ANSWER)
        await there.stored.recall("user:7", "resp_1")
        assert there.stored.delete("user:7", "resp_1")
        await until(lambda: here.stored.get("user:7", "resp_1") is None)
        await until(lambda: not redis.client.keys("dragoman:responses:*"))
        for one in (here, there):
            await one.stored.recall("user:7", "resp_1")
            assert one.stored.get("user:7", "resp_1") is None
        async with replica(redis) as later:
            await later.stored.recall("user:7", "resp_1")
            assert later.stored.get("user:7", "resp_1") is None


async def test_R24_a_conversation_goes_on_at_another_gateway(redis: RealRedis) -> None:
    async def script(asked: Asked, wire: Wire) -> None:
        await wire.json(chat_body("Hello Ada."))

    provider = FakeProvider()
    provider.script = script
    await provider.start()
    settings = settings_for(provider.port)
    async with replica(redis) as near, replica(redis) as far, aiohttp.ClientSession() as client:
        here, there = (build(settings, sinks=[], patience=CALM, memory=one.memory) for one in (near, far))
        async with served(here) as first_port, served(there) as second_port:
            first, second = (Rig(provider, port, client, [], lambda: None) for port in (first_port, second_port))
            _, _, answer = await first.post("/v1/responses", ASK)
            name = answer["id"]
            body = {"model": "gpt-x", "input": "Who am I?", "previous_response_id": name}
            status, _, again = await second.post("/v1/responses", body)
            assert (status, again.get("previous_response_id")) == (200, name), again
            assert len(provider.asked[1].json["messages"]) == 3
            assert (await second.get(f"/v1/responses/{name}"))[2] == answer
            assert (await first.get(f"/v1/responses/{again['id']}"))[0] == 200
            assert (await first.get(f"/v1/responses/{name}", "DELETE"))[2]["deleted"]
            await asyncio.sleep(0.1)
            assert (await second.get(f"/v1/responses/{name}"))[0] == 404
            redis.stop()
            _, _, alone = await first.post("/v1/responses", ASK)
            status, _, _ = await first.post("/v1/responses", {**body, "previous_response_id": alone["id"]})
            assert status == 200, "here it is known as ever"
            began = time.monotonic()
            status, _, said = await second.post("/v1/responses", {**body, "previous_response_id": alone["id"]})
            assert (status, said["error"]["code"]) == (400, "previous_response_not_found")
            assert time.monotonic() - began < SOON
    await provider.stop()


# ---------------------------------------------------------------- keepsakes


def history() -> list[Message]:
    return [Message("user", []), Message("assistant", [ToolCall("call_1", "look", "{}"), ToolCall("x", "y", "{}")])]


KEEPSAKE = Keepsake({"gemini": {"thoughtSignature": "c2ln"}}, [Reasoning("hm", {"anthropic": {"signature": "s"}})])


async def test_T05_a_keepsake_of_one_replica_is_put_back_by_the_other(redis: RealRedis) -> None:
    async with replica(redis) as here, replica(redis) as there:
        here.keepsakes.keep("user:7", "call_1", KEEPSAKE)
        await until(lambda: redis.client.keys("dragoman:keepsakes:*"))
        await there.keepsakes.recall("user:7", history())
        request = Request("anthropic", "m", history())
        there.keepsakes.restore("user:7", request, Receipt())
        thought, call, other = request.messages[1].parts
        assert isinstance(thought, Reasoning)
        assert (thought.text, thought.extras) == ("hm", {"anthropic": {"signature": "s"}})
        assert isinstance(call, ToolCall)
        assert call.extras == {"gemini": {"thoughtSignature": "c2ln"}}
        assert isinstance(other, ToolCall)
        assert not other.extras
        await there.keepsakes.recall("user:8", history())
        assert there.keepsakes.restored("user:8", messages := history(), Receipt()) == messages


async def test_T05_what_others_do_not_have_is_not_asked_for_again(
    redis: RealRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    async with replica(redis) as one:
        take = one.deposit.take

        async def counted(places: Any) -> Any:
            asked.append(len(places))
            return await take(places)

        monkeypatch.setattr(one.deposit, "take", counted)
        for _ in range(5):
            await one.keepsakes.recall("user:7", history())
        assert asked == [2]
        await one.keepsakes.recall("user:7", [Message("user", [])])
        assert asked == [2], "a history without calls asks nobody"


def test_T05_keepsakes_survive_the_journey() -> None:
    for keepsake in (
        KEEPSAKE,
        Keepsake({}, [], b"\x01\xff"),
        Keepsake({"gemini": {"n": 2**70, "t": "😀é"}}, []),
    ):
        assert read_keepsake(write_keepsake(keepsake)) == keepsake
    for data in (b"", b"[]", b'[1,[],""]', b"[{},[1],2]", b'{"a":1}', b"\xff"):
        assert read_keepsake(data) is None


# ---------------------------------------------------------------- the deposit


async def test_R04_what_lies_in_redis_is_sealed_bound_to_its_place_and_lapses(redis: RealRedis) -> None:
    async with replica(redis) as here, replica(redis, Cipher(["another-0123456789-abcdefghij-klmnop"])) as foreign:
        here.stored.store("user:7", {"input": "a private matter"}, ANSWER)
        await until(lambda: redis.client.keys("dragoman:responses:*"))
        (place,) = redis.client.keys("dragoman:responses:*")
        assert 3_500 < redis.client.ttl(place) <= 3_600
        lies = repr(redis.client.get(place)) + repr(place)
        assert not any(word in lies for word in ("user", "resp_1", "private", "Ada"))
        there = place.decode()
        assert (await here.deposit.take([there]))[0]  # type: ignore[index]
        assert await foreign.deposit.take([there]) == [None]
        elsewhere = here.deposit.place("responses", "user:8", "resp_1")
        redis.client.set(elsewhere, redis.client.get(place))
        assert await here.deposit.take([elsewhere]) == [None]
        redis.client.set(there, b"garbage")
        assert await here.deposit.take([there]) == [None]


async def test_the_deposit_is_bounded_and_written_behind(redis: RealRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deposit_redis, "LARGEST", 10_000)
    monkeypatch.setattr(deposit_redis, "_MOST_WAITING", 5)
    async with replica(redis) as one:
        import random

        for number in range(20):
            one.deposit.put(f"dragoman:t:{number}", lambda: b"small")
        one.deposit.put("dragoman:t:large", lambda: random.Random(1).randbytes(20_000))
        await one.deposit._idle.wait()
        assert sorted(redis.client.keys("dragoman:t:*")) == [b"dragoman:t:%d" % number for number in range(16, 20)]


async def test_a_stalled_redis_costs_a_call_a_quarter_of_a_second_once(redis: RealRedis) -> None:
    async with replica(redis) as one:
        redis.stall()
        try:
            began = time.monotonic()
            for _ in range(20):
                assert await one.deposit.take(["dragoman:t:1"]) is None
            assert time.monotonic() - began < 2.5, "twenty quarters would be twice as long"
        finally:
            redis.go_on()
        await asyncio.sleep(1.1)
        assert await one.deposit.take(["dragoman:t:1"]) == [None]


async def test_what_was_laid_down_last_is_written_before_a_replica_goes(redis: RealRedis) -> None:
    async with replica(redis) as here:
        for number in range(200):
            here.stored.store("user:7", {"input": "a"}, {**ANSWER, "id": f"resp_{number}"})
    assert len(redis.client.keys("dragoman:responses:*")) == 200
