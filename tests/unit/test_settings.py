"""The settings tree names what is wrong, and production refuses what is made for development."""

import json
from pathlib import Path

import pytest

from domains.conversational_ai.use_cases.on_knowledge_source_added import BATCH
from entrypoints.settings import GENERATED, Mode, Settings, SettingsError

DEVELOPMENT = {
    "LUNEO_MODE": "development",
    "LUNEO_DATABASE_URL": "postgresql://luneo:secret-password@127.0.0.1/luneo",
    "LUNEO_REDIS_URL": "redis://127.0.0.1:6379/0",
    "LUNEO_QDRANT_URL": "http://127.0.0.1:6333",
    "LUNEO_SECRET_KEY": "k" * 32,
}
PRODUCTION = {**DEVELOPMENT, "LUNEO_MODE": "production", "LUNEO_SMTP_URL": "smtp://mail.example:587"}


def problems(environment: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        Settings.load(environment)
    return refused.value.problems


def test_good_settings_are_read() -> None:
    settings = Settings.load({**DEVELOPMENT, "LUNEO_PORT": "9001", "LUNEO_CORS_ORIGINS": "https://a.example, https://b.example"})
    assert settings.port == 9001
    assert settings.cors_origins == ("https://a.example", "https://b.example")
    assert settings.rate_limit_factor == 100


def test_production_is_the_default() -> None:
    without_mode = {k: v for k, v in PRODUCTION.items() if k != "LUNEO_MODE"}
    assert Settings.load(without_mode).mode is Mode.PRODUCTION


def test_every_missing_setting_is_named_at_once() -> None:
    required = [f"LUNEO_{name}: is missing" for name in ("DATABASE_URL", "REDIS_URL", "QDRANT_URL", "SECRET_KEY")]
    assert problems({"LUNEO_MODE": "development"}) == required
    assert problems({}) == [*required, "LUNEO_SMTP_URL: is missing; the development mailbox is refused in production"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LUNEO_PORT", "eighty"),
        ("LUNEO_PORT", "70000"),
        ("LUNEO_PORT", "0"),
        ("LUNEO_METRICS_PORT", "65536"),
        ("LUNEO_MODE", "test"),
        ("LUNEO_DATABASE_URL", "mysql://somewhere"),
        ("LUNEO_QDRANT_URL", "6333"),
        ("LUNEO_QDRANT_URL", "http://127.0.0.1:eighty"),
        ("LUNEO_QDRANT_URL", "http://:6333"),
        ("LUNEO_SMTP_URL", "smtp://mail.example:99999"),
        ("LUNEO_SECRET_KEY", "short"),
        ("LUNEO_OPENAI_MODELS", "gpt-4o"),
        ("LUNEO_OPENAI_MODELS", '[{"price_in": 1}]'),
        ("LUNEO_DEFAULT_MODEL", "unknown"),
        ("LUNEO_EMBEDDINGS_PROVIDER", "word2vec"),
        ("LUNEO_EMBEDDINGS_DIMENSION", "0"),
        ("LUNEO_EMBEDDINGS_BATCH", "17"),
        ("LUNEO_TURN_SECONDS", "soon"),
        ("LUNEO_TURN_SECONDS", "nan"),
        ("LUNEO_TURN_SECONDS", "1e308"),
        ("LUNEO_SHUTDOWN_SECONDS", "1e9"),
        ("LUNEO_ACCESS_TOKEN_SECONDS", "9" * 30),
        ("LUNEO_TURN_SECONDS", "0"),
        ("LUNEO_SHUTDOWN_SECONDS", "-1"),
        ("LUNEO_ACCESS_TOKEN_SECONDS", "0"),
        ("LUNEO_DATABASE_CONNECTIONS", "0"),
        ("LUNEO_RATE_LIMIT_CLIENT_PER_MINUTE", "-5"),
        ("LUNEO_MODEL_RETRIES", "-1"),
        ("LUNEO_LOCAL_WORDS_PER_SECOND", "inf"),
        ("LUNEO_TRUSTED_PROXIES", "10.0.0.0/8, the proxy"),
        *(
            ("LUNEO_CORS_ORIGINS", origins)
            for origins in (
                "*",
                "https://*",
                "https://*.shop.example",
                "null",
                "shop.example",
                "ftp://shop.example",
                "https://",
                "https://shop.example/",
                "https://shop.example/path",
                "https://shop.example?q",
                "https://ada@shop.example",
                "https://Shop.example",
                "https://shop.example:443",
                "http://shop.example:80",
                "https://shop.example:0",
                "https://shop.example:65536",
                "https://shop.example:",
                "https://shop example",
                "https://good.example, *",
            )
        ),
        ("LUNEO_CLAMD_URL", "http://127.0.0.1:3310"),
        ("LUNEO_CLAMD_URL", "tcp://"),
        ("LUNEO_CLAMD_URL", "unix://run/clamd.ctl"),
        ("LUNEO_WEB_PAGES_PORTS", "80,https"),
        ("LUNEO_WEB_PAGES_PORTS", "80,0"),
        ("LUNEO_WEB_PAGES_PORTS", " , "),
        ("LUNEO_WEB_PAGES_ALLOW_PRIVATE", "perhaps"),
        ("LUNEO_DOWNLOAD_LINK_SECONDS", "604801"),
        ("LUNEO_LOG_LEVEL", "loud"),
        ("LUNEO_LOG_FORMAT", "xml"),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: str) -> None:
    assert any(problem.startswith(f"{name}: ") for problem in problems({**DEVELOPMENT, name: value}))


def test_pages_of_this_machine_are_for_developers_alone() -> None:
    private = {"LUNEO_WEB_PAGES_ALLOW_PRIVATE": "true"}
    assert Settings.load({**DEVELOPMENT, **private}).web_pages_allow_private
    assert problems({**PRODUCTION, **private}) == [
        "LUNEO_WEB_PAGES_ALLOW_PRIVATE: production refuses to fetch pages of this machine and its network for whoever asks"
    ]
    assert not Settings.load(PRODUCTION).web_pages_allow_private


@pytest.mark.parametrize("url", ["tcp://clamd.internal:3310", "tcp://127.0.0.1", "unix:///run/clamav/clamd.ctl"])
def test_a_scanner_is_reached_by_tcp_or_a_socket(url: str) -> None:
    assert Settings.load({**DEVELOPMENT, "LUNEO_CLAMD_URL": url, "LUNEO_WEB_PAGES_PORTS": "80, 8080"}).clamd_url == url


def test_faults_of_every_kind_are_named_in_one_list() -> None:
    wrong = {
        "LUNEO_REDIS_URL": "",
        "LUNEO_TURN_SECONDS": "1e308",
        "LUNEO_SECRET_KEY": "short",
        "LUNEO_PORT": "0",
        "LUNEO_DATABSE_URL": "postgresql://127.0.0.1/luneo",
        "LUNEO_DEFAULT_MODEL": "gpt-5",
        "LUNEO_PUBLIC_URL": "http://luneo.example",
    }
    without_mail = {k: v for k, v in PRODUCTION.items() if k != "LUNEO_SMTP_URL"}
    assert problems({**without_mail, **wrong}) == [
        "LUNEO_DATABSE_URL: there is no such setting; is it LUNEO_DATABASE_URL?",
        "LUNEO_PORT: must be a whole number between 1 and 65535",
        "LUNEO_REDIS_URL: is missing",
        "LUNEO_SECRET_KEY: each key needs at least 32 characters",
        "LUNEO_TURN_SECONDS: must be a number more than 0 and at most 86400 (seconds in a day)",
        "LUNEO_DEFAULT_MODEL: must be one of local",
        "LUNEO_PUBLIC_URL: must begin with https:// in production, or name this machine alone",
        "LUNEO_SMTP_URL: is missing; the development mailbox is refused in production",
    ]


PROVIDER = {
    "name": "mistral",
    "base_url": "https://models.example/v1/",
    "api_key": "hunter2",
    "models": [{"name": "small", "id": "small-3"}],
}


def test_several_providers_are_a_list_beside_the_short_form() -> None:
    settings = Settings.load(
        {
            **DEVELOPMENT,
            "LUNEO_OPENAI_BASE_URL": "https://api.example/v1",
            "LUNEO_OPENAI_MODELS": '[{"name": "gpt-5"}]',
            "LUNEO_MODEL_PROVIDERS": json.dumps([{**PROVIDER, "asks_for_usage": False}]),
            "LUNEO_DEFAULT_MODEL": "small",
        }
    )
    openai, mistral = settings.providers
    assert (openai.name, openai.base_url, openai.models[0].name) == ("openai", "https://api.example/v1", "gpt-5")
    assert (mistral.name, mistral.base_url, mistral.api_key, mistral.asks_for_usage) == (
        "mistral",
        "https://models.example/v1",
        "hunter2",
        False,
    )
    assert (mistral.models[0].name, mistral.models[0].id) == ("small", "small-3")
    assert settings.offered_models == {"local", "gpt-5", "small"}


@pytest.mark.parametrize(
    "changed",
    [{"base_url": "models.example"}, {"models": []}, {"models": [{}]}, {"name": "A B"}, {"api_keys": "hunter2"}, {"asks_for_usage": "yes"}],
)
def test_a_wrong_provider_is_explained_without_its_key(changed: dict[str, object]) -> None:
    [problem] = problems({**DEVELOPMENT, "LUNEO_MODEL_PROVIDERS": json.dumps([PROVIDER | changed])})
    assert problem.startswith("LUNEO_MODEL_PROVIDERS: must be a JSON list such as ")
    assert "hunter2" not in problem


@pytest.mark.parametrize(
    ("others", "twice"),
    [
        ([PROVIDER], "mistral, small"),
        ([{**PROVIDER, "name": "openai", "models": [{"name": "gpt-5"}]}], "gpt-5, openai"),
        ([{**PROVIDER, "name": "other", "models": [{"name": "local"}]}], "local"),
    ],
)
def test_providers_and_models_have_names_of_their_own(others: list[object], twice: str) -> None:
    short = {"LUNEO_OPENAI_BASE_URL": "https://api.example/v1", "LUNEO_OPENAI_MODELS": '[{"name": "gpt-5"}]'}
    [problem] = problems({**DEVELOPMENT, **short, "LUNEO_MODEL_PROVIDERS": json.dumps([PROVIDER, *others])})
    assert problem.startswith(f"LUNEO_MODEL_PROVIDERS: {twice}: each provider and each model needs a name of its own")


EMBEDDINGS = {
    "LUNEO_EMBEDDINGS_PROVIDER": "openai_compatible",
    "LUNEO_EMBEDDINGS_BASE_URL": "https://api.example/v1",
    "LUNEO_EMBEDDINGS_MODEL": "small",
    "LUNEO_EMBEDDINGS_DIMENSION": "1536",
}


def test_embeddings_of_a_server_need_its_address_model_and_dimension() -> None:
    assert Settings.load({**DEVELOPMENT, **EMBEDDINGS}).embeddings_dimension == 1536
    for name in ("BASE_URL", "MODEL", "DIMENSION"):
        lacking = {key: value for key, value in EMBEDDINGS.items() if not key.endswith(name)}
        assert problems({**DEVELOPMENT, **lacking}) == [f"LUNEO_EMBEDDINGS_PROVIDER: openai_compatible needs LUNEO_EMBEDDINGS_{name} too"]


def test_a_batch_of_embeddings_is_at_most_what_is_indexed_in_one_go() -> None:
    assert Settings.load(DEVELOPMENT).embeddings_batch == BATCH
    assert problems({**DEVELOPMENT, "LUNEO_EMBEDDINGS_BATCH": str(BATCH + 1)}) != []


def test_an_address_for_embeddings_is_not_ignored() -> None:
    [problem] = problems({**DEVELOPMENT, "LUNEO_EMBEDDINGS_BASE_URL": "https://api.example/v1"})
    assert problem.startswith("LUNEO_EMBEDDINGS_PROVIDER: must be openai_compatible when LUNEO_EMBEDDINGS_BASE_URL is set")


def test_what_contradicts_a_wrong_setting_is_not_guessed_at() -> None:
    assert [p.partition(":")[0] for p in problems({**DEVELOPMENT, "LUNEO_OPENAI_MODELS": "gpt-5", "LUNEO_DEFAULT_MODEL": "gpt-5"})] == [
        "LUNEO_OPENAI_MODELS"
    ]


def test_an_unknown_setting_that_resembles_none_is_only_named() -> None:
    assert problems({**DEVELOPMENT, "LUNEO_ZZZ": "1"}) == ["LUNEO_ZZZ: there is no such setting"]


def test_what_single_commands_read_is_no_unknown_setting() -> None:
    single = {"LUNEO_API_KEY": "lun_live_1", "LUNEO_ADMIN_PASSWORD": "correct horse", "LUNEO_SETTINGS_FILE": ""}
    assert Settings.load({**DEVELOPMENT, **single}) == Settings.load(DEVELOPMENT)


def test_a_rule_about_what_a_process_does_not_use_is_not_applied() -> None:
    for_migration = {"LUNEO_MIGRATION_DATABASE_URL": "postgresql://migrator:p@127.0.0.1/luneo", "LUNEO_PUBLIC_URL": "http://luneo.example"}
    unused = frozenset({"database_url", "redis_url", "qdrant_url", "secret_key", "smtp_url", "public_url"})
    assert Settings.load(for_migration, without=unused).mode is Mode.PRODUCTION


def test_several_database_hosts_each_have_their_port() -> None:
    several = "postgresql://luneo:p@db1:5432,db2:5433/luneo"
    assert Settings.load({**DEVELOPMENT, "LUNEO_DATABASE_URL": several}).database_url == several


def test_a_secret_is_never_repeated_in_a_complaint() -> None:
    assert "hunter2" not in "\n".join(problems({**DEVELOPMENT, "LUNEO_DATABASE_URL": "hunter2"}))


def test_production_refuses_a_generated_secret() -> None:
    found = problems({**PRODUCTION, "LUNEO_SECRET_KEY": GENERATED + "k" * 40})
    assert found == ["LUNEO_SECRET_KEY: production refuses a secret that `luneo up` generated; make one of your own"]


def test_production_refuses_the_development_mailbox() -> None:
    without_mail = {k: v for k, v in PRODUCTION.items() if k != "LUNEO_SMTP_URL"}
    assert problems(without_mail) == ["LUNEO_SMTP_URL: is missing; the development mailbox is refused in production"]


def test_production_refuses_to_be_reached_without_encryption() -> None:
    assert problems({**PRODUCTION, "LUNEO_PUBLIC_URL": "http://luneo.example"}) == [
        "LUNEO_PUBLIC_URL: must begin with https:// in production, or name this machine alone"
    ]
    assert Settings.load({**PRODUCTION, "LUNEO_PUBLIC_URL": "https://luneo.example"}).secure_cookies


def test_production_lets_pages_call_it_only_over_https_or_from_this_machine() -> None:
    assert problems({**PRODUCTION, "LUNEO_CORS_ORIGINS": "https://shop.example, http://shop.example"}) == [
        "LUNEO_CORS_ORIGINS: 'http://shop.example' must begin with https:// in production, or name this machine alone"
    ]
    origins = ("https://shop.example:8443", "http://localhost:3000", "http://127.0.0.1:3000", "http://[::1]:3000")
    assert Settings.load({**PRODUCTION, "LUNEO_CORS_ORIGINS": ",".join(origins)}).cors_origins == origins
    assert Settings.load({**DEVELOPMENT, "LUNEO_CORS_ORIGINS": "http://shop.example"}).cors_origins == ("http://shop.example",)


def test_production_does_not_raise_rate_limits() -> None:
    assert Settings.load(PRODUCTION).rate_limit_factor == 1


def test_a_file_fills_what_the_environment_leaves_out(tmp_path: Path) -> None:
    file = tmp_path / "luneo.toml"
    file.write_text('port = 9002\nredis_url = "redis://file:6379/0"\nopenai_models = [{name = "m", price_in = 0.15, price_out = 0.6}]\n')
    settings = Settings.load({**DEVELOPMENT, "LUNEO_SETTINGS_FILE": str(file), "LUNEO_OPENAI_BASE_URL": "https://models.example/v1"})
    assert settings.port == 9002
    assert settings.redis_url == DEVELOPMENT["LUNEO_REDIS_URL"]
    assert settings.openai_models[0].price_in == 150_000


def test_a_file_that_says_something_unknown_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "luneo.toml"
    file.write_text("prot = 9002\n")
    assert problems({**DEVELOPMENT, "LUNEO_SETTINGS_FILE": str(file)}) == ["LUNEO_PROT: there is no such setting; is it LUNEO_PORT?"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    assert "LUNEO_SETTINGS_FILE" in problems({**DEVELOPMENT, "LUNEO_SETTINGS_FILE": str(tmp_path / "none.toml")})[0]


def test_prices_are_kept_exactly_in_micro_units() -> None:
    models = '[{"name": "small", "price_in": 0.075, "price_out": 0.30, "currency": "USD"}]'
    model = Settings.load({**DEVELOPMENT, "LUNEO_OPENAI_BASE_URL": "http://127.0.0.1:1", "LUNEO_OPENAI_MODELS": models}).openai_models[0]
    assert (model.price_in, model.price_out, model.currency) == (75_000, 300_000, "USD")
