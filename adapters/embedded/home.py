"""The folder that holds everything `luneo up` keeps: who uses it now, and its secrets."""

import fcntl
import json
import os
import secrets
from pathlib import Path
from types import TracebackType
from typing import Self

from adapters.embedded.processes import write_atomically

_SECRET_BYTES = 32


class HomeInUse(Exception):
    """Another `luneo up` runs on this folder; the message names the folder and the process."""


class SecretsUnreadable(Exception):
    """The secrets file is damaged or belongs to somebody else; the message says what to do."""


class HomeLock:
    """The right to use a home folder, held by one process at a time and let go when that process ends, however it ends."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Make the folder (0700) if need be and take it. Raises `HomeInUse` when another process has it."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise HomeInUse(f"Luneo is already running on {self._home} (process {holder}).") from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor

    def release(self) -> None:
        """Let go. The file stays: removing it would let two processes lock two different files."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


class Secrets:
    """Random secrets by name, each made when it is first asked for and the same ever after.

    Kept in one JSON file with mode 0600, written as a whole or not at all. Only the holder of the `HomeLock` may make new ones.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._values = self._load()

    def get(self, name: str) -> str:
        """Return the secret of this name: 43 URL-safe characters, 256 bits."""
        if name not in self._values:
            values = {**self._values, name: secrets.token_urlsafe(_SECRET_BYTES)}
            write_atomically(self._path, json.dumps(values, indent=2) + "\n")
            self._values = values
        return self._values[name]

    def _load(self) -> dict[str, str]:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise SecretsUnreadable(f"Cannot read {self._path}: {error.strerror}.") from error
        with open(descriptor) as file:  # noqa: PTH123 - a descriptor, not a path
            if os.fstat(descriptor).st_mode & 0o077:
                os.fchmod(descriptor, 0o600)
            try:
                values = json.load(file)
            except ValueError as error:
                raise SecretsUnreadable(f"{self._path} is damaged: restore it from a back-up.") from error
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise SecretsUnreadable(f"{self._path} is damaged: restore it from a back-up.")
        return values
