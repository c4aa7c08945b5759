"""`luneo up`: the embedded installation, from one command."""

import asyncio
import json
import os
import shlex
import shutil
import sys
import threading
import time
import urllib.request
from datetime import datetime
from pathlib import Path

from entrypoints.cli.demo_knowledge import demo_sources
from entrypoints.composition.demo import Demo, ensure_demo
from entrypoints.composition.embedded import DEMO_FILE, EmbeddedInstallation, given_settings
from entrypoints.settings import Settings
from entrypoints.web.bundle import FOLDER, Bundle
from shared_kernel.clock import SystemClock

_HOME_VARIABLE = "LUNEO_HOME"
_LOOK_SECONDS = 1.0
_REST = "; all of them takes about a minute."


def up() -> int:
    """Start everything, print where it is, and keep it running until Ctrl-C; return the exit status.

    Raises `SettingsError` before anything is launched.
    """
    given = given_settings(os.environ)
    home = Path(os.environ.get(_HOME_VARIABLE) or ".luneo").absolute()
    started, started_at = time.monotonic(), SystemClock().now()
    print(f"Starting Luneo in {home} …", flush=True)
    with EmbeddedInstallation.at(home, _say, given.port) as installation, installation.supervisor.stopping_on_signals():
        demo_file = home / DEMO_FILE
        demo_file.unlink(missing_ok=True)
        try:
            installation.start()
            if installation.supervisor.stop_requested:
                return 0
            demo = _demo(installation, started_at)
            installation.wait_until_served()
            if not installation.supervisor.stop_requested:
                demo.write(demo_file)
                _introduce(demo, home, time.monotonic() - started)
                threading.Thread(target=_tell_when_learned, args=(demo, installation), daemon=True).start()
                installation.supervisor.watch()
        finally:
            demo_file.unlink(missing_ok=True)
        print("Stopping …", flush=True)
    print("Luneo has stopped. Everything is kept for the next start.", flush=True)
    return 0


def _demo(installation: EmbeddedInstallation, started_at: datetime) -> Demo:
    settings = Settings.load({**os.environ, **installation.addresses.environment})
    return asyncio.run(
        ensure_demo(
            settings,
            started_at=started_at,
            base_url=installation.addresses.base_url,
            password=installation.demo_password,
            sources=demo_sources(),
        )
    )


def _introduce(demo: Demo, home: Path, seconds: float) -> None:
    print(
        f"""
Luneo is ready after {seconds:.1f} s.

  Address     {demo.base_url}
  API         {demo.base_url}/schema/openapi.json
  Mailbox     {_mailbox(demo.base_url)}
  Demo login  {demo.email}
  Password    {demo.password}
  API key     {demo.api_key}

  Try         {_command(home)} chat "What does Luneo do?"
  Logs        {home / "logs"}

Ctrl-C stops everything; nothing is lost.""",
        flush=True,
    )


def _mailbox(base_url: str) -> str:
    """Return where the mails are that would have been sent: the page, where pages are built, and the list for programs."""
    listed = f"{base_url}/dev/mailbox"
    return f"{base_url}/dev/mail (as JSON {listed})" if Bundle(FOLDER).entry("page") else listed


def _command(home: Path) -> str:
    """Return how `luneo` is typed in this folder so that it finds this installation."""
    program = Path(sys.argv[0])
    found = shutil.which("luneo")
    name = "luneo" if program.name != "luneo" or (found and Path(found).resolve() == program.resolve()) else os.path.relpath(program)
    elsewhere = "" if home == Path(".luneo").absolute() else f"LUNEO_HOME={shlex.quote(str(home))} "
    return elsewhere + name


def _tell_when_learned(demo: Demo, installation: EmbeddedInstallation) -> None:
    """Print how far the demo agent is with reading its knowledge, until it is done."""
    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{demo.base_url}/api/v1/knowledge-bases", headers={"Authorization": f"Bearer {demo.api_key}"}
    )
    told = -1
    while not installation.supervisor.stop_requested:
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - our own address
                bases = json.load(answer)["items"]
        except OSError:
            bases = []
        ready, total = sum(b["sources_ready"] for b in bases), sum(b["sources"] for b in bases)
        if bases and ready != told:
            told = ready
            print(
                f"Demo knowledge: {ready} of {total} sources are indexed{_REST if ready < total else '; the demo agent knows them all.'}",
                flush=True,
            )
        if bases and ready >= total:
            return
        time.sleep(_LOOK_SECONDS)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
