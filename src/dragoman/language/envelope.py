"""Sealing what one owner issued into the opaque field of another dialect, and opening it again.

Anthropic's ``signature``, Responses' ``encrypted_content`` and Gemini's ``thoughtSignature`` are
opaque strings that a client echoes unchanged. A thought of a foreign owner travels through them in
an envelope that is recognisably ours, so that switching back restores the owner's bytes, and no
provider is ever sent a signature it did not issue. The whole is base64, because Gemini clients
decode and re-encode the field. This module must not know what it seals.
"""

from __future__ import annotations

import base64
import binascii

from dragoman.language.ir import Extras
from dragoman.language.wire import decode, encode

_MARK = b"dragoman1:"
_PREFIX = base64.b64encode(b"dragoman1")[:12].decode()


def seal(extras: Extras) -> str:
    """An opaque string holding the extras."""
    return base64.b64encode(_MARK + encode(extras)).decode()


def unseal(text: object) -> Extras | None:
    """The extras inside an envelope of ours; ``None`` for anything else."""
    if not isinstance(text, str) or not text.startswith(_PREFIX):
        return None
    try:
        raw = base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
        value = decode(raw.removeprefix(_MARK))
    except (binascii.Error, ValueError):
        return None
    if not raw.startswith(_MARK) or not isinstance(value, dict):
        return None
    return {owner: dict(fields) for owner, fields in value.items() if isinstance(fields, dict)}
