"""`luneo doctor` says of each dependency what is wrong with it and what to do, and what it did not look at."""

import asyncio
import json
import socket
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller

from entrypoints.cli.main import main
from entrypoints.composition.doctor import Finding, examine
from entrypoints.settings import Settings
from tests.integration.llm.raw_upstream import RawUpstream, raw_upstream, status


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def nothing_there(port: int) -> dict[str, str]:
    return {
        "LUNEO_MODE": "development",
        "LUNEO_DATABASE_URL": f"postgresql://luneo:secret@127.0.0.1:{port}/luneo",
        "LUNEO_REDIS_URL": f"redis://:secret@127.0.0.1:{port}/0",
        "LUNEO_QDRANT_URL": f"http://127.0.0.1:{port}",
        "LUNEO_SECRET_KEY": "k" * 32,
    }


async def found(name: str, settings: dict[str, str], *, of_demo: bool = False) -> Finding:
    findings = await examine(Settings.load({**nothing_there(free_port()), **settings}), of_demo=of_demo)
    return next(f for f in findings if f.name == name)


async def test_a_database_that_is_away_is_named_with_host_port_and_reason() -> None:
    port = free_port()
    finding = await found("Postgres as luneo_app", nothing_there(port))
    assert not finding.ok
    assert finding.text == f"127.0.0.1:{port} does not answer (Connection refused): start it, or correct LUNEO_DATABASE_URL"


@pytest.mark.parametrize("name", ["Postgres as luneo_app", "Redis", "Vector index"])
async def test_of_the_demo_it_says_make_run(name: str) -> None:
    assert (await found(name, {}, of_demo=True)).text.endswith(": start Luneo with `make run`")


def test_what_is_away_is_told_once_and_nowhere_else(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in nothing_there(free_port()).items():
        monkeypatch.setenv(name, value)
    assert main(["doctor"]) == 1
    printed = capfd.readouterr()
    assert [line.split()[0] for line in printed.out.splitlines()] == ["FAIL"] * 5
    assert printed.err == ""


MODELS = '[{"name": "gpt-4o-mini", "price_in": 0.15, "price_out": 0.60, "currency": "USD"}]'


async def of_provider(upstream: RawUpstream) -> Finding:
    settings = {"LUNEO_OPENAI_BASE_URL": upstream.base_url, "LUNEO_OPENAI_API_KEY": "sk-1", "LUNEO_OPENAI_MODELS": MODELS}
    return await found("Model provider", settings)


@pytest.mark.parametrize(
    ("answer", "ok", "text"),
    [
        (status("200 OK", body=b'{"data": [{"id": "gpt-4o-mini"}]}'), True, "takes the key and lists gpt-4o-mini (not checked: "),
        (status("200 OK", body=b'{"data": [{"id": "gpt-5"}]}'), True, "takes the key, but does not list gpt-4o-mini (not checked: "),
        (status("200 OK", body=b"[]"), True, "takes the key (not checked: "),
        (status("401 Unauthorized"), False, "the provider refuses the key (401): correct LUNEO_OPENAI_API_KEY"),
        (status("404 Not Found"), False, "/v1/models (404): correct LUNEO_OPENAI_BASE_URL"),
        (status("503 Service Unavailable"), False, "the provider answered 503 at "),
    ],
)
async def test_the_key_of_the_provider_is_tried(answer: bytes, text: str, *, ok: bool) -> None:
    async with raw_upstream([answer]) as upstream:
        finding = await of_provider(upstream)
        assert upstream.headers[0]["authorization"] == "bearer sk-1"
    assert (finding.ok, text in finding.text) == (ok, True), finding.text


async def test_each_provider_of_the_list_is_tried() -> None:
    async with raw_upstream([status("401 Unauthorized")]) as upstream:
        listed = [{"name": "mistral", "base_url": upstream.base_url, "api_key": "sk-2", "models": [{"name": "small"}]}]
        finding = await found("Model provider mistral", {"LUNEO_MODEL_PROVIDERS": json.dumps(listed)})
        assert upstream.headers[0]["authorization"] == "bearer sk-2"
    assert not finding.ok
    assert finding.text == "the provider refuses the key (401): correct api_key of mistral in LUNEO_MODEL_PROVIDERS"


async def test_a_provider_that_is_away() -> None:
    finding = await of_provider(RawUpstream(port=free_port()))
    assert not finding.ok
    assert finding.text.endswith("is LUNEO_OPENAI_BASE_URL right, and may this machine reach it?")


def embedded(one: list[int], other: list[int]) -> bytes:
    """Answer six texts with one vector and the other in turns."""
    return status("200 OK", body=json.dumps({"data": [{"embedding": each} for each in [one, other] * 3]}).encode())


EMBEDDINGS = {"LUNEO_EMBEDDINGS_PROVIDER": "openai_compatible", "LUNEO_EMBEDDINGS_MODEL": "m", "LUNEO_EMBEDDINGS_DIMENSION": "2"}


@pytest.mark.parametrize(
    ("answer", "ok", "text"),
    [
        (embedded([1, 0], [4, 3]), True, "m answers with vectors of 2 numbers; texts that have nothing in common score 0.88"),
        (embedded([1, 0], [0, 1]), False, "score 0.40, not 0.80: correct LUNEO_EMBEDDINGS_UNRELATED"),
        (embedded([1], [1]), False, "LUNEO_EMBEDDINGS_DIMENSION must be the model's"),
        (status("401 Unauthorized"), False, "refuses the key (401): LUNEO_EMBEDDINGS_API_KEY must be one of its server"),
    ],
)
async def test_embeddings_of_a_server_are_tried(answer: bytes, text: str, *, ok: bool) -> None:
    async with raw_upstream([answer]) as upstream:
        finding = await found("Embeddings", {**EMBEDDINGS, "LUNEO_EMBEDDINGS_BASE_URL": upstream.base_url})
    assert (finding.ok, text in finding.text) == (ok, True), finding.text


async def test_embeddings_in_the_process_need_no_check() -> None:
    findings = await examine(Settings.load(nothing_there(free_port())))
    assert "Embeddings" not in {each.name for each in findings}


async def test_a_mail_server_that_only_accepts_connections_is_not_enough() -> None:
    port = free_port()
    controller = Controller(object(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        refused = await found("Mail server", {"LUNEO_SMTP_URL": f"smtp://127.0.0.1:{port}"})
        taken = await found("Mail server", {"LUNEO_SMTP_URL": f"smtp://127.0.0.1:{port}?security=none"})
    finally:
        controller.stop()
    assert not refused.ok
    assert refused.text.startswith(f"127.0.0.1:{port}: STARTTLS failed (")
    assert refused.text.endswith(": correct LUNEO_SMTP_URL, or the server")
    assert taken.ok
    assert taken.text.startswith("well so far: connection, EHLO (not checked: ")


async def test_a_virus_scanner_is_asked_whether_it_is_there() -> None:
    async def clamd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"PONG\0" if await reader.readuntil(b"\0") == b"zPING\0" else b"UNKNOWN COMMAND\0")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(clamd, "127.0.0.1", port := free_port()):
        there = await found("Virus scanner", {"LUNEO_CLAMD_URL": f"tcp://127.0.0.1:{port}"})
    away = await found("Virus scanner", {"LUNEO_CLAMD_URL": f"tcp://127.0.0.1:{port}"})
    assert there.ok
    assert there.text.startswith("answers (not checked: ")
    assert not away.ok
    assert away.text.endswith("is clamd running there, and is LUNEO_CLAMD_URL right?")
