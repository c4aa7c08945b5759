"""The one who is allowed everything: credentials, and real objects for the places of paths."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx2

from entrypoints.composition.demo import Demo

_QUESTION = {"content": "How much is the Pro plan?"}
_LEARNING_SECONDS = 60.0
_TEXT = "The Pro plan costs 49 euros each month. The free plan costs nothing."


class Owner:
    """Calls the API as the owner of the demo's organisation."""

    def __init__(self, demo: Demo, client: httpx2.Client) -> None:
        self.demo = demo
        self._client = client
        self.headers = self.fresh_session()
        self._ids: dict[str, str] | None = None
        self.has_changed = False

    @classmethod
    @contextmanager
    def signed_in(cls, demo: Demo) -> Iterator["Owner"]:
        """Sign in."""
        with httpx2.Client(base_url=f"{demo.base_url}/api/v1", timeout=30) as client:
            yield cls(demo, client)

    def fresh_session(self) -> dict[str, str]:
        """Sign in once more; return what proves it."""
        body = {"email": self.demo.email, "password": self.demo.password, "session": "token"}
        return {"Authorization": f"Bearer {self._made('POST', '/auth/login', body, {})['access_token']}"}

    @property
    def key(self) -> dict[str, str]:
        """What proves the organisation's API key."""
        return {"Authorization": f"Bearer {self.demo.api_key}"}

    @property
    def ids(self) -> Mapping[str, str]:
        """Ids of objects that are there, by the names of path parameters."""
        if self._ids is None:
            self._ids = self._made_anew()
        return self._ids

    def lost_something(self) -> None:
        """Say that objects may be gone: what is left of them is deleted, and the next look makes others."""
        if self._ids is not None:
            for path in (f"/agents/{self._ids['agent_id']}", f"/knowledge-bases/{self._ids['knowledge_base_id']}"):
                self.delete(f"{self.demo.base_url}/api/v1{path}")
        self._ids, self.has_changed = None, False

    def delete(self, url: str) -> None:
        """Delete an object unless it is gone: the plan holds only so many."""
        answer = self._client.delete(url, headers=self.headers)
        assert answer.is_success or answer.status_code == 404, answer.text

    def _made_anew(self) -> dict[str, str]:
        base = self._made("POST", "/knowledge-bases", {"name": "Prices", "language": "en"})["id"]
        source = self._made("POST", f"/knowledge-bases/{base}/sources", {"type": "text", "name": "Prices", "content": _TEXT})["id"]
        agent = self._made("POST", "/agents", {"name": "Guide", "languages": ["en"], "knowledge_base_ids": [base]})
        self._made("POST", f"/agents/{agent['id']}/publish")
        conversation = self._made("POST", "/conversations", {"agent_id": agent["id"]})["id"]
        turn = self._answered(f"/conversations/{conversation}/messages")
        key = self._made("POST", "/api-keys", {"name": "spare", "scopes": ["agents:view"]})["id"]
        self.fresh_session()
        devices = self._made("GET", "/auth/sessions")["items"]
        return {
            "knowledge_base_id": base,
            "source_id": source,
            "agent_id": agent["id"],
            "model": agent["slug"],
            "conversation_id": conversation,
            "turn_id": turn["turn_id"],
            "message_id": turn["message"]["id"],
            "api_key_id": key,
            "session_id": next(device["id"] for device in devices if not device["current"]),
            "member_id": self._made("GET", "/members")["items"][0]["id"],
            "organization_id": self.demo.organization_id,
        }

    def _answered(self, path: str) -> Any:
        """Ask until there is an answer: there is no index before the first source is in it."""
        deadline = time.monotonic() + _LEARNING_SECONDS
        while self._client.post(path, json=_QUESTION, headers=self.headers).status_code == 503:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        return self._made("POST", path, _QUESTION)

    def _made(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        answer = self._client.request(method, path, json=body, headers=self.headers if headers is None else headers)
        assert answer.is_success, f"{method} {path}: {answer.text}"
        return answer.json()
