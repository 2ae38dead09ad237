"""Faults on purpose, against real processes on loopback."""
