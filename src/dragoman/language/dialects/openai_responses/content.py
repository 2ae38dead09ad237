"""Content parts of messages and tool outputs: text, refusals, images, files, annotations.

This module must not know in which item a part stands.

Wire: https://platform.openai.com/docs/api-reference/responses/create#responses-create-input
"""

from __future__ import annotations

from dragoman.language.dialects.openai_responses.fields import (
    NAME,
    Object,
    is_own,
    nulls,
    own,
    packed,
    plain,
    split_nulls,
)
from dragoman.language.ir import Citation, Json, Media, Opaque, Part, Refusal, Text

_TEXTS = ("input_text", "output_text", "text")
_EXTENSIONS = {
    "application/pdf": "document.pdf",
    "text/plain": "document.txt",
    "text/csv": "document.csv",
    "text/markdown": "document.md",
    "text/html": "document.html",
    "application/json": "document.json",
}


def read_part(part: Object, text_type: str) -> Part:
    """Read one content part; ``text_type`` is the usual type of text where it stands."""
    kind = part.get("type")
    if kind in _TEXTS:
        return _read_text(part, text_type)
    if kind == "refusal":
        fields, form = split_nulls(part)
        del fields["type"]
        return Refusal(_string(fields.pop("refusal", "")), packed({**form, **fields}))
    if kind == "input_image":
        return _read_image(part)
    if kind == "input_file":
        return _read_file(part)
    if kind == "input_audio" and isinstance(part.get("input_audio"), dict):
        return _read_audio(part)
    return _adopted(part) or Opaque(NAME, part, packed({"~part": True}))


def _adopted(part: Object) -> Media | None:
    """Chat's image and file, which clients that mix dialects put into this one (C12)."""
    match part:
        case {"type": "image_url", "image_url": dict() as image}:
            rest = {name: value for name, value in image.items() if name != "url"}
            return _read_image({"type": "input_image", "image_url": image.get("url"), **rest})
        case {"type": "image_url", "image_url": str()}:
            return _read_image(part)
        case {"type": "file", "file": dict() as file}:
            return _read_file({"type": "input_file", **file})
    return None


def write_part(part: Part, text_type: str, complete: bool = False) -> Object | None:
    """Write one content part, ``None`` when the wire has no room for it.

    ``complete`` writes the lists that a strict reader of answers expects.
    """
    match part:
        case Text():
            return _write_text(part, text_type, complete)
        case Refusal(text=text, extras=extras):
            return {"type": "refusal", "refusal": text, **nulls(own(extras)), **plain(extras)}
        case Media():
            return _write_media(part)
        case Opaque(dialect=dialect, data=data) if dialect == NAME:
            return data
    return None


def _string(value: Json) -> str:
    return value if isinstance(value, str) else ""


# ---------------------------------------------------------------- text


def _read_text(part: Object, text_type: str) -> Text:
    fields, form = split_nulls(part)
    kind = fields.pop("type")
    if kind != text_type:
        form["~type"] = kind
    if present := [name for name in ("annotations", "logprobs") if name in fields]:
        form["~keys"] = present
    annotations = fields.pop("annotations", None) or []
    logprobs = fields.pop("logprobs", None) or []
    return Text(
        _string(fields.pop("text", "")),
        [read_annotation(one) for one in annotations if isinstance(one, dict)],
        list(logprobs),
        packed({**form, **fields}),
    )


def _write_text(part: Text, text_type: str, complete: bool) -> Object:
    fields = own(part.extras)
    written: Object = {"type": fields.get("~type", text_type), "text": part.text}
    keys = fields.get("~keys")
    wanted = ("annotations", "logprobs") if complete and keys is None else keys or ()
    annotations = [one for citation in part.citations if (one := write_annotation(citation, len(part.text)))]
    if annotations or "annotations" in wanted:
        written["annotations"] = annotations
    if part.logprobs or "logprobs" in wanted:
        written["logprobs"] = part.logprobs
    return {**written, **nulls(fields), **plain(part.extras)}


def read_annotation(wire: Object) -> Citation:
    """Read an annotation of any type; its owner gets it back whole."""
    title = wire.get("title") or wire.get("filename")
    start, end = wire.get("start_index"), wire.get("end_index")
    return Citation(
        url=_string(wire.get("url")),
        title=_string(title),
        start=start if isinstance(start, int) else None,
        end=end if isinstance(end, int) else None,
        extras={NAME: dict(wire)},
    )


def write_annotation(citation: Citation, length: int) -> Object | None:
    """Write a citation of a text ``length`` characters long, ``None`` when it names no page."""
    if is_own(citation.extras):
        return dict(citation.extras[NAME])
    if not citation.url:
        return None
    return {
        "type": "url_citation",
        "url": citation.url,
        "title": citation.title or citation.url,
        "start_index": citation.start or 0,
        "end_index": length if citation.end is None else citation.end,
    }


# ---------------------------------------------------------------- media


def _read_image(part: Object) -> Media:
    fields, form = split_nulls(part)
    del fields["type"]
    if "image_url" in fields:
        url = _string(fields.pop("image_url"))
        return _from_url("image", url, "", {**form, **fields})
    return Media("image", "file", _string(fields.pop("file_id", "")), extras={NAME: {**form, **fields}})


def _from_url(kind: str, url: str, name: str, fields: Object) -> Media:
    head, comma, data = url.partition(",")
    media_type = head[5:-7]
    if comma and head.startswith("data:") and head.endswith(";base64"):
        if ";" in media_type or not media_type:
            fields["~head"] = head
            media_type = media_type.partition(";")[0]
        return Media(kind, "base64", data, media_type, name, {NAME: fields})  # type: ignore[arg-type]
    return Media(kind, "url", url, "", name, {NAME: fields})  # type: ignore[arg-type]


def _read_file(part: Object) -> Media:
    fields, form = split_nulls(part)
    del fields["type"]
    name = _string(fields.pop("filename", ""))
    if name == "" and part.get("filename") == "":
        form["~name"] = ""
    rest = {**form, **fields}
    if "file_data" in fields:
        del rest["file_data"]
        data = _string(fields["file_data"])
        if data.startswith("data:"):
            return _from_url("document", data, name, rest)
        rest["~head"] = ""
        return Media("document", "base64", data, _guessed(name), name, {NAME: rest})
    if "file_url" in fields:
        return Media("document", "url", _string(rest.pop("file_url")), "", name, {NAME: rest})
    return Media("document", "file", _string(rest.pop("file_id", "")), "", name, {NAME: rest})


def _guessed(name: str) -> str:
    ending = name.rpartition(".")[2].lower()
    return next((kind for kind, example in _EXTENSIONS.items() if example.endswith("." + ending)), "application/pdf")


def _read_audio(part: Object) -> Media:
    fields, form = split_nulls(part)
    del fields["type"]
    audio = dict(fields.pop("input_audio"))
    data, kind = _string(audio.pop("data", "")), _string(audio.pop("format", ""))
    rest: Object = {"input_audio": audio} if audio else {}
    return Media("audio", "base64", data, f"audio/{kind}", extras={NAME: {**form, **fields, **rest}})


def _write_media(part: Media) -> Object | None:
    fields = own(part.extras)
    rest = {**nulls(fields), **plain(part.extras)}
    if part.source == "text":
        title = f"{part.name}\n" if part.name else ""
        return {"type": "input_text", "text": title + part.value}
    if part.kind == "image":
        name = "file_id" if part.source == "file" else "image_url"
        return {"type": "input_image", name: _spelt(part), **rest}
    if part.kind == "document":
        return _write_document(part, fields, rest)
    if part.kind == "audio" and part.source == "base64":
        sound = {
            "data": part.value,
            "format": part.media_type.partition("/")[2] or "wav",
            **rest.pop("input_audio", {}),
        }
        return {"type": "input_audio", "input_audio": sound, **rest}
    return None


def _write_document(part: Media, fields: Object, rest: Object) -> Object:
    written: Object = {"type": "input_file"}
    name = part.name
    if part.source == "base64" and not is_own(part.extras):
        name = name or _EXTENSIONS.get(part.media_type, "document.pdf")  # file data needs a name with an ending
    if (name and (part.source == "base64" or is_own(part.extras))) or "~name" in fields:
        written["filename"] = name
    written[{"base64": "file_data", "file": "file_id"}.get(part.source, "file_url")] = _spelt(part)
    return written | rest


def _spelt(part: Media) -> str:
    if part.source != "base64":
        return part.value
    head = own(part.extras).get("~head")
    if head is None:
        head = f"data:{part.media_type or _default_type(part)};base64"
    return f"{head},{part.value}" if head else part.value


def _default_type(part: Media) -> str:
    return "image/png" if part.kind == "image" else "application/pdf"
