"""chat_azure's ``config.yaml`` and the three variables that mean the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from dragoman.settings import ConfigError, Settings, files
from tests.compat.setups import TOKEN, gateway, load
from tests.relay.rig import ASK, CHAT_ASK

FILE = """
resourceName: acme
apiVersion: 2024-06-01
apiKey: Bearer azure-canary-key
mapper:
  gpt-3.5-turbo: my-35
  gpt-4o: prod-4o
initUsers:
  - Username: ann
    Token: ann-token-1
  - Username: bob
    Token: 12345678
"""


def with_file(folder: Path, text: str = FILE, **environment: str) -> Settings:
    (folder / "config.yaml").write_text(text)
    return load(folder, **environment)


def key_of(settings: Settings) -> str:
    key = settings.providers["azure"].api_key
    assert key is not None
    return key.get_secret_value()


async def test_C_90_C_44_the_file_alone_starts_a_gateway_with_its_map(tmp_path: Path) -> None:
    settings = with_file(tmp_path, ANTHROPIC_AUTH_TOKEN=TOKEN)
    assert (settings.preset, settings.preset_reason) == ("chat_azure", "config.yaml is of its kind")
    assert settings.server.port == 8080
    assert settings.providers["azure"].base_url == "https://acme.openai.azure.com"
    async with gateway(settings) as rig:
        for name, deployment in (("gpt-4o", "prod-4o"), ("GPT-4O-2024-08-06", "prod-4o"), ("gpt-3.5-turbo", "my-35")):
            asked = {**CHAT_ASK, "model": name}
            status, _, answer = await rig.post("/v1/chat/completions", asked, authorization=TOKEN)
            assert status == 200, answer
            call = rig.provider.asked[-1]
            assert call.path == f"/openai/deployments/{deployment}/chat/completions?api-version=2024-06-01"
            assert call.headers["api-key"] == "azure-canary-key"
        status, _, answer = await rig.post("/v1/messages", ASK, x_api_key=TOKEN)
        assert status == 404
        assert "Missing model mapper" in answer["error"]["message"]
        assert "gpt-4o" in answer["error"]["message"]
        status, headers, _ = await rig.get("/v1/messages", "OPTIONS", origin="https://page.example")
        assert (status, headers["access-control-allow-origin"]) == (204, "*")


def test_C_90_the_file_is_found_where_containers_mount_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted = tmp_path / "opt" / "config.yaml"
    mounted.parent.mkdir()
    mounted.write_text(FILE)
    monkeypatch.setattr(files, "MOUNTED", mounted)
    folder = tmp_path / "work"
    folder.mkdir()
    assert load(folder).config_path == str(mounted)
    assert load(folder).preset == "chat_azure"
    (folder / "config.yaml").write_text("resourceName: near\napiKey: k\n")
    assert load(folder).providers["azure"].base_url == "https://near.openai.azure.com"
    (folder / "named.yaml").write_text("resourceName: named\napiKey: k\n")
    named = load(folder, DRAGOMAN_CONFIG="named.yaml")
    assert named.providers["azure"].base_url == "https://named.openai.azure.com"


async def test_C_89_the_three_variables_alone(tmp_path: Path) -> None:
    settings = load(tmp_path, RESOURCENAME="acme", APIKEY="Bearer k-1", MAPPER_GPT35TUBER="my-35")
    assert settings.preset == "chat_azure"
    assert settings.auth.required
    azure = settings.providers["azure"]
    assert (azure.base_url, azure.api_version) == ("https://acme.openai.azure.com", "2023-05-15")
    assert azure.deployments == {"gpt-3.5-turbo": "my-35"}
    assert key_of(settings) == "k-1"
    async with gateway(settings) as rig:
        assert (await rig.post("/v1/chat/completions", {**CHAT_ASK, "model": "gpt-3.5-turbo"}))[0] == 401


def test_keys_are_read_in_any_case_and_users_are_kept(tmp_path: Path) -> None:
    settings = with_file(tmp_path, FILE.replace("resourceName", "RESOURCENAME").replace("initUsers", "initusers"))
    assert [(user.username, user.token.get_secret_value()) for user in settings.init_users] == [
        ("ann", "ann-token-1"),
        ("bob", "12345678"),
    ]
    assert "ann-token-1" in settings.all_secrets()
    assert "ann-token-1" not in repr(settings)
    # A number may have been spelt in many ways.
    assert settings.notes == ("config.yaml:11: write the token in quotes, so that it stays a text",)


def test_the_file_wins_over_the_three_variables_with_a_note(tmp_path: Path) -> None:
    said = {"RESOURCENAME": "other", "APIKEY": "other-key", "MAPPER_GPT35TUBER": "other-35"}
    settings = with_file(tmp_path, FILE, **said)
    assert settings.providers["azure"].base_url == "https://acme.openai.azure.com"
    assert key_of(settings) == "azure-canary-key"
    assert settings.providers["azure"].deployments["gpt-3.5-turbo"] == "my-35"
    for name in said:
        assert [note for note in settings.notes if note.startswith(f"{name} is not used: config.yaml:")]
    filled = with_file(tmp_path, "resourceName: acme\n", **said)
    assert key_of(filled) == "other-key"


def test_the_usual_variables_win_over_the_file(tmp_path: Path) -> None:
    settings = with_file(tmp_path, FILE, AZURE_API_VERSION="2025-01-01", AZURE_OPENAI_API_KEY="own-key", PORT="81")
    assert settings.providers["azure"].api_version == "2025-01-01"
    assert key_of(settings) == "own-key"
    assert (settings.server.port, settings.preset) == (81, "chat_azure")


def test_the_files_key_never_goes_to_an_endpoint_that_a_variable_names(tmp_path: Path) -> None:
    settings = with_file(tmp_path, FILE, AZURE_OPENAI_ENDPOINT="https://elsewhere.example")
    azure = settings.providers["azure"]
    assert (azure.base_url, azure.api_key) == ("https://elsewhere.example", None)
    assert azure.missing == "AZURE_OPENAI_API_KEY"


def test_what_is_missing_is_told_and_does_not_stop_the_start(tmp_path: Path) -> None:
    assert with_file(tmp_path, "mapper: {a: b}\n").providers["azure"].missing == (
        "resourceName in config.yaml and apiKey in config.yaml"
    )
    (tmp_path / "config.yaml").unlink()
    assert load(tmp_path, RESOURCENAME="acme").providers["azure"].missing == "APIKEY"
    assert load(tmp_path).preset == "dragoman"


def test_unknown_keys_warn_and_wrong_shapes_name_the_line(tmp_path: Path) -> None:
    settings = with_file(tmp_path, "resourceName: acme\napiKey: k\ncolour: red\ninitUsers: [{Username: x}]\n")
    assert settings.notes == (
        "config.yaml:4: a user needs Username and Token; ignored",
        "config.yaml:3: unknown key colour; ignored",
    )
    for text, said in (
        ("resourceName: https://acme.example/\n", "config.yaml:1: resourceName must be the resource's bare name"),
        ("apiKey: k\nmapper: [a]\n", "config.yaml:2: mapper must be a mapping"),
        ("apiKey: k\nmapper: {a: [b]}\n", "config.yaml:2: mapper must map"),
        ("apiKey: [k]\n", "config.yaml:1: apiKey must be a text"),
    ):
        with pytest.raises(ConfigError) as caught:
            with_file(tmp_path, text)
        assert str(caught.value).startswith(said)


def test_a_file_with_a_version_is_our_own(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="unknown key resourceName"):
        with_file(tmp_path, "version: 1\nresourceName: acme\n")
    settings = with_file(tmp_path, "server: {port: 9}\n")
    assert (settings.preset, settings.server.port) == ("dragoman", 9)
