"""What all calls of a gateway share. Wired together by ``app``; it must not know how a call travels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dragoman.relay.admission.model import Admission
from dragoman.relay.answering import Memory
from dragoman.relay.booking import Books
from dragoman.relay.estimates import Estimates
from dragoman.relay.lessons import Lessons
from dragoman.relay.metering import Sink, log_record
from dragoman.relay.outgoing import Options
from dragoman.relay.routing import Routing
from dragoman.relay.streaming import Patience
from dragoman.upstream.client import UpstreamClient
from dragoman.upstream.providers import Provider
from dragoman.upstream.resolution import Resolver


@dataclass(slots=True)
class House:
    """What the relay works with. ``tell_bodies`` puts requests and whole answers into debug lines."""

    resolver: Resolver
    providers: Mapping[str, Provider]
    upstream: UpstreamClient
    routing: Routing
    memory: Memory = field(default_factory=Memory)
    options: Options = field(default_factory=Options)
    patience: Patience = field(default_factory=Patience)
    sinks: Sequence[Sink] = (log_record,)
    estimates: Estimates = field(default_factory=Estimates)
    lessons: Lessons = field(default_factory=Lessons)
    tell_bodies: bool = False
    books: Books = field(default_factory=Books)
    admission: Admission | None = None

    def idle(self, provider: str) -> float:
        """Seconds a provider may be silent: by its own setting, else by everybody's."""
        return self.providers[provider].settings.timeout or self.patience.idle
