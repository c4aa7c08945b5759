import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from adapters.embedded.home import HomeInUse, HomeLock, Secrets, SecretsUnreadable


def test_a_home_has_one_holder_and_the_second_is_told_who(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    with HomeLock(home):
        assert home.stat().st_mode & 0o777 == 0o700
        with pytest.raises(HomeInUse, match=f"already running on {home}.*process {os.getpid()}"):
            HomeLock(home).acquire()
    with HomeLock(home):
        pass


def test_a_killed_holder_lets_go_and_its_children_do_not_hold_on(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, signal; from pathlib import Path; from adapters.embedded.home import HomeLock; "
        "HomeLock(Path(sys.argv[1])).acquire(); child = subprocess.Popen(['/bin/sleep', '60']); "
        "print(child.pid, flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        child = int(holder.stdout.readline())
        with pytest.raises(HomeInUse, match=f"process {holder.pid}"):
            HomeLock(tmp_path).acquire()
        holder.kill()
    try:
        with HomeLock(tmp_path):
            pass
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    secrets = Secrets(path)
    first, second = secrets.get("postgres"), secrets.get("valkey")
    assert len(first) == 43
    assert first != second
    assert (secrets.get("postgres"), Secrets(path).get("postgres"), Secrets(path).get("valkey")) == (first, first, second)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["secrets.json"]


def test_secrets_that_others_may_read_are_closed_again(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    Secrets(path).get("name")
    path.chmod(0o644)
    Secrets(path)
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("content", ["{", "[]", '{"name": 1}'])
def test_damaged_secrets_are_told_and_never_replaced(tmp_path: Path, content: str) -> None:
    path = tmp_path / "secrets.json"
    path.write_text(content)
    with pytest.raises(SecretsUnreadable, match="damaged"):
        Secrets(path)
    assert path.read_text() == content
