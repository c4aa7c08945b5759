"""The turn's transactions, one round trip each: plain SQL in a pipeline, one statement per step."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

from adapters.postgres.database import Database, Row
from adapters.postgres.idempotency import KEY_IS_KNOWN, claim_for_turn, turn_under
from adapters.postgres.messaging.outbox import EventRecord, Outbox
from adapters.postgres.refusals import register
from contracts.billing.commands import Quotas, ReservationLine, UsageLine
from contracts.billing.metrics import Metric
from contracts.conversational_ai.events import TurnCompleted, TurnFailed, TurnStopped
from contracts.idempotency import RequestKey
from contracts.identity.commands import Confirmations
from domains.conversational_ai.model.answer_format import AnswerFormat
from domains.conversational_ai.model.citation import Citation, Locator
from domains.conversational_ai.model.tool_call import ToolCall
from domains.conversational_ai.model.turn import (
    AgentNotPublished,
    Answer,
    AnsweringAgent,
    ConversationIsAhead,
    EarlierQuestion,
    Failure,
    NotInCurrentBranch,
    OpenedTurn,
    PastMessage,
    Question,
    TokenUsage,
    TurnAlreadyAsked,
    TurnEnd,
    TurnInProgress,
    TurnNoLongerRunning,
    TurnRecord,
    TurnState,
)
from shared_kernel.errors import Conflict, NotFound
from shared_kernel.events import Event
from shared_kernel.money import Money
from shared_kernel.principal import Principal

_MICROS_PER_MINOR = 10_000
_MICRO_MINORS_PER_MICRO = 100  # a millionth of a unit is a hundred millionths of its hundredth

register("conversation_not_found", lambda _: NotFound("There is no such conversation"))
register("message_not_found", lambda _: NotFound("There is no such message in the conversation"))
register("message_not_in_branch", lambda _: NotInCurrentBranch())
register("branch_changed", lambda _: Conflict("The conversation has just gone to another branch; send the message again"))
register("agent_not_published", lambda _: AgentNotPublished())
register("uq_turns_running", lambda _: TurnInProgress())
register("uq_turns_client_message", lambda _: TurnAlreadyAsked())
register(KEY_IS_KNOWN, lambda _: TurnAlreadyAsked())
register("conversation_is_ahead", lambda detail: ConversationIsAhead(UUID(str(detail["last"]))))
register("turn_not_running", lambda _: TurnNoLongerRunning())

_ASKED_IN_A_CONVERSATION: LiteralString = """
with asked as (
  select c.language, c.agent_id, a.published_number, v.settings, c.version
    from conversational_ai.conversations c
    join conversational_ai.agents a on a.organization_id = c.organization_id and a.id = c.agent_id
    left join conversational_ai.agent_versions v
      on v.organization_id = a.organization_id and v.agent_id = a.id and v.number = a.published_number and a.status = 'published'
   where c.organization_id = %(organization)s and c.id = %(conversation)s and c.listed
     for share of c
)
"""
_ASKED_OF_AN_AGENT: LiteralString = """
with asked as (
  select null as language, a.id as agent_id, a.published_number, v.settings
    from conversational_ai.agents a
    left join conversational_ai.agent_versions v
      on v.organization_id = a.organization_id and v.agent_id = a.id and v.number = a.published_number and a.status = 'published'
   where a.organization_id = %(organization)s and a.id = %(agent)s
), begun as (
  insert into conversational_ai.conversations (organization_id, id, agent_id, channel, created_at, version, listed)
  select %(organization)s, %(conversation)s, agent_id, 'api', %(now)s, 1, false from asked where settings is not null
)
"""
_OPENED: LiteralString = """
, opened as (
  insert into conversational_ai.turns (organization_id, id, conversation_id, agent_version, state, asked_by_kind, asked_by,
  client_message_id,
                                       question_digest, question_id, runner_id, started_at, expires_at)
  select %(organization)s, %(turn)s, %(conversation)s, published_number, 'running', %(kind)s, %(caller)s, %(client_message)s,
         %(digest)s, %(asked_before)s, %(runner)s, %(now)s, %(expires)s
    from asked where settings is not null
)
"""
_EARLIER: LiteralString = """
, earlier as (
  select parent_id, shown from conversational_ai.messages
   where organization_id = %(organization)s and conversation_id = %(conversation)s and id = %(before)s and role = 'user'
)
"""
_QUESTION: LiteralString = """
, question as (
  insert into conversational_ai.messages (organization_id, id, conversation_id, turn_id, role, content, citations, complete, created_at,
                                          parent_id, shown)
  select %(organization)s, %(message)s, %(conversation)s, %(turn)s, 'user', %(content)s, '[]', true, %(now)s,
"""
_AT_THE_END: LiteralString = """
         (select m.id from conversational_ai.messages m
           where m.organization_id = %(organization)s and m.conversation_id = %(conversation)s and m.shown order by m.id desc limit 1), true
    from asked where settings is not null
)
"""
_IN_PLACE: LiteralString = """
         earlier.parent_id, false
    from asked, earlier where settings is not null
)
"""
_FOUND: LiteralString = """
select luneo.require((select count(*) from asked) = 1, %(not_found)s),
       luneo.require((select settings is not null from asked), 'agent_not_published'),
       asked.language, asked.agent_id, asked.published_number, asked.settings,
       (select coalesce(array_agg(k.knowledge_base_id order by k.position), '{}')
          from conversational_ai.agent_knowledge_bases k
         where k.organization_id = %(organization)s and k.agent_id = asked.agent_id) as knowledge_base_ids
"""
# the locked row is the newest one, the rest of the statement reads from its own beginning: where they differ, another branch was selected
# in between, and the question would stand after a message that is not shown
_BRANCH_STOOD: LiteralString = """,
       luneo.require((select c.version from conversational_ai.conversations c
                       where c.organization_id = %(organization)s and c.id = %(conversation)s) = asked.version, 'branch_changed')
"""
_EARLIER_FOUND: LiteralString = """,
       luneo.require((select count(*) from earlier) = 1, 'message_not_found'),
       luneo.require((select shown from earlier), 'message_not_in_branch')
"""
_IN_ORDER: LiteralString = """,
       luneo.require(last.id is null or last.id < %(message)s
                     or exists (select from conversational_ai.turns t where t.organization_id = %(organization)s
                                                                        and t.conversation_id = %(conversation)s and t.state = 'running'),
                     'conversation_is_ahead', json_build_object('last', last.id)::text)
"""
_ONE: LiteralString = "  from (select 1) one left join asked on true"
_LAST: LiteralString = """
  left join lateral (
    select m.id from conversational_ai.messages m
     where m.organization_id = %(organization)s and m.conversation_id = %(conversation)s order by m.id desc limit 1) last on true
"""
_OPEN_AT_THE_END: LiteralString = (
    _ASKED_IN_A_CONVERSATION + _OPENED + _QUESTION + _AT_THE_END + _FOUND + _BRANCH_STOOD + _IN_ORDER + _ONE + _LAST
)
_OPEN_IN_PLACE: LiteralString = (
    _ASKED_IN_A_CONVERSATION
    + _OPENED
    + _EARLIER
    + _QUESTION
    + _IN_PLACE
    + _FOUND
    + _BRANCH_STOOD
    + _EARLIER_FOUND
    + _IN_ORDER
    + _ONE
    + _LAST
)
_OPEN_AGAIN: LiteralString = _ASKED_IN_A_CONVERSATION + _OPENED + _EARLIER + _FOUND + _BRANCH_STOOD + _EARLIER_FOUND + _ONE
_OPEN_ONE_OFF: LiteralString = _ASKED_OF_AN_AGENT + _OPENED + _QUESTION + _AT_THE_END + _FOUND + _ONE
_ONE_ANSWER = (ReservationLine(metric=Metric.MESSAGES_AI),)

_HISTORY: LiteralString = """
select role, content from conversational_ai.messages
 where organization_id = %(organization)s and conversation_id = %(conversation)s and id < %(before)s and shown
 order by id desc
 limit (select (v.settings->>'context_window')::integer
          from conversational_ai.conversations c
          join conversational_ai.agents a on a.organization_id = c.organization_id and a.id = c.agent_id
          join conversational_ai.agent_versions v
            on v.organization_id = a.organization_id and v.agent_id = a.id and v.number = a.published_number
         where c.organization_id = %(organization)s and c.id = %(conversation)s)
"""

_END: LiteralString = """
with ended as (
  update conversational_ai.turns
     set state = %(state)s, ended_at = %(now)s, last_sequence = %(sequence)s, failure = %(failure)s, steps = %(steps)s, model = %(model)s,
         provider = %(provider)s, tokens_in = %(tokens_in)s, tokens_out = %(tokens_out)s, estimated = %(estimated)s, cost_micros = %(cost)s,
         currency = %(currency)s
   where organization_id = %(organization)s and id = %(turn)s and state = 'running'
  returning 1
) select luneo.require(exists (select 1 from ended), 'turn_not_running')
"""
_END_TO_BE_ASKED_AGAIN: LiteralString = """
with freed as (
  delete from luneo.idempotent_requests where organization_id = %(organization)s and turn_id = %(turn)s
), ended as (
  update conversational_ai.turns
     set state = %(state)s, ended_at = %(now)s, last_sequence = %(sequence)s, failure = %(failure)s, steps = %(steps)s,
         client_message_id = null
   where organization_id = %(organization)s and id = %(turn)s and state = 'running'
  returning 1
) select luneo.require(exists (select 1 from ended), 'turn_not_running')
"""

_BRANCH: LiteralString = """
update conversational_ai.messages set shown = (id = %(question)s)
 where organization_id = %(organization)s and conversation_id = %(conversation)s and id >= %(from)s and (shown or id = %(question)s)
"""
_ANSWER: LiteralString = """
insert into conversational_ai.messages (organization_id, id, conversation_id, turn_id, role, content, citations, complete, finish_reason,
                                        tool_calls, created_at, parent_id)
values (%(organization)s, %(message)s, %(conversation)s, %(turn)s, 'assistant', %(content)s, %(citations)s, %(complete)s, %(finish)s,
        %(calls)s, %(now)s, %(question)s)
"""

_EARLIER_QUESTION: LiteralString = """
select m.conversation_id, m.id as message_id, m.content
  from conversational_ai.turns t
  join conversational_ai.messages m
    on m.organization_id = t.organization_id
   and m.id = coalesce(t.question_id, (select q.id from conversational_ai.messages q
                                        where q.organization_id = t.organization_id and q.turn_id = t.id and q.role = 'user'))
 where t.organization_id = %(organization)s and t.id = %(turn)s
"""
_TURN: LiteralString = """
select t.*, m.id as message_id, m.content, m.citations, m.complete, m.finish_reason, m.tool_calls
  from conversational_ai.turns t
  left join conversational_ai.messages m on m.organization_id = t.organization_id and m.turn_id = t.id and m.role = 'assistant'
 where t.organization_id = %(organization)s
"""
_TURN_BY_ID: LiteralString = _TURN + " and t.id = %(turn)s"
_TURN_BY_CLIENT_MESSAGE: LiteralString = _TURN + " and t.conversation_id = %(conversation)s and t.client_message_id = %(client_message)s"

_ABANDONED: LiteralString = """
select t.organization_id, t.conversation_id, t.id
  from conversational_ai.turns t
  left join conversational_ai.turn_runners r on r.id = t.runner_id
 where t.state = 'running'
   and (t.expires_at < %(expired)s or r.heard_at < %(silent)s or (r.id is null and t.started_at < %(silent)s))
 order by t.expires_at limit %(limit)s
"""
_BEAT: LiteralString = """
insert into conversational_ai.turn_runners (id, heard_at) values (%(runner)s, %(at)s) on conflict (id) do update set heard_at =
excluded.heard_at
"""
_LEAVE: LiteralString = "update conversational_ai.turn_runners set heard_at = '-infinity' where id = %(runner)s"
_GONE: LiteralString = "update conversational_ai.turn_runners set heard_at = '-infinity' where heard_at < %(before)s"
_FORGET: LiteralString = """
delete from conversational_ai.turn_runners r where heard_at < %(before)s
   and not exists (select 1 from conversational_ai.turns t where t.runner_id = r.id and t.state = 'running')
"""


class PostgresTurns:
    """The store of turns. Quotas join its pipelines, and the caller is confirmed where a turn opens."""

    def __init__(self, database: Database, confirmations: Confirmations, quotas: Quotas, outbox: Outbox) -> None:
        self._database = database
        self._confirmations = confirmations
        self._quotas = quotas
        self._outbox = outbox

    async def open(self, question: Question) -> OpenedTurn:
        """Open a turn in one round trip; see `Turns.open`."""
        caller, one_off = question.asked_by, question.one_off
        parameters = {
            "organization": caller.tenant,
            "conversation": question.conversation_id,
            "turn": question.turn_id,
            "message": question.message_id,
            "content": question.content,
            "kind": caller.kind,
            "caller": caller.id,
            "client_message": question.client_message_id,
            "digest": question.digest,
            "runner": question.runner_id,
            "now": question.asked_at,
            "expires": question.expires_at,
            "asked_before": question.message_id if question.asked_before else None,
            "before": question.branch_from or question.message_id,
            "agent": one_off.agent_id if one_off else None,
            "not_found": "agent_not_found" if one_off else "conversation_not_found",
        }
        async with self._database.pipeline(caller, planned_once=True) as pipeline:
            await self._confirmations.confirm(pipeline)
            if question.idempotency_key is not None:
                await claim_for_turn(pipeline, question.idempotency_key, question.turn_id, question.asked_at)
            opened = await pipeline.queue(_opening(question), parameters)
            await self._quotas.reserve(
                pipeline,
                reservation_id=question.turn_id,
                cause="turn",
                lines=_ONE_ANSWER if one_off else (*_ONE_ANSWER, _conversation_line(question)),
                at=question.asked_at,
                expires_at=question.expires_at,
                within_plan=caller.sandbox,
            )
            history = await pipeline.queue(_HISTORY, parameters) if one_off is None else None
        row = await opened.one()
        past = await history.all() if history else []
        return OpenedTurn(
            question=question,
            agent=_agent(row),
            language=row["language"],
            history=tuple(PastMessage(m["role"], m["content"]) for m in reversed(past)),
        )

    async def end(self, end: TurnEnd, principal: Principal) -> None:
        """End a turn in one round trip; see `Turns.end`."""
        answer = end.answer
        usage = answer.usage if answer else TokenUsage()
        place = {"organization": principal.tenant, "turn": end.turn_id, "conversation": end.conversation_id, "now": end.ended_at}
        async with self._database.pipeline(principal, planned_once=True) as pipeline:
            await pipeline.queue(
                _END_TO_BE_ASKED_AGAIN if end.may_be_asked_again else _END,
                {
                    **place,
                    "state": end.state,
                    "sequence": end.last_sequence,
                    "failure": Jsonb(_failure_json(end.failure)) if end.failure else None,
                    "steps": Jsonb(dict(end.steps)),
                    "model": answer.model if answer else None,
                    "provider": answer.provider if answer else None,
                    "tokens_in": usage.tokens_in if answer else None,
                    "tokens_out": usage.tokens_out if answer else None,
                    "estimated": usage.estimated if answer else None,
                    "cost": usage.cost_micros if answer else None,
                    "currency": usage.currency if answer else None,
                },
            )
            if answer is None:
                await self._quotas.release(pipeline, reservation_id=end.turn_id, at=end.ended_at)
            else:
                if end.branch_from is not None:
                    await pipeline.queue(_BRANCH, {**place, "question": end.question_id, "from": end.branch_from})
                await pipeline.queue(
                    _ANSWER,
                    {
                        **place,
                        "question": end.question_id,
                        "message": answer.message_id,
                        "content": answer.content,
                        "citations": Jsonb([citation_json(c) for c in answer.citations]),
                        "complete": answer.complete,
                        "finish": answer.finish_reason,
                        "calls": Jsonb([_call_json(c) for c in answer.tool_calls]) if answer.tool_calls else None,
                    },
                )
                await self._quotas.settle(pipeline, reservation_id=end.turn_id, usage=_usage_lines(usage), at=end.ended_at)
            record = EventRecord(event=_event(end), aggregate="turn", aggregate_id=end.turn_id, aggregate_version=1, ordinal=0)
            await self._outbox.write(pipeline.connection, principal, (record,), end.ended_at)

    async def get(self, principal: Principal, turn_id: UUID) -> TurnRecord:
        """Return a turn. Raises `NotFound`."""
        row = await self._database.row(principal, _TURN_BY_ID, {"organization": principal.tenant, "turn": turn_id})
        if row is None:
            raise NotFound("There is no such turn")
        return _record(row)

    async def question(self, principal: Principal, turn_id: UUID) -> EarlierQuestion:
        """Return the question that a turn answers. Raises `NotFound`."""
        row = await self._database.row(principal, _EARLIER_QUESTION, {"organization": principal.tenant, "turn": turn_id})
        if row is None:
            raise NotFound("There is no such turn")
        return EarlierQuestion(conversation_id=row["conversation_id"], message_id=row["message_id"], content=row["content"])

    async def asked_under(self, principal: Principal, key: RequestKey, at: datetime) -> TurnRecord | None:
        """Return the turn that the key stands for; see `Turns.asked_under`."""
        turn_id = await turn_under(self._database, principal, key, at)
        if turn_id is None:
            return None
        return await self.get(principal, turn_id)

    async def asked_as(self, principal: Principal, conversation_id: UUID, client_message_id: str) -> TurnRecord | None:
        """Return the turn that the client message id stands for."""
        place = {"organization": principal.tenant, "conversation": conversation_id, "client_message": client_message_id}
        row = await self._database.row(principal, _TURN_BY_CLIENT_MESSAGE, place)
        return None if row is None else _record(row)

    async def remember(self, principal: Principal, key: RequestKey, turn_id: UUID, at: datetime) -> None:
        """Let the key stand for the turn; see `Turns.remember`."""
        async with self._database.pipeline(principal) as pipeline:
            await claim_for_turn(pipeline, key, turn_id, at)


class PostgresAbandonedTurns:
    """Looks over all organisations, as the platform role."""

    def __init__(self, platform: Database) -> None:
        self._platform = platform

    async def find(self, *, silent_since: datetime, expired_before: datetime, limit: int) -> Sequence[tuple[UUID, UUID, UUID]]:
        """Return (organisation, conversation, turn) of abandoned turns; also forget runners that ended long ago."""
        everybody = Principal.system(None)
        async with self._platform.pipeline(everybody) as pipeline:
            await pipeline.queue(_FORGET, {"before": silent_since})
            pending = await pipeline.queue(_ABANDONED, {"expired": expired_before, "silent": silent_since, "limit": limit})
        return [(row["organization_id"], row["conversation_id"], row["id"]) for row in await pending.all()]

    async def reachable_since(self) -> datetime:
        """Return when the server was started."""
        row = await self._platform.row(Principal.system(None), "select pg_postmaster_start_time() as at")
        at: datetime = row["at"] if row else datetime.min.replace(tzinfo=UTC)
        return at

    async def runners_are_gone(self, before: datetime) -> None:
        """Say that no process heard before `before` runs turns any more, so that what is left of theirs is failed at the next sweep."""
        await self._platform.rows(Principal.system(None), _GONE, {"before": before})


class PostgresTurnRunners:
    """Heartbeats."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def beat(self, runner_id: UUID, at: datetime) -> None:
        """Say that the runner lives."""
        await self._database.rows(Principal.system(None), _BEAT, {"runner": runner_id, "at": at})

    async def leave(self, runner_id: UUID) -> None:
        """Say that the runner ends."""
        await self._database.rows(Principal.system(None), _LEAVE, {"runner": runner_id})


def _opening(question: Question) -> LiteralString:
    if question.one_off is not None:
        return _OPEN_ONE_OFF
    if question.branch_from is None:
        return _OPEN_AT_THE_END
    return _OPEN_AGAIN if question.asked_before else _OPEN_IN_PLACE


def _conversation_line(question: Question) -> ReservationLine:
    return ReservationLine(metric=Metric.CONVERSATIONS, once_for=question.conversation_id)


def _agent(row: Row) -> AnsweringAgent:
    settings: Mapping[str, Any] = row["settings"]
    return AnsweringAgent(
        id=row["agent_id"],
        version=row["published_number"],
        instructions=settings["instructions"],
        custom_instructions=settings["custom_instructions"],
        tone=settings["tone"],
        fallback=settings["fallback_message"],
        languages=tuple(settings["languages"]),
        model=settings["model"],
        temperature=settings["temperature"],
        max_tokens=settings["max_tokens"],
        context_window=settings["context_window"],
        passages=settings["retrieval_passages"],
        cut_off=settings["retrieval_cut_off"],
        knowledge_base_ids=tuple(row["knowledge_base_ids"]),
        fallback_models=tuple(settings.get("fallback_models", ())),  # a version from before has none of these
        top_p=settings.get("top_p"),
        frequency_penalty=settings.get("frequency_penalty"),
        presence_penalty=settings.get("presence_penalty"),
        answer_format=AnswerFormat(**agreed) if (agreed := settings.get("response_format")) else None,
    )


def _record(row: Row) -> TurnRecord:
    failure = row["failure"]
    return TurnRecord(
        id=row["id"],
        conversation_id=row["conversation_id"],
        state=TurnState(row["state"]),
        question_digest=bytes(row["question_digest"]),
        answer=_answer(row) if row["message_id"] is not None else None,
        failure=Failure(failure["code"], failure["title"], failure["detail"], failure["retryable"]) if failure else None,
        steps=row["steps"] or {},
        last_sequence=row["last_sequence"],
        started_at=row["started_at"],
        ended_at=row["ended_at"],
    )


def _answer(row: Row) -> Answer:
    return Answer(
        message_id=row["message_id"],
        content=row["content"],
        citations=tuple(citation_of(c) for c in row["citations"]),
        usage=TokenUsage(
            row["tokens_in"] or 0, row["tokens_out"] or 0, bool(row["estimated"]), row["cost_micros"] or 0, row["currency"] or "EUR"
        ),
        model=row["model"] or "",
        provider=row["provider"] or "",
        complete=row["complete"],
        finish_reason=row["finish_reason"],
        tool_calls=tuple(ToolCall(**call) for call in row["tool_calls"] or ()),
    )


def _call_json(call: ToolCall) -> dict[str, object]:
    return {"id": call.id, "name": call.name, "arguments": call.arguments}


def citation_json(citation: Citation) -> dict[str, object]:
    """Return a citation as it is stored."""
    place = citation.locator
    return {
        "number": citation.number,
        "source_id": str(citation.source_id),
        "title": citation.title,
        "locator": {"page": place.page, "heading": place.heading, "start": place.start, "end": place.end},
        "quote": citation.quote,
        "score": citation.score,
    }


def citation_of(stored: Mapping[str, Any]) -> Citation:
    """Return a stored citation."""
    return Citation(
        stored["number"], UUID(stored["source_id"]), stored["title"], Locator(**stored["locator"]), stored["quote"], stored["score"]
    )


def _failure_json(failure: Failure) -> dict[str, object]:
    return {"code": failure.code, "title": failure.title, "detail": failure.detail, "retryable": failure.retryable}


def _usage_lines(usage: TokenUsage) -> tuple[UsageLine, ...]:
    minor, rest = divmod(usage.cost_micros, _MICROS_PER_MINOR)
    return (
        UsageLine(metric=Metric.TOKENS_IN, quantity=usage.tokens_in, estimated=usage.estimated),
        UsageLine(
            metric=Metric.TOKENS_OUT,
            quantity=usage.tokens_out,
            estimated=usage.estimated,
            cost=Money(minor, usage.currency),
            cost_micro=rest * _MICRO_MINORS_PER_MICRO,
        ),
    )


def _event(end: TurnEnd) -> Event:
    message_id = end.answer.message_id if end.answer else None
    if end.state is TurnState.COMPLETED and end.answer is not None:
        return TurnCompleted(
            turn_id=end.turn_id,
            conversation_id=end.conversation_id,
            message_id=end.answer.message_id,
            tokens_in=end.answer.usage.tokens_in,
            tokens_out=end.answer.usage.tokens_out,
        )
    if end.state is TurnState.STOPPED:
        return TurnStopped(turn_id=end.turn_id, conversation_id=end.conversation_id, message_id=message_id)
    failure = end.failure or Failure("turn_interrupted", "", "", retryable=True)
    return TurnFailed(
        turn_id=end.turn_id, conversation_id=end.conversation_id, message_id=message_id, code=failure.code, retryable=failure.retryable
    )
