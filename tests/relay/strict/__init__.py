"""Upstreams that refuse what the real ones refuse, each in its own dialect.

Each signs its thoughts with a key of its own and checks what comes back, so that a signature which goes
to another account or another family of models is caught (rules R and T of the traps).
"""

from tests.relay.strict.account import Call, History, Say, Strict, StrictlyRefused
from tests.relay.strict.anthropic import StrictAnthropic
from tests.relay.strict.chat import StrictChat
from tests.relay.strict.gemini import StrictGemini
from tests.relay.strict.responses import StrictResponses

__all__ = [
    "Call",
    "History",
    "Say",
    "Strict",
    "StrictAnthropic",
    "StrictChat",
    "StrictGemini",
    "StrictResponses",
    "StrictlyRefused",
]
