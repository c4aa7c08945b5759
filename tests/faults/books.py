"""Do the books agree? Read as the superuser, over all organisations."""

import subprocess
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

import msgspec
import psycopg
from psycopg.rows import dict_row

from contracts.billing.metrics import Metric
from domains.billing.model.usage import usage_id
from tests.faults.installation import wait_until
from tests.integration.billing.books import disagreements

_SWEPT_SECONDS = 40.0
_DELIVERED_SECONDS = 90.0

_UNSETTLED = """
select (select count(*) from conversational_ai.turns where state = 'running')
     + (select count(*) from billing.reservations where state = 'open')
"""
_UNDELIVERED = "select count(*) from messaging.deliveries where state <> 'done'"

_TURNS = """
select t.id, t.organization_id, t.conversation_id, t.state, t.ended_at, t.failure, t.tokens_in, t.tokens_out,
       r.state as reservation, r.closed_at, r.cause, m.id as answer, m.complete, q.id as question,
       (select array_agg(e.type order by e.type) from messaging.events e where e.aggregate = 'turn' and e.aggregate_id = t.id) as events
  from conversational_ai.turns t
  left join billing.reservations r on r.organization_id = t.organization_id and r.id = t.id
  left join conversational_ai.messages m on m.organization_id = t.organization_id and m.turn_id = t.id and m.role = 'assistant'
  left join conversational_ai.messages q on q.organization_id = t.organization_id and q.role = 'user'
   and (q.turn_id = t.id or q.id = t.question_id)
"""
_EVENT_OF_STATE = {
    "completed": "conversational_ai.turn_completed.v1",
    "stopped": "conversational_ai.turn_stopped.v1",
    "failed": "conversational_ai.turn_failed.v1",
}
_USAGE = "select id, metric, quantity, cause, cause_id, estimated from billing.usage_events"
_DELIVERIES = """
select consumer, aggregate_id, aggregate_version, ordinal, finished_at from messaging.deliveries
 where ordered order by consumer, aggregate_id, aggregate_version, ordinal
"""
_MISSING_DELIVERIES = """
select event_id, consumer, count(*) from messaging.deliveries group by event_id, consumer having count(*) <> 1
"""
_SOURCES = """
select s.id, s.organization_id, s.status, s.error, s.passages_total, s.passages_done, s.content_version,
       (select coalesce(array_agg(p.id order by p.ordinal), '{}') from conversational_ai.passages p
         where p.organization_id = s.organization_id and p.source_id = s.id) as passages,
       (select count(distinct p.ordinal) from conversational_ai.passages p
         where p.organization_id = s.organization_id and p.source_id = s.id and p.embedding_model is not null) as indexed,
       (select count(*) from billing.usage_events u
         where u.organization_id = s.organization_id and u.cause_id = s.id and u.metric = 'documents') as documents,
       (select count(*) from messaging.events e
         where e.aggregate_id = s.id and e.type = 'conversational_ai.knowledge_source_indexed.v1') as told
  from conversational_ai.knowledge_sources s where s.deleted_at is null
"""


class Bookkeeping(Protocol):
    """An installation whose books can be read."""

    @property
    def superuser(self) -> str:
        """A superuser's DSN."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """The settings of its processes."""
        ...

    def rows(self, statement: str, parameters: Mapping[str, object] | Sequence[object] | None = None) -> list[tuple[object, ...]]:
        """Run a statement as the superuser."""
        ...

    def luneo(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a short command to its end."""
        ...


def until_settled(luneo: Bookkeeping, seconds: float = _SWEPT_SECONDS) -> None:
    """Wait until no turn runs and no reservation is open: the sweepers' time."""
    wait_until(lambda: luneo.rows(_UNSETTLED) == [(0,)], seconds, "every turn has ended and every reservation is closed")


def until_delivered(luneo: Bookkeeping, seconds: float = _DELIVERED_SECONDS) -> None:
    """Wait until every delivery is done."""
    wait_until(lambda: luneo.rows(_UNDELIVERED) == [(0,)], seconds, "every delivery is done")


def check(luneo: Bookkeeping) -> None:
    """Wait for sweeper and consumers, then assert that everything written agrees with everything else."""
    until_settled(luneo)
    until_delivered(luneo)
    assert disagreements(luneo.superuser) == []
    with psycopg.connect(luneo.superuser, row_factory=dict_row) as connection:
        _check_turns(connection)
        _check_deliveries(connection)
        _check_knowledge(connection, luneo)
    verified = luneo.luneo("audit", "verify")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def _check_turns(connection: psycopg.Connection[dict[str, object]]) -> None:
    usage = connection.execute(_USAGE).fetchall()
    metered: dict[UUID, dict[str, dict[str, object]]] = {}
    for event in usage:
        if event["cause"] == "turn":
            assert isinstance(event["cause_id"], UUID)
            of_turn = metered.setdefault(event["cause_id"], {})
            assert event["metric"] not in of_turn, f"metered twice: {event}"
            of_turn[str(event["metric"])] = event
    answered_conversations: Counter[UUID] = Counter()
    turns = connection.execute(_TURNS).fetchall()
    for turn in turns:
        lines = metered.pop(_id(turn["id"]), {})
        said = turn["answer"] is not None
        assert turn["question"] is not None, turn
        assert turn["ended_at"] is not None, turn
        assert turn["cause"] == "turn", turn
        assert turn["closed_at"] is not None, turn
        assert turn["events"] == [_EVENT_OF_STATE[str(turn["state"])]], turn
        assert (turn["failure"] is not None) == (turn["state"] == "failed"), turn
        if said:
            assert turn["reservation"] == "settled", turn
            assert turn["complete"] == (turn["state"] == "completed"), turn
            assert lines["messages_ai"]["quantity"] == 1, (turn, lines)
            assert lines["messages_ai"]["id"] == usage_id(_id(turn["id"]), Metric.MESSAGES_AI)
            assert {"tokens_in", "tokens_out"} <= lines.keys(), (turn, lines)
            assert (lines["tokens_in"]["quantity"], lines["tokens_out"]["quantity"]) == (turn["tokens_in"], turn["tokens_out"])
            answered_conversations[_id(turn["conversation_id"])] += 1
        else:
            assert turn["state"] in {"failed", "stopped"}, turn
            assert turn["reservation"] in {"released", "expired"}, turn
            assert lines == {}, turn
    assert metered == {}, "usage of turns that are not there"
    counted = Counter(event["id"] for event in usage if event["metric"] == "conversations")
    assert counted == Counter(usage_id(conversation, Metric.CONVERSATIONS) for conversation in answered_conversations)


def _check_deliveries(connection: psycopg.Connection[dict[str, object]]) -> None:
    assert connection.execute(_MISSING_DELIVERIES).fetchall() == []
    before: dict[str, object] = {}
    for delivery in connection.execute(_DELIVERIES).fetchall():
        if before and (before["consumer"], before["aggregate_id"]) == (delivery["consumer"], delivery["aggregate_id"]):
            assert before["finished_at"] <= delivery["finished_at"], (before, delivery)  # type: ignore[operator]
        before = delivery


def _check_knowledge(connection: psycopg.Connection[dict[str, object]], luneo: Bookkeeping) -> None:
    vectors = _vectors(luneo)
    for source in connection.execute(_SOURCES).fetchall():
        passages = [str(each) for each in source["passages"]]  # type: ignore[attr-defined]
        assert source["status"] == "ready", source
        assert source["passages_total"] == source["passages_done"] == source["indexed"] == len(passages), source
        assert source["documents"] == 1, source
        assert source["told"] == 1, source
        assert sorted(vectors.pop(str(source["id"]), [])) == sorted(passages), source
    assert vectors == {}, "vectors of sources that are not there"


def _vectors(luneo: Bookkeeping) -> dict[str, list[str]]:
    """Return the ids of all points in the index, by source."""
    found: dict[str, list[str]] = {}
    offset: str | None = None
    while True:
        body = msgspec.json.encode({"limit": 1000, "with_payload": ["source_id"], "offset": offset})
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{luneo.environment['LUNEO_QDRANT_URL']}/collections/passages-v3-384/points/scroll",
            data=body,
            headers={"Content-Type": "application/json", "api-key": luneo.environment.get("LUNEO_QDRANT_API_KEY", "")},
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - same
            page = msgspec.json.decode(answer.read())["result"]
        for point in page["points"]:
            found.setdefault(point["payload"]["source_id"], []).append(point["id"])
        offset = page["next_page_offset"]
        if offset is None:
            return found


def _id(value: object) -> UUID:
    assert isinstance(value, UUID)
    return value
