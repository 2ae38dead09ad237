"""Which providers may serve a model name, under which names, and by which rule. First match wins:

1. a route of the file by name, alias or pattern, or an entry of a provider's ``deployments``;
2. nothing but the simulated provider is there: it takes every name;
3. ``provider/model`` goes to that provider, the rest as it stands;
4. the preferred provider is Anthropic: the name as it stands;
5. ``haiku`` goes to the small model, ``sonnet`` and ``opus`` to the big one;
6. the policy for names nothing maps.

It knows the settings and nothing of any wire.
"""

from __future__ import annotations

from dataclasses import replace

from dragoman.language.failures import Refused
from dragoman.settings.model import Settings
from dragoman.settings.routes import MaybeClass
from dragoman.upstream.plans import Plan, Resolved
from dragoman.upstream.routes import Routes, undated

_MAX_KNOWN = 4096
_KINDS_OF_WORD: dict[str, tuple[str, ...]] = {
    "openai": ("openai", "openai_compatible"),
    "azure": ("azure_openai",),
    "gemini": ("vertex", "gemini"),
    "anthropic": ("anthropic",),
}
"""The four prefixes every earlier proxy knew, whatever the account is called here."""

_VARIABLE_OF_WORD = {
    "openai": "OPENAI_API_KEY",
    "azure": "AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
}


class Resolver:
    """Resolves names against one configuration."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._models = settings.models
        self._providers = settings.providers
        self._folded = {name.lower(): name for name in settings.providers}
        self._routes = Routes(settings)
        self._deployments = _deployments(settings)
        self._known: dict[tuple[str, bool, str], Plan] = {}
        self.preferred = self._preferred()

    def plan(self, model: str, *, surface: str = "anthropic", request_class: MaybeClass = "") -> Plan:
        """Who may serve ``model`` for a client of the given dialect. Raises Refused, not_found for an unknown name.

        A Chat client's name is taken at its word: haiku, sonnet and opus mean the small and the big
        model for the others only. An empty name stands for the default model. ``request_class`` is
        what an agent's call is for (``settings.routes.RequestClass``), empty when nobody said.
        """
        key = (model, surface == "openai_chat", request_class)
        plan = self._known.get(key)
        if plan is None:
            plan = self._planned(model.strip() or self._default_name(), literal=key[1], request_class=request_class)
            if len(self._known) >= _MAX_KNOWN:
                self._known.clear()
            self._known[key] = plan
        return plan

    def resolve(self, model: str, *, surface: str = "anthropic") -> Resolved:
        """The first of those who may serve ``model``. Raises Refused."""
        return self.plan(model, surface=surface).candidates[0]

    def known_names(self) -> list[str]:
        """Names a client may ask for, in stable order."""
        names = list(self._map_names())
        if self._models.big or self._models.small:
            names += ["sonnet", "opus", "haiku"]
        names += [name for name in (self._models.big, self._models.small, self._models.default) if name]
        names += [f"{name}/<model>" for name in self._providers]
        return list(dict.fromkeys(names))

    def every_name(self) -> list[str]:
        """As ``known_names``, and aliases that hold a ``*``: they resolve as they stand, too."""
        starred = [alias for route in self._settings.routes.values() for alias in route.aliases if "*" in alias]
        return [*self.known_names(), *starred]

    # ------------------------------------------------------------ rules

    def _planned(self, model: str, *, literal: bool, request_class: MaybeClass) -> Plan:
        route = self._routes.get(model)
        if route is None:
            return Plan((self._find(model, literal=literal),))
        elsewhere = route.settings.when.get(request_class) if request_class else None
        return route.plan if elsewhere is None else self._planned(elsewhere, literal=True, request_class="")

    def _find(self, model: str, *, literal: bool) -> Resolved:
        found = self._deployments.get(model.lower()) or self._deployments.get(undated(model.lower()))
        if found is not None:
            return found
        if self._settings.simulated:
            return Resolved(self._sim_name(), model, "sim")
        model, found = self._prefixed(model, literal=literal)
        if found is not None:
            return found
        preferred = self._providers.get(self.preferred)
        if preferred is not None and preferred.kind == "anthropic":
            return Resolved(self.preferred, model, "anthropic")
        folded = model.lower()
        if not literal:
            if "haiku" in folded and self._models.small:
                return self._small("small")
            if ("sonnet" in folded or "opus" in folded) and self._models.big:
                return self._big()
        return self._by_policy(model, literal=literal)

    def _prefixed(self, model: str, *, literal: bool) -> tuple[str, Resolved | None]:
        """The model behind a provider's name, or the name itself when nothing of ours stands before its slash."""
        word, slash, rest = model.partition("/")
        if not slash or not rest:
            return model, None
        name = self._provider_named(word)
        word = word.lower()
        if name is None:
            if word == "anthropic":
                return rest, None
            if word in _KINDS_OF_WORD:
                raise Refused("model", f"provider {word} is not configured: set {_VARIABLE_OF_WORD[word]}")
            return model, None
        if self._maps_inside(name, word, rest) and not literal:
            return rest, None
        return model, Resolved(name, rest, "prefix")

    def _maps_inside(self, name: str, word: str, rest: str) -> bool:
        """``openai/claude-3-haiku`` means the small model where variables made the account, never where a file did."""
        if word not in ("openai", "gemini") or self._providers[name].from_file:
            return False
        return any(size in rest.lower() for size in ("haiku", "sonnet", "opus"))

    def _big(self) -> Resolved:
        target = self._target(self._models.big, verbatim=self._models.big_verbatim)
        return replace(target, rule="big", effort=self._models.big_effort or None)

    def _small(self, rule: str) -> Resolved:
        target = self._target(self._models.small, verbatim=self._models.small_verbatim)
        return replace(target, rule=rule, effort=self._models.small_effort or None)

    def _by_policy(self, model: str, *, literal: bool) -> Resolved:
        policy = self._models.unmapped
        if policy == "small" and self._models.small and not literal:
            return self._small("fallback_small")
        if policy == "default" and self._models.default and model.lower().startswith("claude"):
            target = self._target(self._models.default, verbatim=self._models.default_verbatim)
            return replace(target, rule="default")
        if self.preferred and (policy != "error" or (literal and not self._deployments and not self._routes)):
            return replace(self._target(model, verbatim=True), rule="passthrough")
        raise Refused(
            "model",
            f"Missing model mapper for {_shown(model)}; known: {', '.join(self.known_names())}",
            kind="not_found",
        )

    # ------------------------------------------------------------ targets

    def _target(self, name: str, *, verbatim: bool) -> Resolved:
        if not verbatim:
            word, slash, rest = name.partition("/")
            provider = self._provider_named(word) if slash and rest else None
            if provider is not None:
                return Resolved(provider, rest, "")
        if not self.preferred:
            raise Refused("model", f"no provider is named for {_shown(name)}; write provider/model", kind="not_found")
        return Resolved(self._account_for(name), name, "")

    def _account_for(self, name: str) -> str:
        """With Google preferred, names that are not Gemini's go to OpenAI when there is one."""
        if self._providers[self.preferred].kind not in ("gemini", "vertex") or name.lower().startswith("gemini-"):
            return self.preferred
        if self._providers[self.preferred].from_file:
            return self.preferred
        openai = self._provider_named("openai")
        if openai is None:
            raise Refused(
                "model", f"{_shown(name)} is not a Gemini model, and OPENAI_API_KEY is not set", kind="not_found"
            )
        return openai

    def _provider_named(self, word: str) -> str | None:
        if word in self._providers:
            return word
        folded = word.lower()
        if folded in self._folded:
            return self._folded[folded]
        for kind in _KINDS_OF_WORD.get(folded, ()):
            for name, provider in self._providers.items():
                if provider.kind == kind:
                    return name
        return None

    def _preferred(self) -> str:
        word = self._models.preferred
        named = self._provider_named("gemini" if word == "google" else word) if word else None
        if named is not None:
            return named
        return next(iter(self._providers)) if len(self._providers) == 1 else ""

    def _sim_name(self) -> str:
        return next(iter(self._providers), "sim")

    def _default_name(self) -> str:
        if self._models.default:
            return self._models.default
        if self._settings.simulated:
            return "sim"
        raise Refused("model", "is required")

    def _map_names(self) -> list[str]:
        names: list[str] = []
        for provider in self._providers.values():
            names += provider.deployments
        for name, route in self._settings.routes.items():
            names += [name, *(alias for alias in route.aliases if "*" not in alias)]
        return names


def _deployments(settings: Settings) -> dict[str, Resolved]:
    found: dict[str, Resolved] = {}
    for name, provider in settings.providers.items():
        for model, deployment in provider.deployments.items():
            found.setdefault(model.lower(), Resolved(name, deployment, "deployment"))
    return found


def _shown(model: str) -> str:
    return repr(model if len(model) <= 100 else model[:100] + "…")
