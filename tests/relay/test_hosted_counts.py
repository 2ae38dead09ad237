"""What providers ran themselves and charge for by the piece (U09), counted from the answers they really gave."""

from __future__ import annotations

from typing import Any

import pytest

from dragoman.language.events import PartStarted
from dragoman.language.ir import Opaque, Usage
from dragoman.language.registry import DIALECTS
from dragoman.language.streams import StreamReader
from dragoman.relay.metering import Meter, Record
from dragoman.store.ledger.measures import measured
from tests.corpus import exchange, sse_bytes


def tools(meter: Meter, model: str) -> dict[str, int]:
    """What the ledger counts."""
    record = meter.record
    counted: dict[str, int] = measured(record.usage, record.envelope, record.hosted, model).details.get("tools", {})
    return counted


def read(dialect: str, answer: Any) -> Meter:
    """A meter that saw the whole answer, or the stream."""
    meter = Meter(Record(), 100)
    if isinstance(answer, dict):
        meter.whole(DIALECTS[dialect].read_response(answer))
        return meter
    reader: StreamReader = DIALECTS[dialect].StreamReader()
    for event in [*reader.feed(answer), *reader.close()]:
        meter.add(event)
    return meter


THREE = (
    "gemini--rubyllm--chat_web_search_with_gemini_gemini-3_5-flash_grounds_the_answer_and_exposes_the_queries_it_ran--0"
)


def test_U09_U11_newer_geminis_are_paid_by_the_query() -> None:
    """https://ai.google.dev/gemini-api/docs/google-search#pricing"""
    meter = read("gemini", exchange(THREE)["response"]["body"])
    assert tools(meter, "gemini-3.5-flash") == {"web_search": 3}


@pytest.mark.parametrize("model", ["gemini-2.5-pro", "google/gemini-2.5-flash", "gemini-2.0-flash", "gemini-1.5-pro"])
def test_U09_U11_older_geminis_are_paid_by_the_grounded_prompt(model: str) -> None:
    meter = read("gemini", exchange(THREE)["response"]["body"])
    assert tools(meter, model) == {"web_search": 1}


def test_U09_a_stream_tells_its_searches_with_its_end() -> None:
    meter = read("gemini", sse_bytes("gemini--pydai--test_google_model_web_search_tool_stream--0"))
    assert tools(meter, "gemini-2.5-pro") == {"web_search": 1}


def test_U09_an_answer_that_was_not_looked_up_counts_nothing() -> None:
    meter = Meter(Record(), 100)
    meter.record.envelope["groundingMetadata"] = {"webSearchQueries": [""], "groundingChunks": []}
    assert tools(meter, "gemini-3-pro") == {}


def test_U09_a_page_that_is_opened_is_no_search() -> None:
    """https://platform.openai.com/docs/guides/tools-web-search#output-and-citations"""
    meter = Meter(Record(), 100)
    for action in ({"type": "search", "query": "x"}, {"type": "open_page", "url": "y"}, {"type": "find_in_page"}, None):
        call = {"type": "web_search_call", "id": "ws"} | ({} if action is None else {"action": action})
        meter.add(PartStarted(0, Opaque("openai_responses", call)))
    assert measured(Usage(), {}, meter.record.hosted).details["tools"] == {"web_search": 2}
