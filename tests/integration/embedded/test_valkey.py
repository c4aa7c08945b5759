import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from adapters.embedded.processes import EmbeddedServerFailed, ProcessMark, wait_until
from adapters.embedded.supervisor import free_port
from adapters.embedded.valkey import EmbeddedValkey

PASSWORD = 's"écret \\ #@/:%'


@contextlib.contextmanager
def running(folder: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(folder, PASSWORD, free_port())
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextlib.contextmanager
def client(server: EmbeddedValkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as connected:
        yield connected


def pid_of(server: EmbeddedValkey) -> int:
    assert server.process is not None
    return server.process.pid


def test_it_serves_only_this_machine_and_only_with_the_password(tmp_path: Path) -> None:
    folder = tmp_path / 'a "strange" földer'
    with running(folder) as server:
        assert server.ready()
        with redis.Redis(port=server.port) as stranger, pytest.raises(redis.AuthenticationError):
            stranger.get("key")
        with client(server) as connected:
            assert connected.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert connected.config_get("appendonly") == {"appendonly": "yes"}
        process = psutil.Process(pid_of(server))
        assert {c.laddr.ip for c in process.net_connections("tcp") if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
        assert not any(PASSWORD in argument for argument in process.cmdline())
        assert (folder / "valkey.conf").stat().st_mode & 0o777 == 0o600
    assert not server.ready()


def test_a_kill_loses_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        with client(server) as connected:
            for number in range(1000):
                connected.set(f"key:{number}", number)
        os.kill(pid_of(server), signal.SIGKILL)
    with running(tmp_path) as server, client(server) as connected:
        assert connected.dbsize() == 1000


def test_a_server_left_by_an_earlier_run_is_stopped_and_replaced(tmp_path: Path) -> None:
    with running(tmp_path) as server, client(server) as connected:
        connected.set("key", "kept")
    child = server.child()
    leftover = subprocess.Popen(list(child.argv), cwd=child.folder, stdout=subprocess.DEVNULL)
    with leftover:
        assert wait_until(server.ready, 10)
        with running(tmp_path) as again, client(again) as connected:
            assert connected.get("key") == b"kept"
            assert leftover.poll() is not None


def test_a_taken_port_is_told_and_another_server_there_is_not_taken_for_ours(tmp_path: Path) -> None:
    with running(tmp_path / "one") as one:
        two = EmbeddedValkey(tmp_path / "two", "another password", one.port)
        assert not two.ready()
        with pytest.raises(EmbeddedServerFailed, match="Address already in use"):
            two.start()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        assert not EmbeddedValkey(tmp_path / "two", PASSWORD, silent.getsockname()[1]).ready()


def test_a_stop_leaves_no_process(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        pid = pid_of(server)
    assert ProcessMark.of(pid) is None
    server.stop()
