"""Child processes under supervision: started in order, watched, restarted, stopped in reverse order.

One thread, normally the main one, does it all: `start_all`, then `watch` until somebody asks to stop, then `stop_all`.
"""

import contextlib
import os
import select
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from adapters.embedded.processes import Account, EmbeddedServerFailed, PidFile, ProcessMark, spawn, wait_until

_LOG_LIMIT_BYTES = 10_000_000
_LOG_TAIL_BYTES = 2_000
_PROBE_SECONDS = 0.02
_NEXT_PORTS = 100


class NoFreePort(Exception):
    """Neither the preferred port nor the hundred after it is free."""


def free_port(preferred: int = 0) -> int:
    """Return a TCP port that nobody listens on at 127.0.0.1: the preferred one or the next free one; any for 0.

    Somebody may take it before it is used: ask right before starting, at each start. Raises `NoFreePort`.
    """
    for port in range(preferred, preferred + _NEXT_PORTS + 1) if preferred else (0,):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except (OSError, OverflowError):
                continue
            return int(probe.getsockname()[1])
    raise NoFreePort(f"No free port on 127.0.0.1 from {preferred} to {preferred + _NEXT_PORTS}.")


def accepts_connections(port: int) -> bool:
    """Tell whether somebody listens on a port of 127.0.0.1: the simplest readiness probe."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """When a child that died is started again: after `first` seconds, doubled at each death up to `most`.

    A child that stayed up for `settled` seconds starts again from `first`.
    """

    first: float = 0.5
    most: float = 10.0
    settled: float = 30.0

    def delay(self, deaths: int) -> float:
        """Return the seconds to wait after the given number of deaths in a row (1 for the first)."""
        return float(min(self.first * 2 ** min(deaths - 1, 16), self.most))


def _nothing() -> None:
    """Prepare nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildProcess:
    """What to start and how to treat it.

    `prepare` runs before each start, restarts included, and clears what a killed predecessor left. `ready` is a quick probe, asked
    until it says yes or `ready_timeout` seconds are over. `environment` replaces ours when given. `after` names children of the
    same `start_all` that must be ready first; those that wait for nobody start together. `stop_signal` is also what the kernel
    sends when the supervisor dies; what then still runs gets it once more at the next start, with `leftover_timeout` seconds to end.
    `restart` None means: its end is the end of everything.
    """

    name: str
    argv: Sequence[str]
    log: Path
    folder: Path
    ready: Callable[[], bool]
    environment: Mapping[str, str] | None = None
    account: Account | None = None
    prepare: Callable[[], None] = _nothing
    after: Sequence[str] = ()
    ready_timeout: float = 30.0
    stop_signal: int = signal.SIGTERM
    stop_timeout: float = 10.0
    leftover_timeout: float = 5.0
    restart: RestartPolicy | None = RestartPolicy()


class RunningChild:
    """One child process: launched, asked whether it is ready, stopped."""

    def __init__(self, child: ChildProcess, pid_folder: Path) -> None:
        self.child = child
        self.process: subprocess.Popen[bytes] | None = None
        self._pid_file = PidFile(pid_folder / f"{child.name}.pid")
        self._log_start = 0

    def launch(self) -> None:
        """Stop what an earlier run left, prepare, start. Returns before the child is ready."""
        child = self.child
        self.stop_leftover()
        child.prepare()
        child.log.parent.mkdir(parents=True, exist_ok=True)
        if child.log.exists() and child.log.stat().st_size > _LOG_LIMIT_BYTES:
            child.log.replace(child.log.with_name(f"{child.log.name}.1"))
        with open(child.log, "ab", opener=_private) as log:
            self._log_start = log.tell()
            self.process = spawn(
                child.argv,
                output=log,
                folder=child.folder,
                environment=child.environment,
                account=child.account,
                death_signal=child.stop_signal,
            )
        mark = ProcessMark.of(self.process.pid)
        if mark is not None:
            self._pid_file.write(mark)

    def stop_leftover(self) -> None:
        """Stop what an earlier run left, if it still runs."""
        self._pid_file.stop_leftover(self.child.stop_signal, self.child.leftover_timeout)

    def is_alive(self) -> bool:
        """Tell whether the process runs (also collects its exit status when it does not)."""
        return self.process is not None and self.process.poll() is None

    def is_ready(self) -> bool:
        """Ask the probe. Raises `EmbeddedServerFailed` with the end of the log when the process has ended."""
        if not self.is_alive():
            raise EmbeddedServerFailed(self.obituary())
        return self.child.ready()

    def wait_ready(self) -> None:
        """Wait for readiness. Raises `EmbeddedServerFailed` when it ends first or takes longer than its `ready_timeout`."""
        if not wait_until(self.is_ready, self.child.ready_timeout):
            raise self.too_slow()

    def too_slow(self) -> EmbeddedServerFailed:
        """Return the error of a child that is not ready in time."""
        return EmbeddedServerFailed(f"{self.child.name} was not ready within {self.child.ready_timeout:g} s.\n{self.log_tail()}")

    def stop(self) -> None:
        """Ask it to end, wait `stop_timeout` seconds, then kill it; return when it is gone. Does nothing when it is."""
        process = self.process
        if process is None:
            return
        if process.poll() is None:
            process.send_signal(self.child.stop_signal)
            try:
                process.wait(self.child.stop_timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._pid_file.remove()

    def obituary(self) -> str:
        """Say how it ended, with the end of what it wrote."""
        code = self.process.poll() if self.process is not None else None
        if code is None:
            return f"{self.child.name} does not run."
        how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return f"{self.child.name} {how}.\n{self.log_tail()}".rstrip()

    def log_tail(self) -> str:
        """Return the last lines this launch wrote."""
        try:
            with self.child.log.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start, size - _LOG_TAIL_BYTES))
                return log.read().decode(errors="replace").strip()
        except OSError:
            return ""


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


@dataclass(slots=True)
class _Watched:
    running: RunningChild
    launched_at: float = 0.0
    deaths: int = 0
    due_at: float | None = None


class Supervisor:
    """Starts children, restarts those that die, stops all.

    `pid_folder` keeps a pid file per child, so that the next run finds what a killed supervisor left. `report` is told each
    noteworthy event in one line.
    """

    def __init__(self, pid_folder: Path, *, report: Callable[[str], None]) -> None:
        self._pid_folder = pid_folder
        self._report = report
        self._watched: list[_Watched] = []
        self._stop_requested = threading.Event()
        self._wake_reader, self._wake_writer = os.pipe()
        os.set_blocking(self._wake_writer, False)

    def start_all(self, children: Sequence[ChildProcess]) -> None:
        """Start children and return when all are ready; may be called again for more.

        What an earlier run left of them is stopped before, in the order of `stop_all`: whoever works for the others goes first.
        Raises `EmbeddedServerFailed` when one ends or stays silent; what was started stays and is stopped by `stop_all`. Returns
        early when a stop is requested meanwhile.
        """
        self._refuse_impossible(children)
        waiting = list(children)
        for child in reversed(waiting):
            RunningChild(child, self._pid_folder).stop_leftover()
        starting: list[tuple[_Watched, float]] = []
        ready = {watched.running.child.name for watched in self._watched}
        while (waiting or starting) and not self._stop_requested.is_set():
            able = [child for child in waiting if ready.issuperset(child.after)]
            if not able and not starting:
                raise ValueError(f"{', '.join(child.name for child in waiting)} wait for each other.")
            for child in able:
                waiting.remove(child)
                watched = _Watched(RunningChild(child, self._pid_folder))
                self._watched.append(watched)
                self._launch(watched)
                starting.append((watched, time.monotonic() + child.ready_timeout))
            for pair in list(starting):
                watched, deadline = pair
                if watched.running.is_ready():
                    starting.remove(pair)
                    ready.add(watched.running.child.name)
                elif time.monotonic() > deadline:
                    raise watched.running.too_slow()
            if starting:
                self._stop_requested.wait(_PROBE_SECONDS)

    def _refuse_impossible(self, children: Sequence[ChildProcess]) -> None:
        names = {watched.running.child.name for watched in self._watched} | {child.name for child in children}
        for child in children:
            unknown = set(child.after) - names
            if unknown or child.name in child.after:
                raise ValueError(f"{child.name} waits for {sorted(unknown) or child.name}, which would never be ready.")

    def watch(self) -> None:
        """Keep the children running until a stop is requested.

        Raises `EmbeddedServerFailed` when a child without a restart policy ends.
        """
        while not self._stop_requested.is_set():
            now = time.monotonic()
            for watched in self._watched:
                if watched.due_at is not None:
                    if watched.due_at <= now:
                        self._relaunch(watched)
                elif not watched.running.is_alive():
                    self._bury(watched)
            self._sleep()

    def request_stop(self) -> None:
        """Make `watch` (and a `start_all` in progress) return. May be called from any thread and from a signal handler."""
        self._stop_requested.set()
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_writer, b"\0")

    @contextlib.contextmanager
    def stopping_on_signals(self) -> Iterator[None]:
        """Within the block SIGINT, SIGTERM and SIGHUP request a stop instead of ending this process. Main thread only."""

        def stop(_number: int, _frame: FrameType | None) -> None:
            self.request_stop()

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @property
    def stop_requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self._stop_requested.is_set()

    def is_alive(self, name: str) -> bool:
        """Tell whether the child of this name runs now."""
        return any(watched.running.child.name == name and watched.running.is_alive() for watched in self._watched)

    def stop_all(self) -> None:
        """Stop every child, the last started first, each within its own time-out. A second call does nothing."""
        self.request_stop()
        while self._watched:
            watched = self._watched.pop()
            watched.running.stop()

    def _launch(self, watched: _Watched) -> None:
        watched.running.launch()
        watched.launched_at = time.monotonic()

    def _bury(self, watched: _Watched) -> None:
        policy = watched.running.child.restart
        obituary = watched.running.obituary()
        if policy is None:
            raise EmbeddedServerFailed(obituary)
        settled = time.monotonic() - watched.launched_at >= policy.settled
        watched.deaths = 1 if settled else watched.deaths + 1
        delay = policy.delay(watched.deaths)
        watched.due_at = time.monotonic() + delay
        self._report(f"{obituary.splitlines()[0]} It is started again in {delay:g} s.")

    def _relaunch(self, watched: _Watched) -> None:
        watched.due_at = None
        try:
            self._launch(watched)
        except (OSError, EmbeddedServerFailed) as error:
            self._report(f"{watched.running.child.name} could not be started: {error}")
            watched.launched_at = time.monotonic()

    def _sleep(self) -> None:
        """Sleep until a child ends, a restart is due or a stop is requested."""
        dues = [watched.due_at for watched in self._watched if watched.due_at is not None]
        timeout = max(0.0, min(dues) - time.monotonic()) if dues else 1.0
        if not hasattr(os, "pidfd_open"):
            timeout = min(timeout, 0.1)
        descriptors: list[int] = []
        try:
            for watched in self._watched:
                process = watched.running.process
                if process is not None and process.returncode is None and hasattr(os, "pidfd_open"):
                    with contextlib.suppress(OSError):
                        descriptors.append(os.pidfd_open(process.pid))
            select.select([self._wake_reader, *descriptors], [], [], timeout)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
