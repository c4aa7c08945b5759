"""An agent: who answers, how, and from which knowledge.

The draft is edited freely; publishing freezes it as a numbered version, and conversations are answered by the live version alone. Rolling
back makes an earlier version live again and leaves the draft as it is. The attached knowledge bases are not part of a version: attaching,
detaching and what is in them take effect at once, since who adds knowledge expects answers from it.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, Self, TypedDict
from uuid import UUID

from contracts.conversational_ai.events import AgentArchived, AgentCreated, AgentKnowledgeChanged, AgentPublished, AgentRolledBack
from domains.conversational_ai.model.answer_format import AnswerFormat
from domains.conversational_ai.model.languages import Language
from domains.conversational_ai.model.text import problem_with, refuse
from shared_kernel.aggregate import Aggregate, AuditNote
from shared_kernel.errors import Conflict, FieldError, InvalidInput, NotFound

NAME_LENGTH = 100
SLUG_LENGTH = 100
DESCRIPTION_LENGTH = 2_000
INSTRUCTIONS_LENGTH = 10_000
CUSTOM_INSTRUCTIONS_LENGTH = 5_000
MESSAGE_LENGTH = 2_000
MOST_PASSAGES = 20
MOST_KNOWLEDGE_BASES = 50
MOST_FALLBACK_MODELS = 4

#: Least and most of what decides how freely a model words its answers.
SAMPLING = {"temperature": (0, 2), "top_p": (0, 1), "frequency_penalty": (-2, 2), "presence_penalty": (-2, 2)}

#: Least cosine similarity of a passage that is used for an answer. Measured with multilingual-e5-small, whose similarities crowd together:
#: of English questions the right passage scored .825 or more for 95 % and the best passage for an unrelated question .75 to .82; on long
#: French help texts the right one scored .86 or more for 95 %, the best for an unrelated question .80 to .86. In small knowledge, and where
#: question and knowledge have different languages, .82 left out the right one for 5 of 96 questions: what answers judges the rest.
DEFAULT_CUT_OFF = 0.80

_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")


class Tone(StrEnum):
    """How an agent sounds."""

    PROFESSIONAL = "professional"
    FRIENDLY = "friendly"
    FORMAL = "formal"
    CASUAL = "casual"
    EMPATHETIC = "empathetic"
    ENTHUSIASTIC = "enthusiastic"


class AgentStatus(StrEnum):
    """A draft was never published; an archived agent is gone for everybody but its history."""

    DRAFT = "draft"
    PUBLISHED = "published"
    ARCHIVED = "archived"


class SlugTaken(Conflict):
    """Another agent of the organisation has this slug."""

    code = "slug_taken"
    title = "Another agent has this slug"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfferedModels:
    """The generative models that this installation offers, and the one an agent gets when none is named.

    Those of `text_only` can't write JSON.
    """

    default: str
    names: frozenset[str]
    text_only: frozenset[str] = frozenset()


class AgentChanges(TypedDict, total=False):
    """The settings that an edit changes; what is not named stays."""

    languages: tuple[Language, ...]
    instructions: str
    custom_instructions: str
    greeting: str
    fallback_message: str
    suggested_questions: tuple[str, ...]
    tone: Tone
    model: str
    fallback_models: tuple[str, ...]
    temperature: float | None
    top_p: float | None
    frequency_penalty: float | None
    presence_penalty: float | None
    response_format: AnswerFormat | None
    max_tokens: int
    context_window: int
    retrieval_passages: int
    retrieval_cut_off: float
    escalation_threshold: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """How an agent answers: what a version freezes.

    `languages` are those it may answer in, its main one first. `fallback_message` is said when the knowledge holds no answer.
    `fallback_models` are asked instead, in this order, when `model` does not answer. `temperature` (0–2), `top_p` (0–1), and the penalties
    for words that were often or ever said before (-2–2) of `None` leave them to the provider; with a `response_format` every answer is a
    JSON object of its schema, else it is text;
    `max_tokens` bounds one answer; `context_window` counts the earlier messages that the model sees.
    `retrieval_passages` is how many passages an answer may use and `retrieval_cut_off` their least similarity (cosine, 0–1);
    `escalation_threshold` is the confidence (0–1) below which a person should take over: three settings, not one. Raises `InvalidInput`
    naming every wrong field.
    """

    languages: tuple[Language, ...] = (Language.FRENCH,)
    instructions: str = ""
    custom_instructions: str = ""
    greeting: str = ""
    fallback_message: str = ""
    suggested_questions: tuple[str, ...] = ()
    tone: Tone = Tone.PROFESSIONAL
    model: str
    fallback_models: tuple[str, ...] = ()
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    response_format: AnswerFormat | None = None
    max_tokens: int = 1_000
    context_window: int = 10
    retrieval_passages: int = 5
    retrieval_cut_off: float = DEFAULT_CUT_OFF
    escalation_threshold: float = 0.7

    def __post_init__(self) -> None:
        refuse(
            [
                _distinct("languages", self.languages, 1, len(Language)),
                problem_with("instructions", self.instructions, maximum=INSTRUCTIONS_LENGTH),
                problem_with("custom_instructions", self.custom_instructions, maximum=CUSTOM_INSTRUCTIONS_LENGTH),
                problem_with("greeting", self.greeting, maximum=MESSAGE_LENGTH),
                problem_with("fallback_message", self.fallback_message, maximum=MESSAGE_LENGTH),
                _distinct("suggested_questions", self.suggested_questions, 0, 10),
                *(problem_with(f"suggested_questions.{i}", q, minimum=1, maximum=200) for i, q in enumerate(self.suggested_questions)),
                _distinct("fallback_models", self.fallback_models, 0, MOST_FALLBACK_MODELS),
                FieldError("fallback_models", "repeated", "must not name the model itself") if self.model in self.fallback_models else None,
                *(None if v is None else _between(name, v, *SAMPLING[name]) for name in SAMPLING for v in (getattr(self, name),)),
                _between("max_tokens", self.max_tokens, 100, 4_000),
                _between("context_window", self.context_window, 1, 100),
                _between("retrieval_passages", self.retrieval_passages, 1, MOST_PASSAGES),
                _between("retrieval_cut_off", self.retrieval_cut_off, 0, 1),
                _between("escalation_threshold", self.escalation_threshold, 0, 1),
            ]
        )

    def changed(self, changes: AgentChanges) -> Self:
        """Return the settings with `changes` made. Raises `InvalidInput`."""
        return replace(self, **changes)

    def missing(self, models: OfferedModels) -> list[FieldError]:
        """Say what must be filled in, or put right, before these settings can be published."""
        found = []
        if not self.instructions.strip():
            found.append(FieldError("instructions", "required", "say who the agent is and how it should answer"))
        if not self.fallback_message.strip():
            found.append(FieldError("fallback_message", "required", "say what to answer when the knowledge holds no answer"))
        if self.response_format is not None and (cannot := models.text_only.intersection((self.model, *self.fallback_models))):
            told = f"{', '.join(sorted(cannot))} can't write JSON: choose another model, or answers of type text"
            found.append(FieldError("response_format", "model_cannot", told))
        return [*found, *_unknown_models(self.model, self.fallback_models, models)]


@dataclass(eq=False, kw_only=True)
class Attachment:
    """A knowledge base that an agent answers from."""

    organization_id: UUID
    agent_id: UUID
    knowledge_base_id: UUID
    position: int


@dataclass(eq=False, kw_only=True)
class AgentVersion:
    """A published version: never changed again. `published_by` is `None` for the system."""

    organization_id: UUID
    agent_id: UUID
    number: int
    settings: AgentSettings
    published_at: datetime
    published_by: UUID | None


@dataclass(eq=False, kw_only=True)
class Agent(Aggregate):
    """One agent of an organisation.

    `latest_number` counts the versions ever published, `published_number` is the live one. `unpublished_changes` tells whether the draft
    differs from it.
    """

    AGGREGATE: ClassVar[str] = "agent"

    id: UUID
    organization_id: UUID
    name: str
    slug: str
    description: str
    template_slug: str | None
    status: AgentStatus
    draft: AgentSettings
    latest_number: int = 0
    published_number: int | None = None
    published_at: datetime | None = None
    unpublished_changes: bool = True
    attachments: list[Attachment] = field(default_factory=list)
    created_at: datetime
    updated_at: datetime
    archived_at: datetime | None = None
    version: int = 1

    @classmethod
    def create(
        cls,
        agent_id: UUID,
        *,
        organization_id: UUID,
        name: str,
        slug: str,
        description: str,
        template_slug: str | None,
        settings: AgentSettings,
        models: OfferedModels,
        at: datetime,
    ) -> Self:
        """Return a new agent, a draft. Raises `InvalidInput`."""
        refuse([*_identity_problems(name, slug, description), *_unknown_models(settings.model, settings.fallback_models, models)])
        agent = cls(
            id=agent_id,
            organization_id=organization_id,
            name=name.strip(),
            slug=slug,
            description=description.strip(),
            template_slug=template_slug,
            status=AgentStatus.DRAFT,
            draft=settings,
            created_at=at,
            updated_at=at,
        )
        agent.record(AgentCreated(agent_id=agent_id, name=agent.name, slug=slug))
        agent.note(AuditNote(action="agent.created", after={"name": agent.name, "slug": slug, "template": template_slug}))
        return agent

    @property
    def knowledge_base_ids(self) -> tuple[UUID, ...]:
        """The attached knowledge bases, in the order given."""
        return tuple(a.knowledge_base_id for a in sorted(self.attachments, key=lambda a: a.position))

    def edit(
        self,
        *,
        name: str | None = None,
        slug: str | None = None,
        description: str | None = None,
        changes: AgentChanges,
        models: OfferedModels,
        at: datetime,
    ) -> None:
        """Change the name, the slug, the description and the draft; `None` leaves one as it is. Raises `InvalidInput`."""
        before = self._facts()
        name, slug = self.name if name is None else name.strip(), self.slug if slug is None else slug
        description = self.description if description is None else description.strip()
        problems = _identity_problems(name, slug, description)
        problems.extend(_unknown_models(changes.get("model"), changes.get("fallback_models", ()), models))
        refuse(problems)
        draft = self.draft.changed(changes)
        if draft != self.draft:
            self.draft, self.unpublished_changes = draft, True
        self.name, self.slug, self.description = name, slug, description
        after = self._facts()
        changed = [k for k in after if after[k] != before[k]]
        if changed:
            self.updated_at = at
            self.note(AuditNote(action="agent.edited", before={k: before[k] for k in changed}, after={k: after[k] for k in changed}))

    def publish(self, *, by: UUID | None, models: OfferedModels, at: datetime) -> AgentVersion | None:
        """Freeze the draft as the next version and make it live; return it, or `None` when the live version is the same already.

        Raises `InvalidInput` naming what is missing.
        """
        missing = self.draft.missing(models)
        if missing:
            raise InvalidInput(*missing)
        if self.published_number is not None and not self.unpublished_changes:
            return None
        self.latest_number += 1
        self._make_live(self.latest_number, at)
        self.unpublished_changes = False
        self.record(AgentPublished(agent_id=self.id, number=self.latest_number))
        self.note(AuditNote(action="agent.published", after={"version": self.latest_number}))
        return AgentVersion(
            organization_id=self.organization_id,
            agent_id=self.id,
            number=self.latest_number,
            settings=self.draft,
            published_at=at,
            published_by=by,
        )

    def roll_back(self, to: AgentVersion, *, models: OfferedModels, at: datetime) -> None:
        """Make an earlier version live again; the draft stays. Raises `InvalidInput` when that version can't be live any more."""
        missing = to.settings.missing(models)
        if missing:
            raise InvalidInput(*missing)
        if to.number == self.published_number:
            return
        before = self.published_number
        self._make_live(to.number, at)
        self.unpublished_changes = to.settings != self.draft
        self.record(AgentRolledBack(agent_id=self.id, number=to.number))
        self.note(AuditNote(action="agent.rolled_back", before={"version": before}, after={"version": to.number}))

    def answer_from(self, knowledge_base_ids: Sequence[UUID], *, at: datetime) -> None:
        """Attach exactly these knowledge bases, at once. Raises `InvalidInput` for too many or the same one twice."""
        refuse([_distinct("knowledge_base_ids", knowledge_base_ids, 0, MOST_KNOWLEDGE_BASES)])
        before = self.knowledge_base_ids
        if tuple(knowledge_base_ids) == before:
            return
        known = {a.knowledge_base_id: a for a in self.attachments}
        for old in [a for a in self.attachments if a.knowledge_base_id not in knowledge_base_ids]:
            self.attachments.remove(old)
        for position, base_id in enumerate(knowledge_base_ids):
            if base_id in known:
                known[base_id].position = position
            else:
                self.attachments.append(
                    Attachment(organization_id=self.organization_id, agent_id=self.id, knowledge_base_id=base_id, position=position)
                )
        self.updated_at = at
        self.record(AgentKnowledgeChanged(agent_id=self.id, knowledge_base_ids=tuple(knowledge_base_ids)))
        self.note(
            AuditNote(
                action="agent.knowledge_changed",
                before={"knowledge_base_ids": [str(i) for i in before]},
                after={"knowledge_base_ids": [str(i) for i in knowledge_base_ids]},
            )
        )

    def archive(self, *, at: datetime) -> None:
        """Take the agent out of service for good. Raises `NotFound` when it is archived already."""
        if self.status is AgentStatus.ARCHIVED:
            raise NotFound
        self.status, self.archived_at, self.updated_at = AgentStatus.ARCHIVED, at, at
        self.attachments.clear()
        self.record(AgentArchived(agent_id=self.id))
        self.note(AuditNote(action="agent.archived", before={"name": self.name, "slug": self.slug}))

    def _make_live(self, number: int, at: datetime) -> None:
        self.published_number, self.published_at, self.updated_at = number, at, at
        self.status = AgentStatus.PUBLISHED

    def _facts(self) -> dict[str, object]:
        settings = {name: getattr(self.draft, name) for name in AgentChanges.__annotations__}
        plain = {k: list(v) if isinstance(v, tuple) else asdict(v) if isinstance(v, AnswerFormat) else v for k, v in settings.items()}
        return {"name": self.name, "slug": self.slug, "description": self.description, **plain}


def slug_from(name: str) -> str:
    """Return a slug made from `name`: accents and case folded, the rest joined by hyphens; `agent` when nothing is left."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[: SLUG_LENGTH - 5].strip("-") or "agent"


def free_slug(wanted: str, taken: Iterable[str]) -> str:
    """Return `wanted`, or with the lowest number from 2 that makes it free (`support-2`)."""
    used = set(taken)
    if wanted not in used:
        return wanted
    return next(candidate for n in range(2, len(used) + 3) if (candidate := f"{wanted}-{n}") not in used)


def _identity_problems(name: str, slug: str, description: str) -> list[FieldError | None]:
    return [
        problem_with("name", name, minimum=1, maximum=NAME_LENGTH),
        None
        if len(slug) <= SLUG_LENGTH and _SLUG.fullmatch(slug)
        else FieldError("slug", "invalid", f"must be lower-case letters, digits and single hyphens, at most {SLUG_LENGTH} characters"),
        problem_with("description", description, maximum=DESCRIPTION_LENGTH),
    ]


def _unknown_models(model: str | None, fallbacks: Sequence[str], models: OfferedModels) -> list[FieldError]:
    named = {"model": () if model is None else (model,), "fallback_models": fallbacks}
    known = f"must be one of {', '.join(sorted(models.names))}"
    return [FieldError(name, "unknown_model", known) for name, chosen in named.items() if not models.names.issuperset(chosen)]


def _between(name: str, value: float, least: float, most: float) -> FieldError | None:
    if least <= value <= most:  # also false for not-a-number
        return None
    return FieldError(name, "out_of_range", f"must be between {least} and {most}")


def _distinct(name: str, values: Sequence[object], least: int, most: int) -> FieldError | None:
    if not least <= len(values) <= most:
        return FieldError(name, "wrong_count", f"must have between {least} and {most} entries")
    if len(set(values)) != len(values):
        return FieldError(name, "repeated", "must not name the same entry twice")
    return None
