"""Each process says in one line of its log that it runs and what it serves, and ends when it is asked to."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("process", ["relay", "scheduler", "index"])
def test_a_process_says_that_it_runs(process: str, database_url: str, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = probe.getsockname()[1]
    settings = {
        "LUNEO_HOME": str(tmp_path),
        "LUNEO_DATABASE_URL": database_url,
        "LUNEO_REDIS_URL": f"redis://127.0.0.1:{nobody}/0",
        "LUNEO_QDRANT_URL": f"http://127.0.0.1:{nobody}",
        "LUNEO_SECRET_KEY": "k" * 32,
    }
    others = {name: value for name, value in os.environ.items() if not name.startswith("LUNEO_")}
    with subprocess.Popen(
        [sys.executable, "-m", "entrypoints.cli.main", process], env={**others, **settings}, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stderr is not None
        try:
            first = json.loads(running.stderr.readline())
            running.terminate()
            running.wait(15)
        finally:
            running.kill()
    assert (first["event"], first["serves"]) == ("started", [process])
    assert running.returncode == 0, "it ends when it is asked to, also while it is just connecting"
