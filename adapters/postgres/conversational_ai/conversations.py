"""Conversations: started in a unit of work, read in one round trip."""

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from sqlalchemy import select

from adapters.postgres.conversational_ai import turn_tables
from adapters.postgres.conversational_ai.turns import citation_of
from adapters.postgres.database import Database, Row
from adapters.postgres.mapping import mappings
from adapters.postgres.refusals import register
from adapters.postgres.unit_of_work import PostgresTransaction, UnitOfWorkScope
from domains.conversational_ai.model.branch import MessageLink
from domains.conversational_ai.model.conversation import Conversation
from domains.conversational_ai.model.turn import TurnInProgress
from domains.conversational_ai.ports.conversations import ConversationOrder, ConversationSummary, StoredMessage
from shared_kernel.errors import NotFound
from shared_kernel.pagination import ForeignCursor, Page, PageRequest
from shared_kernel.principal import Principal

mappings.map_imperatively(Conversation, turn_tables.conversations, version_id_col=turn_tables.conversations.c.version)
register("fk_conversations_organization_id", lambda _: NotFound("There is no such agent"))
register("turn_in_progress", lambda _: TurnInProgress())
register("agent_not_found", lambda _: NotFound("There is no such agent"))

# the code `agent_not_published` is registered with the turns, which refuse by it too
_AGENT_ANSWERS: LiteralString = """
select luneo.require(count(*) = 1, 'agent_not_found'), luneo.require(bool_and(status = 'published'), 'agent_not_published')
  from conversational_ai.agents where organization_id = %(organization)s and id = %(agent)s
"""
_SUMMARY: LiteralString = """
select c.id, c.agent_id, c.channel, c.language, c.visitor_id, c.created_at,
       exists (select 1 from conversational_ai.turns t
                where t.organization_id = c.organization_id and t.conversation_id = c.id and t.state = 'running') as answering,
       (select m.created_at from conversational_ai.messages m
         where m.organization_id = c.organization_id and m.conversation_id = c.id order by m.id desc limit 1) as last_message_at,
       (select left(m.content, 120) from conversational_ai.messages m
         where m.organization_id = c.organization_id and m.conversation_id = c.id and m.role = 'user' and m.shown
         order by m.id limit 1) as title
  from conversational_ai.conversations c
 where c.organization_id = %(organization)s and c.listed
"""
_LIST: LiteralString = (
    _SUMMARY
    + """
   and (%(agent)s::uuid is null or c.agent_id = %(agent)s) and (%(before)s::uuid is null or c.id < %(before)s)
 order by c.id desc limit %(limit)s
"""
)
# Walks the messages from the last one back: a conversation is met at its own last message, an empty one never.
_USED: LiteralString = """
with used as materialized (
  select m.conversation_id, m.id from conversational_ai.messages m
    join conversational_ai.conversations c on c.organization_id = m.organization_id and c.id = m.conversation_id
   where m.organization_id = %(organization)s and (%(before)s::uuid is null or m.id < %(before)s)
     and c.listed and (%(agent)s::uuid is null or c.agent_id = %(agent)s)
     and not exists (select 1 from conversational_ai.messages n
                      where n.organization_id = m.organization_id and n.conversation_id = m.conversation_id and n.id > m.id)
   order by m.id desc limit %(limit)s
), summary as (
"""
_BY_USE: LiteralString = """
   and c.id in (select conversation_id from used)
)
select summary.*, used.id as position from used join summary on summary.id = used.conversation_id order by used.id desc
"""
_LAST_USED: LiteralString = _USED + _SUMMARY + _BY_USE
_ONE: LiteralString = _SUMMARY + " and c.id = %(conversation)s"
_EXISTS: LiteralString = """
select 1 from conversational_ai.conversations where organization_id = %(organization)s and id = %(conversation)s and listed
"""
_MESSAGES: LiteralString = """
with page as (
  select id, turn_id, role, content, citations, complete, created_at, parent_id, shown from conversational_ai.messages
   where organization_id = %(organization)s and conversation_id = %(conversation)s and (shown or %(branches)s)
     and (%(after)s::uuid is null or id > %(after)s)
   order by id limit %(limit)s
), families as (
  select parent_id, role, array_agg(id order by id) as siblings from conversational_ai.messages
   where organization_id = %(organization)s and conversation_id = %(conversation)s
   group by parent_id, role
)
select page.*, families.siblings
  from page join families on families.parent_id is not distinct from page.parent_id and families.role = page.role
 order by page.id
"""
# the count is a lock, too: a turn that opens shares the row, and sees by its version that it read the branch before
_HOLD: LiteralString = """
update conversational_ai.conversations set version = version + 1
 where organization_id = %(organization)s and id = %(conversation)s and listed returning id
"""
_NO_TURN_RUNS: LiteralString = """
select luneo.require(not exists (select 1 from conversational_ai.turns where organization_id = %(organization)s
                                    and conversation_id = %(conversation)s and state = 'running'), 'turn_in_progress')
"""
_LINKS: LiteralString = """
select id, parent_id from conversational_ai.messages
 where organization_id = %(organization)s and conversation_id = %(conversation)s order by id
"""
_SHOW: LiteralString = """
update conversational_ai.messages set shown = (id = any(%(branch)s))
 where organization_id = %(organization)s and conversation_id = %(conversation)s and shown <> (id = any(%(branch)s))
"""


class PostgresConversations:
    """The conversations inside a unit of work."""

    def __init__(self, scope: UnitOfWorkScope) -> None:
        self._scope = scope

    async def add(self, conversation: Conversation) -> None:
        """Keep a new conversation. Raises `NotFound` for an agent that is not there, `AgentNotPublished`."""
        await self._scope.execute(_AGENT_ANSWERS, {"organization": conversation.organization_id, "agent": conversation.agent_id})
        self._scope.add(conversation)

    async def hold(self, conversation_id: UUID) -> Conversation:
        """Return a conversation in which no turn runs or opens. Raises `NotFound`, `TurnInProgress`."""
        place = self._place(conversation_id)
        if not await self._scope.execute(_HOLD, place):
            raise NotFound("There is no such conversation")
        await self._scope.execute(_NO_TURN_RUNS, place)
        held = turn_tables.conversations.c
        return await self._scope.get(select(Conversation).where(held.organization_id == place["organization"], held.id == conversation_id))

    async def links(self, conversation_id: UUID) -> list[MessageLink]:
        """Return the links of all its messages."""
        rows = await self._scope.execute(_LINKS, self._place(conversation_id))
        return [MessageLink(row["id"], row["parent_id"]) for row in rows]

    async def show(self, conversation_id: UUID, branch: Sequence[UUID]) -> None:
        """Make exactly these messages the current branch."""
        await self._scope.execute(_SHOW, {**self._place(conversation_id), "branch": list(branch)})

    def _place(self, conversation_id: UUID) -> dict[str, object]:
        return {"organization": self._scope.principal.tenant, "conversation": conversation_id}


class PostgresConversationTransaction:
    """What starting a conversation sees."""

    def __init__(self, scope: UnitOfWorkScope) -> None:
        self.conversations = PostgresConversations(scope)


class PostgresConversationTransactions(PostgresTransaction[PostgresConversationTransaction]):
    """Opens transactions."""

    def view(self, scope: UnitOfWorkScope) -> PostgresConversationTransaction:
        """Return the view."""
        return PostgresConversationTransaction(scope)


class PostgresConversationReading:
    """Reads conversations and messages."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def conversations(
        self, principal: Principal, page: PageRequest, *, agent_id: UUID | None, order: ConversationOrder
    ) -> Page[ConversationSummary]:
        """Return conversations; see `ConversationReading.conversations`."""
        by_use = order is ConversationOrder.LAST_USED
        rows = await self._database.rows(
            principal,
            _LAST_USED if by_use else _LIST,
            {"organization": principal.tenant, "agent": agent_id, "before": _position(page), "limit": page.limit + 1},
        )
        shown = rows[: page.limit]
        last = str(shown[-1]["position" if by_use else "id"]) if len(rows) > page.limit else None
        return Page(tuple(_summary(row) for row in shown), last)

    async def conversation(self, principal: Principal, conversation_id: UUID) -> ConversationSummary:
        """Return one conversation. Raises `NotFound`."""
        row = await self._database.row(principal, _ONE, {"organization": principal.tenant, "conversation": conversation_id})
        if row is None:
            raise NotFound("There is no such conversation")
        return _summary(row)

    async def messages(self, principal: Principal, conversation_id: UUID, page: PageRequest, *, branches: bool) -> Page[StoredMessage]:
        """Return the messages, oldest first; see `ConversationReading.messages`."""
        parameters = {
            "organization": principal.tenant,
            "conversation": conversation_id,
            "branches": branches,
            "after": _position(page),
            "limit": page.limit + 1,
        }
        async with self._database.pipeline(principal) as pipeline:
            exists = await pipeline.queue(_EXISTS, parameters)
            found = await pipeline.queue(_MESSAGES, parameters)
        if await exists.one_or_none() is None:
            raise NotFound("There is no such conversation")
        rows = await found.all()
        items = tuple(
            StoredMessage(
                id=row["id"],
                turn_id=row["turn_id"],
                role=row["role"],
                content=row["content"],
                citations=tuple(citation_of(c) for c in row["citations"]),
                complete=row["complete"],
                created_at=row["created_at"],
                parent_id=row["parent_id"],
                siblings=tuple(row["siblings"]),
                current=row["shown"],
            )
            for row in rows[: page.limit]
        )
        return Page(items, str(items[-1].id) if len(rows) > page.limit else None)


def _summary(row: Row) -> ConversationSummary:
    return ConversationSummary(
        id=row["id"],
        agent_id=row["agent_id"],
        channel=row["channel"],
        language=row["language"],
        visitor_id=row["visitor_id"],
        status="answering" if row["answering"] else "open",
        title=row["title"],
        created_at=row["created_at"],
        last_message_at=row["last_message_at"],
    )


def _position(page: PageRequest) -> UUID | None:
    if page.cursor is None:
        return None
    try:
        return UUID(page.cursor)
    except ValueError:
        raise ForeignCursor from None
