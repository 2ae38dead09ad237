"""Fitting: a request in the conversation model is put into the terms of one target.

Between two dialects ``fit`` runs before ``write_request``, so that a writer only spells. It repairs
what a target would refuse, names what it drops, and refuses what cannot be carried without changing
its meaning. Everything lost is in the receipt (the translation receipt, N1). It is pure: the same
request, profile and names give the same result, so that prefixes stay the same from turn to turn
(T14), and the client's request is never changed.

One concern, one module: ``tools`` and ``names``, ``choice``, ``reasoning``, ``knobs``, ``content``
with ``foreign`` and ``media``, ``hints``, ``placement``, ``history``, ``pieces``, ``output``; tools and output
ask ``compiled``. Within one dialect nothing is fitted; ``native``, ``ownership``, ``mending`` and ``settings``
see to what others have left in it. On the answer's way back ``restore`` gives the client its tools again and
``stops`` cuts text at stop sequences. This package must not know any wire's fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from dragoman.language.failures import Refused
from dragoman.language.fitting.choice import fit_choice
from dragoman.language.fitting.content import fit_content
from dragoman.language.fitting.draft import Draft
from dragoman.language.fitting.foreign import foreign, note_foreign
from dragoman.language.fitting.hints import fit_hints
from dragoman.language.fitting.history import fit_history, fit_prefill
from dragoman.language.fitting.knobs import fit_sampling, fit_user
from dragoman.language.fitting.media import move_result_media
from dragoman.language.fitting.names import Original, ToolNames
from dragoman.language.fitting.output import fit_output
from dragoman.language.fitting.pieces import join_pieces
from dragoman.language.fitting.placement import fit_placement
from dragoman.language.fitting.reasoning import fit_reasoning, fit_signed_turn, fit_tools_with_reasoning
from dragoman.language.fitting.restore import Restorer
from dragoman.language.fitting.stops import StopCutter
from dragoman.language.fitting.tools import fit_remembered_tools, fit_tools
from dragoman.language.ir import Opaque, Request
from dragoman.language.losses import Receipt
from dragoman.language.profiles import Profile

__all__ = ["Fitted", "Original", "Restorer", "StopCutter", "ToolNames", "fit", "foreign"]


@dataclass(slots=True)
class Fitted:
    """A request in the target's terms.

    ``names`` goes to a Restorer unless ``names.empty``; ``cut_stops`` to a StopCutter unless empty.
    """

    request: Request
    names: ToolNames = field(default_factory=ToolNames)
    cut_stops: list[str] = field(default_factory=list)


_STORED = (("openai_responses", "conversation"), ("openai_responses", "prompt"), ("gemini", "cachedContent"))
"""Fields that stand for words only their owner has stored: without them the model would miss the words (R24)."""


def fit(request: Request, profile: Profile, receipt: Receipt) -> Fitted:
    """Put a request into the terms of the target; losses go to the receipt.

    A request of the target's own dialect is returned as it is. Raises Refused, with the path in the
    client's terms, for what cannot be carried. The cost is linear in the number of parts.
    """
    if request.dialect == profile.dialect:
        return Fitted(request)
    _refuse_stored(request)
    draft = Draft(request, profile, receipt)
    fit_tools(draft)
    fit_reasoning(draft)
    fit_choice(draft)
    fit_tools_with_reasoning(draft)
    fit_content(draft)
    fit_hints(draft)
    fit_placement(draft)
    fit_history(draft)
    join_pieces(draft)
    fit_remembered_tools(draft)
    fit_prefill(draft)
    if draft.result_media:
        move_result_media(draft)
    fit_signed_turn(draft)
    fit_sampling(draft)
    fit_user(draft)
    fit_output(draft)
    note_foreign(draft)
    return Fitted(draft.request, draft.names, draft.cut_stops)


_SAID = ("msg_", "fc_", "ctc_")
"""How the ids of words and calls begin. Of anything else only its owner could make something."""


def _missing(request: Request) -> Iterator[str]:
    """References to what was said or called, and is nowhere in the request."""
    for message in request.messages if request.dialect == "openai_responses" else ():
        for part in message.parts:
            if isinstance(part, Opaque) and part.data.keys() <= {"type", "id"}:
                name = str(part.data.get("id"))
                if name.startswith(_SAID):
                    yield name


def _refuse_stored(request: Request) -> None:
    """Refuse what refers to words stored elsewhere, rather than ask without them (R24)."""
    if request.previous:
        raise Refused(
            "previous_response_id",
            "previous_response_not_found: the target cannot continue a response that another provider stored",
        )
    for name in _missing(request):
        raise Refused("input", f"the item {name!r} is not stored here; send the item itself")
    for owner, name in _STORED:
        if request.extras.get(owner, {}).get(name):
            raise Refused(name, f"the target cannot read what is stored with the provider of {owner}")
