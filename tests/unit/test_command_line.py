"""What is no defect is told in one line, without a trace."""

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
    assert "LUNEO_PORT: must be between 1 and 65535" in told(capsys, "up")
