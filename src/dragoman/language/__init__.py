"""The language: one conversation model, one event stream, and the dialects that read and write them.

Everything below is pure: no I/O, no clock, no randomness. It must not know providers' addresses,
credentials, sockets, users or money; it knows only what is said and how each wire says it.
"""
