"""Where a text comes from: ``annotations`` of a message, and Perplexity's lists beside the answer (V03).

Wire: https://platform.openai.com/docs/guides/tools-web-search?api-mode=chat,
https://docs.perplexity.ai/api-reference/chat-completions-post
"""

from __future__ import annotations

from dragoman.language.dialects.openai_chat.fields import NAME, Fields, own, said
from dragoman.language.ir import Citation, Json

BESIDE = ("citations", "search_results")
"""Envelope fields that hold sources of the whole answer."""


def read_annotation(annotation: Json) -> Citation | None:
    """A ``url_citation``; ``None`` for annotations of other kinds."""
    if not isinstance(annotation, dict) or annotation.get("type") != "url_citation":
        return None
    inner = annotation.get("url_citation")
    inner = inner if isinstance(inner, dict) else annotation
    return Citation(
        said(inner.get("url")),
        said(inner.get("title")),
        said(inner.get("content")),
        _offset(inner.get("start_index")),
        _offset(inner.get("end_index")),
        {NAME: {key: value for key, value in annotation.items() if key != "index"}},
    )


def _offset(value: Json) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def read_beside(envelope: Fields) -> list[Citation]:
    """Perplexity's sources as citations; the lists themselves stay in the envelope for their owner."""
    results = envelope.get("search_results")
    found: list[Citation] = []
    if isinstance(results, list) and results:
        for result in results:
            if isinstance(result, dict) and said(result.get("url")):
                title, snippet = said(result.get("title")), said(result.get("snippet"))
                found.append(Citation(result["url"], title, snippet, extras={NAME: {"~beside": True}}))
        return found
    urls = envelope.get("citations")
    for url in urls if isinstance(urls, list) else ():
        if isinstance(url, str) and url:
            found.append(Citation(url, extras={NAME: {"~beside": True}}))
    return found


def write_annotation(citation: Citation, base: int, length: int) -> Fields | None:
    """The annotation; offsets count from the start of the message, ``base`` where the part begins.

    ``None`` for what stands beside the answer anyway and for citations that name no address.
    """
    kept = own(citation.extras)
    if kept:
        return None if "~beside" in kept else kept
    if not citation.url:
        return None
    start = base + citation.start if citation.start is not None else base
    end = base + citation.end if citation.end is not None else base + length
    inner = {"start_index": start, "end_index": end, "url": citation.url, "title": citation.title or citation.url}
    return {"type": "url_citation", "url_citation": inner}
