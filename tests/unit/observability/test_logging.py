"""Nothing secret or personal leaves in a log line, however it tries."""

import asyncio
import io
import json
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from entrypoints.observability.logging import configure_logging, logged_with
from entrypoints.observability.redaction import is_sensitive_key, redact, redact_text

SECRETS = {
    "bearer": "Bearer 8xLOxBtZp8vYq2",
    "session token": "lat_QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo",
    "api key": "lun_live_0190f000000070008000000000000001abcdefabcdefabcdefabcdef",
    "mail": "zoe.dupont+tag@mail.example.org",
    "international mail": "zoé@exämple.org",
    "mail in a path": "zoe%40example.org",
    "database": "postgresql://luneo:hunter2hunter2@db/luneo",
    "jwt": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "openai": "sk-proj-abcdefghijklmnop",
    "stripe": "sk_live_abcdefghijklmnop",
    "argon2": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaGhhc2g",
    "address": "203.0.113.77",
    "address 6": "2001:db8::dead:beef:1",
    "basic": "Basic enk6aHVudGVyMg==",
    "assignment": "password=hunter2hunter2",
    "json": '{"refresh_token": "hunter2hunter2"}',
    "verifier": "code_verifier=hunter2hunter2",
    "link": "/auth/callback?code=hunter2hunter2&x=1",
}
FORBIDDEN = (
    *("8xLOxBtZp8vYq2", "QUJDREVGR0hJ", "abcdefabcdef", "zoe", "zoé", "hunter2", "eyJhbGci", "dozjgNry", "abcdefghijklmnop", "aGFzaGhhc2g"),
    *("203.0.113.77", "dead:beef", "enk6aHVu"),
)


@pytest.fixture
def output() -> Iterator[io.StringIO]:
    """Return what is logged while the test runs; the root logger is given back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure_logging(level="debug", pretty=False, stream=stream)
    yield stream
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers, root.level = handlers, level


def lines(output: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.getvalue().splitlines()]


def assert_clean(text: str) -> None:
    assert not [leak for leak in FORBIDDEN if leak in text], text


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS.keys())
def test_no_text_carries_a_secret_out(output: io.StringIO, secret: str) -> None:
    log = structlog.get_logger("test")
    message = f"failed with {secret}!"
    log.info(message)
    log.info("failed", detail=secret, nested={"list": [{"deep": (secret,)}], secret: 1})
    log.info("failed with %s", secret)
    logging.getLogger("library").warning("failed with %s", secret)
    logging.getLogger("library").warning("failed", extra={"detail": secret})
    logging.getLogger("library").warning({"odd": secret})
    assert len(lines(output)) == 6
    assert_clean(output.getvalue())


@pytest.mark.parametrize("pretty", [True, False])
def test_an_exception_keeps_its_place_and_loses_its_locals_and_secrets(output: io.StringIO, pretty: bool) -> None:
    configure_logging(pretty=pretty, stream=output)

    def fail() -> None:
        password = "hunter2hunter2"
        raise ValueError(f"cannot sign in zoe@example.org with token={password[:0]}{SECRETS['session token']}")

    def outer() -> None:
        try:
            fail()
        except ValueError as cause:
            raise RuntimeError("outer zoe@example.org") from cause

    def fail_together() -> None:
        raise ExceptionGroup("several", [ValueError("zoe@example.org")])

    for log in (structlog.get_logger("test"), logging.getLogger("library")):
        try:
            outer()
        except RuntimeError:
            log.exception("broken")
    try:
        fail_together()
    except ExceptionGroup:
        structlog.get_logger("test").exception("broken")
    assert_clean(output.getvalue())
    assert "RuntimeError" in output.getvalue()
    assert "test_logging.py" in output.getvalue()
    if not pretty:
        assert all(" in " in frame for line in lines(output) for raised in line["exception"] for frame in raised["frames"])


@pytest.mark.parametrize(
    "key",
    [
        *(
            "password",
            "new_password",
            "userPassword",
            "USER-PASSWORD",
            "token",
            "access_token",
            "accessToken",
            "Authorization",
            "set-cookie",
        ),
        *(
            "api_key",
            "apiKey",
            "X-API-Key",
            "email",
            "emailAddress",
            "full_name",
            "name",
            "firstName",
            "content",
            "ip",
            "clientIP",
            "ip_address",
        ),
        *("client_secret", "X-CSRF-Token", "x-forwarded-for", "phone", "user_agent", "html", "question"),
    ],
)
def test_a_key_hides_its_value(output: io.StringIO, key: str) -> None:
    for value in ("plain", ["plain"], {"x": "plain"}, 424242, b"plain"):
        structlog.get_logger().info("x", **{key: value})
        structlog.get_logger().info("x", headers={key: value})
    assert "plain" not in output.getvalue()
    assert "424242" not in output.getvalue()
    assert output.getvalue().count("[redacted]") == 10


def test_what_is_harmless_stays_readable(output: io.StringIO) -> None:
    class Colour(Enum):
        RED = "red"

    identifier = UUID("0190f000-0000-7000-8000-000000000001")
    harmless: dict[str, Any] = {"tokens_in": 12, "content_type": "application/json", "hostname": "web-1", "monkey": "banana", "status": 200}
    text = (
        "listening on 127.0.0.1:8000, Postgres 18.6.3, at 2026-11-22T12:30:45.123Z, "
        "GET /api/v1/agents took 1.25 ms in adapters/redis_store/x.py"
    )
    structlog.get_logger().info(text, **harmless, agent_id=identifier, colour=Colour.RED, ok=True, nothing=None)
    line = lines(output)[0]
    assert line["event"] == text
    assert {key: line[key] for key in harmless} == harmless
    assert (line["agent_id"], line["colour"], line["ok"], line["nothing"]) == (str(identifier), "red", True, None)
    assert (line["level"], line["timestamp"][-1]) == ("info", "Z")


def test_objects_do_not_speak_for_themselves(output: io.StringIO) -> None:
    @dataclass
    class Person:
        nickname: str

    structlog.get_logger().info("x", who=Person("hunter2"), raw=b"hunter2", several={Person: "x"}.values())
    assert "hunter2" not in output.getvalue()
    assert "Person" in lines(output)[0]["who"]


async def test_what_is_bound_is_on_every_line_and_leaves_with_the_block(output: io.StringIO) -> None:
    turn, organization = UUID(int=1), UUID(int=2)

    async def work() -> None:
        logging.getLogger("library").info("inside")

    with logged_with(request_id="r-1", organization_id=organization):
        with logged_with(turn_id=turn):
            await asyncio.create_task(work())
            structlog.get_logger().info("inside")
        structlog.get_logger().info("between")
    structlog.get_logger().info("outside")
    first, second, between, outside = lines(output)
    for line in (first, second):
        assert (line["request_id"], line["organization_id"], line["turn_id"]) == ("r-1", str(organization), str(turn))
    assert between["request_id"] == "r-1"
    assert "turn_id" not in between
    assert "request_id" not in outside


def test_one_event_is_one_line_that_nobody_can_forge(output: io.StringIO) -> None:
    structlog.get_logger().info('x\n{"event": "forged"}', detail="a\r\nb\u2028c")
    assert len(output.getvalue().splitlines()) >= 1
    assert output.getvalue().count("\n") == 1


@given(st.text(max_size=300))
def test_masking_never_fails_and_changes_nothing_twice(text: str) -> None:
    once = redact_text(text)
    assert isinstance(once, str)
    assert redact_text(f"{text} zoe.dupont@example.org").count("zoe.dupont") == text.count("zoe.dupont")


@pytest.mark.parametrize(
    "piece", ["a", "a@", "password=", "://:", "1.1.", "a:", "eyJ", "-----BEGIN A", "basic a", "lat_", "?code=", "token_", '"']
)
def test_no_text_makes_masking_slow(piece: str) -> None:
    started = time.perf_counter()
    redact_text(piece * (200_000 // len(piece)))
    assert time.perf_counter() - started < 0.5


def test_deep_structures_end(output: io.StringIO) -> None:
    deep: dict[str, Any] = {}
    deep["self"] = deep
    structlog.get_logger().info("x", deep=deep)
    assert "[redacted]" in output.getvalue()
    assert redact(None, "info", {"a": 1}) == {"a": 1}
    assert not is_sensitive_key("")


@pytest.mark.usefixtures("output")
@pytest.mark.parametrize("level", ["debug", "info", "warning", "error", "critical", "exception"])
def test_a_line_that_cannot_be_written_fails_nobody(level: str) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        configure_logging(level="debug", pretty=False, stream=full)
        getattr(structlog.get_logger("luneo.test"), level)("happened")
        with pytest.raises(OSError, match="No space left"):
            full.flush()  # it was really tried
        configure_logging(stream=io.StringIO())
        with suppress(OSError):
            full.close()
