"""How long a client may take to send a request's body to an application below the gateway.

Bodies of these applications are small, so what comes in drops is no honest client. It must not know how
applications say so.
"""

from __future__ import annotations

import asyncio

from dragoman.web.exchange import Message, Receive

SILENCE = 20.0
"""Seconds between two pieces of a body."""

WHOLE = 60.0
"""Seconds for all of a body."""


class SlowBody(Exception):
    """The body did not come in time; what is still to come is not read."""


def hurried(receive: Receive) -> Receive:
    """The same, but until the body is complete it raises SlowBody instead of waiting on; after that it waits."""
    loop = asyncio.get_running_loop()
    end = loop.time() + WHOLE
    complete = False

    async def heard() -> Message:
        nonlocal complete
        if complete:
            return await receive()
        try:
            async with asyncio.timeout_at(min(end, loop.time() + SILENCE)):
                message = await receive()
        except TimeoutError:
            raise SlowBody from None
        complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    return heard
