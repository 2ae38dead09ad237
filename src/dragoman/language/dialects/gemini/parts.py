"""Single parts of a content, both ways: text, thoughts, media, function calls, and what only Gemini knows.

The same parts serve requests and answers, because clients echo answers back. This module must not
know turns, pairing or streams.

Wire: https://ai.google.dev/api/caching#Part
"""

from __future__ import annotations

from dragoman.language.dialects.gemini.spelling import NAME, extras, ours, wire_fields
from dragoman.language.ir import Json, Media, MediaKind, Opaque, Part, Reasoning, Refusal, Text, ToolCall
from dragoman.language.wire import decode_exactly, encode

DATA_FIELDS = frozenset(
    """text inlineData fileData functionCall functionResponse executableCode codeExecutionResult toolCall
    toolResponse""".split()
)

_MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "html": "text/html",
    "csv": "text/csv",
    "mp3": "audio/mp3",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "mp4": "video/mp4",
    "mov": "video/mov",
    "webm": "video/webm",
}
_MEDIA_WORDS = ("mimeType", "data", "fileUri", "displayName")
_DEFAULT_TYPES: dict[MediaKind, str] = {
    "image": "image/jpeg",
    "document": "application/pdf",
    "audio": "audio/mp3",
    "video": "video/mp4",
}


def read_part(part: dict[str, Json]) -> Part:
    """Read any part but a function call or a function's response; those need to know their turn."""
    known = [key for key in part if key in DATA_FIELDS]
    if part.get("thought") is True and known not in ([], ["text"]):
        return Opaque(NAME, part)
    if known == ["text"] and isinstance(part["text"], str):
        return _read_text(dict(part))
    if known == ["inlineData"] and misspelt(part, "inlineData") is None:
        return _read_inline(dict(part))
    if known == ["fileData"] and misspelt(part, "fileData") is None:
        return _read_file(dict(part))
    if not known and (part.get("thought") is True or set(part) == {"thoughtSignature"}):
        return _read_text({**part, "text": "", "~no_text": True})
    return Opaque(NAME, part)


def misspelt(part: dict[str, Json], name: str) -> str | None:
    """The place in a part's media that is not what the wire says, None when all is well."""
    blob = part.get(name)
    if not isinstance(blob, dict):
        return name
    wrong = (key for key in _MEDIA_WORDS if blob.get(key) is not None and not isinstance(blob[key], str))
    return next((f"{name}.{key}" for key in wrong), None)


def _read_text(rest: dict[str, Json]) -> Part:
    text = rest.pop("text")
    thought = rest.pop("thought", None)
    if thought is True:
        return Reasoning(text, extras(rest))
    if thought is not None:
        rest["~thought"] = thought
    if not text and rest.get("thoughtSignature"):
        # T04: nobody sees it, but it must come back exactly where it stood.
        rest["~text"] = True
        return Reasoning("", extras(rest))
    return Text(text, extras=extras(rest))


def media_kind(media_type: str) -> MediaKind:
    """The kind a MIME type belongs to; anything unknown is a document."""
    family = media_type.partition("/")[0].lower()
    if family == "image":
        return "image"
    if family == "audio":
        return "audio"
    return "video" if family == "video" else "document"


def _read_inline(rest: dict[str, Json]) -> Part:
    blob = dict(rest.pop("inlineData"))
    media_type, data = blob.pop("mimeType", None) or "", blob.pop("data", None) or ""
    name = blob.pop("displayName", None) or ""
    if blob:
        rest["inlineData"] = blob
    return Media(media_kind(media_type), "base64", data, media_type, name, extras(rest))


def _read_file(rest: dict[str, Json]) -> Part:
    blob = dict(rest.pop("fileData"))
    media_type, uri = blob.pop("mimeType", None) or "", blob.pop("fileUri", None) or ""
    name = blob.pop("displayName", None) or ""
    if blob:
        rest["fileData"] = blob
    host = uri.partition("://")[2].partition("/")[0]
    # The Files API hands out https addresses that only its owner can read.
    held = not uri.startswith(("http://", "https://")) or host == "generativelanguage.googleapis.com"
    kind = media_kind(media_type or _type_of(uri))
    if not media_type and host.endswith(("youtube.com", "youtu.be")):
        kind = "video"
    return Media(kind, "file" if held else "url", uri, media_type, name, extras(rest))


def _type_of(uri: str) -> str:
    path = uri.partition("?")[0].partition("#")[0]
    return _MEDIA_TYPES.get(path.rpartition(".")[2].lower(), "")


def write_media(part: Media, *, own: bool = False) -> dict[str, Json]:
    """Spell media as inline data, as a file address, or as the text it is. ``own``: it was read from this dialect."""
    fields = wire_fields(ours(part.extras))
    if part.source == "text":
        return {"text": part.value, **fields}
    key = "inlineData" if part.source == "base64" else "fileData"
    blob: dict[str, Json] = dict(fields.pop(key, None) or {})
    media_type = part.media_type
    if not media_type and not own and part.source != "file" and "youtu" not in part.value[:40]:
        media_type = _type_of(part.value[:2048]) or _DEFAULT_TYPES[part.kind]
    if media_type:
        blob["mimeType"] = media_type
    blob["data" if part.source == "base64" else "fileUri"] = part.value
    if part.name and own:
        blob["displayName"] = part.name
    return {key: blob, **fields}


def write_reasoning(part: Reasoning) -> dict[str, Json]:
    """Spell a thought; one that stood in a text part goes back into a text part (T04)."""
    fields = ours(part.extras)
    written: dict[str, Json] = {} if fields.get("~no_text") else {"text": part.text}
    if not fields.get("~text"):
        written["thought"] = True
    elif "~thought" in fields:
        written["thought"] = fields["~thought"]
    written.update(wire_fields(fields))
    return written


def write_text(part: Text | Refusal) -> dict[str, Json]:
    """Spell words said."""
    fields = ours(part.extras)
    written: dict[str, Json] = {"text": part.text}
    if "~thought" in fields:
        written["thought"] = fields["~thought"]
    written.update(wire_fields(fields))
    return written


def read_call(part: dict[str, Json], fallback: str) -> ToolCall:
    """Read a function call. ``fallback`` becomes the id when the wire gave none (R05)."""
    rest = dict(part)
    call = dict(rest.pop("functionCall"))
    name, args, id_ = call.pop("name", None) or "", call.pop("args", None), call.pop("id", None)
    if not id_:
        rest["~no_id"] = True
    if args is None:
        rest["~no_args"] = True
        args = {}
    if call:
        rest["functionCall"] = call
    return ToolCall(str(id_ or fallback), str(name), encode(args).decode(), extras=extras(rest))


def arguments_object(arguments: str) -> dict[str, Json]:
    """Arguments as the object the wire demands (S09)."""
    if not arguments.strip():
        return {}
    try:
        value = decode_exactly(arguments)
    except ValueError:
        return {"raw": arguments}
    if value is None:
        return {}
    return value if isinstance(value, dict) else {"value": value}


def write_call(part: ToolCall, *, own: bool) -> dict[str, Json]:
    """Spell a function call. ``own``: it was read from this dialect, so its form counts."""
    fields = ours(part.extras)
    rest = wire_fields(fields)
    call: dict[str, Json] = {}
    if part.id and not (own and fields.get("~no_id")):
        call["id"] = part.id
    call["name"] = part.name
    args = arguments_object(part.arguments)
    if args or not (own and fields.get("~no_args")):
        call["args"] = args
    call.update(rest.pop("functionCall", None) or {})
    return {"functionCall": call, **rest}
