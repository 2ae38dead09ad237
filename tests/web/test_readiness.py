"""What a balancer asks: whether the process lives, and whether new calls should come here (K2)."""

from __future__ import annotations

import signal

import aiohttp

from dragoman.app import Works
from dragoman.cli.serve import _Server, server_config
from dragoman.web.credentials import gate_of
from dragoman.web.readiness import Readiness
from tests.relay.rig import served, settings_for


async def test_K2_ready_until_something_is_missing() -> None:
    there = {"keys": True, "database": True}
    readiness = Readiness({name: lambda name=name: there[name] for name in there})  # type: ignore[misc]
    settings = settings_for(1)
    app = Works(settings).gateway(gate_of(settings.auth), readiness=readiness)
    async with served(app) as port, aiohttp.ClientSession() as client:

        async def asked(path: str = "/readyz") -> tuple[int, object]:
            async with client.get(f"http://127.0.0.1:{port}{path}") as answer:
                return answer.status, await answer.json() if answer.status != 204 else None

        assert await asked() == (200, {"ready": True, "missing": []})
        there["database"] = False
        assert await asked() == (503, {"ready": False, "missing": ["database"]})
        there["database"] = True
        assert await asked() == (200, {"ready": True, "missing": []})
        server = _Server(server_config(app), readiness, lambda address, port: None)
        server.hear(signal.SIGTERM, None)
        assert server.should_exit
        assert await asked() == (503, {"ready": False, "missing": ["draining"]})
        assert await asked("/healthz") == (204, None), "it lives as long as it drains"
