"""The side that faces clients: paths, credentials, bodies, and the ASGI application that joins them.

It must not know how a call is translated or where it goes: that is the relay's.
"""
