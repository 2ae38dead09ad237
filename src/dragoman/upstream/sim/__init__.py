"""The simulated provider: an honest upstream without an account.

It speaks every dialect over real HTTP, so that a newcomer sees the whole journey work without a
key, and tests have something true to talk to. It must not know the gateway that calls it.
"""

from dragoman.upstream.sim.server import sim_app

__all__ = ["sim_app"]
