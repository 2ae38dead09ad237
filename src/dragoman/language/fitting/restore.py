"""Giving a client its own tools back: names, namespaces, and the raw text of free-form tools.

The counterpart of ``fitting.tools`` on the answer's way. Names the map does not hold pass as they
are. This module must not know any wire.
"""

from __future__ import annotations

from dataclasses import replace

from dragoman.language.events import Event, PartDelta, PartEnded, PartStarted
from dragoman.language.fitting.names import ToolNames
from dragoman.language.fitting.unwrapping import InputText
from dragoman.language.ir import ToolCall


class Restorer:
    """An event stage that undoes what fitting did to the tools. Not needed when ``names.empty``."""

    def __init__(self, names: ToolNames) -> None:
        self._back = names.back
        self._inputs: dict[int, InputText] = {}

    def pass_event(self, event: Event) -> list[Event]:
        """The events to pass on instead of this one."""
        if isinstance(event, PartDelta):
            if event.index not in self._inputs:
                return [event]
            return _delta(event.index, self._inputs[event.index].feed(event.text))
        if isinstance(event, PartStarted):
            return self._start(event)
        if isinstance(event, PartEnded) and event.index in self._inputs:
            return [*_delta(event.index, self._inputs.pop(event.index).close()), event]
        return [event]

    def _start(self, event: PartStarted) -> list[Event]:
        part = event.part
        original = self._back.get(part.name) if isinstance(part, ToolCall) else None
        if original is None or not isinstance(part, ToolCall):
            return [event]
        unwrap = original.kind == "custom" and part.kind == "function"
        part = replace(part, name=original.name, namespace=original.namespace, kind=original.kind)
        if not unwrap:
            return [replace(event, part=part)]
        self._inputs[event.index] = InputText()
        opened = replace(event, part=replace(part, arguments=""))
        return [opened, *_delta(event.index, self._inputs[event.index].feed(part.arguments))]


def _delta(index: int, text: str) -> list[Event]:
    return [PartDelta(index, text)] if text else []
