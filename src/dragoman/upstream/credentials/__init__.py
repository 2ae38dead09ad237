"""How calls are signed: a key in a header, or a token that is fetched and kept fresh.

This room must not know URLs of providers nor dialects. A credential never prints.
"""

from __future__ import annotations

from dragoman.upstream.credentials.entra import EntraToken
from dragoman.upstream.credentials.google import GoogleToken
from dragoman.upstream.credentials.keys import Credential, HeaderKey, NoKey
from dragoman.upstream.credentials.tokens import FreshToken, Step, Token, TokenFlow

__all__ = [
    "Credential",
    "EntraToken",
    "FreshToken",
    "GoogleToken",
    "HeaderKey",
    "NoKey",
    "Step",
    "Token",
    "TokenFlow",
]
