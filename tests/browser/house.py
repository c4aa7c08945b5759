"""A `luneo up` of its own, and people who visit it in Chromium."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Request, Response

from adapters.embedded.supervisor import free_port

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "entrypoints" / "web" / "assets" / "node_modules" / "axe-core" / "axe.min.js"
WIDE, PHONE = (1280, 800), (390, 844)
PASSWORD = "a quiet river at dawn"
#: An expected refusal is told by the console too; everything else in it is a defect.
_REFUSAL = re.compile(r"Failed to load resource: the server responded with a status of (\d+)")
_GONE = re.compile(
    r"Failed to load resource: net::ERR_"
    r"(INTERNET_DISCONNECTED|CONNECTION_REFUSED|CONNECTION_RESET|EMPTY_RESPONSE|INCOMPLETE_CHUNKED_ENCODING)"
)
_READY_SECONDS, _LEARNED_SECONDS, _STOP_SECONDS = 60.0, 120.0, 30.0
_SHOTS = os.environ.get("LUNEO_SCREENSHOTS")


@dataclass(frozen=True)
class House:
    """A running Luneo."""

    base_url: str
    home: Path
    email: str
    password: str
    api_key: str

    def wait_until_learned(self) -> None:
        """Wait until the demo agent knows all that it is to know."""
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{self.base_url}/api/v1/knowledge-bases", headers={"Authorization": f"Bearer {self.api_key}"}
        )
        deadline = time.monotonic() + _LEARNED_SECONDS
        while time.monotonic() < deadline:
            with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - our own address
                bases = json.load(answer)["items"]
            if bases and all(base["sources_ready"] == base["sources"] for base in bases):
                return
            time.sleep(0.2)
        raise RuntimeError(f"the demo agent still learns after {_LEARNED_SECONDS} s")

    def run(self, statement: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        """Run a statement as the superuser."""
        secrets = json.loads((self.home / "secrets.json").read_text(encoding="utf-8"))
        settings = json.loads((self.home / "environment.json").read_text(encoding="utf-8"))
        address = urlsplit(settings["LUNEO_DATABASE_URL"])
        dsn = f"postgresql://postgres:{secrets['postgres_superuser']}@127.0.0.1:{address.port}{address.path}"
        with psycopg.connect(dsn, autocommit=True) as connection:
            cursor = connection.execute(statement.encode(), parameters)
            return cursor.fetchall() if cursor.description else []

    def kill_api(self) -> None:
        """SIGKILL the process that serves; another is started in its place."""
        os.kill(int(json.loads((self.home / "run" / "api.pid").read_text(encoding="utf-8"))["pid"]), signal.SIGKILL)


@contextmanager
def running(folder: Path) -> Iterator[House]:
    """Start `luneo up` in `folder` with a model that speaks slowly enough to be watched, and stop it."""
    home, log = folder / "home", folder / "up.log"
    given = {name: value for name, value in os.environ.items() if not name.startswith("LUNEO_")}
    environment = {
        **given,
        "PYTHONPATH": str(ROOT),
        "LUNEO_HOME": str(home),
        "LUNEO_PORT": str(free_port()),
        "LUNEO_LOCAL_WORDS_PER_SECOND": "12",
        "LUNEO_RUNNER_SILENCE_SECONDS": "7",  # a process that is killed is known to be dead within seconds
    }
    with log.open("wb") as output:
        up = subprocess.Popen(
            [sys.executable, "-m", "entrypoints.cli.main", "up"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        demo = _demo(home / "demo.json", up, log)
        yield House(base_url=demo["base_url"], home=home, email=demo["email"], password=demo["password"], api_key=demo["api_key"])
    finally:
        up.send_signal(signal.SIGINT)
        try:
            up.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(up.pid, signal.SIGKILL)
            up.wait()


def _demo(file: Path, up: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline and up.poll() is None:
        with suppress(OSError, ValueError):
            return dict(json.loads(file.read_text(encoding="utf-8")))
        time.sleep(0.05)
    logs = [log, *sorted((file.parent / "logs").glob("*.log"))]
    told = "\n".join(f"{one.name}:\n{one.read_text(errors='replace')[-1500:]}" for one in logs)
    raise RuntimeError(f"luneo up does not serve:\n{told}")


@dataclass
class Visit:
    """One person's browser: a page, and everything in it that must not be."""

    house: House
    context: BrowserContext
    page: Page
    name: str
    refusals: set[int] = field(default_factory=set)
    offline: bool = False
    wrong: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.page.on("request", self._request)
        self.page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        refused = _REFUSAL.match(message.text)
        if (refused and int(refused[1]) in self.refusals) or (self.offline and _GONE.match(message.text)):
            return
        if message.type in {"error", "warning"}:
            self.wrong.append(f"console: {message.text}")

    def _request(self, request: Request) -> None:
        if not request.url.startswith((self.house.base_url + "/", "data:")):
            self.wrong.append(f"asks elsewhere: {request.url}")

    def _response(self, response: Response) -> None:
        if response.status >= 500:
            self.wrong.append(f"{response.status} at {response.url}")

    def go(self, path: str) -> None:
        """Open a page."""
        self.page.goto(self.house.base_url + path)

    def see(self, selector: str) -> Locator:
        """Wait until an element is there, and return it."""
        found = self.page.locator(selector).first
        found.wait_for()
        return found

    def sign_in(self, email: str, password: str) -> None:
        """Sign in by the form."""
        self.go("/sign-in")
        self.page.fill("#email", email)
        self.page.fill("#password", password)
        self.page.get_by_role("main").get_by_role("button").click()
        self.see("[data-meter] .bar")

    def inspect(self, state: str) -> None:
        """Hold the state against axe-core and the width of the screen, and keep a picture of it when somebody wants to look."""
        if _SHOTS:
            Path(_SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=f"{_SHOTS}/{self.name}-{state}.png", animations="disabled")
        found = self.page.evaluate("async () => (await axe.run(document, {resultTypes: ['violations']})).violations")
        assert not found, f"{state}: " + "\n".join(
            f"{v['id']}: {v['help']}: {[(n['target'], n['failureSummary']) for n in v['nodes']][:4]}" for v in found
        )
        width = self.page.evaluate("() => document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert width <= 0, f"{state}: {width} pixels wider than the screen"
        if self.page.locator("body.app").count():
            height = self.page.evaluate("() => document.documentElement.scrollHeight - document.documentElement.clientHeight")
            assert height <= 0, f"{state}: the frame itself scrolls by {height} pixels"
        assert not self.wrong, f"{state}: {self.wrong}"


@contextmanager
def visiting(
    browser: Browser,
    house: House,
    name: str,
    *,
    language: str = "en-GB",
    theme: str = "light",
    size: tuple[int, int] = WIDE,
    reduced_motion: bool = True,
) -> Iterator[Visit]:
    """A person with a fresh browser. In the end nothing wrong may have been seen."""
    context = browser.new_context(
        locale=language,
        color_scheme=theme,  # type: ignore[arg-type] # one of two words
        viewport={"width": size[0], "height": size[1]},
        reduced_motion="reduce" if reduced_motion else "no-preference",
    )
    context.set_default_timeout(20_000)
    context.add_init_script(path=AXE)
    visit = Visit(house, context, context.new_page(), name)
    try:
        yield visit
        assert not visit.wrong, visit.wrong
    finally:
        context.close()
