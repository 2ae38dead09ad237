"""Whole answers of Chat: reading a provider's body, writing a client's.

What the model has no room for is kept where it stood: fields of the envelope in the response's
extras, fields of a choice in its finish's, fields of a message under ``message`` there.

Wire: https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

from dragoman.language.dialects.openai_chat.citations import read_annotation, read_beside, write_annotation
from dragoman.language.dialects.openai_chat.fields import NAME, Fields, made_id, own, packed, plain, said
from dragoman.language.dialects.openai_chat.finishes import read_finish, write_finish
from dragoman.language.dialects.openai_chat.parts import data_url, read_parts
from dragoman.language.dialects.openai_chat.requests import declared_custom
from dragoman.language.dialects.openai_chat.think_tags import split_whole
from dragoman.language.dialects.openai_chat.thoughts import read_thought, show_thought
from dragoman.language.dialects.openai_chat.tools import read_call, words_of, write_call
from dragoman.language.dialects.openai_chat.usage import read_usage, write_usage
from dragoman.language.events import AnswerFailed
from dragoman.language.ir import (
    Choice,
    Finish,
    Json,
    Media,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Response,
    Text,
    ToolCall,
    Usage,
)
from dragoman.language.sniffing import sniff_error
from dragoman.language.streams import Asked


def is_error(body: Fields) -> bool:
    """Whether a body or a chunk is an error: an ``error`` key, or nothing that answers and words that explain."""
    if body.get("error"):
        return True
    if body.get("choices") is not None:
        return False
    return (
        body.get("object") == "error"
        or body.get("type") == "error"
        or any(body.get(name) for name in ("detail", "message", "msg"))
    )


def read_response(body: dict[str, Json]) -> Response:
    """Read a whole answer. Raises AnswerFailed when the body says that there is none (E03)."""
    choices = body.get("choices")
    if is_error(body) or not isinstance(choices, list):
        raise AnswerFailed(sniff_error(body, owner=NAME), read_usage(body.get("usage")))
    fields = dict(body)
    del fields["choices"]
    identifier, model = said(fields.pop("id", None)), said(fields.pop("model", None))
    usage = read_usage(fields.get("usage"))
    if usage is not None:
        del fields["usage"]
    elif isinstance(groq := fields.get("x_groq"), dict):
        usage = read_usage(groq.get("usage"))
    fields.pop("object", None)
    read = [_read_choice(choice, identifier) for choice in choices if isinstance(choice, dict)]
    if read and (beside := read_beside(fields)):
        text = next((part for part in reversed(read[0].parts) if isinstance(part, Text)), None)
        if text is not None:
            text.citations = text.citations + beside
    return Response(identifier, model, read or [Choice([], Finish("end"))], usage or Usage(), {NAME: fields})


def _read_choice(choice: Fields, answer: str) -> Choice:
    kept = dict(choice)
    number = kept.pop("index", 0)
    message = kept.pop("message", None)
    word = kept.pop("finish_reason", None)
    if not isinstance(message, dict):
        return Choice([], read_finish(word, kept, []))
    rest = dict(message)
    rest.pop("role", None)
    parts = _read_message(rest, f"{answer}/{number}")
    _read_logprobs(kept, parts)
    if rest:
        kept["message"] = rest
    return Choice(parts, read_finish(word, kept, parts))


def _read_message(rest: Fields, answer: str) -> list[Part]:
    """Take the parts out of a message; what stays is the owner's."""
    thought = read_thought(rest, answer=True)
    parts: list[Part] = [thought] if thought is not None else []
    parts += _read_content(rest, thought is None)
    if isinstance(rest.get("refusal"), str) and rest["refusal"]:
        parts.append(Refusal(rest.pop("refusal")))
    parts += _read_media(rest)
    _read_annotations(rest, parts)
    calls = rest.get("tool_calls")
    if isinstance(calls, list) and calls:
        del rest["tool_calls"]
        parts += [call for item in calls if isinstance(item, dict) and (call := read_call(item)) is not None]
    legacy = rest.get("function_call")
    if isinstance(legacy, dict):
        del rest["function_call"]
        if name := said(legacy.get("name")):
            parts.append(ToolCall("", name, words_of(legacy.get("arguments")), extras=packed({"~legacy": True})))
    for at, part in enumerate([part for part in parts if isinstance(part, ToolCall)]):
        if not part.id:
            part.id = made_id(answer, at, part.name)
    return parts


def _read_content(rest: Fields, tags: bool) -> list[Part]:
    content = rest.get("content")
    if isinstance(content, str) and content:
        del rest["content"]
        if not tags:
            return [Text(content)]
        return [Reasoning(words) if kind == "thought" else Text(words) for kind, words in split_whole(content)]
    if isinstance(content, list) and content:  # Mistral's typed parts
        del rest["content"]
        rest["~content"] = "list"
        blocks = [block for block in content if isinstance(block, dict | str)]
        return [part for part in read_parts(blocks, "content") if not (isinstance(part, Text) and not part.text)]
    return []


def _read_media(rest: Fields) -> list[Part]:
    """Pictures and speech; what is spoken is text too, so that other dialects get the words."""
    parts: list[Part] = []
    images = rest.get("images")
    if isinstance(images, list) and images:
        del rest["images"]
        found = [image for image in images if isinstance(image, dict)]
        parts += [part for part in read_parts(found, "images") if isinstance(part, Media)]
    audio = rest.get("audio")
    if isinstance(audio, dict):
        del rest["audio"]
        parts += read_audio(audio)
    return parts


def read_audio(audio: Fields) -> list[Part]:
    """Speech as a medium, and its transcript as a text that is not written back twice."""
    kept = {key: value for key, value in audio.items() if key != "data"}
    data, transcript = said(audio.get("data")), said(audio.get("transcript"))
    if not data and not transcript and not said(audio.get("id")):
        return []  # Snowflake's empty placeholder (V04)
    spoken: list[Part] = [Text(transcript, extras=packed({"~beside": True}))] if transcript else []
    return [*spoken, Media("audio", "base64", data, extras=packed({"audio": kept}))]


def _read_annotations(rest: Fields, parts: list[Part]) -> None:
    annotations = rest.get("annotations")
    text = next((part for part in parts if isinstance(part, Text)), None)
    if not isinstance(annotations, list) or not annotations or text is None:
        return
    others = []
    for annotation in annotations:
        citation = read_annotation(annotation)
        if citation is None:
            others.append(annotation)
        else:
            text.citations.append(citation)
    del rest["annotations"]
    if others:
        rest["annotations"] = others


def _read_logprobs(kept: Fields, parts: list[Part]) -> None:
    """Move the tokens of the text to the text; what else is there stays with the choice."""
    logprobs = kept.get("logprobs")
    text = next((part for part in parts if isinstance(part, Text)), None)
    if isinstance(logprobs, dict) and text is not None and isinstance(logprobs.get("content"), list):
        text.logprobs = logprobs["content"]
        kept["logprobs"] = {key: value for key, value in logprobs.items() if key != "content"}
        kept["~tokens"] = True


# ---------------------------------------------------------------- writing


def write_response(response: Response, asked: Asked) -> dict[str, Json]:
    """The body for a Chat client."""
    native = NAME in response.extras
    return {
        "id": answer_id(response.id, native, asked),
        "object": "chat.completion",
        "created": asked.created,
        "model": asked.model,
        "choices": [_write_choice(number, choice, native, asked) for number, choice in enumerate(response.choices)],
        "usage": write_usage(response.usage),
        **plain(response.extras),
    }


def answer_id(identifier: str, native: bool, asked: Asked) -> str:
    """The provider's id in its own dialect, else one of ours that looks as Chat clients expect."""
    return identifier if native and identifier else f"chatcmpl-{asked.seed}"


def wants_legacy(asked: Asked) -> bool:
    """Whether the client declared its tools as ``functions`` and reads ``function_call``."""
    return own(asked.request.extras).get("~functions") is True


def note_second_call(asked: Asked) -> None:
    """``function_call`` holds one call: a second would run into it, or replace it."""
    asked.receipt.note("answer.content", "dropped", "a client that declares functions is given one call at a time")


def _write_choice(number: int, choice: Choice, native: bool, asked: Asked) -> Fields:
    kept = own(choice.finish.extras)
    calls = [part for part in choice.parts if isinstance(part, ToolCall)]
    legacy = bool(calls) and wants_legacy(asked)
    rest = {key: value for key, value in kept.items() if key[:1] != "~" and key != "message"}
    message = _Message(asked, native, legacy, cut=choice.finish.reason == "length")
    written: Fields = {"index": number, "message": message.write(choice.parts, kept.get("message", {}))}
    logprobs = [entry for part in choice.parts if isinstance(part, Text) for entry in part.logprobs]
    if logprobs:
        rest["logprobs"] = {"content": logprobs, **(rest.get("logprobs") or ({} if native else {"refusal": None}))}
    elif not native:
        rest["logprobs"] = None
    if native and choice.finish.reason == "unknown":
        rest.setdefault("native_finish_reason", choice.finish.raw)
    return {**written, **rest, "finish_reason": write_finish(choice.finish, native, legacy)}


class _Message:
    """One message under construction."""

    def __init__(self, asked: Asked, native: bool, legacy: bool, cut: bool) -> None:
        self._asked = asked
        self._cut = cut
        self._native = native
        self._legacy = legacy
        self._custom = declared_custom(asked.request)
        self._text = ""
        self._fields: Fields = {}

    def write(self, parts: list[Part], rest: Fields) -> Fields:
        """The message; ``rest`` holds what its owner sent beside the parts."""
        for part in parts:
            self._part(part)
        message: Fields = {"role": "assistant", "content": self._text or None}
        if not self._text and not self._fields.keys() & {"tool_calls", "function_call", "refusal", "audio"}:
            message["content"] = ""
        message |= {key: value for key, value in rest.items() if key[:1] != "~"}
        if not self._native:
            message |= {"refusal": None, "annotations": []}
        others = rest.get("annotations")
        annotations = [*self._fields.pop("annotations", []), *(others if isinstance(others, list) else [])]
        if annotations:
            message["annotations"] = annotations
        return {**message, **self._fields}

    def _part(self, part: Part) -> None:
        match part:
            case Text():
                self._say(part)
            case Refusal(text=text):
                self._fields["refusal"] = self._fields.get("refusal", "") + text
            case Reasoning():
                self._think(part)
            case ToolCall():
                self._call(part)
            case Media():
                self._media(part)
            case Opaque(dialect=owner, data=data) if owner != NAME:
                kind = data.get("type", "an item")
                self._asked.receipt.note("answer.content", "dropped", f"Chat has no place for {owner}'s {kind}")
            case _:
                pass

    def _say(self, part: Text) -> None:
        base = len(self._text)
        if "~beside" not in own(part.extras):
            self._text += part.text
        for citation in part.citations:
            if annotation := write_annotation(citation, base, len(part.text)):
                self._fields.setdefault("annotations", []).append(annotation)

    def _think(self, part: Reasoning) -> None:
        for name, value in show_thought(part).items():
            if name in self._fields:
                value = self._fields[name] + value
            self._fields[name] = value

    def _call(self, part: ToolCall) -> None:
        if self._legacy:
            if "function_call" in self._fields:
                note_second_call(self._asked)
            else:
                self._fields["function_call"] = {"name": part.name, "arguments": part.arguments or "{}"}
            return
        written = write_call(part, self._custom.get(part.name, False))
        if self._cut and not part.arguments and "function" in written:
            written["function"]["arguments"] = ""  # cut before the first word: not a call without arguments (S15)
        self._fields.setdefault("tool_calls", []).append(written)

    def _media(self, part: Media) -> None:
        audio = own(part.extras).get("audio")
        if audio is not None:
            self._fields["audio"] = {**audio, "data": part.value}
        elif part.kind == "image" and part.source in ("base64", "url"):
            self._fields.setdefault("images", []).append(write_image(part))
        else:
            self._asked.receipt.note("answer.content", "dropped", f"Chat has no place for {part.kind} in an answer")


def write_image(part: Media) -> Fields:
    """A picture in an answer, as OpenRouter and Gemini's Chat surface put it."""
    rest = plain(part.extras)
    return {"type": "image_url", "image_url": {"url": data_url(part), **rest.pop("image_url", {})}, **rest}
