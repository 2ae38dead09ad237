"""A call that is over is freed at once: nothing of it waits in a cycle for the collector."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from dragoman.relay.metering import Meter
from dragoman.relay.relay import Journey
from tests.relay.rig import ASK, chat_body, chat_stream, replay, running, whole


@pytest.fixture
def uncollected() -> Iterator[None]:
    """No search for cycles meanwhile."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("stream", [False, True])
async def test_a_call_leaves_no_cycle_behind(monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    begun: list[weakref.ref[Journey]] = []
    earlier = {id(one) for one in _journeys()}  # of tests whose server was stopped in the middle of a call
    close = Meter.close

    def watched(meter: Meter, sinks: Any) -> None:
        begun.extend(weakref.ref(one) for one in _journeys() if id(one) not in earlier)
        close(meter, sinks)

    monkeypatch.setattr(Meter, "close", watched)
    async with running() as rig:
        rig.provider.script = replay(*chat_stream("Hello")) if stream else whole(chat_body("Hello"))
        status, _, _ = await rig.post("/v1/messages", {**ASK, "stream": stream})
        assert status == 200
        await rig.record()
        assert len(begun) == 1
        assert begun[0]() is None


def _journeys() -> list[Journey]:
    return [one for one in gc.get_objects() if isinstance(one, Journey)]
