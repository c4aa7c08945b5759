"""Agents, templates and knowledge over HTTP."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from contracts.http.base import Example, Request, Response
from contracts.http.conversations import LocatorBody

AgentLanguage = Literal["fr", "en"]
KnowledgeLanguageCode = Literal["fr", "en", "es", "de", "it", "pt", "nl", "ar", "zh", "ja", "ko"]
ToneName = Literal["professional", "friendly", "formal", "casual", "empathetic", "enthusiastic"]


class TemplateTextsBody(Response, frozen=True):
    """A template's words in one language."""

    EXAMPLE: ClassVar[Example] = {
        "name": "Support agent",
        "description": "Answers customers' questions",
        "instructions": "You answer the customers of our shop.",
        "greeting": "Hello! How can I help you?",
        "fallback_message": "I don't know; let me ask a colleague.",
    }

    name: str
    description: str
    instructions: str
    greeting: str
    fallback_message: str


class AgentTemplateBody(Response, frozen=True):
    """A starting point for agents; `texts` holds its words by language."""

    EXAMPLE: ClassVar[Example] = {
        "slug": "support-agent",
        "category": "support",
        "tone": "professional",
        "texts": {"en": TemplateTextsBody.EXAMPLE},
    }

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

    EXAMPLE: ClassVar[Example] = {"passages": 5, "cut_off": 0.82}

    passages: int | UnsetType = UNSET
    cut_off: float | UnsetType = UNSET


class JsonSchemaBody(Request, frozen=True):
    """A JSON Schema (draft 2020-12) of an object, and its name (1–64 letters, digits, `_`, `-`) and `description` for the model.

    It has at most 20,000 bytes and 32 levels, and refers to places in itself alone, in no circle. `strict` asks the provider to keep to it.
    """

    EXAMPLE: ClassVar[Example] = {"name": "price", "schema": {"type": "object", "properties": {"euros": {"type": "number"}}}}

    name: str
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None


class ResponseFormatBody(Request, frozen=True):
    """What every answer is to be: `text`, or with `json_schema` a JSON object of that schema."""

    EXAMPLE: ClassVar[Example] = {"type": "json_schema", "json_schema": JsonSchemaBody.EXAMPLE}

    type: Literal["text", "json_schema"]
    json_schema: JsonSchemaBody | None = None


class ShownJsonSchemaBody(Response, frozen=True):
    """The schema that an agent's answers have."""

    EXAMPLE: ClassVar[Example] = {"name": "price", "schema": {"type": "object"}, "description": None, "strict": None}

    name: str
    schema: dict[str, Any]
    description: str | None
    strict: bool | None


class ShownResponseFormatBody(Response, frozen=True, omit_defaults=True):
    """What an agent's answers are; `json_schema` is there with that type."""

    EXAMPLE: ClassVar[Example] = {"type": "text"}

    type: Literal["text", "json_schema"]
    json_schema: ShownJsonSchemaBody | None = None


class AgentChangesBody(Request, frozen=True):
    """Settings of an agent; what is left out stays, or is the template's.

    `languages` are those it may answer in, the main one first. `fallback_message` is said when the knowledge holds no answer.
    `fallback_models` (at most 4) are asked instead, in this order, when `model` does not answer. `temperature` (0–2), `top_p` (0–1),
    `frequency_penalty` and `presence_penalty` (-2–2) of null are left to the provider. `max_tokens` (100–4,000) bounds an answer,
    `context_window` (1–100) is how many earlier messages the model sees. `escalation_threshold` (0–1) is the confidence below which a
    person should take over; it is not the similarity of passages. `response_format` makes every answer a JSON object, which comes whole:
    it is held back until it fits its schema, and the turn fails with `answer_format_violated` when it does not the second time.
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
    response_format: ResponseFormatBody | UnsetType = UNSET
    max_tokens: int | UnsetType = UNSET
    context_window: int | UnsetType = UNSET
    retrieval: RetrievalChanges | UnsetType = UNSET
    escalation_threshold: float | UnsetType = UNSET


class CreateAgentBody(AgentChangesBody, kw_only=True, frozen=True):
    """A new agent. Without `template_slug` it starts from `support-agent`; without `slug` one is made from the name (1–100 characters)."""

    EXAMPLE: ClassVar[Example] = {"name": "Support", "template_slug": "support-agent", "languages": ["en", "fr"], "tone": "friendly"}

    name: str
    template_slug: str | UnsetType = UNSET
    knowledge_base_ids: list[UUID] | UnsetType = UNSET


class EditAgentBody(AgentChangesBody, frozen=True):
    """Changes to an agent's draft. With the header `If-Match` they are made only if nobody saved meanwhile."""

    EXAMPLE: ClassVar[Example] = {
        "instructions": "You answer the customers of our shop.",
        "temperature": 0.2,
        "retrieval": {"passages": 5, "cut_off": 0.82},
    }

    name: str | UnsetType = UNSET


class RetrievalBody(Response, frozen=True):
    """How passages are chosen."""

    EXAMPLE: ClassVar[Example] = {"passages": 5, "cut_off": 0.82}

    passages: int
    cut_off: float


class AgentSettingsBody(Response, frozen=True):
    """How an agent answers."""

    EXAMPLE: ClassVar[Example] = {
        "languages": ["en", "fr"],
        "instructions": "You answer the customers of our shop.",
        "custom_instructions": "",
        "greeting": "Hello! How can I help you?",
        "fallback_message": "I don't know; let me ask a colleague.",
        "suggested_questions": ["How do I return an order?"],
        "tone": "friendly",
        "model": "local",
        "fallback_models": [],
        "temperature": 0.2,
        "top_p": None,
        "frequency_penalty": None,
        "presence_penalty": None,
        "max_tokens": 1000,
        "context_window": 10,
        "escalation_threshold": 0.7,
    }

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
    response_format: ShownResponseFormatBody
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

    EXAMPLE: ClassVar[Example] = {
        "name": "Support",
        "slug": "support",
        "description": "",
        "template_slug": "support-agent",
        "status": "published",
        "published_version": 2,
        "unpublished_changes": False,
        "version": 5,
    }

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

    EXAMPLE: ClassVar[Example] = {"version": 2}

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

    EXAMPLE: ClassVar[Example] = {"version": 1}

    version: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)]


class AttachKnowledgeBody(Request, frozen=True):
    """The knowledge bases to answer from (at most 50): exactly these, in this order."""

    EXAMPLE: ClassVar[Example] = {"knowledge_base_ids": ["0192f0c1-7a4e-7c3b-9d52-5b8f0e6a1c2d"]}

    knowledge_base_ids: list[UUID]


class CreateKnowledgeBaseBody(Request, frozen=True):
    """A new knowledge base: name (2–100 characters), description (at most 500)."""

    EXAMPLE: ClassVar[Example] = {"name": "Prices", "description": "What our plans cost", "language": "en"}

    name: str
    description: str = ""
    language: KnowledgeLanguageCode = "fr"


class EditKnowledgeBaseBody(Request, frozen=True):
    """Changes to a knowledge base; what is left out stays."""

    EXAMPLE: ClassVar[Example] = {"description": "What our plans cost"}

    name: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    language: KnowledgeLanguageCode | UnsetType = UNSET


class KnowledgeBaseBody(Response, frozen=True):
    """A knowledge base. `sources_ready` of its `sources` are searched; `version` counts saves and is the `ETag`."""

    EXAMPLE: ClassVar[Example] = {
        "name": "Prices",
        "description": "What our plans cost",
        "language": "en",
        "sources": 2,
        "sources_ready": 2,
        "version": 1,
    }

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

    EXAMPLE: ClassVar[Example] = {"question": "How much is the Pro plan?", "answer": "49 euros each month."}

    question: str
    answer: str


class AddSourceBody(Request, frozen=True):
    """A new source, named in 2–200 characters.

    `text` has `content` (at most 100,000 characters); `qa` has `pairs` (1–1,000); `web_page` has `url`, the address of one public page,
    and without a `name` it is named for the page's title. Without `language` it is in the base's.
    """

    EXAMPLE: ClassVar[Example] = {"type": "text", "name": "Prices", "content": "The Pro plan costs 49 euros each month.", "language": "en"}

    type: Literal["text", "qa", "web_page"]
    name: str | UnsetType = UNSET
    content: str | UnsetType = UNSET
    pairs: list[PairBody] | UnsetType = UNSET
    url: str | UnsetType = UNSET
    language: KnowledgeLanguageCode | UnsetType = UNSET


class RenameSourceBody(Request, frozen=True):
    """A source's new name (2–200 characters)."""

    EXAMPLE: ClassVar[Example] = {"name": "Prices of 2026"}

    name: str


class ReplaceContentBody(Request, frozen=True):
    """What a source says from now on: `content`, a text (at most 100,000 characters), or `pairs` (1–1,000), or the page at `url`.

    The `url` that it has already has its page fetched again.
    """

    EXAMPLE: ClassVar[Example] = {"content": "The Pro plan costs 59 euros each month."}

    content: str | UnsetType = UNSET
    pairs: list[PairBody] | UnsetType = UNSET
    url: str | UnsetType = UNSET


class SourceContentBody(Response, frozen=True):
    """A part of a source's text: `start` and `end` are where it really begins and ends, `length` is the whole text's, in characters.

    `page`, counted from 1, is where it begins, for files that have pages.
    """

    EXAMPLE: ClassVar[Example] = {"text": "The Pro plan costs 49 euros each month.", "start": 0, "end": 39, "length": 39, "page": None}

    text: str
    start: int
    end: int
    length: int
    page: int | None


class ContentLinkBody(Response, frozen=True):
    """An address at which whoever has it can save what the source is made of, until `expires_at`."""

    EXAMPLE: ClassVar[Example] = {"url": "https://luneo.example/api/v1/downloads/eyJv"}

    url: str
    expires_at: datetime


class KnowledgeSourceBody(Response, frozen=True):
    """A source. It is searched once it is `ready`; content that is replaced, until the new one is.

    `type` is `text`, `qa`, `file` or `web_page`, which has a `url`. `status` is `pending`, `processing`, `ready` or `failed`; `step` is
    `stored`, `fetching`, `parsing`, `cutting`, `indexing`, or null when ready. `error` says why it failed, or what is being tried again;
    `error_code` tells programs why it failed; `progress` is 0–100; `size_bytes` is 0 until a page was fetched.
    """

    EXAMPLE: ClassVar[Example] = {
        "type": "text",
        "name": "Prices",
        "language": "en",
        "status": "ready",
        "step": None,
        "error": None,
        "error_code": None,
        "progress": 100,
        "passages": 1,
        "passages_indexed": 1,
        "size_bytes": 39,
    }

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
    url: str | None
    created_at: datetime
    updated_at: datetime
    indexed_at: datetime | None


class KnowledgeSourceList(Response, frozen=True):
    """Sources, newest first."""

    items: list[KnowledgeSourceBody]
    next_cursor: str | None


class SearchBody(Request, frozen=True):
    """What to look for (1–1,000 characters), and how many passages to return (1–50)."""

    EXAMPLE: ClassVar[Example] = {"query": "How much is the Pro plan?", "limit": 5}

    query: str
    limit: int = 10


class PassageScores(Response, frozen=True):
    """How a passage came to its place.

    `dense` is its similarity to the query in meaning (cosine, on the scale of the local model), `sparse` the score of the words they share
    (BM25, 0 for none), `fused` the weighted sum of both as standard scores among this query's candidates: passages are ordered by it.
    """

    EXAMPLE: ClassVar[Example] = {"dense": 0.91, "sparse": 4.2, "fused": 1.7}

    dense: float
    sparse: float
    fused: float


class FoundPassageBody(Response, frozen=True):
    """A passage with its similarity to the query (cosine), which an agent's cut-off is about. `title` is its source's name."""

    EXAMPLE: ClassVar[Example] = {
        "text": "The Pro plan costs 49 euros each month.",
        "score": 0.91,
        "title": "Prices",
        "locator": {"start": 0, "end": 39},
    }

    text: str
    score: float
    source_id: UUID
    title: str
    locator: LocatorBody
    scores: PassageScores


class SearchResult(Response, frozen=True):
    """Passages, the best first, without a cut-off."""

    items: list[FoundPassageBody]
