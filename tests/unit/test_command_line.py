"""What is no defect is told in one line, without a trace."""

import json
import os
from pathlib import Path

import pytest

from adapters.embedded.home import HomeLock
from entrypoints.cli.main import main


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(arguments) == 1
    return capsys.readouterr().err


def test_a_trail_that_is_not_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "missing.jsonl" in told(capsys, "audit", "verify", "--file", str(tmp_path / "missing.jsonl"))


def test_a_home_that_cannot_be(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("LUNEO_HOME", str(tmp_path / "file"))
    assert str(tmp_path / "file") in told(capsys, "up")


def test_a_home_in_use_names_the_process_and_where_it_is_found(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUNEO_HOME", str(tmp_path))
    running = f"Luneo is already running on {tmp_path} (process {os.getpid()})."
    with HomeLock(tmp_path):
        assert f"{running} It is just starting or stopping." in told(capsys, "up")
        (tmp_path / "demo.json").write_text('{"base_url": "http://127.0.0.1:8017"}')
        assert f"{running} Open http://127.0.0.1:8017." in told(capsys, "up")


@pytest.mark.parametrize("port", ["eighty", "0", "99999", "-1", "²"])
def test_a_port_that_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("LUNEO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LUNEO_PORT", port)
    assert "LUNEO_PORT: must be a whole number between 1 and 65535" in told(capsys, "up")


def test_up_checks_its_settings_before_it_makes_anything(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUNEO_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LUNEO_DEFAULT_MODEL", "gpt-5")
    monkeypatch.setenv("LUNEO_PORT", "0")
    assert told(capsys, "up").splitlines() == [
        "These settings are wrong or missing:",
        "  LUNEO_PORT: must be a whole number between 1 and 65535",
        "  LUNEO_DEFAULT_MODEL: must be one of local",
    ]
    assert not (tmp_path / "home").exists()


def test_whoever_lacks_a_setting_hears_of_the_command_that_needs_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "`luneo up` needs none of them" in told(capsys, "api")
    for name, value in {
        "DATABASE": "mysql://db",
        "REDIS": "redis://r",
        "QDRANT": "http://q",
        "PUBLIC": "https://p",
        "SMTP": "smtp://m",
    }.items():
        monkeypatch.setenv(f"LUNEO_{name}_URL", value)
    monkeypatch.setenv("LUNEO_SECRET_KEY", "short")
    complaint = told(capsys, "api")
    assert "LUNEO_DATABASE_URL: must be a URL" in complaint
    assert "LUNEO_SECRET_KEY: each key needs" in complaint
    assert "`luneo up`" not in complaint


@pytest.mark.parametrize("command", ["migrate", "index", "relay", "scheduler"])
def test_what_sends_no_mail_needs_no_mail_server(capsys: pytest.CaptureFixture[str], command: str) -> None:
    complaint = told(capsys, command)
    assert "is missing" in complaint
    assert "LUNEO_SMTP_URL" not in complaint


@pytest.mark.parametrize("limit", ["0", "101", "1000", "-1", "many"])
def test_a_limit_that_no_page_has(capsys: pytest.CaptureFixture[str], limit: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["events", "list", "--limit", limit])
    assert "argument --limit: must be a whole number between 1 and 100" in capsys.readouterr().err


def test_the_evaluation_prints_a_line_per_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "weather.json"
    passages = [{"id": "a", "text": "Snow falls when it is cold."}, {"id": "b", "text": "La facture est envoyée par courriel."}]
    questions = [{"question": "When does it snow?", "passage_id": "a"}, {"question": "Comment reçoit-on les factures ?", "passage_id": "b"}]
    file.write_text(json.dumps({"language": "en", "passages": passages, "questions": questions}))
    assert main(["evaluate-retrieval", str(file)]) == 0
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["file", "texts", "questions", "hit@1", "hit@3", "hit@5", "MRR@10"],
        ["weather.json", "2", "2", "1.000", "1.000", "1.000", "1.000"],
    ]


def test_an_evaluation_of_a_file_that_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "missing.json" in told(capsys, "evaluate-retrieval", str(tmp_path / "missing.json"))
    for name, text in (("broken.json", "{"), ("other.json", "[]"), ("tongue.json", '{"language": "xx", "passages": [], "questions": []}')):
        (tmp_path / name).write_text(text)
        assert name in told(capsys, "evaluate-retrieval", str(tmp_path / name))
