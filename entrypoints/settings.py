"""The one typed settings tree: read once, refused at start when wrong.

Every setting has one name, `LUNEO_…`. Values come from the environment, else from the TOML file that `LUNEO_SETTINGS_FILE` names
(same names without the
prefix, lower case), else from the default.
"""

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields
from difflib import get_close_matches
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

PREFIX = "LUNEO_"
FILE_VARIABLE = "LUNEO_SETTINGS_FILE"
BESIDE = frozenset({FILE_VARIABLE, "LUNEO_API_KEY", "LUNEO_ADMIN_PASSWORD"})
"""Variables of ours that are no settings: single commands read them."""
MISSING_SETTING = "is missing"
_MINIMUM_SECRET_LENGTH = 32
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?:[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?")
_THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})
_LAST_PORT = 65_535
_MOST = 1_000_000_000
_MOST_SECONDS = 24 * 3600
_MOST_LIFETIME_SECONDS = 10 * 365 * 24 * 3600


#: Where texts become vectors: in the process, or at a server that speaks the OpenAI embeddings API.
LOCAL_EMBEDDINGS = "local"
OPENAI_COMPATIBLE = "openai_compatible"
_MOST_DIMENSIONS = 65_536  # of a vector in Qdrant
_MOST_PASSAGES = 16
_MOST_UNRELATED = 0.95


class SettingsError(Exception):
    """One or more settings are wrong or missing; each line names one and says what to do."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Mode(StrEnum):
    """`development` allows the mailbox page and raises rate limits a hundredfold; `production` refuses development features."""

    DEVELOPMENT = "development"
    PRODUCTION = "production"


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """One model that an OpenAI-compatible provider offers: its name and what a million tokens cost, in micro-units of the currency.

    `id` is what the provider calls it, when that is another name.
    """

    name: str
    price_in: int
    price_out: int
    currency: str = "EUR"
    id: str | None = None


@dataclass(frozen=True, slots=True)
class ProviderSettings:
    """One OpenAI-compatible provider with its models.

    `names_completion_tokens` is for servers that want the limit as `max_completion_tokens`, `asks_for_usage` for those that refuse
    `stream_options`.
    """

    name: str
    base_url: str
    api_key: str | None
    models: tuple[ModelSettings, ...]
    names_completion_tokens: bool = False
    asks_for_usage: bool = True


def _text(value: str) -> str:
    return value


def _whole(least: int, most: int, meaning: str = "") -> Callable[[str], int]:
    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise ValueError(f"must be a whole number between {least} and {most}{meaning}")
        return number

    return parse


def _real(most: float, meaning: str = "", *, zero: bool = True) -> Callable[[str], float]:
    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if not 0 <= number <= most or (number == 0 and not zero):
            raise ValueError(f"must be a number {'between 0 and' if zero else 'more than 0 and at most'} {most}{meaning}")
        return number

    return parse


_number = _whole(0, _MOST)
_count = _whole(1, _MOST)
_lifetime = _whole(1, _MOST_LIFETIME_SECONDS, " (seconds in ten years)")
_port = _whole(1, _LAST_PORT)
_port_or_none = _whole(0, _LAST_PORT, "; 0 is none")
_decimal = _real(_MOST)
_pause = _real(_MOST_SECONDS, " (seconds in a day)")
_seconds = _real(_MOST_SECONDS, " (seconds in a day)", zero=False)


def _keys(value: str) -> tuple[str, ...]:
    keys = _list(value)
    if not keys or any(len(key) < _MINIMUM_SECRET_LENGTH for key in keys):
        raise ValueError(f"each key needs at least {_MINIMUM_SECRET_LENGTH} characters")
    return keys


def _one_of(*known: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.lower() not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return value.lower()

    return parse


def _mode(value: str) -> Mode:
    return Mode(_one_of(*Mode)(value))


def _networks(value: str) -> tuple[str, ...]:
    networks = _list(value)
    for network in networks:
        ip_network(network)
    return networks


def _switch(value: str) -> bool:
    known = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
    if value.lower() not in known:
        raise ValueError("must be true or false")
    return known[value.lower()]


def _list(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _ports(value: str) -> tuple[int, ...]:
    ports = tuple(_port(part) for part in _list(value))
    if not ports:
        raise ValueError("must name at least one port")
    return ports


def _origins(value: str) -> tuple[str, ...]:
    origins = _list(value)
    for origin in origins:
        found = _ORIGIN.fullmatch(origin)
        if (
            found is None
            or (found["scheme"], found["port"]) in {("https", "443"), ("http", "80")}
            or not 0 < int(found["port"] or 1) <= _LAST_PORT
        ):
            raise ValueError(f"{origin!r} must be an origin as browsers send it: https://host or https://host:port, in lower case, no path")
    return origins


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not parts.netloc:
            raise ValueError(f"must be a URL that begins with {' or '.join(s + '://' for s in schemes)}")
        if not parts.scheme.startswith("postgresql"):  # whose addresses may name several hosts, each with its port
            try:
                named = parts.port != 0 and bool(parts.hostname)
            except ValueError:
                named = False
            if not named:
                raise ValueError(f"must name a host, and a port only between 1 and {_LAST_PORT}")
        return value.rstrip("/") if parts.scheme.startswith("http") else value

    return parse


def _clamd(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme == "unix" and not parts.netloc and parts.path.startswith("/"):
        return value
    try:
        return _url("tcp")(value)
    except ValueError as error:
        raise ValueError(f"{error}; or unix:///path/of/the/socket") from None


_MODELS_EXAMPLE = '[{"name": "gpt-4o-mini", "price_in": 0.15, "price_out": 0.60, "currency": "USD"}]'
_PROVIDERS_EXAMPLE = f'[{{"name": "mistral", "base_url": "https://api.mistral.ai/v1", "api_key": "…", "models": {_MODELS_EXAMPLE}}}]'
_PROVIDER_KEYS = frozenset({"name", "base_url", "api_key", "models", "names_completion_tokens", "asks_for_usage"})
_PROVIDER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def _models_of(entries: list[dict[str, Any]]) -> tuple[ModelSettings, ...]:
    return tuple(
        ModelSettings(
            name=str(e["name"]),
            price_in=round(float(e.get("price_in", 0)) * 1_000_000),
            price_out=round(float(e.get("price_out", 0)) * 1_000_000),
            currency=str(e.get("currency", "EUR")),
            id=str(e["id"]) if "id" in e else None,
        )
        for e in entries
    )


def _models(value: str) -> tuple[ModelSettings, ...]:
    try:
        return _models_of(json.loads(value))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"must be a JSON list such as {_MODELS_EXAMPLE}, prices per million tokens") from error


def _provider_of(entry: dict[str, Any]) -> ProviderSettings:
    key = entry.get("api_key")
    switches = {name: entry[name] for name in ("names_completion_tokens", "asks_for_usage") if name in entry}
    name, models = entry["name"], _models_of(entry["models"])
    well = entry.keys() <= _PROVIDER_KEYS and _PROVIDER_NAME.fullmatch(name) and models and all(type(v) is bool for v in switches.values())
    if not well or not isinstance(key, str | None):
        raise TypeError
    return ProviderSettings(name, _url("http", "https")(entry["base_url"]), key or None, models, **switches)


def _providers(value: str) -> tuple[ProviderSettings, ...]:
    try:
        return tuple(_provider_of(entry) for entry in json.loads(value))
    except (ValueError, TypeError, KeyError, AttributeError):  # what is wrong may be beside a key: it is not repeated
        raise ValueError(
            f"must be a JSON list such as {_PROVIDERS_EXAMPLE}: names in lower case, addresses that begin with http:// or https://, "
            f"at least one model each; may also have {' and '.join(sorted(_PROVIDER_KEYS - {'name', 'base_url', 'api_key', 'models'}))}"
        ) from None


def _setting(parse: Callable[[str], Any], default: Any = MISSING, *, secret: bool = False) -> Any:  # noqa: ANN401 - like dataclasses.field
    metadata = {"parse": parse, "secret": secret}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set. The field `database_url` is the variable `LUNEO_DATABASE_URL`, and so on."""

    mode: Mode = _setting(_mode, Mode.PRODUCTION)
    home: Path = _setting(Path, Path(".luneo"))
    public_url: str = _setting(_url("http", "https"), "http://127.0.0.1:8000")
    host: str = _setting(_text, "127.0.0.1")
    port: int = _setting(_port, 8000)
    trusted_proxies: tuple[str, ...] = _setting(_networks, ())
    cors_origins: tuple[str, ...] = _setting(_origins, ())

    database_url: str = _setting(_url("postgresql", "postgresql+psycopg"), secret=True)
    migration_database_url: str | None = _setting(_url("postgresql", "postgresql+psycopg"), None, secret=True)
    database_connections: int = _setting(_count, 10)
    redis_url: str = _setting(_url("redis", "rediss"), secret=True)
    qdrant_url: str = _setting(_url("http", "https"))
    qdrant_api_key: str | None = _setting(_text, None, secret=True)
    qdrant_collection: str = _setting(_text, "passages")

    objects_folder: Path | None = _setting(Path, None)
    s3_bucket: str | None = _setting(_text, None)
    s3_endpoint_url: str | None = _setting(_url("http", "https"), None)
    s3_region: str = _setting(_text, "us-east-1")
    s3_access_key_id: str | None = _setting(_text, None)
    s3_secret_access_key: str | None = _setting(_text, None, secret=True)
    download_link_seconds: int = _setting(_whole(1, 7 * 24 * 3600, " (seconds in a week)"), 600)

    clamd_url: str | None = _setting(_clamd, None)
    web_pages_ports: tuple[int, ...] = _setting(_ports, (80, 443))
    web_pages_allow_private: bool = _setting(_switch, False)

    secret_key: tuple[str, ...] = _setting(_keys, secret=True)
    access_token_seconds: int = _setting(_lifetime, 15 * 60)
    refresh_token_seconds: int = _setting(_lifetime, 7 * 24 * 3600)
    remembered_refresh_token_seconds: int = _setting(_lifetime, 30 * 24 * 3600)

    openai_base_url: str | None = _setting(_url("http", "https"), None)
    openai_api_key: str | None = _setting(_text, None, secret=True)
    openai_models: tuple[ModelSettings, ...] = _setting(_models, ())
    model_providers: tuple[ProviderSettings, ...] = _setting(_providers, (), secret=True)
    default_model: str = _setting(_text, "local")
    local_words_per_second: float = _setting(_decimal, 0.0)
    model_connect_seconds: float = _setting(_seconds, 5.0)
    model_idle_seconds: float = _setting(_seconds, 30.0)
    model_total_seconds: float = _setting(_seconds, 110.0)
    model_retries: int = _setting(_number, 2)
    model_retry_share: float = _setting(_real(1, " (every request repeated once)"), 0.2)
    model_circuit_failures: int = _setting(_count, 5)
    model_circuit_window_seconds: float = _setting(_seconds, 30.0)
    model_circuit_pause_seconds: float = _setting(_seconds, 15.0)

    embeddings_provider: str = _setting(_one_of(LOCAL_EMBEDDINGS, OPENAI_COMPATIBLE), LOCAL_EMBEDDINGS)
    embeddings_warm_up: bool = _setting(_switch, True)
    embeddings_base_url: str | None = _setting(_url("http", "https"), None)
    embeddings_api_key: str | None = _setting(_text, None, secret=True)
    embeddings_model: str | None = _setting(_text, None)
    embeddings_dimension: int | None = _setting(_whole(1, _MOST_DIMENSIONS), None)
    embeddings_asks_for_dimension: bool = _setting(_switch, False)
    embeddings_unrelated: float = _setting(_real(_MOST_UNRELATED), 0.8)
    embeddings_question_prefix: str = _setting(_text, "")
    embeddings_passage_prefix: str = _setting(_text, "")
    embeddings_batch: int = _setting(_whole(1, _MOST_PASSAGES, " (passages that are indexed in one go)"), _MOST_PASSAGES)
    embeddings_seconds: float = _setting(_seconds, 20.0)
    embeddings_retries: int = _setting(_number, 2)

    turn_seconds: float = _setting(_seconds, 120.0)
    turn_reservation_grace_seconds: float = _setting(_pause, 30.0)
    shutdown_seconds: float = _setting(_pause, 30.0)
    runner_silence_seconds: float = _setting(_seconds, 20.0)

    smtp_url: str | None = _setting(_url("smtp", "smtps"), None, secret=True)
    mail_from: str = _setting(_text, "Luneo <no-reply@luneo.example>")

    rate_limit_client_per_minute: int = _setting(_count, 100)
    rate_limit_account_per_minute: int = _setting(_count, 600)
    rate_limit_key_per_minute: int = _setting(_count, 1000)
    rate_limit_sign_in_per_minute: int = _setting(_count, 5)
    rate_limit_refresh_per_minute: int = _setting(_count, 10)
    rate_limit_development_factor: int = _setting(_count, 100)

    log_format: str = _setting(_one_of("auto", "json", "text"), "json")
    log_level: str = _setting(_one_of("debug", "info", "warning", "error", "critical"), "info")
    otlp_endpoint: str | None = _setting(_url("http", "https"), None)
    metrics_port: int = _setting(_port_or_none, 0)

    @property
    def development(self) -> bool:
        """Whether development features are on."""
        return self.mode is Mode.DEVELOPMENT

    @property
    def secure_cookies(self) -> bool:
        """Whether browsers reach us over https."""
        return self.public_url.startswith("https://")

    @property
    def providers(self) -> tuple[ProviderSettings, ...]:
        """All OpenAI-compatible providers: the one of the short form, named `openai`, then those of the list."""
        if self.openai_base_url is None:
            return self.model_providers
        return (ProviderSettings("openai", self.openai_base_url, self.openai_api_key, self.openai_models), *self.model_providers)

    @property
    def offered_models(self) -> frozenset[str]:
        """The models that agents may choose."""
        return frozenset({"local", *(model.name for provider in self.providers for model in provider.models)})

    @property
    def rate_limit_factor(self) -> int:
        """What every rate limit is multiplied by."""
        return self.rate_limit_development_factor if self.development else 1

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, *, without: frozenset[str] = frozenset()) -> Self:
        """Read the settings. Raises `SettingsError` that names every wrong or missing one, and every contradiction between the others.

        `without` names what the process does not use: the required ones among it may be missing (it gets them empty), and no rule
        about any of it is applied.
        """
        environment = os.environ if environment is None else environment
        problems: list[str] = []
        from_file = _read_file(environment.get(FILE_VARIABLE), problems)
        known = {f.name: f for f in fields(cls)}
        problems.extend(_unknown(environment, from_file, frozenset(PREFIX + name.upper() for name in known)))
        values: dict[str, Any] = {}
        unusable = set(without)
        for name, setting in known.items():
            variable = PREFIX + name.upper()
            text = environment.get(variable, from_file.get(name))
            if text is None or text == "":
                if setting.default is MISSING:
                    values[name] = () if name == "secret_key" else ""
                    if name not in without:
                        problems.append(f"{variable}: {MISSING_SETTING}")
                        unusable.add(name)
                continue
            try:
                values[name] = setting.metadata["parse"](text)
            except ValueError as error:
                problems.append(f"{variable}: {error}" if not setting.metadata["secret"] else f"{variable}: {_without(str(error), text)}")
                values[name] = None
                unusable.add(name)
        settings = cls(**values)
        problems.extend(rule.problem(settings) for rule in _RULES if unusable.isdisjoint(rule.names) and rule.broken(settings))
        if problems:
            raise SettingsError(problems)
        return settings


#: Secrets that `luneo up` makes begin with this, so that production can tell them.
GENERATED = "generated-"


@dataclass(frozen=True, slots=True)
class _Rule:
    """Something that settings may not say together: `names` are the settings it is about, the first the one to correct."""

    names: tuple[str, ...]
    broken: Callable[[Settings], bool]
    text: Callable[[Settings], str]

    def problem(self, settings: Settings) -> str:
        return f"{PREFIX}{self.names[0].upper()}: {self.text(settings)}"


def _twice(settings: Settings) -> list[str]:
    names = ["local", *(p.name for p in settings.providers)], ["local", *(m.name for p in settings.providers for m in p.models)]
    return sorted({name for kind in names for name in kind if kind.count(name) > 1})


def _in_clear(settings: Settings) -> bool:
    return not settings.secure_cookies and urlsplit(settings.public_url).hostname not in _THIS_MACHINE


def _cleartext_origins(settings: Settings) -> list[str]:
    return [o for o in settings.cors_origins if o.startswith("http://") and urlsplit(o).hostname not in _THIS_MACHINE]


def _embeddings_lack(settings: Settings) -> list[str]:
    needed = {"BASE_URL": settings.embeddings_base_url, "MODEL": settings.embeddings_model, "DIMENSION": settings.embeddings_dimension}
    return [f"{PREFIX}EMBEDDINGS_{name}" for name, value in needed.items() if value is None]


_RULES = (
    _Rule(
        ("embeddings_provider", "embeddings_base_url", "embeddings_model", "embeddings_dimension"),
        lambda s: s.embeddings_provider == OPENAI_COMPATIBLE and bool(_embeddings_lack(s)),
        lambda s: f"{OPENAI_COMPATIBLE} needs {' and '.join(_embeddings_lack(s))} too",
    ),
    _Rule(
        ("embeddings_provider", "embeddings_base_url"),
        lambda s: s.embeddings_provider == LOCAL_EMBEDDINGS and s.embeddings_base_url is not None,
        lambda _: f"must be {OPENAI_COMPATIBLE} when LUNEO_EMBEDDINGS_BASE_URL is set: the local model uses no server",
    ),
    _Rule(
        ("openai_base_url", "openai_models"),
        lambda s: bool(s.openai_models) and s.openai_base_url is None,
        lambda _: "is needed when LUNEO_OPENAI_MODELS is set",
    ),
    _Rule(
        ("model_providers", "openai_base_url", "openai_models"),
        lambda s: bool(_twice(s)),
        lambda s: f"{', '.join(_twice(s))}: each provider and each model needs a name of its own (`id` is what the provider calls a model)",
    ),
    _Rule(
        ("default_model", "openai_models", "model_providers"),
        lambda s: s.default_model not in s.offered_models,
        lambda s: f"must be one of {', '.join(sorted(s.offered_models))}",
    ),
    _Rule(
        ("objects_folder", "s3_bucket"),
        lambda s: s.objects_folder is not None and s.s3_bucket is not None,
        lambda _: "contradicts LUNEO_S3_BUCKET: objects are kept in one place",
    ),
    _Rule(
        ("s3_secret_access_key", "s3_access_key_id"),
        lambda s: (s.s3_secret_access_key is None) != (s.s3_access_key_id is None),
        lambda _: "goes with LUNEO_S3_ACCESS_KEY_ID: set both or neither",
    ),
    _Rule(
        ("web_pages_allow_private", "mode"),
        lambda s: not s.development and s.web_pages_allow_private,
        lambda _: "production refuses to fetch pages of this machine and its network for whoever asks",
    ),
    _Rule(
        ("secret_key", "mode"),
        lambda s: not s.development and any(key.startswith(GENERATED) for key in s.secret_key),
        lambda _: "production refuses a secret that `luneo up` generated; make one of your own",
    ),
    _Rule(
        ("public_url", "mode"),
        lambda s: not s.development and _in_clear(s),
        lambda _: "must begin with https:// in production, or name this machine alone",
    ),
    _Rule(
        ("cors_origins", "mode"),
        lambda s: not s.development and bool(_cleartext_origins(s)),
        lambda s: f"{_cleartext_origins(s)[0]!r} must begin with https:// in production, or name this machine alone",
    ),
    _Rule(
        ("smtp_url", "mode"),
        lambda s: not s.development and s.smtp_url is None,
        lambda _: f"{MISSING_SETTING}; the development mailbox is refused in production",
    ),
)


def _unknown(environment: Mapping[str, str], from_file: Mapping[str, str], known: frozenset[str]) -> Iterator[str]:
    named = {PREFIX + name.upper() for name in from_file}
    for variable in sorted({*named, *(name for name in environment if name.startswith(PREFIX) and name not in BESIDE)} - known):
        nearest = get_close_matches(variable.removeprefix(PREFIX), [name.removeprefix(PREFIX) for name in known], n=1)
        yield f"{variable}: there is no such setting{f'; is it {PREFIX}{nearest[0]}?' if nearest else ''}"


def _read_file(name: str | None, problems: list[str]) -> dict[str, str]:
    if not name:
        return {}
    try:
        values = tomllib.loads(Path(name).read_text(encoding="utf-8"))
    except OSError as error:
        problems.append(f"{FILE_VARIABLE}: {name} cannot be read ({error.strerror})")
        return {}
    except tomllib.TOMLDecodeError as error:
        problems.append(f"{FILE_VARIABLE}: {name} is not TOML ({error})")
        return {}
    return {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}


def _without(message: str, secret: str) -> str:
    return message.replace(secret, "…")
