"""Where an answer comes from and how sure the model was: grounding, citations and log probabilities.

Gemini reports them beside the text, with offsets in bytes of UTF-8; the model keeps them with the text,
with offsets in characters. This module must not know streams.

Wire: https://ai.google.dev/api/generate-content#GroundingMetadata
"""

from __future__ import annotations

from dragoman.language.dialects.gemini.spelling import as_list
from dragoman.language.ir import Citation, Json

_LISTED = frozenset({"citationMetadata", "urlContextMetadata"})


def merge_metadata(kept: dict[str, Json], key: str, value: Json) -> None:
    """Add a candidate's field to what earlier chunks said: lists grow, empty objects say nothing new."""
    before = kept.get(key)
    if isinstance(value, dict) and isinstance(before, dict):
        merged = dict(before)
        for name, item in value.items():
            if key in _LISTED and isinstance(item, list) and isinstance(merged.get(name), list):
                item = [*merged[name], *(entry for entry in item if entry not in merged[name])]
            merged[name] = item
        kept[key] = merged
    else:
        kept[key] = value


def read_citations(metadata: dict[str, Json], text: str) -> list[Citation]:
    """Citations of a text from a candidate's metadata."""
    raw = text.encode("utf-8", "surrogatepass")
    return [*_grounded(metadata.get("groundingMetadata"), raw), *_cited(metadata.get("citationMetadata"), raw)]


def _grounded(grounding: Json, raw: bytes) -> list[Citation]:
    if not isinstance(grounding, dict):
        return []
    chunks = as_list(grounding.get("groundingChunks"))
    citations = []
    for support in as_list(grounding.get("groundingSupports")):
        segment = support.get("segment") if isinstance(support, dict) else None
        if not isinstance(segment, dict):
            continue
        quoted = str(segment.get("text") or "")
        start, end = _characters(raw, segment.get("startIndex") or 0, segment.get("endIndex"), quoted)
        for at in as_list(support.get("groundingChunkIndices")):
            source = _source(chunks[at]) if isinstance(at, int) and 0 <= at < len(chunks) else {}
            url = str(source.get("uri") or "")
            title = str(source.get("title") or source.get("fileSearchStore") or "")
            if url or title:
                citations.append(Citation(url, title, quoted, start, end))
    return citations


def _source(chunk: Json) -> dict[str, Json]:
    """The web page, document or place a grounding chunk names."""
    if isinstance(chunk, dict):
        for value in chunk.values():
            if isinstance(value, dict):
                return value
    return {}


def _cited(metadata: Json, raw: bytes) -> list[Citation]:
    if not isinstance(metadata, dict):
        return []
    citations = []
    for source in [*as_list(metadata.get("citationSources")), *as_list(metadata.get("citations"))]:
        if isinstance(source, dict) and (source.get("uri") or source.get("title")):
            start, end = _characters(raw, source.get("startIndex") or 0, source.get("endIndex"), "")
            cited = raw.decode("utf-8", "replace")[start:end] if start is not None else ""
            citations.append(Citation(str(source.get("uri") or ""), str(source.get("title") or ""), cited, start, end))
    return citations


def _characters(raw: bytes, start: Json, end: Json, quoted: str) -> tuple[int | None, int | None]:
    """Offsets in characters, or none where the bytes do not hold what the wire says."""
    if not isinstance(start, int) or not isinstance(end, int) or not 0 <= start <= end <= len(raw):
        return None, None
    try:
        before, inside = raw[:start].decode(), raw[start:end].decode()
    except UnicodeDecodeError:
        return None, None
    if quoted and inside != quoted:
        return None, None
    return len(before), len(before) + len(inside)


def write_grounding(citations: list[tuple[int, str, Citation]]) -> dict[str, Json]:
    """Grounding metadata for citations; each comes with its part's number and the part's text."""
    chunks: list[Json] = []
    supports: list[Json] = []
    for number, text, citation in citations:
        chunk = {"web": {"uri": citation.url, "title": citation.title or citation.url}}
        if chunk not in chunks:
            chunks.append(chunk)
        segment: dict[str, Json] = {"partIndex": number} if number else {}
        if citation.start is not None and citation.end is not None:
            segment["startIndex"] = len(text[: citation.start].encode("utf-8", "replace"))
            segment["endIndex"] = len(text[: citation.end].encode("utf-8", "replace"))
            segment["text"] = text[citation.start : citation.end]
        else:
            segment["text"] = citation.cited_text
        supports.append({"segment": segment, "groundingChunkIndices": [chunks.index(chunk)]})
    return {"groundingChunks": chunks, "groundingSupports": supports}


def read_logprobs(result: Json) -> list[Json]:
    """``logprobsResult`` in the shape of OpenAI's ``content``."""
    if not isinstance(result, dict):
        return []
    tops = as_list(result.get("topCandidates"))
    listed = []
    for at, chosen in enumerate(as_list(result.get("chosenCandidates"))):
        if not isinstance(chosen, dict):
            continue
        top = tops[at].get("candidates") if at < len(tops) and isinstance(tops[at], dict) else None
        entry = _token(chosen)
        entry["top_logprobs"] = [_token(item) for item in as_list(top) if isinstance(item, dict)]
        listed.append(entry)
    return listed


def _token(item: dict[str, Json]) -> dict[str, Json]:
    token = str(item.get("token") or "")
    raw = list(token.encode("utf-8", "replace"))
    return {"token": token, "logprob": item.get("logProbability") or 0.0, "bytes": raw}


def write_logprobs(listed: list[Json]) -> dict[str, Json]:
    """``logprobsResult`` for a list in the shape of OpenAI's ``content``."""
    entries = [item for item in listed if isinstance(item, dict)]
    return {
        "chosenCandidates": [_candidate(item) for item in entries],
        "topCandidates": [
            {"candidates": [_candidate(top) for top in as_list(item.get("top_logprobs")) if isinstance(top, dict)]}
            for item in entries
        ],
    }


def _candidate(item: dict[str, Json]) -> dict[str, Json]:
    return {"token": item.get("token") or "", "logProbability": item.get("logprob") or 0.0}
