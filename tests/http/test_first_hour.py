"""The first hour of the README against a real `luneo up`, by HTTP alone; then everything is killed in mid-turn, and the books agree."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 60
EMAIL, PASSWORD = "ada@example.com", "correct horse battery staple"
PARCELS = (
    "Parcels are handed over against a signature, or left with a neighbour when you allow it in your account, "
    "and the carrier sends you a message with the hour on the morning of the delivery."
)
DELIVERY = (
    f"# Delivery\n\nWe deliver within three working days in France and within five elsewhere in Europe. {PARCELS}\n\n"
    "## Cost\n\nDelivery is free from 50 euros."
)
RETURNS = "Vous avez trente jours pour retourner un article, avec l’étiquette jointe au colis."


def _ends_of_logs(home: Path) -> str:
    return "".join(f"\n{log.name}:\n{log.read_text(encoding='utf-8', errors='replace')[-3000:]}" for log in (home / "logs").glob("*.log"))


@dataclass
class Running:
    """`luneo up` on a folder of its own."""

    home: Path
    process: subprocess.Popen[str] | None = None
    demo: dict[str, str] = field(default_factory=dict)

    def start(self) -> None:
        self.process = _luneo(self.home, "up")
        assert self.process.stdout is not None
        said = []
        for line in self.process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C stops everything"):
                break
        else:
            pytest.fail("luneo up ended:\n" + "".join(said) + _ends_of_logs(self.home))
        self.demo = json.loads((self.home / "demo.json").read_text(encoding="utf-8"))

    def stop(self) -> int:
        """Press Ctrl-C and return the exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self._ended()

    def kill_everything(self) -> None:
        """SIGKILL the supervisor and all its children at once."""
        assert self.process is not None
        children = [int(json.loads(mark.read_text(encoding="utf-8"))["pid"]) for mark in (self.home / "run").glob("*.pid")]
        assert len(children) == 5
        for pid in (self.process.pid, *children):
            os.kill(pid, signal.SIGKILL)
        self._ended()

    def _ended(self) -> int:
        assert self.process is not None
        with self.process as process:
            process.communicate(timeout=SECONDS)
        self.process = None
        return process.returncode


def _luneo(home: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LUNEO_")}
    return subprocess.Popen(
        [sys.executable, "-m", "entrypoints.cli.main", *arguments],
        cwd=ROOT,
        env={**environment, "LUNEO_HOME": str(home), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(home: Path, *arguments: str) -> tuple[int, str]:
    with _luneo(home, *arguments) as process:
        said, _ = process.communicate(timeout=SECONDS)
    return process.returncode, said


@pytest.fixture(scope="module")
def up() -> Iterator[Running]:
    # not below pytest's private folder: started by root, Postgres must be able to pass through
    running = Running(Path(tempfile.mkdtemp(prefix="luneo-first-hour-")))
    try:
        running.start()
        yield running
    finally:
        if running.process is not None:
            running.stop()
        shutil.rmtree(running.home)


@pytest.fixture
def client(up: Running) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=up.demo["base_url"] + "/api/v1", timeout=SECONDS) as client:
        yield client


def until(found: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + SECONDS
    while not (value := found()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return value


def good(response: httpx.Response) -> Any:
    assert response.is_success, response.text
    return response.json()


def events_of(response: httpx.Response) -> Iterator[tuple[int, str, dict[str, Any]]]:
    number, name = 0, ""
    for line in response.iter_lines():
        if line.startswith("id: "):
            number = int(line[4:])
        elif line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield number, name, json.loads(line[6:])


def test_the_first_hour(up: Running, client: httpx.Client) -> None:
    _sign_up(up, client)
    conversation = f"/conversations/{_conversation_with_knowledge(client)}"

    english = good(client.post(f"{conversation}/messages", json={"content": "When is delivery free?"}))
    assert english["message"]["content"].startswith("Delivery is free from 50 euros. [")
    (citation,) = english["message"]["citations"]
    assert DELIVERY[citation["locator"]["start"] : citation["locator"]["end"]] == citation["quote"] == "Delivery is free from 50 euros."
    french = good(client.post(f"{conversation}/messages", json={"content": "Comment retourner un article ?"}))
    assert RETURNS in french["message"]["content"]

    streamed = _a_dropped_stream_resumes(client, conversation)
    stopped = _a_turn_is_stopped(client, conversation)
    assert streamed != stopped
    _the_books_agree(client, answers=4)

    status, said = run(up.home, "up")
    assert (status, f"Open {up.demo['base_url']}." in said) == (1, True), said
    status, said = run(up.home, "doctor")
    assert status == 0, said

    interrupted = _killed_in_mid_turn(up, client, conversation)
    up.start()
    with httpx.Client(base_url=up.demo["base_url"] + "/api/v1", headers=client.headers, timeout=SECONDS) as again:
        ended = until(lambda: (turn := good(again.get(f"/turns/{interrupted}")))["status"] != "running" and turn, "the turn's end")
        assert (ended["status"], ended["problem"]["retryable"], ended["message"]) == ("failed", True, None)
        _the_books_agree(again, answers=4)
        assert good(again.post(f"{conversation}/messages", json={"content": "When is delivery free?"}))["status"] == "completed"
        _the_books_agree(again, answers=5)
    assert up.stop() == 0
    assert not (up.home / "demo.json").exists()


def _sign_up(up: Running, client: httpx.Client) -> None:
    body = {"email": EMAIL, "password": PASSWORD, "full_name": "Ada Lovelace", "organization_name": "Analytical Engines"}
    assert client.post("/auth/signup", json=body).status_code == 202
    mailbox = up.demo["base_url"] + "/dev/mailbox"
    (mail,) = until(lambda: [m for m in good(client.get(mailbox))["items"] if m["to"] == EMAIL], "the mail")
    code = re.search(r"signed up: (\d{6})", mail["text"])
    assert code is not None
    good(client.post("/auth/verify-email", json={"email": EMAIL, "code": code.group(1), "session": "token"}))
    session = good(client.post("/auth/login", json={"email": EMAIL, "password": PASSWORD, "session": "token"}))
    client.headers["Authorization"] = f"Bearer {session['access_token']}"


def _conversation_with_knowledge(client: httpx.Client) -> str:
    agent = good(client.post("/agents", json={"name": "Help desk", "template_slug": "support-agent", "languages": ["en", "fr"]}))["id"]
    base = good(client.post("/knowledge-bases", json={"name": "Shop", "language": "en"}))["id"]
    pairs = [{"question": "Comment retourner un article ?", "answer": RETURNS}]
    for source in (
        {"type": "text", "name": "Delivery", "content": DELIVERY},
        {"type": "qa", "name": "Retours", "language": "fr", "pairs": pairs},
    ):
        assert client.post(f"/knowledge-bases/{base}/sources", json=source).status_code == 202
    good(client.put(f"/agents/{agent}/knowledge-bases", json={"knowledge_base_ids": [base]}))
    assert good(client.post(f"/agents/{agent}/publish"))["status"] == "published"
    until(lambda: good(client.get(f"/knowledge-bases/{base}"))["sources_ready"] == 2, "the knowledge")
    conversation: str = good(client.post("/conversations", json={"agent_id": agent}))["id"]
    return conversation


def _a_dropped_stream_resumes(client: httpx.Client, conversation: str) -> str:
    seen = []
    with _streamed(client, conversation, "How are parcels handed over?") as response:
        turn = response.headers["Luneo-Turn"]
        for event in events_of(response):
            seen.append(event)
            if event[1] == "answer.delta":
                break
    with client.stream("GET", f"/turns/{turn}/events", headers={"Last-Event-ID": str(seen[-1][0])}) as response:
        seen += list(events_of(response))
    assert [number for number, _, _ in seen] == list(range(1, len(seen) + 1))
    assert [name for _, name, _ in seen][-2:] == ["answer.completed", "turn.completed"]
    said = "".join(data["text"] for _, name, data in seen if name == "answer.delta")
    assert PARCELS in said
    assert good(client.get(f"/turns/{turn}"))["message"]["content"] == said == seen[-2][2]["message"]["content"]
    return str(turn)


def _a_turn_is_stopped(client: httpx.Client, conversation: str) -> str:
    with _streamed(client, conversation, "How are parcels handed over?") as response:
        turn = response.headers["Luneo-Turn"]
        last = ""
        for number, name, _ in events_of(response):
            if number == 3:
                assert name == "answer.delta"
                assert client.post(f"/turns/{turn}/stop").status_code == 202
            last = name
    assert last == "turn.stopped"
    kept = good(client.get(f"/turns/{turn}"))
    assert kept["status"] == "stopped"
    assert PARCELS.startswith(kept["message"]["content"].strip())
    return str(turn)


def _killed_in_mid_turn(up: Running, client: httpx.Client, conversation: str) -> str:
    with suppress(httpx.TransportError), _streamed(client, conversation, "How are parcels handed over?") as response:
        turn: str = response.headers["Luneo-Turn"]
        for number, name, _ in events_of(response):
            if number == 6:  # half a second after the question, in the middle of its answer
                assert name == "answer.delta"
                up.kill_everything()
    return turn


def _streamed(client: httpx.Client, conversation: str, content: str) -> Any:
    return client.stream("POST", f"{conversation}/messages", json={"content": content}, headers={"Accept": "text/event-stream"})


def _the_books_agree(client: httpx.Client, *, answers: int) -> None:
    quotas = {quota["metric"]: quota for quota in good(client.get("/billing/quotas"))}
    assert (quotas["messages_ai"]["used"], quotas["conversations"]["used"]) == (answers, 1)
    assert all(quota["reserved"] == 0 for quota in quotas.values())
    totals = {total["metric"]: total["quantity"] for total in good(client.get("/billing/usage"))["totals"]}
    assert (totals["messages_ai"], totals["conversations"]) == (answers, 1)
    events = good(client.get("/billing/usage-events", params={"limit": 100}))["items"]
    assert sum(1 for event in events if event["metric"] == "messages_ai") == answers
    report = until(lambda: (r := good(client.get("/audit-events/verification")))["unsealed_count"] == 0 and r, "the seal")
    assert report["ok"], report
    assert report["sealed_up_to"]["count"] > 0
