"""Profile rows of the vendors, held against what the vendors were recorded to answer with 200."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dragoman.language.dialects import openai_chat
from dragoman.language.fitting import fit
from dragoman.language.ir import Message, Reasoning, ReasoningSetting, Request, Text, Tool, ToolCall, ToolChoice
from dragoman.language.losses import Receipt
from dragoman.language.profiles import EFFORTS, Profile, find_profile
from dragoman.language.profiles.vendors import VENDORS
from dragoman.language.sniffing import sniff_failure
from dragoman.settings import ProviderSettings
from dragoman.upstream.providers import PROVIDERS
from dragoman.upstream.providers.vendors import vendor_of
from tests.corpus import available, body_bytes, exchange, identifiers

# ---------------------------------------------------------------- who it is


@pytest.mark.parametrize(
    ("origin", "vendor"),
    [
        ("https://api.groq.com", "groq"),
        ("https://api.x.ai", "xai"),
        ("https://api.z.ai", "zai"),
        ("https://open.bigmodel.cn", "zai"),
        ("https://dashscope-intl.aliyuncs.com", "alibaba"),
        ("https://api.moonshot.cn", "moonshot"),
        ("https://bedrock-mantle.us-east-1.api.aws", "bedrock"),
        ("https://bedrock-runtime.eu-west-1.amazonaws.com", "bedrock"),
        ("https://api.inference.crusoecloud.com", "crusoe"),
        ("https://api.githubcopilot.com", "github-copilot"),
        ("https://myorg-acc.snowflakecomputing.com", "snowflake"),
        ("https://ai-gateway.vercel.sh", "vercel"),
        ("https://generativelanguage.googleapis.com", "gemini-openai"),
        ("https://router.huggingface.co", "huggingface"),
        ("https://openrouter.ai", "openrouter"),
        ("https://api.together.xyz:443", "together"),
        ("http://localhost:11434", "ollama"),
        ("http://192.168.1.5:1234", "lmstudio"),
        ("http://127.0.0.1:8000", "compatible"),
        ("https://8.8.8.8", "compatible"),
        ("https://[2606:4700::1]", "compatible"),
    ],
)
def test_a_vendor_is_guessed_from_its_address(origin: str, vendor: str) -> None:
    assert vendor_of(origin) == vendor


def test_the_setting_overrules_the_address() -> None:
    said = ProviderSettings(kind="openai_compatible", base_url="https://llm.example/v1", vendor="Llama.cpp")
    profile = PROVIDERS["openai_compatible"]("p", said).profile("qwen3", "openai_chat", None)
    assert profile.thinking_switch == "chat_template_kwargs"


# ---------------------------------------------------------------- rows against the recordings

_IGNORED = {
    "enable_thinking": {"ollama"},  # taken, and thinks on
    "reasoning_effort": {"gpustack"},  # taken, and thinks as ever
}
"""Fields that were sent and meant nothing: their answers show that a row need not allow them."""

_EITHER_LIMIT = {"groq", "cerebras", "openrouter", "snowflake", "moonshot"}
"""Vendors that take both spellings of the output limit, the row says the newer."""

_REPLAYED = ("reasoning_content", "reasoning", "reasoning_details")


def _recorded() -> Iterator[tuple[str, str, str, dict[str, Any]]]:
    """Id, vendor, dialect and body of each accepted request of a vendor other than OpenAI."""
    for identifier in identifiers():
        if not identifier.startswith(("compat.", "azure-")):
            continue
        found = exchange(identifier)
        dialect = {"openai-chat": "openai_chat", "openai-responses": "openai_responses"}.get(found["protocol"])
        body = (found["request"] or {}).get("body")
        if dialect and isinstance(body, dict) and isinstance(body.get("model"), str) and _accepted(found["response"]):
            vendor = "azure" if identifier.startswith("azure") else identifier.split("--")[0].removeprefix("compat.")
            yield identifier, vendor, dialect, body


def _accepted(response: dict[str, Any]) -> bool:
    return bool(response["status"] == 200 and "tool_use_failed" not in str(response.get("sse", "")))


def _complaints(vendor: str, profile: Profile, body: dict[str, Any]) -> Iterator[str]:
    yield from _about_knobs(vendor, profile, body)
    yield from _about_tools(profile, body)
    yield from _about_thinking(vendor, profile, body)
    yield from _about_messages(profile, body)


def _about_knobs(vendor: str, profile: Profile, body: dict[str, Any]) -> Iterator[str]:
    knobs = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty", "logprobs", "stop")
    yield from (name for name in knobs if name in body and name not in profile.sampling)
    if body.get("temperature", 0) > profile.temperature_max:
        yield "temperature_max"
    if body.get("n", 1) > 1 and not (profile.many_choices and "n" in profile.sampling):
        yield "n"
    limits = {"max_tokens", "max_completion_tokens", "max_output_tokens"} & set(body)
    if limits and profile.token_field not in limits and vendor not in _EITHER_LIMIT:
        yield "token_field"
    said = body.get("response_format", body.get("text", {}).get("format", {}))
    if said.get("type") == "json_schema" and not profile.schema_output:
        yield "schema_output"
    if said.get("type") == "json_object" and not profile.json_output:
        yield "json_output"


def _about_tools(profile: Profile, body: dict[str, Any]) -> Iterator[str]:
    choice = body.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, dict) else choice
    modes: dict[Any, Any] = {"required": "any", "any": "any", "function": "named", "allowed_tools": "subset"}
    if choice is not None and modes.get(kind, kind) not in profile.choices:
        yield "choices"
    if kind == "any" and profile.any_choice != "any":
        yield "any_choice"
    if "parallel_tool_calls" in body and not profile.parallel_switch:
        yield "parallel_switch"
    if any(tool.get("function", tool).get("strict") for tool in body.get("tools", [])) and not profile.strict_tools:
        yield "strict_tools"


def _about_thinking(vendor: str, profile: Profile, body: dict[str, Any]) -> Iterator[str]:
    nested = body.get("reasoning") or {}
    effort = body.get("reasoning_effort", nested.get("effort"))
    if effort in EFFORTS and effort not in profile.efforts and vendor not in _IGNORED["reasoning_effort"]:
        yield f"efforts: {effort}"
    if nested and profile.dialect == "openai_chat" and profile.effort_field != "reasoning":
        yield "effort_field"
    for switch in ("thinking", "enable_thinking"):
        if switch in body and profile.thinking_switch != switch and vendor not in _IGNORED.get(switch, ()):
            yield f"thinking_switch: {switch}"


def _about_messages(profile: Profile, body: dict[str, Any]) -> Iterator[str]:
    kinds = {"image_url": "image", "input_image": "image", "file": "document", "document_url": "document"}
    kinds |= {"input_audio": "audio", "input_file": "document"}
    for message in body.get("messages") or body.get("input") or ():
        if not isinstance(message, dict):
            continue
        fields = [name for name in _REPLAYED if message.get(name)]
        if fields and profile.reasoning_field not in fields:
            yield f"reasoning_field: {fields}"
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            if part.get("type") in kinds and kinds[part["type"]] not in profile.media:
                yield f"media: {part['type']}"
            if "cache_control" in part and not profile.cache_hints:
                yield "cache_hints"


@pytest.mark.skipif(not available(), reason="the recorded corpus (../shared/corpus) is not here")
def test_V02_T12_R13_what_a_vendor_took_its_row_allows() -> None:
    complaints: dict[str, list[str]] = {}
    seen = set()
    for identifier, vendor, dialect, body in _recorded():
        seen.add(vendor)
        profile = find_profile(dialect, body["model"], vendor=vendor)
        if found := list(_complaints(vendor, profile, body)):
            complaints[identifier] = found
    assert complaints == {}
    assert len(seen) > 25


@pytest.mark.skipif(not available(), reason="the recorded corpus (../shared/corpus) is not here")
def test_R18_what_a_vendor_refused_its_row_does_not_allow() -> None:
    assert not find_profile("openai_chat", "deepseek-v4-flash", vendor="deepseek").media
    assert not find_profile("openai_chat", "deepseek-v4-flash", vendor="deepseek").forced_with_thinking
    assert "logprobs" not in find_profile("openai_chat", "ministral-3b-latest", vendor="mistral").sampling
    assert "video" not in find_profile("openai_chat", "Qwen3-VL-2B", vendor="llama-cpp").media


def test_every_row_names_facts_that_exist() -> None:
    for dialect, rows in VENDORS.items():
        for vendor in rows:
            for model in ("gpt-oss-120b", "qwen3", "glm-4.7", "kimi-k2.5", "deepseek-v4", "claude-opus-4-8", "x"):
                profile = find_profile(dialect, model, vendor=vendor)
                assert list(profile.efforts) == sorted(profile.efforts, key=EFFORTS.index)
                assert profile.sampling <= {
                    *("temperature", "top_p", "top_k", "stop", "seed", "n", "frequency_penalty", "presence_penalty"),
                    *("logprobs", "top_logprobs"),
                }


# ---------------------------------------------------------------- spelt for the vendor


def _written(vendor: str, model: str, request: Request) -> dict[str, Any]:
    profile = find_profile("openai_chat", model, vendor=vendor)
    receipt = Receipt()
    return openai_chat.write_request(fit(request, profile, receipt).request, profile, receipt)


def _asked(**fields: Any) -> Request:
    return Request("anthropic", "m", [Message("user", [Text("hi")])], **fields)


@pytest.mark.parametrize(
    ("vendor", "model", "said"),
    [
        ("openrouter", "anthropic/claude-sonnet-4.6", {"reasoning": {"effort": "high"}}),
        ("vercel", "openai/gpt-5", {"reasoning": {"effort": "high"}}),
        ("snowflake", "claude-sonnet-4-6", {"reasoning": {"effort": "high"}}),
        ("deepseek", "deepseek-v4-flash", {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        ("zai", "glm-4.7", {"thinking": {"type": "enabled"}}),
        ("zai", "glm-5.2", {"thinking": {"type": "enabled"}, "reasoning_effort": "high"}),
        ("moonshot", "kimi-k2.5", {"thinking": {"type": "enabled"}}),
        ("moonshot", "kimi-k3", {"reasoning_effort": "high"}),
        ("alibaba", "qwen-plus", {"enable_thinking": True}),
        ("alibaba", "glm-5", {"enable_thinking": True}),
        ("vllm", "Qwen/Qwen3-32B", {"chat_template_kwargs": {"enable_thinking": True, "thinking": True}}),
        ("together", "Qwen/Qwen3-235B", {"reasoning": {"enabled": True}}),
        ("ollama", "qwen3", {"reasoning_effort": "high"}),
        ("ollama", "mistral-nemo", {}),
        ("groq", "openai/gpt-oss-120b", {"reasoning_effort": "high"}),
        ("groq", "llama-3.3-70b-versatile", {}),
        ("groq", "moonshotai/kimi-k2-instruct", {}),
        ("mistral", "mistral-small-latest", {"reasoning_effort": "high"}),
        ("mistral", "mistral-large-latest", {}),
        ("xai", "grok-4-0709", {}),
        ("xai", "grok-4.3", {"reasoning_effort": "high"}),
        ("venice", "qwen3-5-9b", {}),
        ("huggingface", "deepseek-ai/DeepSeek-R1", {}),
        ("azure", "Kimi-K2.5", {"reasoning_effort": "high"}),
    ],
)
def test_R15_thinking_is_asked_for_in_the_vendors_words(vendor: str, model: str, said: dict[str, Any]) -> None:
    body = _written(vendor, model, _asked(reasoning=ReasoningSetting("on", effort="high")))
    words = ("reasoning", "reasoning_effort", "thinking", "enable_thinking", "chat_template_kwargs")
    assert {name: body[name] for name in words if name in body} == said


@pytest.mark.parametrize(
    ("vendor", "model", "said"),
    [
        ("zai", "glm-4.7", {"thinking": {"type": "disabled"}}),
        ("alibaba", "qwen-plus", {"enable_thinking": False}),
        ("llama-cpp", "Qwen3-1.7B", {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}),
        ("together", "Qwen/Qwen3-235B", {"reasoning": {"enabled": False}}),
    ],
)
def test_R15_thinking_is_switched_off_in_the_vendors_words(vendor: str, model: str, said: dict[str, Any]) -> None:
    body = _written(vendor, model, _asked(reasoning=ReasoningSetting("off")))
    assert {name: body[name] for name in said} == said


_CALLED: list[Message] = [
    Message("user", [Text("hi")]),
    Message("assistant", [Reasoning("because"), Text("so")]),
    Message("user", [Text("go on")]),
]


@pytest.mark.parametrize(
    ("vendor", "model", "turn"),
    [
        ("deepseek", "deepseek-v4-flash", {"reasoning_content": "because", "content": "so"}),
        ("cerebras", "gpt-oss-120b", {"reasoning": "because", "content": "so"}),
        ("cerebras", "zai-glm-4.7", {"content": "<think>\nbecause\n</think>\nso"}),
        ("ollama", "qwen3", {"reasoning": "because", "content": "so"}),
        ("llama-cpp", "Qwen3-1.7B", {"reasoning_content": "because", "content": "so"}),
        ("mistral", "mistral-large-latest", {"content": "so"}),
    ],
)
def test_T12_thoughts_go_back_where_the_vendor_reads_them(vendor: str, model: str, turn: dict[str, Any]) -> None:
    written = _written(vendor, model, Request("anthropic", "m", list(_CALLED)))["messages"][1]
    assert written == {"role": "assistant", **turn}


@pytest.mark.parametrize(("vendor", "word"), [("mistral", "any"), ("groq", "required"), ("openrouter", "required")])
def test_R12_a_forced_call_is_said_in_the_vendors_word(vendor: str, word: str) -> None:
    tool = Tool("f", "", {"type": "object", "properties": {}})
    assert _written(vendor, "m", _asked(tools=[tool], tool_choice=ToolChoice("any")))["tool_choice"] == word


def test_R12_a_forced_call_takes_the_thinking_of_deepseek_with_it() -> None:
    tool = Tool("f", "", {"type": "object", "properties": {}})
    asked = _asked(tools=[tool], tool_choice=ToolChoice("any"), reasoning=ReasoningSetting("on"))
    body = _written("deepseek", "deepseek-v4-flash", asked)
    assert (body["tool_choice"], body["thinking"]) == ("required", {"type": "disabled"})


def test_U06_usage_is_asked_for_only_where_it_does_not_come_by_itself() -> None:
    assert "stream_options" not in _written("mistral", "mistral-small-latest", _asked(stream=True))
    assert _written("groq", "m", _asked(stream=True))["stream_options"] == {"include_usage": True}


def test_T02_a_call_in_history_keeps_its_arguments_everywhere() -> None:
    called = [Message("user", [Text("hi")]), Message("assistant", [ToolCall("call_1", "f", "{}")])]
    for vendor in VENDORS["openai_chat"]:
        body = _written(vendor, "m", Request("anthropic", "m", list(called), tools=[Tool("f", "", {})]))
        assert body["messages"][1]["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}


# ---------------------------------------------------------------- whose mistake it was


def test_E08_groq_says_when_its_model_called_a_tool_wrongly() -> None:
    identifier = "compat.groq--pydai--test_tool_use_failed_error--0"
    failure = sniff_failure(exchange(identifier)["response"]["status"], {}, body_bytes(identifier))
    groq = find_profile("openai_chat", "openai/gpt-oss-120b", vendor="groq")
    assert failure.code in groq.retry_once_codes
    assert not failure.retryable
    assert not find_profile("openai_chat", "gpt-4.1", vendor="openai").retry_once_codes


@pytest.mark.parametrize(
    "identifier",
    [
        "compat.llama-cpp--rig--error_matrix-tools_without_jinja--0",
        "compat.llama-cpp--rig--structured_output_matrix-schema_and_grammar_conflict--0",
        "compat.llama-cpp--rig--multimodal_matrix-unfetchable_image_url--0",
    ],
)
def test_E08_llama_cpps_500_for_bad_parameters_is_not_retried(identifier: str) -> None:
    response = exchange(identifier)["response"]
    failure = sniff_failure(response["status"], {}, body_bytes(identifier))
    assert response["status"] == 500
    assert not failure.retryable
    assert failure.http_status == 400
