"""One call's journey from a client to a provider and back: ``relay`` tells it from top to bottom.

It must not know HTTP servers (that is ``web``) nor any provider's address (that is ``upstream``).
"""
