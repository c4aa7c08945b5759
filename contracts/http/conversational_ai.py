"""Agents, templates and knowledge over HTTP."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from contracts.http.base import Request, Response
from contracts.http.conversations import LocatorBody

AgentLanguage = Literal["fr", "en"]
KnowledgeLanguageCode = Literal["fr", "en", "es", "de", "it", "pt", "nl", "ar", "zh", "ja", "ko"]
ToneName = Literal["professional", "friendly", "formal", "casual", "empathetic", "enthusiastic"]


class TemplateTextsBody(Response, frozen=True):
    """A template's words in one language."""

    name: str
    description: str
    instructions: str
    greeting: str
    fallback_message: str
    suggested_questions: list[str]


class AgentTemplateBody(Response, frozen=True):
    """A starting point for agents; `texts` holds its words by language."""

    slug: str
    category: str
    tone: str
    texts: dict[str, TemplateTextsBody]


class AgentTemplateList(Response, frozen=True):
    """Templates, always in the same order."""

    items: list[AgentTemplateBody]
    next_cursor: str | None


class RetrievalChanges(Request, frozen=True):
    """How many passages an answer may use (1–20), and their least similarity to the question (cosine, 0–1)."""

    passages: int | UnsetType = UNSET
    cut_off: float | UnsetType = UNSET


class AgentChangesBody(Request, frozen=True):
    """Settings of an agent; what is left out stays, or is the template's.

    `languages` are those it may answer in, the main one first. `fallback_message` is said when the knowledge holds no answer.
    `fallback_models` (at most 4) are asked instead, in this order, when `model` does not answer. `temperature` (0–2), `top_p` (0–1),
    `frequency_penalty` and `presence_penalty` (-2–2) of null are left to the provider. `max_tokens` (100–4,000) bounds an answer,
    `context_window` (1–100) is how many earlier messages the model sees. `escalation_threshold` (0–1) is the confidence below which a
    person should take over; it is not the similarity of passages.
    """

    description: str | UnsetType = UNSET
    slug: str | UnsetType = UNSET
    languages: list[AgentLanguage] | UnsetType = UNSET
    instructions: str | UnsetType = UNSET
    custom_instructions: str | UnsetType = UNSET
    greeting: str | UnsetType = UNSET
    fallback_message: str | UnsetType = UNSET
    suggested_questions: list[str] | UnsetType = UNSET
    tone: ToneName | UnsetType = UNSET
    model: str | UnsetType = UNSET
    fallback_models: list[str] | UnsetType = UNSET
    temperature: float | UnsetType | None = UNSET
    top_p: float | UnsetType | None = UNSET
    frequency_penalty: float | UnsetType | None = UNSET
    presence_penalty: float | UnsetType | None = UNSET
    max_tokens: int | UnsetType = UNSET
    context_window: int | UnsetType = UNSET
    retrieval: RetrievalChanges | UnsetType = UNSET
    escalation_threshold: float | UnsetType = UNSET


class CreateAgentBody(AgentChangesBody, kw_only=True, frozen=True):
    """A new agent. Without `template_slug` it starts from `support-agent`; without `slug` one is made from the name (1–100 characters)."""

    name: str
    template_slug: str | UnsetType = UNSET
    knowledge_base_ids: list[UUID] | UnsetType = UNSET


class EditAgentBody(AgentChangesBody, frozen=True):
    """Changes to an agent's draft. With the header `If-Match` they are made only if nobody saved meanwhile."""

    name: str | UnsetType = UNSET


class RetrievalBody(Response, frozen=True):
    """How passages are chosen."""

    passages: int
    cut_off: float


class AgentSettingsBody(Response, frozen=True):
    """How an agent answers."""

    languages: list[str]
    instructions: str
    custom_instructions: str
    greeting: str
    fallback_message: str
    suggested_questions: list[str]
    tone: str
    model: str
    fallback_models: list[str]
    temperature: float | None
    top_p: float | None
    frequency_penalty: float | None
    presence_penalty: float | None
    max_tokens: int
    context_window: int
    retrieval: RetrievalBody
    escalation_threshold: float


class AgentBody(AgentSettingsBody, frozen=True):
    """An agent with its draft.

    `status` is `draft` until it is first published. `published_version` is the version that answers; `unpublished_changes` tells whether
    the draft differs from it. `knowledge_base_ids` are live: attaching takes effect at once, without publishing. `version` counts saves and
    is the `ETag`.
    """

    id: UUID
    name: str
    slug: str
    description: str
    template_slug: str | None
    status: str
    published_version: int | None
    published_at: datetime | None
    unpublished_changes: bool
    knowledge_base_ids: list[UUID]
    created_at: datetime
    updated_at: datetime
    version: int


class AgentList(Response, frozen=True):
    """Agents, newest first."""

    items: list[AgentBody]
    next_cursor: str | None


class AgentVersionBody(Response, frozen=True):
    """A published version. `live` marks the one that answers; `published_by` is null for the system."""

    version: int
    settings: AgentSettingsBody
    published_at: datetime
    published_by: UUID | None
    live: bool


class AgentVersionList(Response, frozen=True):
    """Published versions, newest first."""

    items: list[AgentVersionBody]
    next_cursor: str | None


class RollBackBody(Request, frozen=True):
    """Which published version shall answer again."""

    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class AttachKnowledgeBody(Request, frozen=True):
    """The knowledge bases to answer from (at most 50): exactly these, in this order."""

    knowledge_base_ids: list[UUID]


class CreateKnowledgeBaseBody(Request, frozen=True):
    """A new knowledge base: name (2–100 characters), description (at most 500)."""

    name: str
    description: str = ""
    language: KnowledgeLanguageCode = "fr"


class EditKnowledgeBaseBody(Request, frozen=True):
    """Changes to a knowledge base; what is left out stays."""

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    language: KnowledgeLanguageCode | UnsetType = UNSET


class KnowledgeBaseBody(Response, frozen=True):
    """A knowledge base. `sources_ready` of its `sources` are searched; `version` counts saves and is the `ETag`."""

    id: UUID
    name: str
    description: str
    language: str
    sources: int
    sources_ready: int
    created_at: datetime
    updated_at: datetime
    version: int


class KnowledgeBaseList(Response, frozen=True):
    """Knowledge bases, newest first."""

    items: list[KnowledgeBaseBody]
    next_cursor: str | None


class PairBody(Request, frozen=True):
    """A question (at most 1,000 characters) and its answer (at most 10,000)."""

    question: str
    answer: str


class AddSourceBody(Request, frozen=True):
    """A new source, named in 2–200 characters.

    `text` has `content` (at most 100,000 characters); `qa` has `pairs` (1–1,000). Without `language` it is in the base's.
    """

    type: Literal["text", "qa"]
    name: str
    content: str | UnsetType = UNSET
    pairs: list[PairBody] | UnsetType = UNSET
    language: KnowledgeLanguageCode | UnsetType = UNSET


class RenameSourceBody(Request, frozen=True):
    """A source's new name (2–200 characters)."""

    name: str


class ReplaceContentBody(Request, frozen=True):
    """What a source says from now on: either `content`, a text (at most 100,000 characters), or `pairs` (1–1,000)."""

    content: str | UnsetType = UNSET
    pairs: list[PairBody] | UnsetType = UNSET


class SourceContentBody(Response, frozen=True):
    """A part of a source's text: `start` and `end` are where it really begins and ends, `length` is the whole text's, in characters.

    `page`, counted from 1, is where it begins, for files that have pages.
    """

    text: str
    start: int
    end: int
    length: int
    page: int | None


class KnowledgeSourceBody(Response, frozen=True):
    """A source. It is searched once it is `ready`; content that is replaced, until the new one is.

    `status` is `pending`, `processing`, `ready` or `failed`; `step` is `stored`, `parsing`, `cutting`, `indexing`, or null when ready.
    `error` says why it failed, or what is being tried again; `error_code` tells programs why a file can't be read; `progress` is 0–100.
    """

    id: UUID
    knowledge_base_id: UUID
    type: str
    name: str
    language: str
    status: str
    step: str | None
    error: str | None
    error_code: str | None
    progress: int
    passages: int
    passages_indexed: int
    size_bytes: int
    created_at: datetime
    updated_at: datetime
    indexed_at: datetime | None


class KnowledgeSourceList(Response, frozen=True):
    """Sources, newest first."""

    items: list[KnowledgeSourceBody]
    next_cursor: str | None


class SearchBody(Request, frozen=True):
    """What to look for (1–1,000 characters), and how many passages to return (1–50)."""

    query: str
    limit: int = 10


class PassageScores(Response, frozen=True):
    """How a passage came to its place.

    `dense` is its similarity to the query in meaning (cosine, on the scale of the local model), `sparse` the score of the words they share
    (BM25, 0 for none), `fused` the weighted sum of both as standard scores among this query's candidates: passages are ordered by it.
    """

    dense: float
    sparse: float
    fused: float


class FoundPassageBody(Response, frozen=True):
    """A passage with its similarity to the query (cosine), which an agent's cut-off is about. `title` is its source's name."""

    text: str
    score: float
    source_id: UUID
    title: str
    locator: LocatorBody
    scores: PassageScores


class SearchResult(Response, frozen=True):
    """Passages, the best first, without a cut-off."""

    items: list[FoundPassageBody]
