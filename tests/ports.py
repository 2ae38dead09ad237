"""Ports for servers that are told their port before they start, or start again on the same one."""

from __future__ import annotations

import random
import socket

_OURS = range(20_000, 32_000)
"""Below those that the system gives to connections: whoever connects meanwhile does not take it away."""


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    chance = random.SystemRandom()
    while True:
        port = chance.choice(_OURS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
