"""The configuration as a whole: precedence, strictness, secrets, and complaints that can be acted on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dragoman.settings import ConfigError, Settings, load_settings
from dragoman.settings.load import explain_settings
from dragoman.settings.model import LimitSettings, ProviderSettings
from dragoman.settings.parts import revealed

CANARY = "sk-canary-0123456789"


def load(folder: Path, yaml: str | None = None, **environment: str) -> Settings:
    if yaml is not None:
        (folder / "config.yaml").write_text(yaml, encoding="utf-8")
    return load_settings(environment=environment, folder=folder)


def complaint(folder: Path, yaml: str | None = None, **environment: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, yaml, **environment)
    return str(caught.value)


# ---------------------------------------------------------------- precedence


def test_nothing_configured(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 8080)
    assert {name: said.kind for name, said in settings.providers.items()} == {"sim": "sim"}
    assert settings.simulated
    assert not settings.auth.required
    assert settings.timeout == 600


def test_command_line_over_environment_over_dotenv_over_file(tmp_path: Path) -> None:
    yaml = "version: 1\nserver: {host: 10.0.0.1, port: 1}\n"
    assert load(tmp_path, yaml).server.port == 1
    (tmp_path / ".env").write_text("PORT=2\n")
    assert load(tmp_path).server.port == 2
    assert load(tmp_path, PORT="3").server.port == 3
    settings = load_settings(environment={"PORT": "3"}, folder=tmp_path, port=4)
    assert (settings.server.host, settings.server.port) == ("10.0.0.1", 4)


def test_the_file_is_named_by_option_then_variable_then_found(tmp_path: Path) -> None:
    for number, name in enumerate(("a.yaml", "b.yaml", "config.yaml"), start=1):
        (tmp_path / name).write_text(f"version: 1\nserver: {{port: {number}}}\n")
    assert load_settings(config="a.yaml", environment={"DRAGOMAN_CONFIG": "b.yaml"}, folder=tmp_path).server.port == 1
    assert load_settings(environment={"DRAGOMAN_CONFIG": "b.yaml"}, folder=tmp_path).server.port == 2
    assert load_settings(environment={}, folder=tmp_path).server.port == 3


def test_a_found_file_without_a_version_is_ours_and_only_warns(tmp_path: Path) -> None:
    settings = load(tmp_path, "server: {port: 9}\ncolour: red\n")
    assert settings.server.port == 9
    assert settings.config_path == str(tmp_path / "config.yaml")
    assert "config.yaml:2: unknown key colour" in settings.notes[0]


@pytest.mark.parametrize(
    ("environment", "host", "port"),
    [
        ({"PROXY_HOST": "localhost", "PROXY_PORT": "8000"}, "localhost", 8000),
        ({"PORT": "1", "PROXY_PORT": "2", "LISTEN_PORT": "3"}, "127.0.0.1", 1),
        ({"LISTEN_PORT": "3", "ASPNETCORE_URLS": "http://+:5"}, "0.0.0.0", 3),
        ({"ASPNETCORE_URLS": "https://+:443;http://*:8082;http://x:1"}, "0.0.0.0", 8082),
        ({"HOST": "::1", "ASPNETCORE_URLS": "http://a:81"}, "::1", 81),
    ],
)
def test_names_for_the_address(environment: dict[str, str], host: str, port: int, tmp_path: Path) -> None:
    settings = load(tmp_path, **environment)
    assert (settings.server.host, settings.server.port) == (host, port)


def test_nested_variables_reach_any_key(tmp_path: Path) -> None:
    yaml = "version: 1\nproviders: {my-local: {kind: openai_compatible, base_url: 'https://a.example'}}\n"
    settings = load(
        tmp_path,
        yaml,
        DRAGOMAN__LIMITS__BODY="16MiB",
        DRAGOMAN__SERVER__PORT="9000",
        DRAGOMAN__PROVIDERS__MY_LOCAL__API="responses",
    )
    assert settings.limits.body == 16 * 1024 * 1024
    assert settings.server.port == 9000
    assert settings.providers["my-local"].api == "responses"


# ---------------------------------------------------------------- the file


def test_later_sections_are_kept(tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("secret\n")
    settings = load(
        tmp_path,
        """
version: 1
database: postgresql://d:${DB_PASSWORD}@db/d
redis: redis://cache:6379/0
secrets: {key: {file: key.txt}}
providers:
  local: {kind: openai_compatible, base_url: http://gpu.internal:8000/v1, allow_private: true, max_parallel: 20}
  google: {kind: vertex, project: acme-ai, location: europe-west4}
routes:
  sonnet: {aliases: [claude-sonnet-5], targets: [{provider: local, model: qwen}], first_byte: 90s}
prices: {openai/gpt-5.2: {in: 1.75, out: 14.00, from: 2026-10-01}}
groups: {core: {routes: ["*"], budget: 400 USD/month, tpm: 400k}}
limits: {default: {rpm: 60, tpm: 200k}, body: 32MiB}
capture: {default: none, retention: 7d}
disconnect: {default: cancel, vertex: drain}
""",
        DB_PASSWORD="hunter2",
    )
    assert settings.database is not None
    assert settings.database.get_secret_value() == "postgresql://d:hunter2@db/d"
    assert revealed(settings.secrets.key) == "secret"
    assert settings.routes["sonnet"].aliases == ["claude-sonnet-5"]
    assert settings.routes["sonnet"].first_byte == 90
    assert settings.prices["openai/gpt-5.2"]["from"] == "2026-10-01"
    assert settings.limits == LimitSettings(body=32 * 1024 * 1024, default={"rpm": 60, "tpm": "200k"})
    assert "hunter2" not in repr(settings)


def test_what_has_no_effect_yet_is_told(tmp_path: Path) -> None:
    yaml = "version: 1\nserver: {public_url: 'https://llm.example'}\ncapture: {default: none}\ndisconnect: {}\n"
    assert load(tmp_path, yaml).notes == (
        "config.yaml:2: server.public_url has no effect in this release",
        "config.yaml:3: capture has no effect in this release",
        "config.yaml:4: disconnect has no effect in this release",
    )


def test_redis_is_a_url_or_a_mapping(tmp_path: Path) -> None:
    for yaml, prefix in (
        ("redis: redis://:hunter2@cache/1", "dragoman"),
        ("redis: {url: 'redis://:hunter2@cache/1', prefix: blue}", "blue"),
    ):
        settings = load(tmp_path, f"version: 1\n{yaml}\n")
        assert settings.redis is not None
        assert (settings.redis.url.get_secret_value(), settings.redis.prefix) == ("redis://:hunter2@cache/1", prefix)
        assert "hunter2" not in repr(settings)
        assert "redis://:hunter2@cache/1" in settings.all_secrets()
        there = load(tmp_path, f"version: 1\n{yaml}\n", DRAGOMAN_REDIS="rediss://other/0").redis
        assert there is not None
        assert (there.url.get_secret_value(), there.prefix) == ("rediss://other/0", prefix)
    alone = load(tmp_path, "", DRAGOMAN_REDIS="redis://alone").redis
    assert alone is not None
    assert alone.prefix == "dragoman"


def test_redis_settings_that_cannot_work_are_refused(tmp_path: Path) -> None:
    assert complaint(tmp_path, "version: 1\nredis: http://cache\n").startswith("config.yaml:2: redis.url: must begin")
    said = complaint(tmp_path, "version: 1\nredis:\n  url: redis://cache\n  prefix: a b\n")
    assert said.startswith("config.yaml:4: redis.prefix: ")
    said = complaint(tmp_path, "version: 1\nredis:\n  url: redis://cache\n  prefx: a\n")
    assert said == "config.yaml:4: unknown key redis.prefx; did you mean prefix?"


def test_unknown_keys_name_the_line_and_the_nearest_key(tmp_path: Path) -> None:
    yaml = "version: 1\nserver:\n  host: 127.0.0.1\n  prt: 9\nproviders:\n  a:\n    kind: openai\n    api_kye: x\n"
    lines = complaint(tmp_path, yaml).splitlines()
    assert "config.yaml:4: unknown key server.prt; did you mean port?" in lines
    assert "config.yaml:8: unknown key providers.a.api_kye; did you mean api_key?" in lines


def test_inner_fields_cannot_be_set_from_the_file(tmp_path: Path) -> None:
    assert "config.yaml:2: unknown key preset" in complaint(tmp_path, "version: 1\npreset: x\n")
    said = complaint(tmp_path, "version: 1\nproviders:\n  a:\n    kind: openai\n    missing: x\n")
    assert said.startswith("config.yaml:5: unknown key providers.a.missing")


def test_without_a_version_unknown_keys_only_warn(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("server: {port: 9, colour: red}\n")
    settings = load_settings(config="own.yaml", environment={}, folder=tmp_path)
    assert settings.server.port == 9
    assert "own.yaml:1: unknown key server.colour" in settings.notes[0]


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("version: 2\n", "config.yaml:1: version"),
        ("version: 1\nserver: {port: '08'}\n", "config.yaml:2: server.port"),
        ("version: 1\nserver: {host: no, port: 08}\n", "config.yaml:2: server.port"),
        ("version: 1\nserver: {port: 99999}\n", "config.yaml:2: server.port"),
        ("version: 1\nserver:\n  port: 1\n  port: 2\n", "config.yaml:4: 'port' is given twice"),
        ("version: 1\nserver: [\n", "config.yaml:3: is not YAML"),
        ("- a\n", "config.yaml: must be a mapping"),
        ("version: 1\nx: !!python/object:os.system y\n", "config.yaml:2: the tag"),
        ("version: 1\na: &a [*a]\n", "config.yaml:2: refers to itself"),
        ("version: 1\nlimits: {body: lots}\n", "config.yaml:2: limits.body: should look like 32MiB"),
        ("version: 1\nproviders: {a: {kind: opnai}}\n", "config.yaml:2: providers.a.kind"),
        (
            "version: 1\nproviders: {a: {kind: openai, allow_private: yes}}\n",
            "config.yaml:2: providers.a.allow_private",
        ),
        ("version: 1\nproviders: {a: {kind: openai_compatible}}\n", "config.yaml:2: providers.a: base_url is needed"),
        ("version: 1\nproviders: {a: {kind: azure_openai}}\n", "endpoint is needed"),
        ("version: 1\nproviders: {a: {kind: vertex, location: x}}\n", "project is needed"),
        (
            "version: 1\nproviders: {a: {kind: vertex, project: p, location: 'evil.example/x?'}}\n",
            "location holds a character",
        ),
        ("version: 1\nproviders: {a: {kind: vertex, project: 'p/../q', location: us}}\n", "project holds a character"),
        ("version: 1\nproviders: {a: {kind: openai, api_key: ''}}\n", "config.yaml:2: providers.a.api_key: is empty"),
        ("version: 1\nproviders: {a: {kind: openai, headers: {Host: x}}}\n", "must not set 'Host'"),
        (
            "version: 1\nserver: {trusted_proxies: [127.0.0.1, nginx]}\n",
            "config.yaml:2: server.trusted_proxies: 'nginx' is neither an address nor a network like 10.0.0.0/8",
        ),
        (
            "version: 1\nsecrets: {kye: x}\n",
            "config.yaml:2: unknown key secrets.kye; did you mean key?",
        ),
        ("version: 1\nserver: {host: '${NOWHERE}'}\n", "config.yaml:2: server.host needs the variable NOWHERE"),
        ("version: 1\nauth: {token: {file: nowhere}}\n", "config.yaml:2: the file of auth.token cannot be read"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(yaml: str, said: str, tmp_path: Path) -> None:
    if yaml.startswith("- a"):
        (tmp_path / "x.yaml").write_text(yaml)
        with pytest.raises(ConfigError, match=r"x\.yaml: must be a mapping"):
            load_settings(config="x.yaml", environment={}, folder=tmp_path)
        return
    assert said in complaint(tmp_path, yaml)


def test_a_complaint_about_the_files_provider_names_the_file_whatever_variables_are_set(tmp_path: Path) -> None:
    yaml = "version: 1\nproviders:\n  openai:\n    kind: openai\n    timeout: -1\n"
    assert complaint(tmp_path, yaml, OPENAI_API_KEY="sk-x").startswith("config.yaml:5: providers.openai.timeout")


def test_T_50_the_origin_of_a_key_that_a_variable_lays_over_the_files(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("version: 1\nproviders:\n  openai: {kind: openai, api_key: sk-file}\n")
    explained = explain_settings(environment={"OPENAI_API_KEY": "sk-variable"}, folder=tmp_path)
    openai = explained.settings.providers["openai"]
    assert (revealed(openai.api_key), openai.origin) == ("sk-variable", "config.yaml:3")
    assert explained.origins(("providers", "openai", "api_key")) == ["OPENAI_API_KEY", "config.yaml:3"]
    assert explained.origins(("providers", "openai", "kind")) == ["config.yaml:3"]


def test_words_do_not_change_their_meaning(tmp_path: Path) -> None:
    settings = load(
        tmp_path, "version: 1\nserver: {host: no, public_url: on}\ngroups: {no: {a: 010, b: 1_0, c: 12:30}}\n"
    )
    assert (settings.server.host, settings.server.public_url) == ("no", "on")
    assert settings.groups == {"no": {"a": "010", "b": "1_0", "c": "12:30"}}


def test_expansion_default_and_escape(tmp_path: Path) -> None:
    yaml = 'version: 1\nserver: {host: "${H:-127.0.0.2}", port: "${P:-81}", public_url: "$${literal}"}\n'
    server = load(tmp_path, yaml).server
    assert (server.host, server.port, server.public_url) == ("127.0.0.2", 81, "${literal}")
    assert load(tmp_path, H="::1", P="82").server.port == 82


def test_merge_keys_of_yaml_work(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        "version: 1\nproviders:\n  a: &a {kind: openai, vendor: x}\n  b: {<<: *a, vendor: y}\n",
    )
    assert [settings.providers[name].vendor for name in "ab"] == ["x", "y"]


def test_a_named_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such file"):
        load_settings(config="gone.yaml", environment={}, folder=tmp_path)


# ---------------------------------------------------------------- addresses of providers


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "localhost", "localhost.", "LOCALHOST", "a.localhost", "[::1]", "10.1.2.3", "192.168.0.1",
        "172.16.0.1", "100.64.0.1", "0.0.0.0", "[fc00::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "2130706433",
        "0x7f000001", "0177.0.0.1", "127.1", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "192.0.2.1", "[::]",
    ],
)  # fmt: skip
def test_X07_private_addresses_need_permission(host: str, tmp_path: Path) -> None:
    yaml = f"version: 1\nproviders:\n  a: {{kind: openai_compatible, base_url: 'http://{host}:8000/v1'}}\n"
    said = complaint(tmp_path, yaml)
    assert said.startswith("config.yaml:3: providers.a: base_url points to a private address")
    assert "allow_private" in said
    assert load(tmp_path, yaml.replace("}", ", allow_private: true}"))


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "metadata.google.internal", "[fd00:ec2::254]", "[fe80::1]", "[::ffff:169.254.169.254]",
     "2852039166", "0xa9fea9fe", "100.100.100.200", "168.63.129.16", "224.0.0.1"],
)  # fmt: skip
def test_X07_metadata_addresses_are_never_allowed(host: str, tmp_path: Path) -> None:
    yaml = f"version: 1\nproviders: {{a: {{kind: openai, allow_private: true, base_url: 'http://{host}/v1'}}}}\n"
    assert "never allowed" in complaint(tmp_path, yaml)


@pytest.mark.parametrize(
    "url",
    ["ftp://a.example", "a.example/v1", "https://user:pw@a.example", "https://", "https://a b/", "https://a\\@b/"],
)
def test_urls_that_are_none(url: str, tmp_path: Path) -> None:
    said = complaint(tmp_path, f"version: 1\nproviders: {{a: {{kind: openai, base_url: '{url}'}}}}\n")
    assert "providers.a: base_url" in said
    assert "pw" not in said


# ---------------------------------------------------------------- variables of the five


def providers(settings: Settings) -> dict[str, dict[str, Any]]:
    return {
        name: said.model_dump(include={"kind", "base_url", "missing"}, exclude_defaults=True)
        for name, said in settings.providers.items()
    }


@pytest.mark.parametrize(
    ("environment", "made"),
    [
        ({"OPENAI_API_KEY": "k"}, {"openai": {"kind": "openai"}}),
        ({"GEMINI_API_KEY": "k", "PREFERRED_PROVIDER": "GOOGLE"}, {"gemini": {"kind": "gemini"}}),
        ({"ANTHROPIC_API_KEY": "k"}, {"anthropic": {"kind": "anthropic"}}),
        (
            {"USE_VERTEX_AUTH": "true", "VERTEX_PROJECT": "p", "VERTEX_LOCATION": "l"},
            {"vertex": {"kind": "vertex"}},
        ),
        ({"USE_VERTEX_AUTH": "1"}, {"vertex": {"kind": "vertex", "missing": "VERTEX_PROJECT and VERTEX_LOCATION"}}),
        (
            {"AZURE_OPENAI_ENDPOINT": "https://r.openai.azure.com"},
            {
                "azure": {
                    "kind": "azure_openai",
                    "base_url": "https://r.openai.azure.com",
                    "missing": "AZURE_OPENAI_API_KEY",
                }
            },
        ),
        (
            {"DRAGOMAN_PRESET": "azuregptproxy"},
            {"azure": {"kind": "azure_openai", "missing": "AZURE_OPENAI_ENDPOINT and AZURE_OPENAI_API_KEY"}},
        ),
        (
            {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1"},
            {"openai": {"kind": "openai_compatible", "base_url": "http://127.0.0.1:9/v1"}},
        ),
        ({"PREFERRED_PROVIDER": "openai"}, {"openai": {"kind": "openai", "missing": "OPENAI_API_KEY"}}),
    ],
)
def test_T48_variables_make_providers(
    environment: dict[str, str], made: dict[str, dict[str, str]], tmp_path: Path
) -> None:
    assert providers(load(tmp_path, **environment)) == made


@pytest.mark.parametrize(
    "url", ["https://r.example/api/v1", "https://r.example/api/v1/", "https://r.example/api/v1/chat/completions",
            "https://r.example/api/v1/responses/", "https://r.example/api/v1//messages"],
)  # fmt: skip
@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "BASE_URL"])
def test_T44_full_urls_are_cut_to_their_base(name: str, url: str, tmp_path: Path) -> None:
    settings = load(tmp_path, **{"OPENAI_API_KEY": "k", name: url})
    assert settings.providers["openai"].base_url == "https://r.example/api/v1"
    assert settings.providers["openai"].kind == "openai_compatible"


@pytest.mark.parametrize(
    ("environment", "line"),
    [
        ({"PORT": "abc"}, "PORT: 'abc' is not a port (0 to 65535)"),
        ({"PORT": "70000"}, "PORT: 70000 is not a port (0 to 65535)"),
        ({"PREFERRED_PROVIDER": "bard"}, "PREFERRED_PROVIDER: 'bard' is not one of"),
        ({"DRAGOMAN_UNMAPPED_MODEL": "x"}, "DRAGOMAN_UNMAPPED_MODEL: 'x' is not one of error, default"),
        ({"DRAGOMAN_FAMILIES": "a"}, "DRAGOMAN_FAMILIES: 'a' should look like name=family"),
        ({"TIMEOUT": "-1"}, "TIMEOUT: timeout: should look like 120s"),
        ({"MAX_OUTPUT_TOKENS": "many"}, "MAX_OUTPUT_TOKENS: 'many' is not a whole number"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "localhost:8000"}, "OPENAI_BASE_URL: must begin with https://"),
        ({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://169.254.169.254/v1"}, "never allowed"),
    ],
)
def test_T52_a_wrong_variable_is_one_line(environment: dict[str, str], line: str, tmp_path: Path) -> None:
    said = complaint(tmp_path, **environment)
    assert line in said
    assert "\n" not in said


def test_T52_words_in_any_case_and_doubtful_values_warn(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        LOG_LEVEL="warn",
        PREFERRED_PROVIDER="OpenAI",
        OPENAI_API_KEY="k",
        BIG_EFFORT="huge",
        SMALL_EFFORT="LOW",
    )
    assert settings.log.level == "WARNING"
    assert settings.models.preferred == "openai"
    assert (settings.models.big_effort, settings.models.small_effort) == ("medium", "low")
    assert any("BIG_EFFORT" in note for note in settings.notes)
    assert load(tmp_path, LOG_LEVEL="loud").notes
    assert load(tmp_path, LOG_LEVEL="error", DEBUG="true").log.level == "DEBUG"


def test_the_rest_of_the_variables(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        TIMEOUT="300",
        MAX_OUTPUT_TOKENS="4096",
        AUTH_TOKEN="token-1",
        DRAGOMAN_REASONING="text",
        DRAGOMAN_CONTENT_FILTER_STOP="content_filtered",
        DRAGOMAN_CORS_ORIGINS="https://a.example, https://b.example/",
        DRAGOMAN_FAMILIES="prod-main=gpt-5, x=other:responses",
        DRAGOMAN_DEFAULT_MODEL="openai/gpt-x",
    )
    assert settings.timeout == 300
    assert settings.max_output_tokens == 4096
    assert settings.auth.required
    assert settings.reasoning == "text"
    assert settings.content_filter_stop == "content_filtered"
    assert settings.server.cors_origins == ["https://a.example", "https://b.example"]
    assert settings.models.families == {"prod-main": "gpt-5", "x": "other:responses"}
    assert settings.models.default == "openai/gpt-x"
    assert not load(tmp_path, AUTH_TOKEN="token-1", DRAGOMAN_AUTH="open").auth.required
    assert load(tmp_path, DRAGOMAN_AUTH="required").auth.required
    both = load(tmp_path, AUTH_TOKEN="second-1", ANTHROPIC_AUTH_TOKEN="first-1").auth.token
    assert both is not None
    assert both.get_secret_value() == "first-1"


# ---------------------------------------------------------------- file and variables together


def test_a_missing_key_waits_for_the_first_call(tmp_path: Path) -> None:
    yaml = 'version: 1\nproviders:\n  mine: {kind: openai, api_key: "${MY_KEY}"}\n'
    assert load(tmp_path, yaml).providers["mine"].missing == "MY_KEY"
    assert load(tmp_path, MY_KEY="k").providers["mine"].missing == ""


def test_X07_a_key_of_the_environment_never_goes_to_an_address_of_the_file(tmp_path: Path) -> None:
    yaml = (
        "version: 1\nproviders:\n  openai: {kind: openai, base_url: 'https://other.example/v1', api_key: of-the-file}\n"
    )
    settings = load(tmp_path, yaml, OPENAI_API_KEY=CANARY)
    key = settings.providers["openai"].api_key
    assert key is not None
    assert key.get_secret_value() == "of-the-file"
    assert any("OPENAI_API_KEY is not used" in note for note in settings.notes)


def test_the_environment_overrides_the_key_of_the_same_account(tmp_path: Path) -> None:
    yaml = "version: 1\nproviders:\n  openai: {kind: openai, api_key: of-the-file, vendor: openai}\n"
    said = load(tmp_path, yaml, OPENAI_API_KEY="of-the-environment").providers["openai"]
    assert said.api_key is not None
    assert said.api_key.get_secret_value() == "of-the-environment"
    assert said.from_file


def test_X11_secrets_never_print(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        f"version: 1\nproviders: {{a: {{kind: openai, api_key: {CANARY}, headers: {{x-org: {CANARY}}}}}}}\n"
        f"auth: {{token: {CANARY}}}\n",
    )
    for text in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.providers["a"].api_key)):
        assert CANARY not in text
    assert "••••" in repr(settings)
    assert settings.all_secrets().count(CANARY) == 3


def test_X11_a_wrong_secret_is_not_echoed(tmp_path: Path) -> None:
    said = complaint(tmp_path, f'version: 1\nproviders: {{a: {{kind: openai, api_key: "{CANARY}\\nx"}}}}\n')
    assert "line break" in said
    assert CANARY not in said


def test_settings_are_frozen() -> None:
    said = ProviderSettings(kind="openai")
    with pytest.raises(ValueError):
        said.base_url = "https://x.example"


ROUTES = """
version: 1
providers:
  local: {kind: openai_compatible, base_url: http://gpu.internal:8000/v1, allow_private: true}
routes:
  main:
    targets:
      - {provider: local, model: m}
      - {provider: locale, model: m}
  side:
    aliases: [main]
    targets: [{provider: local, model: s}]
    when: {background: nowhere}
"""


def test_a_route_names_only_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, ROUTES)
    lines = str(caught.value).split("\n")
    assert lines == [
        "config.yaml:9: routes.main.targets.1.provider: 'locale' is not one of local",
        "config.yaml:13: routes.side.when.background: 'nowhere' is neither another route nor provider/model",
        "config.yaml:11: routes.side.aliases: 'main' is a name of the route main, too",
    ]


def test_a_routes_inner_lines_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, ROUTES.replace("provider: locale, model: m", "provider: local, modle: m"))
    assert "config.yaml:9" in str(caught.value)
    assert "did you mean model?" in str(caught.value)
