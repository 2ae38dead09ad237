"""Reading a provider's stream of ``chat.completion.chunk``, as OpenAI documents it and as others send it.

Rules S01 to S21 of the stream state machine live here: parts open only on real payload, every kind
of payload of a chunk is read, choices are tracked apart, and the end is held back until the bytes
end, because usage and more may follow the finish reason.

Wire: https://platform.openai.com/docs/api-reference/chat/streaming
"""

from __future__ import annotations

from dragoman.language.dialects.openai_chat.answers import is_error, read_audio, read_response
from dragoman.language.dialects.openai_chat.calls import Calls
from dragoman.language.dialects.openai_chat.citations import read_annotation, read_beside
from dragoman.language.dialects.openai_chat.fields import NAME, Fields, packed, said
from dragoman.language.dialects.openai_chat.finishes import read_finish
from dragoman.language.dialects.openai_chat.parts import read_parts, thinking_words
from dragoman.language.dialects.openai_chat.think_tags import LeadingThought, Piece
from dragoman.language.dialects.openai_chat.thoughts import (
    FIELDS,
    Details,
    entry_head,
    entry_key,
    entry_words,
    repeats,
    unsealed,
)
from dragoman.language.dialects.openai_chat.usage import read_usage, summed
from dragoman.language.events import AnswerFailed, Event, Failed, Finished, PartDelta, Started, UsageReported, unfold
from dragoman.language.failures import Failure
from dragoman.language.ir import (
    Citation,
    Extras,
    Finish,
    Json,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    Usage,
)
from dragoman.language.sniffing import sniff_error
from dragoman.language.streams import Parts
from dragoman.language.streams import StreamReader as BaseReader

_NOISE = frozenset({"object", "obfuscation", "p", "padding", "id", "model", "choices", "usage", "error"})
_TAKEN = frozenset({"index", "delta", "message", "finish_reason", "logprobs", "usage", "text"})
_DELTA = frozenset(
    "role content refusal tool_calls function_call reasoning_content reasoning reasoning_details annotations audio"
    " images padding".split()
)


class _Choice:
    """What is known of one of the answers."""

    __slots__ = (
        "annotations", "audio", "blank", "calls", "details", "entry", "extras", "finish", "logprobs", "message",
        "number", "open", "refused", "said", "tags", "thought_extras", "tokens",
    )  # fmt: skip

    def __init__(self, number: int, calls: Calls) -> None:
        self.number = number
        self.calls = calls
        self.open = ""
        self.said = False
        self.refused = False
        self.blank = ""
        self.tags: LeadingThought | None = LeadingThought()
        self.details = Details()
        self.entry: object = None
        self.thought_extras: Extras = {}
        self.finish: str = ""
        self.extras: Fields = {}
        self.message: Fields = {}
        self.logprobs: dict[str, list[Json]] = {}
        self.tokens: list[Json] = []
        self.annotations: list[Citation] = []
        self.audio: Fields = {}


class StreamReader(BaseReader):
    """Bytes of a Chat stream in, events out."""

    def __init__(self) -> None:
        super().__init__()
        self._parts = Parts(self._emit)
        self._choices: dict[int, _Choice] = {}
        self._fast = -1
        self._fast_key = "content"
        self._fast_calls: Calls | None = None
        self._id = ""
        self._model = ""
        self._envelope: Fields = {}
        self._shown: Fields = {}
        self._usage: Usage | None = None
        self._reports: list[tuple[int, Usage]] = []

    # ------------------------------------------------------------ chunks

    def _event(self, name: str, payload: dict[str, Json]) -> None:
        if self._fast >= 0:
            try:
                if self._hasty(payload):
                    return
            except (AttributeError, KeyError, TypeError):
                pass  # not the shape of a chunk: the long way looks at every field
        self._chunk(name, payload)

    def _hasty(self, payload: Fields) -> bool:
        """The short way of nearly every chunk: one more piece of the open part, or of a call, of the only answer."""
        choices = payload.get("choices")
        if not choices or len(choices) != 1 or payload.get("usage") or "error" in payload:
            return False
        choice = choices[0]
        delta = choice.get("delta")
        if not delta or choice.get("finish_reason") or choice.get("logprobs") or choice.get("index"):
            return False
        found = delta.get(self._fast_key)
        if not found or (len(delta) != 1 and not _only(self._fast_key, delta)):
            return False
        if self._fast_calls is not None:
            return type(found) is list and len(found) == 1 and self._fast_calls.add_piece(found[0])
        if type(found) is str:
            self._out.append(PartDelta(self._fast, found))
            return True
        return False

    def _chunk(self, name: str, payload: Fields) -> None:
        self._identify(payload)
        raw = payload.get("choices")
        choices = [choice for choice in raw if isinstance(choice, dict)] if isinstance(raw, list) else []
        if is_error(payload) or (name == "error" and not choices):
            self._broken(payload)
            return
        for choice in choices:
            self._choice(choice)
        self._count(payload, choices)

    def _identify(self, payload: Fields) -> None:
        """Take id, model and envelope fields; the first that are not empty stand (V01)."""
        self._id = self._id or said(payload.get("id"))
        self._model = self._model or said(payload.get("model"))
        for key, value in payload.items():
            if key not in _NOISE and value not in (None, "", 0, [], {}):
                self._envelope[key] = value

    def _begin(self) -> None:
        if not self.started:
            self._shown = dict(self._envelope)
            self._emit(Started(self._id, self._model, {NAME: dict(self._envelope)}))

    def _broken(self, payload: Fields) -> None:
        self._count(payload, [])
        if any(state.finish for state in self._choices.values()):
            self._envelope["~error"] = payload.get("error")  # the finish reason stands (E03)
            return
        self._close_parts()
        self._emit(Failed(sniff_error(payload, owner=NAME)))

    def _count(self, payload: Fields, choices: list[Fields]) -> None:
        raw = payload.get("usage")
        if not raw and isinstance(groq := payload.get("x_groq"), dict):
            raw = groq.get("usage")
        if not raw:
            raw = next((one["usage"] for one in choices if one.get("usage")), None)  # Moonshot
        usage = read_usage(raw)
        if usage is None:
            return
        finished = sum(1 for state in self._choices.values() if state.finish)
        self._reports.append((finished, usage))
        counts = [count for count, _ in self._reports]
        if len(self._choices) > 1 and counts[0] >= 1 and counts == sorted(set(counts)) and len(counts) > 1:
            usage = summed([report for _, report in self._reports])
        if usage != self._usage:
            self._usage = usage
            self._begin()
            self._emit(UsageReported(usage))

    # ------------------------------------------------------------ one choice

    def _choice(self, choice: Fields) -> None:
        number = choice.get("index")
        number = number if isinstance(number, int) and number >= 0 else 0
        state = self._choices.get(number)
        if state is None:
            calls = Calls(self._parts, number, lambda: self._clear(number))
            state = self._choices[number] = _Choice(number, calls)
            self._fast = -1
        if self._id or choice.get("delta"):
            self._begin()
        self._logprobs(state, choice.get("logprobs"))
        delta = choice.get("delta")
        if isinstance(delta, dict):
            self._delta(state, delta)
        elif isinstance(choice.get("message"), dict) and not state.open and not state.calls:
            self._delta(state, choice["message"])
        word = choice.get("finish_reason")
        if isinstance(word, str) and word:
            state.finish = word
        for key, value in choice.items():
            if key not in _TAKEN and value not in (None, "", {}, []):
                state.extras[key] = value

    def _delta(self, state: _Choice, delta: Fields) -> None:
        if any(delta.get(field) for field in ("reasoning_details", *FIELDS)):
            self._think(state, delta)
        if content := delta.get("content"):
            self._content(state, content)
        if isinstance(refusal := delta.get("refusal"), str) and refusal:
            state.refused = True
            self._open(state, "refusal", Refusal(""))
            self._parts.grow((state.number, "refusal"), refusal)
        if isinstance(audio := delta.get("audio"), dict):
            self._audio(state, audio)
        if isinstance(images := delta.get("images"), list):
            found = [{key: one[key] for key in one if key != "index"} for one in images if isinstance(one, dict)]
            for image in read_parts(found, "images"):
                if isinstance(image, Media):
                    self._parts.whole(image, state.number)
        if isinstance(annotations := delta.get("annotations"), list):
            self._annotate(state, annotations)
        if isinstance(calls := delta.get("tool_calls"), list) and calls:
            for item in calls:
                if isinstance(item, dict):
                    state.calls.add(item)
            if state.calls.started:
                self._hasten(state, 0, "tool_calls")
                self._fast_calls = state.calls
        if isinstance(function := delta.get("function_call"), dict):
            state.calls.add_legacy(function)
        for key, value in delta.items():
            if key not in _DELTA and isinstance(value, dict | list) and value:
                state.message[key] = value

    def _clear(self, number: int) -> None:
        """A call opens: what is open ends first, and blanks before it say nothing (S05)."""
        state = self._choices[number]
        self._settle(state)
        self._end_open(state)
        state.blank = ""

    # ------------------------------------------------------------ text

    def _content(self, state: _Choice, content: Json) -> None:
        if isinstance(content, str):
            self._tagged(state, content)
        elif isinstance(content, list):
            self._settle(state)
            for item in content:
                if isinstance(item, str):
                    self._text(state, item)
                elif isinstance(item, dict):
                    self._typed(state, item)

    def _typed(self, state: _Choice, item: Fields) -> None:
        """One typed part of Mistral's content list."""
        kind = item.get("type")
        if kind == "text":
            self._text(state, said(item.get("text")))
        elif kind == "thinking":
            self._thought(state, thinking_words(item.get("thinking")), {})
        else:
            for part in read_parts([item], "content"):
                if isinstance(part, Media | Opaque):
                    self._end_open(state)
                    self._parts.whole(part, state.number)

    def _tagged(self, state: _Choice, text: str) -> None:
        if state.tags is None:
            self._text(state, text)
            return
        pieces = state.tags.feed(text)
        if state.tags.done:
            state.tags = None
        self._pieces(state, pieces)

    def _pieces(self, state: _Choice, pieces: list[Piece]) -> None:
        for kind, words in pieces:
            if kind == "thought":
                self._thought(state, words, {})
            else:
                self._text(state, words)

    def _settle(self, state: _Choice) -> None:
        """Something other than text follows: what the tag splitter held is settled."""
        if state.tags is not None:
            tags, state.tags = state.tags, None
            self._pieces(state, tags.finish())

    def _text(self, state: _Choice, text: str) -> None:
        """Text opens a part only when it says something; blanks beside calls say nothing (S05)."""
        if not text:
            return
        if state.open != "text":
            text = state.blank + text
            if text.isspace():
                state.blank = text
                return
            state.blank = ""
            self._open(state, "text", Text("", extras=packed({"~beside": True} if state.audio else {})))
        tokens, state.tokens = state.tokens, []
        self._parts.delta((state.number, "text"), PartDelta(0, text, logprobs=tokens or None))

    def _open(self, state: _Choice, kind: str, part: Part) -> int:
        """Make ``kind`` the open part, and return its index; another open one ends first (S02)."""
        if state.open == kind:
            return -1
        self._end_open(state)
        index = self._parts.start((state.number, kind), part, state.number)
        state.open = kind
        state.said = True
        self._hasten(state, index if kind == "text" else -1, "content")
        return index

    def _hasten(self, state: _Choice, index: int, field: str) -> None:
        """Let the pieces of the open part take the short way, while they come in one field of the only answer."""
        lone = len(self._choices) == 1 and state.number == 0 and state.tags is None
        self._fast, self._fast_key, self._fast_calls = index if lone else -1, field, None

    def _end_open(self, state: _Choice) -> None:
        kind, state.open = state.open, ""
        if not kind:
            return
        if state.number == 0:
            self._fast = -1
        extras: Extras = {}
        if kind == "text":
            self._cite(state)
        elif kind == "thought":
            details = state.details.built()
            extras = {**state.thought_extras, **packed({"reasoning_details": details} if details else {})}
            state.details, state.entry, state.thought_extras = Details(), None, {}
        self._parts.end((state.number, kind), extras)

    # ------------------------------------------------------------ thoughts

    def _think(self, state: _Choice, delta: Fields) -> None:
        """One thought, however many fields repeat it; details win (T10)."""
        fields = [name for name in FIELDS if isinstance(delta.get(name), str) and delta[name]]
        raw = delta.get("reasoning_details")
        entries = [entry for entry in raw if isinstance(entry, dict)] if isinstance(raw, list) else []
        kept, sealed = unsealed(entries)
        words = "".join(entry_words(entry) for entry in kept)
        if fields and not words:
            self._thought(state, delta[fields[0]], repeats(fields))
        for entry in kept:
            self._detail(state, entry, repeats(fields))
        if sealed:
            self._thought(state, "", {}, empty=True)
            state.thought_extras.update(sealed)

    def _detail(self, state: _Choice, entry: Fields, form: Fields) -> None:
        words = entry_words(entry)
        if words and state.open == "thought" and state.entry is not None and state.entry != entry_key(entry):
            self._end_open(state)
        if not words and not entry.get("data") and not entry.get("signature"):
            return
        if state.open != "thought":
            form = {**form, "~entry": entry_head(entry)}
        self._thought(state, words, form, empty=True)
        if words:
            state.entry = entry_key(entry)
        state.details.add(entry)

    def _thought(self, state: _Choice, words: str, form: Fields, empty: bool = False) -> None:
        """Grow the open thought; ``empty``: a signature or encrypted form is payload too."""
        if not words and not empty:
            return
        if state.open != "thought":
            state.blank = ""
            index = self._open(state, "thought", Reasoning("", packed(form)))
            if state.tags is not None and not state.tags.busy:
                state.tags = None  # a thought that has its own field needs no tags
            if "~entry" not in form:
                self._hasten(state, index, "reasoning" if form else "reasoning_content")
        if words:
            self._parts.grow((state.number, "thought"), words)

    # ------------------------------------------------------------ what hangs on text

    def _annotate(self, state: _Choice, annotations: list[Json]) -> None:
        for annotation in annotations:
            citation = read_annotation(annotation)
            if citation is not None:
                state.annotations.append(citation)
            else:
                state.message.setdefault("annotations", []).append(annotation)
        if state.open == "text":
            self._cite(state)

    def _cite(self, state: _Choice) -> None:
        held, state.annotations = state.annotations, []
        for citation in held:
            self._parts.delta((state.number, "text"), PartDelta(0, citation=citation))

    def _logprobs(self, state: _Choice, logprobs: Json) -> None:
        if not isinstance(logprobs, dict):
            return
        for key, tokens in logprobs.items():
            if isinstance(tokens, list) and tokens:
                if key == "content":
                    state.tokens += tokens
                else:
                    state.logprobs.setdefault(key, []).extend(tokens)

    def _audio(self, state: _Choice, audio: Fields) -> None:
        for key, value in audio.items():
            if key == "data" and isinstance(value, str):
                state.audio.setdefault("~data", []).append(value)
            elif key != "transcript" and value:
                state.audio[key] = value
        if transcript := said(audio.get("transcript")):
            state.audio.setdefault("transcript", "")
            state.audio["transcript"] += transcript
            self._text(state, transcript)

    # ------------------------------------------------------------ the end

    def fail(self, failure: Failure) -> list[Event]:
        """As the base; but once all have finished and usage is told, only the word that it is over is missing."""
        if not self.ended and self._usage is not None:
            self._ended_early()
        return super().fail(failure)

    def _end(self) -> None:
        states = [self._choices[number] for number in sorted(self._choices)]
        if not states or not (self.done or all(state.finish for state in states)):
            return  # neither a reason nor a marker: the base class fails the answer (S12)
        self._begin()
        self._close_parts(ended=True)
        finishes = [Finish("unknown")] * (states[-1].number + 1)
        for state in states:
            finishes[state.number] = self._finish(state)
        late = {key: value for key, value in self._envelope.items() if self._shown.get(key) != value}
        self._emit(Finished(finishes, packed(late)))

    def _finish(self, state: _Choice) -> Finish:
        parts: list[Part] = [ToolCall("", "", "")] if state.calls.started else []
        if state.refused:
            parts.append(Refusal(""))
        kept = dict(state.extras)
        if state.message:
            kept["message"] = state.message
        if state.tokens:
            state.logprobs["content"] = state.tokens
        if state.logprobs:
            kept["logprobs"] = state.logprobs
        return read_finish(state.finish, kept, parts)

    def _close_parts(self, ended: bool = False) -> None:
        for number in sorted(self._choices):
            state = self._choices[number]
            self._settle(state)
            if state.blank and not state.said and not state.calls:
                blank, state.blank = state.blank, ""
                self._open(state, "text", Text(""))
                self._parts.grow((number, "text"), blank)
            if ended and number == 0 and state.open == "text":
                state.annotations += read_beside(self._envelope)
            self._end_open(state)
            state.calls.finish(f"{self._id}/{number}", ended and state.finish != "length")
            if state.audio:
                self._speak(state)
        self._parts.end_all()

    def _speak(self, state: _Choice) -> None:
        audio = {**state.audio, "data": "".join(state.audio.pop("~data", []))}
        state.audio = {}
        for part in read_audio(audio):
            if isinstance(part, Media):
                self._parts.whole(part, state.number)

    def _whole(self, body: dict[str, Json]) -> None:
        try:
            response = read_response(body)
        except AnswerFailed as error:
            self._emit(Failed(error.failure))
            return
        for event in unfold(response):
            self._emit(event)


def _only(field: str, delta: Fields) -> bool:
    """Whether nothing but the one field of a delta says anything."""
    for key in delta:  # noqa: SIM110 - a generator would cost more than the loop
        if delta[key] and key != field and key != "role":
            return False
    return True
