"""Content parts: text, refusal, image, sound, file, and what vendors add (documents, films).

A part of a type nobody here knows stays Opaque and goes back to its owner as it came. Anthropic's
and Responses' blocks are read too, because clients that switch models send them to this path (C12).

Wire: https://platform.openai.com/docs/api-reference/chat/create#chat-create-messages,
https://docs.mistral.ai/api/#tag/chat
"""

from __future__ import annotations

from collections.abc import Callable

from dragoman.language.dialects.openai_chat.fields import NAME, Fields, expect, own, packed, plain, said
from dragoman.language.ir import Extras, Json, Media, MediaKind, MediaSource, Opaque, Part, Reasoning, Refusal, Text

_AUDIO_TYPES = {"mp3": "audio/mpeg", "wav": "audio/wav"}
_AUDIO_FORMATS = {"audio/mpeg": "mp3", "audio/mp3": "mp3", "audio/x-wav": "wav", "audio/wave": "wav"}
_URL_PARTS: dict[str, MediaKind] = {
    "image_url": "image",
    "video_url": "video",
    "audio_url": "audio",
    "document_url": "document",
}


def read_parts(blocks: list[Json], path: str) -> list[Part]:
    """The parts of a content list. Raises Refused for a block that is no object."""
    return [part for number, block in enumerate(blocks) for part in _read_block(block, f"{path}[{number}]")]


def _read_block(block: Json, path: str) -> list[Part]:
    if isinstance(block, str):
        return [Text(block)]
    fields = dict(expect(block, dict, path))
    kind = fields.pop("type", None)
    if kind is None and "text" in fields:
        kind = "text"
    reader = _READERS.get(kind) if isinstance(kind, str) else None
    part = reader(fields, path) if reader else None
    return [Opaque(NAME, block) if part is None else part]


def _read_text(fields: Fields, path: str) -> Part:
    text = fields.get("text")
    if text is not None:
        expect(fields.pop("text"), str, f"{path}.text")
    return Text(text or "", extras={**packed(fields), **cache_hint(fields)})


def cache_hint(fields: Fields) -> Extras:
    """Anthropic's ``cache_control`` as its owner keeps it: Chat vendors take it over (T15)."""
    hint = fields.get("cache_control")
    return {"anthropic": {"cache_control": hint}} if isinstance(hint, dict) else {}


def _read_refusal(fields: Fields, path: str) -> Part | None:
    refusal = fields.pop("refusal", None)
    return Refusal(refusal, packed(fields)) if isinstance(refusal, str) else None


def _url_reader(name: str) -> Callable[[Fields, str], Part | None]:
    def read(fields: Fields, path: str) -> Part | None:
        raw = fields.pop(name, None)
        inner = dict(raw) if isinstance(raw, dict) else {"url": raw}
        url = inner.pop("url", None)
        if not isinstance(url, str):
            return None
        if isinstance(raw, str):
            fields["~shape"] = "string"
        elif inner:
            fields[name] = inner
        title = said(fields.pop("document_name", "")) if name == "document_url" else ""
        return _media(_URL_PARTS[name], url, fields, title)

    return read


def _media(kind: MediaKind, url: str, fields: Fields, name: str = "") -> Media:
    """Media from a URL; a data URI gives its bytes and type."""
    head, comma, data = url.partition(",")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        media_type = head[5:-7]
        return Media(kind, "base64", data, media_type, name, {**packed(fields), **cache_hint(fields)})
    return Media(kind, "url", url, "", name, {**packed(fields), **cache_hint(fields)})


def _read_audio(fields: Fields, path: str) -> Part | None:
    raw = fields.pop("input_audio", None)
    inner = dict(raw) if isinstance(raw, dict) else {"data": raw}
    data = inner.pop("data", None)
    if not isinstance(data, str):
        return None
    if isinstance(raw, str):  # Mistral: the data itself, or a URL
        fields["~shape"] = "string"
    form = said(inner.pop("format", ""))
    if inner:
        fields["input_audio"] = inner
    media_type = _AUDIO_TYPES.get(form, f"audio/{form}") if form else ""
    source: MediaSource = "url" if data.startswith(("http://", "https://")) else "base64"
    return Media("audio", source, data, media_type, extras=packed(fields))


def _read_file(fields: Fields, path: str) -> Part | None:
    raw = fields.pop("file", None)
    inner = dict(raw) if isinstance(raw, dict) else {}
    data, file_id = inner.pop("file_data", None), inner.pop("file_id", None)
    name = inner.pop("filename", None)
    if inner or (name is not None and not name):
        fields["file"] = inner if name is None or name else {**inner, "filename": name}
    if isinstance(data, str) and data:
        media = _media("document", data, fields, said(name))
        if media.source == "url" and not data.startswith(("http://", "https://")):
            media.source, media.extras = "base64", packed({**fields, "~shape": "bare"})
        media.kind = _kind_of(media.media_type)
        if media.kind != "document":
            media.extras = packed({**fields, "~part": "file"})
        return media
    return Media("document", "file", file_id, "", said(name), packed(fields)) if isinstance(file_id, str) else None


def _kind_of(media_type: str) -> MediaKind:
    family = media_type.partition("/")[0]
    return family if family in ("image", "audio", "video") else "document"  # type: ignore[return-value]


def _read_thinking(fields: Fields, path: str) -> Part | None:
    thinking = fields.pop("thinking", None)
    if isinstance(thinking, str):  # Anthropic's block
        signature = said(fields.pop("signature", ""))
        return Reasoning(thinking, {"anthropic": {"signature": signature}} if signature else {})
    if not isinstance(thinking, list):
        return None
    return Reasoning(thinking_words(thinking), packed({"~part": "thinking", **fields}))


def thinking_words(thinking: Json) -> str:
    """The words of Mistral's ``thinking`` list."""
    if isinstance(thinking, str):
        return thinking
    pieces = thinking if isinstance(thinking, list) else []
    return "".join(said(piece.get("text")) for piece in pieces if isinstance(piece, dict))


def _source_reader(kind: MediaKind) -> Callable[[Fields, str], Part | None]:
    """Anthropic's ``image`` and ``document`` blocks."""

    def read(fields: Fields, path: str) -> Part | None:
        source = fields.get("source")
        if not isinstance(source, dict):
            return None
        media_type, name = said(source.get("media_type")), said(fields.get("title"))
        text = source.get("type") == "text"
        places: dict[str, MediaSource] = {"data": "text" if text else "base64", "url": "url", "file_id": "file"}
        for key, form in places.items():
            if isinstance(value := source.get(key), str):
                return Media(kind, form, value, media_type, name, cache_hint(fields))
        return None

    return read


def _read_input_image(fields: Fields, path: str) -> Part | None:
    """Responses' ``input_image``: the URL is the field itself."""
    url = fields.get("image_url")
    return _media("image", url, {}) if isinstance(url, str) else None


_READERS: dict[str, Callable[[Fields, str], Part | None]] = {
    "text": _read_text,
    "input_text": lambda fields, path: Text(said(fields.get("text"))),
    "output_text": lambda fields, path: Text(said(fields.get("text"))),
    "refusal": _read_refusal,
    "input_audio": _read_audio,
    "file": _read_file,
    "thinking": _read_thinking,
    "image": _source_reader("image"),
    "document": _source_reader("document"),
    "input_image": _read_input_image,
    **{name: _url_reader(name) for name in _URL_PARTS},
}


# ---------------------------------------------------------------- writing


def write_part(part: Part, hints: bool = False) -> Fields | None:
    """One content block; ``None`` for what has no place in a content list. ``hints``: the target caches by hint."""
    block = _write_block(part)
    if block is not None and hints and (hint := part.extras.get("anthropic", {}).get("cache_control")):
        block = {**block, "cache_control": hint}
    return block


def _write_block(part: Part) -> Fields | None:
    match part:
        case Text(text=text):
            return {"type": "text", "text": text, **plain(part.extras)}
        case Refusal(text=text):
            return {"type": "refusal", "refusal": text, **plain(part.extras)}
        case Media():
            return write_media(part)
        case Reasoning(text=text) if own(part.extras).get("~part") == "thinking":
            return {"type": "thinking", "thinking": [{"type": "text", "text": text}], **plain(part.extras)}
        case Opaque(dialect=owner, data=data):
            return data if owner == NAME else None
        case _:
            return None


def write_media(media: Media) -> Fields:
    """The block of a medium; plain text becomes a text block."""
    if media.source == "text":
        return {"type": "text", "text": media.value}
    kept = own(media.extras)
    rest = {key: value for key, value in kept.items() if key[:1] != "~"}
    bare = kept.get("~shape") == "string"
    if media.source == "file" or kept.get("~part") == "file":
        return _file_block(media, rest)
    if media.kind == "audio" and (media.source == "base64" or bare):
        return _audio_block(media, rest, bare)
    if media.kind == "document" and media.source == "base64" and not bare:
        return _file_block(media, rest)
    name = f"{media.kind}_url"
    inner = rest.pop(name, {})
    if media.kind == "document":
        # Mistral's; Chat itself takes documents by content or id only, so nothing else can be meant.
        named = {"document_name": media.name} if media.name else {}
        return {"type": name, name: data_url(media), **named, **rest}
    return {"type": name, name: data_url(media) if bare else {"url": data_url(media), **inner}, **rest}


def data_url(media: Media) -> str:
    """The medium as one URL."""
    if media.source != "base64":
        return media.value
    default = {"image": "image/png", "document": "application/pdf", "audio": "audio/mpeg", "video": "video/mp4"}
    return f"data:{media.media_type or default[media.kind]};base64,{media.value}"


def _audio_block(media: Media, rest: Fields, bare: bool) -> Fields:
    if bare:
        return {"type": "input_audio", "input_audio": media.value, **rest}
    inner = rest.pop("input_audio", {})
    form = _AUDIO_FORMATS.get(media.media_type) or media.media_type.partition("/")[2] or "mp3"
    return {"type": "input_audio", "input_audio": {"data": media.value, "format": form, **inner}, **rest}


def _file_block(media: Media, rest: Fields) -> Fields:
    inner = dict(rest.pop("file", {}))
    if media.name:
        inner["filename"] = media.name
    if media.source == "file":
        inner["file_id"] = media.value
    elif own(media.extras).get("~shape") == "bare":
        inner["file_data"] = media.value
    else:
        inner["file_data"] = data_url(media)
        if NAME not in media.extras:
            inner.setdefault("filename", "document.pdf" if "pdf" in data_url(media)[:40] else "document")
    return {"type": "file", "file": inner, **rest}
