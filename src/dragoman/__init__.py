"""Dragoman: a gateway that translates between AI client dialects and model providers.

This module only names the package and its version; it imports nothing.
"""

__version__ = "0.1.0"
