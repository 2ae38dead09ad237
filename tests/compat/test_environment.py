"""The variables of the earlier proxies: each set alone starts a working gateway, and each means what it did."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dragoman.settings import ConfigError, Settings
from dragoman.upstream.resolution import Resolver
from tests.compat.setups import TOKEN, gateway, load, moved, service_account
from tests.relay.rig import ASK, FakeProvider
from tests.settings.test_cli import dragoman, environment, serving

PROJECT = Path(__file__).resolve().parents[2]
ENDPOINT = "https://acme.openai.azure.com"

# name: (variables, path the provider sees for a sonnet call, model in body or None when the path holds it)
SETS: dict[str, tuple[dict[str, str], str, str | None]] = {
    "C-46 OpenAI": ({"OPENAI_API_KEY": "k", "PREFERRED_PROVIDER": "openai"}, "/v1/chat/completions", "gpt-4.1"),
    "C-46 OpenAI, two lines": ({"OPENAI_API_KEY": "k"}, "/v1/chat/completions", "gpt-4.1"),
    "C-46 Gemini and OpenAI": (
        {"PREFERRED_PROVIDER": "google", "GEMINI_API_KEY": "g", "OPENAI_API_KEY": "k"},
        "/v1beta/models/gemini-2.5-pro:generateContent",
        None,
    ),
    "C-46 Anthropic": (
        {"PREFERRED_PROVIDER": "anthropic", "ANTHROPIC_API_KEY": "k"},
        "/v1/messages",
        "claude-sonnet-4-5",
    ),
    "C-46 Azure": (
        {"PREFERRED_PROVIDER": "azure", "AZURE_OPENAI_ENDPOINT": ENDPOINT, "AZURE_OPENAI_API_KEY": "k",
         "AZURE_API_VERSION": "2024-10-21"},
        "/openai/deployments/gpt-4.1/chat/completions?api-version=2024-10-21",
        None,
    ),
    "C-79": (
        {"AZURE_OPENAI_ENDPOINT": f"{ENDPOINT}/openai/responses?api-version=2025-04-01-preview",
         "AZURE_OPENAI_API_KEY": "k"},
        "/openai/deployments/claude-sonnet-4-5/chat/completions?api-version=2025-04-01-preview",
        None,
    ),
    "C-80": (
        {"PROXY_HOST": "localhost", "PROXY_PORT": "8000", "TIMEOUT": "300", "OPENAI_API_KEY": "k"},
        "/maas/v1/chat/completions",
        "glm-4.6",
    ),
    "C-89": (
        {"RESOURCENAME": "acme", "APIKEY": "k", "MAPPER_GPT35TUBER": "my-35"},
        "/openai/deployments/my-35/chat/completions?api-version=2023-05-15",
        None,
    ),
    "V": (
        {"OPENAI_API_KEY": "k", "BIG_MODEL_NAME": "z/big", "SMALL_MODEL_NAME": "z/small"},
        "/api/v1/chat/completions",
        "z/big",
    ),
}  # fmt: skip
NEED_TOKEN = {"C-80", "C-89"}


@pytest.mark.parametrize("name", SETS)
async def test_T_48_C_46_C_79_C_80_C_89_each_set_alone_answers(name: str, tmp_path: Path) -> None:
    variables, path, model = SETS[name]
    if name in NEED_TOKEN:
        variables = {**variables, "ANTHROPIC_AUTH_TOKEN": TOKEN}
    async with gateway(load(tmp_path, **variables)) as rig:
        asked = {**ASK, "model": "gpt-3.5-turbo"} if name == "C-89" else ASK
        status, _, answer = await rig.post("/v1/messages", asked, authorization=f"Bearer {TOKEN}")
        assert status == 200, answer
        assert answer["content"] == [{"type": "text", "text": "Hi"}]
        assert answer["model"] == asked["model"]
        [call] = rig.provider.asked
        assert call.path == path
        assert call.json.get("model") == model or model is None
        assert (await rig.get("/health"))[2]["openai_backend"] == "configured"


async def test_T_48_C_36_C_46_vertex_with_application_default_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(
        tmp_path, PREFERRED_PROVIDER="google", USE_VERTEX_AUTH="true", VERTEX_PROJECT="p", VERTEX_LOCATION="us-central1"
    )
    async with gateway(settings) as rig:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(service_account(tmp_path, rig.provider.port)))
        status, _, answer = await rig.post("/v1/messages", ASK)
        assert status == 200, answer
        call = rig.provider.asked[-1]
        place = "/v1/projects/p/locations/us-central1/publishers/google/models/gemini-2.5-pro:generateContent"
        assert call.path == place
        assert call.headers["authorization"] == "Bearer adc-token"


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({"PREFERRED_PROVIDER": "openai"}, "OPENAI_API_KEY"),
        ({"PREFERRED_PROVIDER": "google"}, "GEMINI_API_KEY"),
        ({"USE_VERTEX_AUTH": "true", "PREFERRED_PROVIDER": "google"}, "VERTEX_PROJECT and VERTEX_LOCATION"),
        ({"PREFERRED_PROVIDER": "anthropic"}, "ANTHROPIC_API_KEY"),
        ({"CURSOR_AZURE_DEPLOYMENT": "d"}, "AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY"),
        ({"PROXY_PORT": "8000", "DRAGOMAN_AUTH": "open"}, "OPENAI_API_KEY"),
        ({"SMALL_MODEL_NAME": "x"}, "OPENAI_API_KEY"),
        ({"RESOURCENAME": "acme", "MAPPER_GPT35TUBER": "claude", "DRAGOMAN_UNMAPPED_MODEL": "passthrough",
          "DRAGOMAN_AUTH": "open"}, "APIKEY"),
    ],
)  # fmt: skip
async def test_T_48_without_an_upstream_the_gateway_lives_and_names_the_variable(
    variables: dict[str, str], missing: str, tmp_path: Path
) -> None:
    async with gateway(load(tmp_path, **variables)) as rig:
        assert (await rig.get("/health"))[0] == 200
        status, _, answer = await rig.post("/v1/messages", ASK)
        assert status == 500
        assert answer["type"] == "error"
        assert missing in answer["error"]["message"]
        assert rig.provider.asked == []


# ---------------------------------------------------------------- what each variable means


@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "BASE_URL"])
@pytest.mark.parametrize("form", ["/api/v1", "/api/v1/", "/api/v1/chat/completions"])
async def test_T_44_C_33_every_form_of_the_base_url_reaches_the_same_place(
    name: str, form: str, tmp_path: Path
) -> None:
    provider = FakeProvider()
    await provider.start()
    url = f"http://127.0.0.1:{provider.port}{form}"
    await provider.stop()
    settings = load(tmp_path, OPENAI_API_KEY="k", DRAGOMAN_AUTH="open", BIG_MODEL="m", **{name: url})
    async with gateway(settings) as rig:
        assert (await rig.post("/v1/messages", ASK))[0] == 200
        assert rig.provider.asked[0].path == "/api/v1/chat/completions"


async def test_T_45_C_79_the_endpoints_port_stays_and_the_version_variable_wins(tmp_path: Path) -> None:
    variables = {"AZURE_OPENAI_API_KEY": "k", "BIG_MODEL": "prod-5", "DRAGOMAN_FAMILIES": "prod-5=gpt-5"}
    variables["AZURE_OPENAI_ENDPOINT"] = "http://127.0.0.1:4711/openai/responses?api-version=2025-03-01-preview"
    assert load(tmp_path, **variables).providers["azure"].base_url.startswith("http://127.0.0.1:4711/")
    wins = {"AZURE_API_VERSION": "2025-04-01-preview"}
    for more, version in (({}, "2025-03-01-preview"), (wins, "2025-04-01-preview")):
        async with gateway(load(tmp_path, **variables, **more)) as rig:
            assert (await rig.post("/v1/messages", ASK))[0] == 200
            assert rig.provider.asked[0].path == f"/openai/responses?api-version={version}"
            assert rig.provider.asked[0].headers["api-key"] == "k"


async def test_T_47_a_family_that_is_told_is_used_and_no_letter_inside_a_word_makes_one(tmp_path: Path) -> None:
    azure = {"AZURE_OPENAI_ENDPOINT": ENDPOINT, "AZURE_OPENAI_API_KEY": "k"}
    for families, api in (("prod-main=gpt-5", "/openai/responses"), ("", "/openai/deployments/prod-main/chat")):
        settings = load(tmp_path, **azure, BIG_MODEL="prod-main", DRAGOMAN_FAMILIES=families)
        async with gateway(settings) as rig:
            assert (await rig.post("/v1/messages", ASK))[0] == 200
            assert rig.provider.asked[0].path.startswith(api)
    async with gateway(load(tmp_path, **azure)) as rig:
        for name in ("foo3", "solo1", "gpt-4o"):
            assert (await rig.post("/v1/messages", {**ASK, "model": name, "temperature": 0.5}))[0] == 200
            call = rig.provider.asked[-1]
            assert call.path.startswith(f"/openai/deployments/{name}/chat/completions")
            assert (call.json["max_tokens"], call.json["temperature"]) == (100, 0.5)


async def test_T_49_quotes_and_comments_of_docker_env_files_are_taken_off(tmp_path: Path) -> None:
    # docker --env-file hands these over as they stand.
    settings = load(tmp_path, OPENAI_API_KEY='"upstream-key"  # note', BIG_MODEL="'big one' # note", PORT='"81"')
    assert settings.server.port == 81
    async with gateway(settings) as rig:
        assert (await rig.post("/v1/messages", ASK))[0] == 200
        assert rig.provider.asked[0].headers["authorization"] == "Bearer upstream-key"
        assert rig.provider.asked[0].json["model"] == "big one"


def test_T_52_words_in_any_case_and_wrong_ones_refused(tmp_path: Path) -> None:
    settings = load(tmp_path, LOG_LEVEL="warning", PREFERRED_PROVIDER="GOOGLE", GEMINI_API_KEY="k")
    assert (settings.log.level, settings.models.preferred) == ("WARNING", "google")
    for wrong in ({"PORT": "no"}, {"PREFERRED_PROVIDER": "no"}, {"PROXY_PORT": "1e3"}, {"LISTEN_PORT": "-1"}):
        with pytest.raises(ConfigError) as caught:
            load(tmp_path, **wrong)
        assert str(caught.value).startswith(f"{next(iter(wrong))}: ")
        assert "\n" not in str(caught.value)


async def test_T_55_C_35_C_41_google_with_only_its_own_key_and_beside_openai(tmp_path: Path) -> None:
    async with gateway(load(tmp_path, GEMINI_API_KEY="g", PREFERRED_PROVIDER="google")) as rig:
        assert (await rig.post("/v1/messages", ASK))[0] == 200
        assert rig.provider.asked[0].path == "/v1beta/models/gemini-2.5-pro:generateContent"
        assert rig.provider.asked[0].headers["x-goog-api-key"] == "g"
    both = load(tmp_path, GEMINI_API_KEY="g", PREFERRED_PROVIDER="google", OPENAI_API_KEY="k", BIG_MODEL="gpt-4.1")
    async with gateway(both) as rig:
        assert (await rig.post("/v1/messages", ASK))[0] == 200
        assert rig.provider.asked[0].path == "/v1/chat/completions"
        assert rig.provider.asked[0].json["model"] == "gpt-4.1"


def test_C_78_C_80_C_82_where_to_listen(tmp_path: Path) -> None:
    for variables, host, port in (
        ({"ASPNETCORE_URLS": "https://x:1;http://+:8088"}, "0.0.0.0", 8088),
        ({"ASPNETCORE_URLS": "http://*:8088/"}, "0.0.0.0", 8088),
        ({"PROXY_HOST": "localhost"}, "localhost", 8000),
        ({"HOST": "0.0.0.0", "PORT": "81", "PROXY_PORT": "82", "LISTEN_PORT": "83"}, "0.0.0.0", 81),
        ({"PROXY_PORT": "82", "LISTEN_PORT": "83"}, "127.0.0.1", 82),
        ({"LISTEN_PORT": "83", "ASPNETCORE_URLS": "http://a:84"}, "a", 83),
    ):
        server = load(tmp_path, **variables).server
        assert (server.host, server.port) == (host, port)


def test_C_81_efforts(tmp_path: Path) -> None:
    azure = {"AZURE_OPENAI_ENDPOINT": ENDPOINT, "AZURE_OPENAI_API_KEY": "k", "BIG_MODEL": "m", "SMALL_MODEL": "m"}
    for word in ("minimal", "low", "MEDIUM", "high"):
        resolver = Resolver(load(tmp_path, **azure, BIG_EFFORT=word))
        assert resolver.resolve("claude-opus-4").effort == word.lower()
    wrong = load(tmp_path, **azure, SMALL_EFFORT="a lot")
    assert wrong.models.small_effort == "medium"
    assert wrong.notes == ("SMALL_EFFORT: 'a lot' is not an effort; medium is used",)


def test_C_47_inbound_and_upstream_credentials_are_never_mixed_up(tmp_path: Path) -> None:
    settings = load(
        tmp_path, ANTHROPIC_AUTH_TOKEN="in", AUTH_TOKEN="other", ANTHROPIC_API_KEY="up",
        ANTHROPIC_BASE_URL="http://127.0.0.1:1",
    )  # fmt: skip
    assert settings.auth.token is not None
    assert settings.auth.token.get_secret_value() == "in"
    assert settings.providers["anthropic"].api_key is not None
    assert settings.providers["anthropic"].api_key.get_secret_value() == "up"
    # The gateway would call itself.
    assert settings.providers["anthropic"].base_url == ""


def test_new_and_later_variables_land_in_the_settings(tmp_path: Path) -> None:
    settings = load(
        tmp_path, OPENAI_API_KEY="k", DRAGOMAN_RETRIES="2", OPEN_CLAUDE_CACHE="TRUE", CURSOR_AZURE_DEPLOYMENT="cur",
        MAX_INPUT_TOKENS="1000", RELOAD="true", APP_NAME="Ours", APP_VERSION="9", DRAGOMAN_ADMIN_KEY="a" * 16,
        ADMIN_USERNAME="boss", ADMIN_PASSWORD="pw-canary-1", DB_ROOT="/data", INIT_ADMIN_USER="first",
        INIT_ADMIN_TOKEN="init-canary-1", SMTP_SERVER="mail.example", SMTP_PORT="25", SMTP_USER="u",
        SMTP_PASSWORD="smtp-canary-1", SMTP_USE_SSL="no", DRAGOMAN_DB="/data/x.db", DRAGOMAN_LOG_BODIES="1",
    )  # fmt: skip
    assert (settings.retries, settings.max_input_tokens) == (2, 1000)
    assert (settings.models.open_claude_cache, settings.models.cursor_deployment) == (True, "cur")
    assert settings.server.reload
    assert settings.log.bodies
    assert (settings.about.name, settings.about.version) == ("Ours", "9")
    assert (settings.admin.username, settings.admin.init_user, settings.database_folder) == ("boss", "first", "/data")
    assert (settings.smtp.server, settings.smtp.port, settings.smtp.use_ssl) == ("mail.example", 25, False)
    for secret in ("pw-canary-1", "init-canary-1", "smtp-canary-1", "a" * 16):
        assert secret not in repr(settings)
        assert secret in settings.all_secrets()
    assert settings.notes == ()
    with pytest.raises(ConfigError, match=r"^DRAGOMAN_ADMIN_KEY: .*16 characters"):
        load(tmp_path, DRAGOMAN_ADMIN_KEY="short")


def test_what_has_no_meaning_here_is_told_once_each(tmp_path: Path) -> None:
    names = [
        "ASPNETCORE_ENVIRONMENT", "Logging__LogLevel__Default", "SSY_API_KEY", "FIRECRAWL_API_KEY",
        "ELEVENLABS_API_KEY", "SERPAPI_API_KEY", "TAVILY_API_KEY",
    ]  # fmt: skip
    settings = load(tmp_path, **dict.fromkeys(names, "canary-value"))
    assert sorted(settings.notes) == sorted(f"{name} has no meaning here and is ignored" for name in names)
    assert settings.preset == "dragoman"


def test_doubtful_values_warn_and_do_not_stop_the_start(tmp_path: Path) -> None:
    names = ("SMTP_PORT", "LOG_FILE_BACKUP_COUNT", "LOG_FILE_MAX_BYTES", "RELOAD", "DEBUG", "LOG_LEVEL", "BIG_EFFORT")
    settings = load(tmp_path, **dict.fromkeys(names, "x"))
    assert {note.partition(":")[0] for note in settings.notes} == set(names)
    assert (settings.smtp.port, settings.log.backup_count, settings.log.max_bytes) == (465, 7, None)


async def test_C_68_the_root_tells_name_and_version_of_the_settings(tmp_path: Path) -> None:
    async with gateway(load(tmp_path, OPENAI_API_KEY="k", APP_NAME="Ours", APP_VERSION="9")) as rig:
        about = (await rig.get("/"))[2]
        assert (about["proxy_name"], about["version"], about["status"]) == ("Ours", "9", "ok")


def test_a_wrong_value_deep_in_the_file_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "version: 1\nproviders: {a: {kind: openai}}\nroutes:\n  sonnet:\n    targets:\n"
        "      - provider: a\n        model: [x]\n      - provider: a\n        modell: y\n"
    )
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    lines = str(caught.value).splitlines()
    assert any(line.startswith("config.yaml:7: routes.sonnet.targets.0.model: ") for line in lines)
    assert "config.yaml:9: unknown key routes.sonnet.targets.1.modell; did you mean model?" in lines


def test_several_keys_of_one_account_and_those_that_are_not_set(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        'version: 1\nproviders:\n  a: {kind: openai, api_keys: ["${K1}", "${K2}", literal-key-3]}\n'
        '  b: {kind: openai, api_keys: ["${K2}"]}\n'
    )
    settings = load(tmp_path, K1="first-key-1")
    assert [key.get_secret_value() for key in settings.providers["a"].api_keys] == ["first-key-1", "literal-key-3"]
    assert {"first-key-1", "literal-key-3"} <= set(settings.all_secrets())
    assert settings.providers["a"].missing == ""
    assert settings.providers["b"].missing == "K2"
    assert [note for note in settings.notes if note.startswith("config.yaml:3: K2 is not set")]


# ---------------------------------------------------------------- processes


def test_T_50_C_70_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY=of-the-file\nPORT=1\nBIG_MODEL=of-the-file\n")
    settings = load(tmp_path, PORT="2", BIG_MODEL="of-the-environment")
    assert (settings.server.port, settings.models.big) == (2, "of-the-environment")
    assert settings.preset_reason == "OPENAI_API_KEY in .env:1 is set"


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_T_50_T_74_C_84_the_start_script_in_a_folder_with_spaces(tmp_path: Path) -> None:
    home = tmp_path / "my programs" / "the gateway"
    home.mkdir(parents=True)
    shutil.copytree(PROJECT / "scripts", home / "scripts")
    (home / ".venv").symlink_to(Path(sys.executable).parents[1])
    (home / ".env").write_text("PORT=1\nOPENAI_API_KEY=k\nBIG_MODEL=of-the-file\nSMALL_MODEL=kept\n")
    child = subprocess.Popen(
        [str(home / "scripts" / "run_app.sh"), "--host", "127.0.0.1"], cwd=tmp_path, text=True, encoding="utf-8",
        env=environment(PORT="0", BIG_MODEL="of-the-caller"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    with child:
        assert child.stdout is not None
        printed = ""
        for line in child.stdout:
            printed += line
            if "other names" in line:
                break
        child.terminate()
    assert re.search(r"dragoman listens on http://127\.0\.0\.1:\d+", printed), printed
    assert "haiku → kept; sonnet, opus → of-the-caller" in printed


def test_C_83_C_84_the_windows_scripts_quote_every_path() -> None:
    batch = (PROJECT / "scripts" / "run_app.bat").read_bytes()
    assert batch.count(b"\r\n") == batch.count(b"\n")
    text = batch.decode()
    assert 'cd /d "%~dp0.."' in text
    assert "%*" in text
    shell = (PROJECT / "scripts" / "start.ps1").read_text()
    assert "Set-Location -LiteralPath (Split-Path -Parent $PSScriptRoot)" in shell
    assert "dragoman serve @args" in shell
    # The program reads .env itself; a script that set variables from it would overrule the caller's.
    for script in (text, shell, (PROJECT / "scripts" / "run_app.sh").read_text()):
        assert not re.search(r"(?im)^\s*(set |export |\. \.?/?\.env|source )\S*=?.*\.env", script)


def test_T_51_no_mail_no_file_no_network_and_nowhere_to_write(tmp_path: Path) -> None:
    # /proc cannot be written by anybody, not even by root.
    folder = Path("/proc") if Path("/proc/self").exists() else tmp_path
    with serving(folder, "--port", "0", SMALL_MODEL_NAME="x", OPENAI_API_KEY="k") as (url, printed):
        assert url.startswith("http://127.0.0.1:")
    text = "".join(printed)
    if folder != tmp_path:
        assert "log.jsonl" in text
        assert "the log file cannot be written" in text


def test_T_52_a_wrong_port_or_provider_is_one_line_and_an_exit_code(tmp_path: Path) -> None:
    for variables in ({"PORT": "http"}, {"PREFERRED_PROVIDER": "bard"}, {"DRAGOMAN_PRESET": "x"}):
        done = dragoman(tmp_path, **variables)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"dragoman: {next(iter(variables))}: ")


def test_C_78_C_94_the_url_and_the_presets_reason_are_in_the_start_log(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "start.jsonl"
    with serving(
        tmp_path, "--port", "0", ASPNETCORE_URLS="http://localhost:1", AZURE_OPENAI_ENDPOINT=ENDPOINT,
        LOG_FILE_PATH=str(log),
    ) as (url, printed):  # fmt: skip
        pass
    assert "preset azuregptproxy (ASPNETCORE_URLS is set)" in "".join(printed)
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    [listens] = [line for line in lines if line["event"] == "listens"]
    assert (listens["url"], listens["preset"], listens["reason"]) == (url, "azuregptproxy", "ASPNETCORE_URLS is set")
    [lacks] = [line for line in lines if line["event"] == "provider is not ready"]
    assert (lacks["level"], lacks["missing"]) == ("error", "AZURE_OPENAI_API_KEY")


# ---------------------------------------------------------------- templates

VARIABLES = """
AZURE_OPENAI_ENDPOINT AZURE_OPENAI_API_KEY AZURE_API_VERSION OPENAI_API_KEY GEMINI_API_KEY ANTHROPIC_API_KEY
OPENAI_BASE_URL BASE_URL ANTHROPIC_AUTH_TOKEN AUTH_TOKEN PREFERRED_PROVIDER BIG_MODEL BIG_MODEL_NAME SMALL_MODEL
SMALL_MODEL_NAME BIG_EFFORT SMALL_EFFORT CURSOR_AZURE_DEPLOYMENT OPENAI_MODEL USE_VERTEX_AUTH VERTEX_PROJECT
VERTEX_LOCATION TIMEOUT MAX_OUTPUT_TOKENS MAX_INPUT_TOKENS HOST PROXY_HOST PORT PROXY_PORT LISTEN_PORT
ASPNETCORE_URLS RELOAD LOG_LEVEL LOG_FILE LOG_FILE_BACKUP_COUNT LOG_FILE_PATTERN LOG_FILE_MAX_BYTES LOG_FILE_PATH
DEBUG APP_NAME APP_VERSION REFERRER_URL OPEN_CLAUDE_CACHE ADMIN_USERNAME ADMIN_PASSWORD DB_ROOT INIT_ADMIN_USER
INIT_ADMIN_TOKEN RESOURCENAME APIKEY MAPPER_GPT35TUBER SMTP_SERVER SMTP_PORT SMTP_USER SMTP_PASSWORD SMTP_USE_SSL
DRAGOMAN_PRESET DRAGOMAN_AUTH DRAGOMAN_ADMIN_KEY DRAGOMAN_DB DRAGOMAN_UNMAPPED_MODEL DRAGOMAN_DEFAULT_MODEL
DRAGOMAN_FAMILIES DRAGOMAN_REASONING DRAGOMAN_CONTENT_FILTER_STOP DRAGOMAN_RETRIES DRAGOMAN_CORS_ORIGINS
DRAGOMAN_LOG_BODIES DRAGOMAN_CONFIG DRAGOMAN_REDIS DRAGOMAN_SECRET DRAGOMAN_SECRET_PREVIOUS
""".split()
TEMPLATE_LINE = re.compile(r"# ([A-Z_0-9]+)=(\S.*?)(?:\s{2,}# (.+))?")


def test_C_71_both_templates_explain_every_variable(tmp_path: Path) -> None:
    text = (PROJECT / ".env.example").read_text()
    assert (PROJECT / ".env.sample").read_text() == text
    entries = [match for line in text.splitlines() if (match := TEMPLATE_LINE.fullmatch(line))]
    assert {entry[1] for entry in entries} == set(VARIABLES)
    assert {entry[1] for entry in entries if entry[3]} == set(VARIABLES)
    (tmp_path / ".env").write_text(text)
    assert load(tmp_path).preset == "dragoman"


def test_C_71_every_line_of_the_templates_can_be_taken(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("version: 1\n")
    text = (PROJECT / ".env.example").read_text()
    for line in text.splitlines():
        if TEMPLATE_LINE.fullmatch(line) and "=..." not in line:
            (tmp_path / ".env").write_text(line.removeprefix("# "))
            settings: Settings = load(tmp_path)
            assert settings.notes == () or "only model that is named" in settings.notes[0], line


def test_the_loopback_of_these_tests_keeps_path_and_query(tmp_path: Path) -> None:
    settings = load(tmp_path, AZURE_OPENAI_ENDPOINT=f"{ENDPOINT}/x?api-version=1", AZURE_OPENAI_API_KEY="k")
    assert moved(settings, 7).providers["azure"].base_url == "http://127.0.0.1:7/x?api-version=1"
