"""Cursor's corner: four model names that stand for efforts on one Azure deployment, and its manners.

Cursor asks on the Chat path with bodies that mix dialects (traps C10 to C12) and reads no field of
thoughts, so it is shown them between tags at the head of the text, and they are taken out of what it
sends back. Its agent knows calls only as functions, whatever the tool: a free-form tool's call goes
out as a function with the raw text as arguments, and comes back as what it was.

It must not know HTTP, nor what an answer's wire looks like.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from copy import copy
from dataclasses import replace

from dragoman.language.dialects.openai_chat.think_tags import split_whole
from dragoman.language.failures import Failure, Refused
from dragoman.language.fitting.reasoning import nearest_effort
from dragoman.language.ir import (
    Extras,
    Message,
    Opaque,
    Part,
    ReasoningSetting,
    Request,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from dragoman.language.losses import Receipt, What
from dragoman.language.profiles import Profile
from dragoman.relay.calls import Call, Client
from dragoman.relay.house import House
from dragoman.relay.relay import Relay
from dragoman.relay.stages import Stage, ThinkTags
from dragoman.settings.model import Settings
from dragoman.settings.routes import MaybeClass
from dragoman.upstream.calls import UpstreamTrouble
from dragoman.upstream.plans import Plan, Resolved
from dragoman.upstream.providers import Provider
from dragoman.upstream.resolution import Resolver

CHAT = "openai_chat"
RESPONSES = "openai_responses"
NAMES = ("gpt-high", "gpt-medium", "gpt-low", "gpt-minimal")
"""What Cursor's users add as models; ``gpt-`` may be left out."""

DIALECT = "cursor"
"""Names a Chat body that has to be fitted although its target speaks Chat, too."""

_EFFORTS = frozenset(name.removeprefix("gpt-") for name in NAMES)
_SAID_ELSEWHERE = frozenset({"route", "deployment", "prefix", "sim"})
"""Rules that rest on a name somebody configured or spelt out, not on a guess."""


def effort_of(model: str) -> str:
    """The effort that one of the four names stands for, in any case; empty for any other name."""
    word = model.strip().lower().removeprefix("gpt-")
    return word if word in _EFFORTS else ""


class CursorResolver(Resolver):
    """Names on Cursor's path: the four, then routes and ``provider/model``, and nothing that is guessed."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._deployment = settings.models.cursor_deployment
        self._azure = azure_name(settings, self.preferred)

    def plan(self, model: str, *, surface: str = CHAT, request_class: MaybeClass = "") -> Plan:
        """Who serves the name. Raises Refused (400, with the four names), or UpstreamTrouble for what is not set."""
        if effort_of(model) and (self._deployment or self._routes.get(model.strip()) is None):
            return Plan((self._own_target(),))
        if not model.strip():
            raise Refused("model", f"is required: one of {', '.join(NAMES)}")
        try:
            plan = super().plan(model, surface=CHAT, request_class=request_class)
        except Refused as refused:
            if refused.kind != "not_found":
                raise
            plan = None
        if plan is None or not (plan.route or plan.candidates[0].rule in _SAID_ELSEWHERE):
            shown = model if len(model) <= 100 else model[:100] + "…"
            raise Refused(
                "model", f"{shown!r} is not one of {', '.join(NAMES)}, nor a configured route, nor provider/model"
            )
        return plan

    def every_name(self) -> list[str]:
        """The four, too."""
        return [*NAMES, *super().every_name()]

    def _own_target(self) -> Resolved:
        missing = "CURSOR_AZURE_DEPLOYMENT" if not self._deployment else ""
        if not self._azure:
            missing = " and ".join(filter(None, (missing, "AZURE_OPENAI_ENDPOINT", "AZURE_OPENAI_API_KEY")))
        if missing:
            message = f"the models {', '.join(NAMES)} are not configured: set {missing}"
            raise UpstreamTrouble(Failure("server", message, status=500, code="internal_error"))
        return Resolved(self._azure, self._deployment, "cursor")


def azure_name(settings: Settings, preferred: str) -> str:
    """The Azure account behind Cursor's names: the preferred provider if it is one, else the first. Empty: none."""
    names = [name for name, provider in settings.providers.items() if provider.kind == "azure_openai"]
    return preferred if preferred in names else next(iter(names), "")


def on_responses(providers: Mapping[str, Provider], name: str, deployment: str) -> dict[str, Provider]:
    """The providers, of which the named one is asked for its deployment on the Responses API alone."""
    if name not in providers or not deployment:
        return dict(providers)
    azure = copy(providers[name])  # shares the credential
    said = azure.settings
    family = said.families.get(deployment, said.family).partition(":")[0]
    azure.settings = said.model_copy(update={"families": said.families | {deployment: f"{family}:responses"}})
    return {**providers, name: azure}


class CursorRelay:
    """Carries Cursor's calls by a relay whose house knows Cursor's names."""

    def __init__(self, house: House, settings: Settings) -> None:
        self.resolver = CursorResolver(settings)
        name = azure_name(settings, self.resolver.preferred)
        providers = on_responses(house.providers, name, settings.models.cursor_deployment)
        self._relay = Relay(replace(house, resolver=self.resolver, providers=providers))
        self._manners = CursorManners()

    async def carry(self, call: Call, client: Client) -> None:
        """Carry one call, see ``Relay.carry``."""
        call.manners = self._manners
        await self._relay.carry(call, client)


class CursorManners:
    """See ``relay.calls.Manners``."""

    def stands_aside(self, request: Request, profile: Profile) -> bool:
        """Never: Cursor wants its answers in its own form from every target."""
        return False

    def adopt(self, request: Request) -> None:
        """Make a body of Cursor's a request as others send it."""
        request.messages = _without_thoughts(request.messages)
        _restore_custom_calls(request)
        request.extras.setdefault(CHAT, {})["~no_null_usage"] = True
        for tool in request.tools:
            if isinstance(tool, Tool) and tool.kind == "custom":
                # A flat declaration is what the Chat writer answers with functions.
                tool.extras.setdefault(CHAT, {})["~flat"] = True

    def suit(self, request: Request, asked: str, profile: Profile, receipt: Receipt) -> None:
        """The effort that the name stands for, and what fitting would do where it does not come by."""
        if effort := effort_of(asked):
            summary = request.reasoning.summary if request.reasoning is not None else None
            request.reasoning = ReasoningSetting("on", effort=effort, summary=summary or "auto")
        if request.user and not request.cache_key and profile.cache_key:
            request.cache_key, request.user = _short(request.user), ""
        if request.dialect != profile.dialect:
            return
        if request.dialect == RESPONSES:
            _fit_responses(request, profile, receipt)
        elif not profile.custom_tools and any(isinstance(one, Tool) and one.kind == "custom" for one in request.tools):
            request.dialect = DIALECT

    def stages(self) -> list[Stage]:
        """Thoughts between tags."""
        return [ThinkTags()]


def _short(user: str) -> str:
    return user if len(user) <= 64 else hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()


# ---------------------------------------------------------------- history


def _without_thoughts(messages: list[Message]) -> list[Message]:
    """History without the tags at the head of answers; an answer that was nothing else is left out."""
    kept = []
    for message in messages:
        if message.role == "assistant":
            parts = [plain for part in message.parts if (plain := _plain(part)) is not None]
            if message.parts and not parts:
                continue
            message = replace(message, parts=parts)
        kept.append(message)
    return kept


def _plain(part: Part) -> Part | None:
    if not isinstance(part, Text) or "<think" not in part.text:
        return part
    text = "".join(words for kind, words in split_whole(part.text) if kind == "text")
    return replace(part, text=text) if text else None


def _restore_custom_calls(request: Request) -> None:
    """Calls of free-form tools come back as functions: make them, and their results, what they are."""
    custom = {tool.name for tool in request.tools if isinstance(tool, Tool) and tool.kind == "custom"}
    if not custom:
        return
    calls: set[str] = set()
    for at, message in enumerate(request.messages):
        if message.role not in ("assistant", "tool"):
            continue
        parts = [_restored(part, custom, calls) for part in message.parts]
        request.messages[at] = replace(message, parts=parts)


def _restored(part: Part, custom: set[str], calls: set[str]) -> Part:
    if isinstance(part, ToolCall) and part.name in custom and not part.namespace:
        calls.add(part.id)
        if part.kind != "custom":
            return replace(part, kind="custom", extras=_without_item_id(part.extras))
    elif isinstance(part, ToolResult) and part.call_id in calls and part.kind != "custom":
        return replace(part, kind="custom", extras=_without_item_id(part.extras))
    return part


def _without_item_id(extras: Extras) -> Extras:
    """An item's id tells its type, which has changed."""
    fields = extras.get(RESPONSES)
    if fields is None or "id" not in fields.get("~item", {}):
        return extras
    item = {name: value for name, value in fields["~item"].items() if name != "id"}
    return {**extras, RESPONSES: {**fields, "~item": item}}


# ---------------------------------------------------------------- a Responses body for a Responses target


def _fit_responses(request: Request, profile: Profile, receipt: Receipt) -> None:
    """What fitting does between dialects and this body needs too: Cursor sends one set of knobs to every model."""
    request.sampling = replace(request.sampling)
    for name in ("temperature", "top_p", "top_logprobs"):
        if getattr(request.sampling, name) is not None and name not in profile.sampling:
            receipt.note(name, "dropped", "the target does not take it")
            setattr(request.sampling, name, None)
    if request.sampling.max_tokens is not None:
        request.sampling.max_tokens = max(request.sampling.max_tokens, profile.min_output)
    request.tools = [_lax(tool) for tool in request.tools]
    setting = request.reasoning
    if setting is None or setting.effort is None:
        return
    effort = nearest_effort(setting.effort, profile.efforts)
    if effort != setting.effort:
        what: What = "approximated" if effort else "dropped"
        receipt.note("reasoning.effort", what, f"the target does not know the effort {setting.effort}")
    request.reasoning = replace(setting, effort=effort) if effort else None


def _lax(tool: Tool | Opaque) -> Tool | Opaque:
    """Absent means strict on this wire, and Cursor's schemas are not."""
    if isinstance(tool, Tool) and tool.kind == "function" and tool.strict is None:
        return replace(tool, strict=False)
    return tool
