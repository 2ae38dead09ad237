"""Parameters that targets have refused by name: left out of every later call, once was enough.

Only of bodies that were written here: a client that speaks its provider's own dialect hears the
refusal itself, since it may know better what to do. It must not know wires.
"""

from __future__ import annotations

from dragoman.language.failures import Failure
from dragoman.language.losses import Receipt
from dragoman.language.unsupported import unsupported_parameter, without_parameter
from dragoman.language.wire import decode_exactly, encode
from dragoman.relay.outgoing import Outgoing, Target

MOST_TARGETS = 2000
MOST_PARAMETERS = 8
Key = tuple[str, str, str]


class Lessons:
    """What was learnt, by provider, model and dialect."""

    def __init__(self) -> None:
        self._refused: dict[Key, tuple[str, ...]] = {}

    def apply(self, target: Target, outgoing: Outgoing, receipt: Receipt) -> None:
        """Leave out of a body what its target has refused before."""
        refused = self._refused.get(_key(target))
        if refused is None or outgoing.short:
            return
        body = decode_exactly(outgoing.body)
        for path in refused:
            less = without_parameter(body, path)
            if less is not None:
                body = less
                receipt.note(path, "dropped", "the target has refused it by name")
        outgoing.body = encode(body)

    def learn(self, target: Target, outgoing: Outgoing, failure: Failure) -> bool:
        """Whether the refusal names one parameter of the body without which it is worth another try."""
        path = "" if outgoing.short else unsupported_parameter(failure)
        if not path or without_parameter(decode_exactly(outgoing.body), path) is None:
            return False
        known = self._refused.get(_key(target), ())
        if len(known) >= MOST_PARAMETERS:
            return False
        if len(self._refused) >= MOST_TARGETS:
            self._refused.clear()
        self._refused[_key(target)] = (*known, path)
        return True


def _key(target: Target) -> Key:
    return target.resolved.provider_name, target.model, target.profile.dialect
