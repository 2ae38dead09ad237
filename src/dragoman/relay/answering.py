"""The way an answer takes back: which tract it goes through, what changes it, who looks on.

It must not know servers or providers' addresses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from dragoman.language.events import Folder, Started
from dragoman.language.fitting import Restorer, StopCutter
from dragoman.language.ir import Json
from dragoman.language.registry import DIALECTS
from dragoman.language.splice import replaced_at
from dragoman.language.streams import Asked
from dragoman.language.wire import encode
from dragoman.relay.calls import Call
from dragoman.relay.detours import Detours
from dragoman.relay.issuers import Noter
from dragoman.relay.keepsakes import Collector, Keepsakes
from dragoman.relay.metering import Meter
from dragoman.relay.outgoing import Options, Outgoing, Target
from dragoman.relay.rounds import PAUSING, Rounds, paused
from dragoman.relay.stages import Cut, ReasoningShown, Stage, each, looking
from dragoman.relay.stored_responses import StoredResponses
from dragoman.relay.tracts import Cleaner, JsonArray, LongWay, ShortCut, Tract, Watcher
from dragoman.relay.whole import Ways, WholeAnswer, read_response, read_whole, rewritten

RESPONSES = "openai_responses"
_REFUSAL = b'"stop_reason":"refusal"'


@dataclass(slots=True)
class Memory:
    """What the gateway remembers between calls."""

    keepsakes: Keepsakes = field(default_factory=Keepsakes)
    stored: StoredResponses = field(default_factory=StoredResponses)
    detours: Detours = field(default_factory=Detours)


class AnswerWay:
    """The way back of one call."""

    def __init__(
        self,
        call: Call,
        body: Mapping[str, Json],
        target: Target,
        asked: Asked,
        outgoing: Outgoing,
        meter: Meter,
        clean: Cleaner,
        memory: Memory,
        options: Options,
    ) -> None:
        self.short = outgoing.short
        self.upstream_dialect = target.profile.dialect
        self._call = call
        self._body = body
        self._target = target
        self._asked = asked
        self._hide_usage = outgoing.hide_usage
        self._meter = meter
        self._clean = clean
        self._memory = memory
        self._options = options
        self._folder: Folder | None = None
        self._issued_id = ""
        self._manners = outgoing.manners
        self._issuer = target.issuer
        self.rounds = Rounds(DIALECTS[self.upstream_dialect].StreamReader, paused, meter.round) if self._joins else None
        self._stages = self._make_stages(outgoing)
        self._watchers = self._make_watchers()

    # ------------------------------------------------------------ streams and whole answers

    def tract(self) -> Tract:
        """The way of a stream."""
        if not self.short:
            return self.long_tract()
        tract: Tract = ShortCut(
            self._call.dialect,
            self._asked,
            self._meter,
            self._clean,
            hide_usage=self._hide_usage,
            watchers=self._watchers,
        )
        return JsonArray(tract) if self._call.json_array else tract

    def long_tract(self) -> Tract:
        """The way of a stream that has to be written anew, whatever form it comes in."""
        tract: Tract = LongWay(
            self.rounds or DIALECTS[self.upstream_dialect].StreamReader(),
            DIALECTS[self._call.dialect].StreamWriter(self._asked),
            self._meter,
            self._clean,
            self._stages,
            self._watchers,
            self._with_filter_word if self._renames_filter else None,
            self._asked.seed if self._crosses else "",
            all_deltas=self._folder is not None,
            issuer=self._issuer if self._crosses else "",
        )
        return JsonArray(tract) if self._call.json_array else tract

    def whole(self, data: bytes, headers: Mapping[str, str]) -> WholeAnswer | None:
        """A whole answer, ``None`` while another round is to go on with it. Raises AnswerFailed."""
        seed = self._asked.seed if self._crosses else ""
        ways = Ways(
            self.upstream_dialect,
            self._call.dialect,
            self.short,
            seed,
            self._stages,
            self._watchers,
            calls_only=self._folder is None,
            issuer=self._issuer if self._crosses else "",
        )
        if self.rounds is None:
            answer = read_whole(data, headers, ways, self._asked)
        else:
            response = self.rounds.whole(read_response(data, headers, self.upstream_dialect))
            if response is None:
                return None
            answer = rewritten(response, ways, self._asked)
        if self._renames_filter and answer.response.finish.reason == "refusal":
            answer.body = replaced_at(answer.body, ("stop_reason",), encode(self._options.content_filter_stop))
        return answer

    def finished(self) -> None:
        """The answer is out: remember what later calls may refer to."""
        stored, owner = self._memory.stored, self._call.owner
        if self._issued_id:
            stored.issued(owner, self._issued_id, self._target.resolved.provider_name)
        if self._folder is not None and self._folder.failure is None:
            response = DIALECTS[RESPONSES].write_response(self._folder.response(), self._asked)
            stored.store(owner, dict(self._body), response)

    # ------------------------------------------------------------ what is on the way

    def _make_stages(self, outgoing: Outgoing) -> list[Stage]:
        if not self._crosses:
            return []
        stages: list[Stage] = []
        fitted = outgoing.fitted
        if fitted is not None and not fitted.names.empty:
            stages.append(each(Restorer(fitted.names)))
        if fitted is not None and fitted.cut_stops:
            stages.append(Cut(StopCutter(fitted.cut_stops)))
        if self._call.dialect == "anthropic" and self._options.reasoning != "thinking":
            stages.append(ReasoningShown(as_text=self._options.reasoning == "text"))
        if self._manners is not None:
            stages.append(looking(self._collector().add))
            stages += self._manners.stages()
        return stages

    def _make_watchers(self) -> list[Watcher]:
        watchers: list[Watcher] = []
        keepsakes, owner = self._memory.keepsakes, self._call.owner
        watchers.append(Noter(keepsakes.issuers, owner, self.upstream_dialect, self._issuer).add)
        crosses = self.upstream_dialect != self._call.dialect or self._target.profile.echoes_thoughts
        if crosses and self._manners is None:
            watchers.append(self._collector().add)
        if self._call.dialect == RESPONSES:
            if self.short:
                watchers.append(self._note_issuer)
            elif self._body.get("store") is not False:
                self._folder = Folder()
                watchers.append(self._folder.add)
        return watchers

    def _collector(self) -> Collector:
        plain = bool(self._target.profile.reasoning_field)
        return Collector(self._memory.keepsakes, self._call.owner, self._issuer, plain=plain)

    def _note_issuer(self, event: object) -> None:
        if isinstance(event, Started):
            self._issued_id = event.id

    @property
    def _crosses(self) -> bool:
        """Whether the answer changes its language on the way."""
        if self._manners is not None:
            return True
        return not self.short and not self.upstream_dialect == self._asked.request.dialect == self._call.dialect

    @property
    def _joins(self) -> bool:
        """Whether a turn that the provider may pause has to reach the client in one piece (S20)."""
        return self._crosses and self.upstream_dialect in PAUSING and self._call.dialect not in PAUSING

    @property
    def _renames_filter(self) -> bool:
        return self._call.dialect == "anthropic" and not self.short and self._options.content_filter_stop != "refusal"

    def _with_filter_word(self, data: bytes) -> bytes:
        return data.replace(_REFUSAL, b'"stop_reason":' + encode(self._options.content_filter_stop))
