"""`luneo chat` beside a server that breaks off: a broken answer is followed to its end, or said to be broken."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from entrypoints.cli.chat import chat
from shared_kernel.identifiers import new_id

TURN, CONVERSATION = new_id(), new_id()
Told = list[tuple[str, dict[str, object]]]
PROBLEM = {"problem": {"detail": "The answer was interrupted"}}
WHOLE: tuple[str, dict[str, object]] = ("answer.completed", {"message": {"content": "Nine euros.", "citations": []}})
BEGUN: Told = [("turn.started", {}), ("answer.delta", {"text": "Nine "})]


@contextmanager
def serving(*streams: Told | int) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Serve each request with the next stream (numbered on from the one before), broken off after it, or with a status."""
    asked: list[tuple[str, str]] = []
    rest = list(streams)

    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        told: ClassVar[list[int]] = [0]

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            asked.append((f"{self.command} {self.path}", self.headers["last-event-id"]))
            stream = rest.pop(0) if len(rest) > 1 else rest[0]
            self.close_connection = True
            if isinstance(stream, int):
                self.send_response(stream)
                self.send_header("content-length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("luneo-turn", str(TURN))
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for name, data in stream:
                self.told[0] += 1
                said = json.dumps({"turn_id": str(TURN), "sequence": self.told[0], **data})
                event = f"id: {self.told[0]}\nevent: {name}\ndata: {said}\n\n".encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(event), event))

        do_GET = do_POST = _answer  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
        thread.join()


def ask(url: str, pauses: list[float] | None = None) -> int:
    slept = [] if pauses is None else pauses
    return chat("How much?", agent=None, url=url, api_key="key", conversation=CONVERSATION, pause=slept.append)


def test_a_whole_answer_is_printed_once(capsys: pytest.CaptureFixture[str]) -> None:
    with serving([*BEGUN, ("answer.delta", {"text": "euros."}), WHOLE, ("turn.completed", {})]) as (url, asked):
        assert ask(url) == 0
    assert capsys.readouterr().out == f"Nine euros.\n  (continue with --conversation {CONVERSATION})\n"
    assert len(asked) == 1


@pytest.mark.parametrize("rest", [[("answer.delta", {"text": "euros."}), WHOLE], [WHOLE]])
def test_a_broken_answer_is_followed_from_its_last_event(capsys: pytest.CaptureFixture[str], rest: Told) -> None:
    with serving(BEGUN, 503, [*rest, ("turn.completed", {})]) as (url, asked):
        assert ask(url) == 0
    assert capsys.readouterr().out.startswith("Nine euros.\n")
    assert asked[1:] == [(f"GET /api/v1/turns/{TURN}/events", "2")] * 2


@pytest.mark.parametrize("then", [[("turn.failed", PROBLEM)], [], 503])
def test_a_broken_answer_is_no_answer(capsys: pytest.CaptureFixture[str], then: Told | int) -> None:
    pauses: list[float] = []
    with serving(BEGUN, then) as (url, _):
        assert ask(url, pauses) == 1
    said = capsys.readouterr()
    assert (said.out, "Traceback" in said.err) == ("Nine \n", False)
    assert ("was interrupted" if isinstance(then, list) and then else "broke off") in said.err
    assert sum(pauses) <= 15


@pytest.mark.parametrize("url", ["http://[::1", "http://127.0.0.1:port", "http://" + "a" * 70, "ftp://x"])
def test_an_address_that_is_none(capsys: pytest.CaptureFixture[str], url: str) -> None:
    assert ask(url) == 1
    assert capsys.readouterr().err.startswith("luneo chat: ")


def test_when_nothing_runs_it_says_what_starts_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUNEO_HOME", str(tmp_path))
    monkeypatch.delenv("LUNEO_API_KEY", raising=False)
    with serving([]) as (url, _):
        pass
    for of in (url, None):
        assert chat("?", agent=None, url=of, api_key="key", conversation=CONVERSATION) == 1
        said = capsys.readouterr().err
        assert "`make run`" in said
        assert "`luneo up`" in said
