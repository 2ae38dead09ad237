"""The official SDKs through the running gateway, in front of each provider dialect."""

from __future__ import annotations

import base64
import json
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from google.genai import errors as google_errors
from google.genai import types as google

from tests.clients.conftest import PROVIDERS

pytestmark = pytest.mark.parametrize("provider", PROVIDERS)

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEklEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7N9hAAAAAElFTkSuQmCC"
SHELL = {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
CALL = {"command": "echo 'hello from the simulated model'"}


# ---------------------------------------------------------------- anthropic


def claude(gateway: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=gateway, api_key="key", max_retries=0)


def test_anthropic_text_whole_and_streamed(gateway: str, provider: str) -> None:
    model = f"{provider}/gemini-2.5-flash" if provider == "google" else f"{provider}/sim-large"
    asked: Any = {
        "model": model,
        "max_tokens": 8000,
        "messages": [{"role": "user", "content": "[[sim think=1]] Guten Tag 🌍"}],
        "thinking": {"type": "enabled", "budget_tokens": 2000},
    }
    whole = claude(gateway).messages.create(**asked)
    with claude(gateway).messages.stream(**asked) as stream:
        streamed = stream.get_final_message()
    for message in (whole, streamed):
        assert [block.type for block in message.content] == ["thinking", "text"]
        assert "Guten Tag 🌍" in message.content[1].text  # type: ignore[union-attr]
        assert message.stop_reason == "end_turn"
        assert message.model == model
        assert message.usage.input_tokens > 0
        assert message.usage.output_tokens > 10


def test_anthropic_tool_round(gateway: str, provider: str) -> None:
    tools: Any = [{"name": "Bash", "description": "Run", "input_schema": SHELL}]
    messages: Any = [{"role": "user", "content": "Please run a command."}]
    client = claude(gateway)
    with client.messages.stream(model=f"{provider}/m", max_tokens=4000, messages=messages, tools=tools) as stream:
        first = stream.get_final_message()
    assert first.stop_reason == "tool_use"
    call = first.content[-1]
    assert call.type == "tool_use"
    assert call.input == CALL
    result = {"type": "tool_result", "tool_use_id": call.id, "content": [{"type": "text", "text": "it said hello"}]}
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    second = client.messages.create(model=f"{provider}/m", max_tokens=4000, messages=messages, tools=tools)
    assert "it said hello" in second.content[-1].text  # type: ignore[union-attr]


def test_anthropic_image_and_count(gateway: str, provider: str) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    content: Any = [image, {"type": "text", "text": "What is it?"}]
    messages: Any = [{"role": "user", "content": content}]
    message = claude(gateway).messages.create(model=f"{provider}/m", max_tokens=100, messages=messages)
    assert "1 attached" in message.content[0].text  # type: ignore[union-attr]
    counted = claude(gateway).messages.count_tokens(model=f"{provider}/m", messages=messages)
    assert 80 < counted.input_tokens < 2100


def test_anthropic_structured_output(gateway: str, provider: str) -> None:
    output: Any = {"format": {"type": "json_schema", "schema": PERSON}}
    message = claude(gateway).messages.create(
        model=f"{provider}/claude-opus-4-8",
        max_tokens=1000,
        messages=[{"role": "user", "content": "who?"}],
        output_config=output,
    )
    assert json.loads(message.content[-1].text) == {"name": "simulated", "age": 1}  # type: ignore[union-attr]


def test_anthropic_errors(gateway: str, provider: str) -> None:
    asked: Any = {"model": f"{provider}/m", "max_tokens": 99}
    with pytest.raises(anthropic.RateLimitError) as caught:
        claude(gateway).messages.create(
            **asked, messages=[{"role": "user", "content": "[[sim status=429 retry_after=7]]"}]
        )
    assert caught.value.response.headers["retry-after"] == "7"
    with pytest.raises(anthropic.BadRequestError):
        claude(gateway).messages.create(**asked, messages=[])
    with (
        pytest.raises(anthropic.APIError),
        claude(gateway).messages.stream(**asked, messages=[{"role": "user", "content": "[[sim error=3]]"}]) as stream,
    ):
        stream.get_final_message()


# ---------------------------------------------------------------- openai chat


def gpt(gateway: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway}/v1", api_key="key", max_retries=0)


def test_chat_text_whole_and_streamed(gateway: str, provider: str) -> None:
    asked: Any = {"model": f"{provider}/m", "messages": [{"role": "user", "content": "Bonjour é🌍"}]}
    whole = gpt(gateway).chat.completions.create(**asked)
    assert "Bonjour é🌍" in (whole.choices[0].message.content or "")
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert whole.usage.completion_tokens > 5
    chunks = list(gpt(gateway).chat.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == whole.usage.total_tokens
    silent = list(gpt(gateway).chat.completions.create(**asked, stream=True))
    assert all(chunk.usage is None for chunk in silent)


def test_chat_tool_round(gateway: str, provider: str) -> None:
    tools: Any = [{"type": "function", "function": {"name": "shell", "description": "Run", "parameters": SHELL}}]
    messages: Any = [{"role": "user", "content": "Use the tool."}]
    first = gpt(gateway).chat.completions.create(model=f"{provider}/m", messages=messages, tools=tools)
    assert first.choices[0].finish_reason == "tool_calls"
    (call,) = first.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert json.loads(call.function.arguments) == CALL
    messages += [
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "it said hello"},
    ]
    with gpt(gateway).chat.completions.stream(model=f"{provider}/m", messages=messages, tools=tools) as stream:
        final = stream.get_final_completion()
    assert "it said hello" in (final.choices[0].message.content or "")


def test_chat_image_and_schema(gateway: str, provider: str) -> None:
    image: Any = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    messages: Any = [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, image]}]
    seen = gpt(gateway).chat.completions.create(model=f"{provider}/m", messages=messages)
    assert "1 attached" in (seen.choices[0].message.content or "")
    shape: Any = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": PERSON}}
    told = gpt(gateway).chat.completions.create(
        model=f"{provider}/claude-opus-4-8", messages=[{"role": "user", "content": "who?"}], response_format=shape
    )
    assert json.loads(told.choices[0].message.content or "") == {"name": "simulated", "age": 1}


def test_chat_errors(gateway: str, provider: str) -> None:
    messages: Any = [{"role": "user", "content": "[[sim status=429 retry_after=3]]"}]
    with pytest.raises(openai.RateLimitError) as caught:
        gpt(gateway).chat.completions.create(model=f"{provider}/m", messages=messages)
    assert caught.value.response.headers["retry-after"] == "3"
    messages = [{"role": "user", "content": "[[sim error=3]]"}]
    with pytest.raises(openai.APIError):
        list(gpt(gateway).chat.completions.create(model=f"{provider}/m", messages=messages, stream=True))
    with pytest.raises(openai.NotFoundError):
        gpt(gateway).chat.completions.create(model="nobody-knows-it", messages=messages)


# ---------------------------------------------------------------- openai responses


def test_responses_text_whole_and_streamed(gateway: str, provider: str) -> None:
    asked: Any = {"model": f"{provider}/m", "input": "Hola 🌍", "reasoning": {"effort": "low", "summary": "auto"}}
    whole = gpt(gateway).responses.create(**asked)
    assert "Hola 🌍" in whole.output_text
    assert whole.usage is not None
    with gpt(gateway).responses.stream(**asked) as stream:
        kinds = [event.type for event in stream]
        streamed = stream.get_final_response()
    assert streamed.output_text == whole.output_text
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


@pytest.mark.parametrize("chained", [False, True])
def test_responses_tool_round(gateway: str, provider: str, chained: bool) -> None:
    tools: Any = [{"type": "function", "name": "shell", "parameters": SHELL, "strict": False}]
    items: Any = [{"role": "user", "content": "Use the tool."}]
    first = gpt(gateway).responses.create(model=f"{provider}/m", input=items, tools=tools)
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert json.loads(call.arguments) == CALL
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "it said hello"}
    chain: Any = [result]
    if chained and provider != "responses":
        second = gpt(gateway).responses.create(
            model=f"{provider}/m", input=chain, tools=tools, previous_response_id=first.id
        )
    else:
        items += [item.model_dump(exclude_none=True) for item in first.output] + [result]
        second = gpt(gateway).responses.create(model=f"{provider}/m", input=items, tools=tools)
    assert "it said hello" in second.output_text


def test_responses_custom_tool(gateway: str, provider: str) -> None:
    tools: Any = [{"type": "custom", "name": "exec", "description": "JavaScript"}]
    with gpt(gateway).responses.stream(model=f"{provider}/m", input="Use the tool.", tools=tools) as stream:
        final = stream.get_final_response()
    (call,) = [item for item in final.output if item.type == "custom_tool_call"]
    assert call.name == "exec"
    assert call.input


def test_responses_image_schema_and_errors(gateway: str, provider: str) -> None:
    content = [
        {"type": "input_text", "text": "What is it?"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
    ]
    items: Any = [{"role": "user", "content": content}]
    assert "1 attached" in gpt(gateway).responses.create(model=f"{provider}/m", input=items).output_text
    shape: Any = {"format": {"type": "json_schema", "name": "person", "strict": True, "schema": PERSON}}
    told = gpt(gateway).responses.create(model=f"{provider}/claude-opus-4-8", input="who?", text=shape)
    assert json.loads(told.output_text) == {"name": "simulated", "age": 1}
    with pytest.raises(openai.InternalServerError):
        gpt(gateway).responses.create(model=f"{provider}/m", input="[[sim status=503]]")
    with pytest.raises(openai.BadRequestError, match="Previous"):
        gpt(gateway).responses.create(model="chat/m", input="x", previous_response_id="resp_nobody")


# ---------------------------------------------------------------- google


def gemini(gateway: str) -> genai.Client:
    return genai.Client(api_key="key", http_options=google.HttpOptions(base_url=gateway))


def test_gemini_text_whole_and_streamed(gateway: str, provider: str) -> None:
    client = gemini(gateway)
    config = google.GenerateContentConfig(thinking_config=google.ThinkingConfig(include_thoughts=True))
    whole = client.models.generate_content(model=f"{provider}/m", contents="Ciao 🌍", config=config)
    assert "Ciao 🌍" in (whole.text or "")
    assert whole.usage_metadata is not None
    chunks = list(client.models.generate_content_stream(model=f"{provider}/m", contents="Ciao 🌍", config=config))
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    assert chunks[-1].candidates[0].finish_reason == google.FinishReason.STOP  # type: ignore[index]


def test_gemini_tool_round(gateway: str, provider: str) -> None:
    client = gemini(gateway)
    tool = google.Tool(
        function_declarations=[
            google.FunctionDeclaration(name="shell", description="Run", parameters_json_schema=SHELL)
        ]
    )
    config = google.GenerateContentConfig(
        tools=[tool], automatic_function_calling=google.AutomaticFunctionCallingConfig(disable=True)
    )
    contents: Any = [google.Content(role="user", parts=[google.Part(text="Use the tool.")])]
    first = client.models.generate_content(model=f"{provider}/m", contents=contents, config=config)
    (call,) = first.function_calls or []
    assert call.args == CALL
    result = google.Part.from_function_response(name="shell", response={"output": "it said hello"})
    contents += [first.candidates[0].content, google.Content(role="user", parts=[result])]  # type: ignore[index]
    second = client.models.generate_content(model=f"{provider}/m", contents=contents, config=config)
    assert "it said hello" in (second.text or "")


def test_gemini_image_schema_count_and_errors(gateway: str, provider: str) -> None:
    image = google.Part.from_bytes(data=base64.b64decode(PNG), mime_type="image/png")
    contents: Any = [google.Part(text="What is it?"), image]
    client = gemini(gateway)
    assert "1 attached" in (client.models.generate_content(model=f"{provider}/m", contents=contents).text or "")
    config = google.GenerateContentConfig(response_mime_type="application/json", response_json_schema=PERSON)
    told = client.models.generate_content(model=f"{provider}/claude-opus-4-8", contents="who?", config=config)
    assert json.loads(told.text or "") == {"name": "simulated", "age": 1}
    assert (client.models.count_tokens(model=f"{provider}/m", contents="hello there").total_tokens or 0) >= 2
    with pytest.raises(google_errors.APIError):
        client.models.generate_content(model=f"{provider}/m", contents="[[sim status=503]]")
