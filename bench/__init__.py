"""Measures the gateway beside nginx on this machine.

It must not import the gateway: what is measured runs in its own tree of processes.
"""
