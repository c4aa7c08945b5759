"""The one typed settings tree: read once, refused at start when wrong.

Every setting has one name, `LUNEO_…`. Values come from the environment, else from the TOML file that `LUNEO_SETTINGS_FILE` names
(same names without the
prefix, lower case), else from the default.
"""

import json
import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

PREFIX = "LUNEO_"
FILE_VARIABLE = "LUNEO_SETTINGS_FILE"
_MINIMUM_SECRET_LENGTH = 32
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?:[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::(?P<port>[1-9][0-9]{0,4}))?")
_PORTS = 65536
_THIS_MACHINE = frozenset({"127.0.0.1", "localhost", "::1"})


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
    """One model that an OpenAI-compatible provider offers: its name and what a million tokens cost, in micro-units of the currency."""

    name: str
    price_in: int
    price_out: int
    currency: str = "EUR"


def _text(value: str) -> str:
    return value


def _number(value: str) -> int:
    number = int(value)
    if number < 0:
        raise ValueError("must not be negative")
    return number


def _count(value: str) -> int:
    number = int(value)
    if number < 1:
        raise ValueError("must be at least 1")
    return number


def _decimal(value: str) -> float:
    number = float(value)
    if not 0 <= number < math.inf:
        raise ValueError("must be a number that is not negative")
    return number


def _seconds(value: str) -> float:
    number = _decimal(value)
    if not number:
        raise ValueError("must be more than 0 seconds")
    return number


def _one_of(*known: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if value.lower() not in known:
            raise ValueError(f"must be one of {', '.join(known)}")
        return value.lower()

    return parse


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


def _origins(value: str) -> tuple[str, ...]:
    origins = _list(value)
    for origin in origins:
        found = _ORIGIN.fullmatch(origin)
        if (
            found is None
            or (found["scheme"], found["port"]) in {("https", "443"), ("http", "80")}
            or not 0 < int(found["port"] or 1) < _PORTS
        ):
            raise ValueError(f"{origin!r} must be an origin as browsers send it: https://host or https://host:port, in lower case, no path")
    return origins


def _url(*schemes: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in schemes or not parts.netloc:
            raise ValueError(f"must be a URL that begins with {' or '.join(s + '://' for s in schemes)}")
        return value.rstrip("/") if parts.scheme.startswith("http") else value

    return parse


def _models(value: str) -> tuple[ModelSettings, ...]:
    try:
        entries = json.loads(value)
        return tuple(
            ModelSettings(
                name=str(e["name"]),
                price_in=round(float(e.get("price_in", 0)) * 1_000_000),
                price_out=round(float(e.get("price_out", 0)) * 1_000_000),
                currency=str(e.get("currency", "EUR")),
            )
            for e in entries
        )
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            'must be a JSON list such as [{"name": "gpt-4o-mini", "price_in": 0.15, "price_out": 0.60, "currency": "USD"}], '
            "prices per million tokens"
        ) from error


def _setting(parse: Callable[[str], Any], default: Any = MISSING, *, secret: bool = False) -> Any:  # noqa: ANN401 - like dataclasses.field
    metadata = {"parse": parse, "secret": secret}
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set. The field `database_url` is the variable `LUNEO_DATABASE_URL`, and so on."""

    mode: Mode = _setting(Mode, Mode.PRODUCTION)
    home: Path = _setting(Path, Path(".luneo"))
    public_url: str = _setting(_url("http", "https"), "http://127.0.0.1:8000")
    host: str = _setting(_text, "127.0.0.1")
    port: int = _setting(_number, 8000)
    trusted_proxies: tuple[str, ...] = _setting(_networks, ())
    cors_origins: tuple[str, ...] = _setting(_origins, ())

    database_url: str = _setting(_url("postgresql", "postgresql+psycopg"), secret=True)
    migration_database_url: str | None = _setting(_url("postgresql", "postgresql+psycopg"), None, secret=True)
    database_connections: int = _setting(_count, 10)
    redis_url: str = _setting(_url("redis", "rediss"), secret=True)
    qdrant_url: str = _setting(_url("http", "https"))
    qdrant_api_key: str | None = _setting(_text, None, secret=True)
    qdrant_collection: str = _setting(_text, "passages")

    secret_key: tuple[str, ...] = _setting(_list, secret=True)
    access_token_seconds: int = _setting(_count, 15 * 60)
    refresh_token_seconds: int = _setting(_count, 7 * 24 * 3600)
    remembered_refresh_token_seconds: int = _setting(_count, 30 * 24 * 3600)

    openai_base_url: str | None = _setting(_url("http", "https"), None)
    openai_api_key: str | None = _setting(_text, None, secret=True)
    openai_models: tuple[ModelSettings, ...] = _setting(_models, ())
    default_model: str = _setting(_text, "local")
    local_words_per_second: float = _setting(_decimal, 0.0)
    model_connect_seconds: float = _setting(_seconds, 5.0)
    model_idle_seconds: float = _setting(_seconds, 30.0)
    model_total_seconds: float = _setting(_seconds, 110.0)
    model_retries: int = _setting(_number, 2)

    embeddings_warm_up: bool = _setting(_switch, True)

    turn_seconds: float = _setting(_seconds, 120.0)
    turn_reservation_grace_seconds: float = _setting(_decimal, 30.0)
    shutdown_seconds: float = _setting(_decimal, 30.0)
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
    metrics_port: int = _setting(_number, 0)

    @property
    def development(self) -> bool:
        """Whether development features are on."""
        return self.mode is Mode.DEVELOPMENT

    @property
    def secure_cookies(self) -> bool:
        """Whether browsers reach us over https."""
        return self.public_url.startswith("https://")

    @property
    def rate_limit_factor(self) -> int:
        """What every rate limit is multiplied by."""
        return self.rate_limit_development_factor if self.development else 1

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, *, without: frozenset[str] = frozenset()) -> Self:
        """Read the settings. Raises `SettingsError` that names every wrong or missing one.

        The required ones named in `without` may be missing: a process that does not use them gets them empty.
        """
        environment = os.environ if environment is None else environment
        problems: list[str] = []
        from_file = _read_file(environment.get(FILE_VARIABLE), problems)
        known = {f.name: f for f in fields(cls)}
        problems.extend(f"{PREFIX}{name.upper()}: there is no such setting" for name in from_file if name not in known)
        values: dict[str, Any] = {}
        for name, setting in known.items():
            variable = PREFIX + name.upper()
            text = environment.get(variable, from_file.get(name))
            if text is None or text == "":
                if setting.default is MISSING and name in without:
                    values[name] = () if name == "secret_key" else ""
                elif setting.default is MISSING:
                    problems.append(f"{variable}: is missing")
                continue
            try:
                values[name] = setting.metadata["parse"](text)
            except ValueError as error:
                problems.append(f"{variable}: {error}" if not setting.metadata["secret"] else f"{variable}: {_without(str(error), text)}")
        if problems:
            raise SettingsError(problems)
        settings = cls(**values)
        problems = settings._contradictions()
        if problems:
            raise SettingsError(problems)
        return settings

    def _contradictions(self) -> list[str]:
        problems = self._cleartext_origins()
        if any(len(key) < _MINIMUM_SECRET_LENGTH for key in self.secret_key):
            problems.append(f"LUNEO_SECRET_KEY: each key needs at least {_MINIMUM_SECRET_LENGTH} characters")
        if not 1 <= self.port <= 65535:  # noqa: PLR2004 - the range of ports
            problems.append("LUNEO_PORT: must be between 1 and 65535")
        if not 0 <= self.metrics_port <= 65535:  # noqa: PLR2004 - the range of ports, and 0 for none
            problems.append("LUNEO_METRICS_PORT: must be between 1 and 65535, or 0 for none")
        if self.openai_models and self.openai_base_url is None:
            problems.append("LUNEO_OPENAI_BASE_URL: is needed when LUNEO_OPENAI_MODELS is set")
        names = {"local", *(m.name for m in self.openai_models)}
        if self.default_model not in names:
            problems.append(f"LUNEO_DEFAULT_MODEL: must be one of {', '.join(sorted(names))}")
        if self.mode is Mode.PRODUCTION:
            if any(key.startswith(GENERATED) for key in self.secret_key):
                problems.append("LUNEO_SECRET_KEY: production refuses a secret that `luneo up` generated; make one of your own")
            if not self.public_url.startswith("https://") and urlsplit(self.public_url).hostname not in _THIS_MACHINE:
                problems.append("LUNEO_PUBLIC_URL: must begin with https:// in production, or name this machine alone")
            if self.smtp_url is None:
                problems.append("LUNEO_SMTP_URL: is missing; the development mailbox is refused in production")
        return problems

    def _cleartext_origins(self) -> list[str]:
        elsewhere = [o for o in self.cors_origins if o.startswith("http://") and urlsplit(o).hostname not in _THIS_MACHINE]
        if self.development or not elsewhere:
            return []
        return [f"LUNEO_CORS_ORIGINS: {elsewhere[0]!r} must begin with https:// in production, or name this machine alone"]


#: Secrets that `luneo up` makes begin with this, so that production can tell them.
GENERATED = "generated-"


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
