"""Azure's own SDK pointed at the gateway: deployments, the v1 API, ``api-key`` (C-21, issue item 7)."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.relay.rig import RESPONSES_ASK, Asked, Wire, chat_body, chat_stream, replay, running, whole

VERSION = "api-version=2024-10-21"
HELLO: list[Any] = [{"role": "user", "content": "Hello"}]
COMPLETION = {
    "id": "cmpl-1", "object": "text_completion", "created": 7, "model": "up-model",
    "choices": [{"index": 0, "text": "Hi", "finish_reason": "stop", "logprobs": None}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}  # fmt: skip
MAPPED = {"deployments": {"team-gpt": "gpt-5-nano"}}


def azure_client(url: str, **more: Any) -> openai.AsyncAzureOpenAI:
    """Azure's client, whose root is the gateway's."""
    settings = {"api_key": "client-key", "api_version": "2024-10-21", "max_retries": 0, **more}
    return openai.AsyncAzureOpenAI(azure_endpoint=url, **settings)


async def test_C_21_the_azure_sdk_chats_with_a_deployment() -> None:
    async with running(account=MAPPED) as rig, azure_client(rig.url) as client:
        rig.provider.script = whole(chat_body("Hi"))
        answer = await client.chat.completions.create(model="team-gpt", messages=HELLO)
        assert (answer.choices[0].message.content, answer.model) == ("Hi", "team-gpt")
        assert rig.provider.asked[0].json["model"] == "gpt-5-nano"
        rig.provider.script = replay(*chat_stream("H", "i"))
        stream = await client.chat.completions.create(model="team-gpt", messages=HELLO, stream=True)
        pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
        assert "".join(pieces) == "Hi"


async def test_C_21_the_path_names_the_model_whatever_the_body_says() -> None:
    async with running(account=MAPPED) as rig:
        async with azure_client(rig.url, azure_deployment="team-gpt") as client:
            rig.provider.script = whole(chat_body("Hi"))
            answer = await client.chat.completions.create(model="something-else", messages=HELLO)
            assert answer.model == "team-gpt"
        path = f"/openai/deployments/team-gpt/chat/completions?{VERSION}"
        status, _, got = await rig.post(path, {"messages": HELLO, "seed": 2**60})
        assert (status, got["model"]) == (200, "team-gpt")
        assert [asked.json["model"] for asked in rig.provider.asked] == ["gpt-5-nano"] * 2
        assert rig.provider.asked[1].json["seed"] == 2**60


async def test_C_21_names_with_slashes_and_escapes() -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body("Hi"))
        for name, shown in (("openai/gpt-oss-120b", "gpt-oss-120b"), ("a%20b", "a b"), ("gpt-4.1", "gpt-4.1")):
            status, _, _ = await rig.post(f"/openai/deployments/{name}/chat/completions?{VERSION}", {"messages": HELLO})
            assert (status, rig.provider.asked[-1].json["model"]) == (200, shown)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'[{"a":1}]', b"null", b'"x"', b"[" * 5000])
async def test_T_35_a_body_that_is_no_object_is_a_400_here_too(body: bytes) -> None:
    async with running() as rig:
        for verb in ("chat/completions", "completions"):
            status, _, answer = await rig.post(f"/openai/deployments/x/{verb}?{VERSION}", body)
            assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
        assert rig.provider.asked == []


async def test_C_21_text_completions_of_a_deployment() -> None:
    async with running(account=MAPPED) as rig, azure_client(rig.url) as client:
        rig.provider.script = whole(COMPLETION)
        answer = await client.completions.create(model="team-gpt", prompt="Say hi")
        assert (answer.choices[0].text, answer.model) == ("Hi", "team-gpt")
        assert rig.provider.asked[0].path == "/v1/completions"
        assert rig.provider.asked[0].json["model"] == "gpt-5-nano"


@pytest.mark.parametrize("root", ["/openai", "/openai/v1"])
async def test_responses_are_made_kept_and_forgotten(root: str) -> None:
    async with running() as rig:
        rig.provider.script = whole(chat_body("Hi"))
        status, _, made = await rig.post(f"{root}/responses?api-version=2025-04-01-preview", RESPONSES_ASK)
        assert (status, made["object"]) == (200, "response")
        path = f"{root}/responses/{made['id']}?{VERSION}"
        assert (await rig.get(path))[2]["id"] == made["id"]
        assert (await rig.get(path, "DELETE"))[2]["deleted"] is True
        assert (await rig.get(path))[0] == 404


async def test_the_azure_sdk_uses_responses_and_lists_models() -> None:
    async with running(account=MAPPED) as rig, azure_client(rig.url, api_version="2025-04-01-preview") as client:
        rig.provider.script = whole(chat_body("Hi"))
        made = await client.responses.create(model="team-gpt", input="Hello")
        assert made.output_text == "Hi"
        assert (await client.responses.retrieve(made.id)).id == made.id
        await client.responses.delete(made.id)
        names = [model.id async for model in client.models.list()]
        assert "team-gpt" in names
        assert (await client.models.retrieve("team-gpt")).id == "team-gpt"


async def test_the_v1_api_by_the_plain_sdk() -> None:
    async with running(account=MAPPED) as rig:
        base = f"{rig.url}/openai/v1/"
        async with openai.AsyncOpenAI(base_url=base, api_key="client-key", max_retries=0) as client:
            rig.provider.script = whole(chat_body("Hi"))
            chat = await client.chat.completions.create(model="team-gpt", messages=HELLO)
            assert chat.choices[0].message.content == "Hi"
            assert (await client.responses.create(model="team-gpt", input="Hello")).output_text == "Hi"
            assert "team-gpt" in [model.id async for model in client.models.list()]
            rig.provider.script = whole(COMPLETION)
            assert (await client.completions.create(model="team-gpt", prompt="a")).choices[0].text == "Hi"


async def test_T_58_the_api_key_header_is_the_credential_and_stays_here() -> None:
    async with running(auth={"token": "shared-token"}) as rig:
        rig.provider.script = whole(chat_body("Hi"))
        async with azure_client(rig.url, api_key="shared-token") as client:
            await client.chat.completions.create(model="x", messages=HELLO)
        assert "shared-token" not in json.dumps(rig.provider.asked[0].headers)
        assert "api-key" not in rig.provider.asked[0].headers
        async with azure_client(rig.url, azure_ad_token="shared-token", api_key=None) as client:
            await client.chat.completions.create(model="x", messages=HELLO)
        async with azure_client(rig.url, api_key="wrong") as client:
            with pytest.raises(openai.AuthenticationError) as refused:
                await client.chat.completions.create(model="x", messages=HELLO)
        assert refused.value.code == "invalid_api_key"


async def test_errors_are_openais_and_keep_their_status() -> None:
    refusal = {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}}

    async def refuse(asked: Asked, wire: Wire) -> None:
        await wire.json(refusal, 404)

    async with running() as rig, azure_client(rig.url) as client:
        rig.provider.script = refuse
        with pytest.raises(openai.NotFoundError) as missing:
            await client.chat.completions.create(model="x", messages=HELLO)
        assert "does not exist" in missing.value.message
        status, headers, answer = await rig.get("/openai/deployments/x/chat/completions")
        assert (status, answer["error"]["code"]) == (405, "method_not_allowed")
        assert "POST" in headers["allow"]
        status, _, answer = await rig.post(f"/openai/deployments/x/images/generations?{VERSION}", {})
        assert (status, answer["error"]["code"]) == (404, "not_found")
