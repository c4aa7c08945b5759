"""A knowledge source: something to answer from, and how far it is indexed."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import ClassVar, Self
from uuid import UUID, uuid5

from contracts.conversational_ai.events import (
    KnowledgeSourceAdded,
    KnowledgeSourceDeleted,
    KnowledgeSourceFailed,
    KnowledgeSourceIndexed,
    KnowledgeSourceOutdated,
    KnowledgeSourceReplaced,
    KnowledgeSourceVersionRetired,
)
from domains.conversational_ai.model.chunking import Chunk, chunks_of_document, chunks_of_pair
from domains.conversational_ai.model.document import DocumentText
from domains.conversational_ai.model.file_format import FileFormat
from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.model.passage import Passage
from domains.conversational_ai.model.text import problem_with, refuse
from domains.conversational_ai.model.web_address import WebAddress
from shared_kernel.aggregate import Aggregate, AuditNote
from shared_kernel.errors import FieldError, InvalidInput, NotFound

NAME_LENGTH = 200
TEXT_LENGTH = 100_000
QUESTION_LENGTH = 1_000
ANSWER_LENGTH = 10_000
MOST_PAIRS = 1_000
PAIRS_LENGTH = 400_000  # of all questions and answers of one source: fits the largest request body in every alphabet


class SourceKind(StrEnum):
    """What a source is made of."""

    TEXT = "text"
    QUESTIONS = "qa"
    FILE = "file"
    WEB_PAGE = "web_page"


class SourceStatus(StrEnum):
    """Only a ready source is searched."""

    PENDING = "pending"
    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class SourceStep(StrEnum):
    """How far the current content has come: kept as it was given, being fetched, being read, being cut into passages, being indexed."""

    STORED = "stored"
    FETCHING = "fetching"
    PARSING = "parsing"
    CUTTING = "cutting"
    INDEXING = "indexing"


@dataclass(frozen=True)
class TextContent:
    """A pasted text. Raises `InvalidInput` when it is blank, too long or can't be stored."""

    text: str

    def __post_init__(self) -> None:
        refuse([problem_with("content", self.text, minimum=1, maximum=TEXT_LENGTH)])

    @property
    def kind(self) -> SourceKind:
        """Plain text."""
        return SourceKind.TEXT

    @property
    def size_bytes(self) -> int:
        """Its size in UTF-8."""
        return len(self.text.encode())

    def chunks(self) -> list[Chunk]:
        """Cut the text into passages."""
        return chunks_of_document(DocumentText.of_markdown(self.text))


@dataclass(frozen=True, slots=True)
class Pair:
    """A question and its answer."""

    question: str
    answer: str


@dataclass(frozen=True)
class QuestionsContent:
    """Questions with their answers. Raises `InvalidInput` naming every wrong pair."""

    pairs: tuple[Pair, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.pairs) <= MOST_PAIRS:
            raise InvalidInput(FieldError("pairs", "wrong_count", f"must have between 1 and {MOST_PAIRS} entries"))
        problems: list[FieldError | None] = []
        for i, pair in enumerate(self.pairs):
            problems.append(problem_with(f"pairs.{i}.question", pair.question, minimum=1, maximum=QUESTION_LENGTH))
            problems.append(problem_with(f"pairs.{i}.answer", pair.answer, minimum=1, maximum=ANSWER_LENGTH))
        if sum(len(pair.question) + len(pair.answer) for pair in self.pairs) > PAIRS_LENGTH:
            problems.append(FieldError("pairs", "too_long", f"must hold at most {PAIRS_LENGTH} characters together: make two of it"))
        refuse(problems)

    @property
    def kind(self) -> SourceKind:
        """Questions and answers."""
        return SourceKind.QUESTIONS

    @cached_property
    def text(self) -> str:
        """The pairs as one text, which locators point into: question, line feed, answer; an empty line between pairs."""
        return "\n\n".join(f"{p.question}\n{p.answer}" for p in self._trimmed)

    @property
    def size_bytes(self) -> int:
        """Its size in UTF-8."""
        return len(self.text.encode())

    def chunks(self) -> list[Chunk]:
        """Make one passage of each pair, several of a pair with a long answer."""
        found: list[Chunk] = []
        offset = 0
        for pair in self._trimmed:
            found += chunks_of_pair(pair.question, pair.answer, offset=offset)
            offset += len(pair.question) + len(pair.answer) + 3
        return found

    @cached_property
    def _trimmed(self) -> list[Pair]:
        return [Pair(p.question.strip(), p.answer.strip()) for p in self.pairs]


@dataclass(frozen=True)
class FileContent:
    """A file, which is kept in the object store under `upload_id`: its name when it was uploaded, and what it is."""

    upload_id: UUID
    name: str
    format: FileFormat
    size_bytes: int

    @property
    def kind(self) -> SourceKind:
        """A file."""
        return SourceKind.FILE


@dataclass(frozen=True)
class WebPageContent:
    """A web page, which is kept in the object store under `upload_id` once it was fetched: what it is, is known from then on."""

    upload_id: UUID
    address: WebAddress
    format: FileFormat | None = None
    size_bytes: int = 0

    @property
    def kind(self) -> SourceKind:
        """A web page."""
        return SourceKind.WEB_PAGE

    @property
    def file_name(self) -> str:
        """What it is called as a file: its site's name, with the ending of its format."""
        ending = {FileFormat.PDF: "pdf", FileFormat.TEXT: "txt", FileFormat.MARKDOWN: "md"}.get(self.format or FileFormat.WEB_PAGE, "html")
        return f"{self.address.host}.{ending}"


KeptContent = FileContent | WebPageContent
"""What is kept in the object store."""

SourceContent = TextContent | QuestionsContent | KeptContent


def storage_cause(source_id: UUID, content_version: int) -> UUID:
    """Return what takes a version's bytes of storage: each version is counted, and given back, by itself."""
    return source_id if content_version == 1 else uuid5(source_id, str(content_version))


def passages_of(source: "KnowledgeSource", chunks: Iterable[Chunk], new_id: Callable[[], UUID]) -> list[Passage]:
    """Return the passages of the source's current content, in order, not yet in any index."""
    return [
        Passage(
            id=new_id(),
            organization_id=source.organization_id,
            knowledge_base_id=source.knowledge_base_id,
            source_id=source.id,
            source_version=source.content_version,
            ordinal=ordinal,
            text=chunk.text,
            locator=chunk.locator,
        )
        for ordinal, chunk in enumerate(chunks)
    ]


@dataclass(eq=False, kw_only=True)
class KnowledgeSource(Aggregate):
    """One source of a knowledge base.

    `size_bytes` is its file, or its text in UTF-8, 0 as long as it was not fetched; `url` is where it is fetched. `content_version` is the
    content that should be found, `indexed_version` the one that is found now (`None` until the first is whole; what is replaced is found
    until the new one is), `indexed_with` what made its vectors. `passages_done` of `passages_total` are in the index. `error` says, for
    people, why it failed or what is being tried again; `error_code` tells programs why it failed.

    A delivery may reach two workers: once the current content is found or given up, what the slower one says of its progress is not heard.
    """

    AGGREGATE: ClassVar[str] = "knowledge_source"

    id: UUID
    organization_id: UUID
    knowledge_base_id: UUID
    name: str
    kind: SourceKind
    language: KnowledgeLanguage
    size_bytes: int
    url: str | None = None
    status: SourceStatus = SourceStatus.PENDING
    step: SourceStep = SourceStep.STORED
    error: str | None = None
    error_code: str | None = None
    content_version: int = 1
    indexed_version: int | None = None
    indexed_with: str | None = None
    passages_total: int = 0
    passages_done: int = 0
    created_at: datetime
    updated_at: datetime
    indexed_at: datetime | None = None
    deleted_at: datetime | None = None
    version: int = 1

    @classmethod
    def add(
        cls,
        source_id: UUID,
        *,
        organization_id: UUID,
        knowledge_base_id: UUID,
        name: str,
        language: KnowledgeLanguage,
        content: SourceContent,
        at: datetime,
    ) -> Self:
        """Return a new source that waits to be indexed. Raises `InvalidInput`."""
        refuse([problem_with("name", name, minimum=2, maximum=NAME_LENGTH)])
        source = cls(
            id=source_id,
            organization_id=organization_id,
            knowledge_base_id=knowledge_base_id,
            name=name.strip(),
            kind=content.kind,
            language=language,
            size_bytes=content.size_bytes,
            url=_url(content),
            created_at=at,
            updated_at=at,
        )
        source.record(
            KnowledgeSourceAdded(source_id=source_id, knowledge_base_id=knowledge_base_id, content_version=source.content_version)
        )
        source.note(
            AuditNote(
                action="knowledge_source.added",
                after={"name": source.name, "type": source.kind, "bytes": source.size_bytes, "knowledge_base_id": str(knowledge_base_id)},
            )
        )
        return source

    def rename(self, name: str, *, at: datetime) -> None:
        """Give it another name, under which it is cited from now on. Raises `InvalidInput`."""
        refuse([problem_with("name", name, minimum=2, maximum=NAME_LENGTH)])
        if name.strip() == self.name:
            return
        before, self.name, self.updated_at = self.name, name.strip(), at
        self.note(AuditNote(action="knowledge_source.renamed", before={"name": before}, after={"name": self.name}))

    def replace(self, content: SourceContent, *, at: datetime) -> None:
        """Let `content` be found instead, once it is indexed."""
        before = {"bytes": self.size_bytes, "content_version": self.content_version}
        self.content_version += 1
        self.kind, self.size_bytes, self.url = content.kind, content.size_bytes, _url(content)
        self.status, self.step, self.error, self.error_code = SourceStatus.PENDING, SourceStep.STORED, None, None
        self.passages_total = self.passages_done = 0
        self.updated_at = at
        self.record(
            KnowledgeSourceReplaced(source_id=self.id, knowledge_base_id=self.knowledge_base_id, content_version=self.content_version)
        )
        after = {"type": self.kind, "bytes": self.size_bytes, "content_version": self.content_version}
        self.note(AuditNote(action="knowledge_source.replaced", before=before, after=after))

    def begin(self, *, at: datetime) -> None:
        """Try to index the current content, also what was given up before."""
        if self._is_found():
            return
        self.status, self.error, self.error_code, self.updated_at = SourceStatus.PROCESSING, None, None, at

    def reaches(self, step: SourceStep, *, at: datetime) -> None:
        """Say which step the current content has come to."""
        if self._is_settled():
            return
        self.step, self.updated_at = step, at

    def fetched(self, content: WebPageContent, *, at: datetime) -> None:
        """Say what was found where the current content is fetched."""
        self.size_bytes, self.updated_at = content.size_bytes, at
        self.note(AuditNote(action="knowledge_source.fetched", after={"host": content.address.host, "bytes": content.size_bytes}))

    def titled(self, title: str, content: WebPageContent, *, at: datetime) -> None:
        """Give it the page's own title unless somebody named it. A title that can't be a name changes nothing."""
        name = " ".join(title.split())[:NAME_LENGTH]
        if self.name == content.address.name and problem_with("name", name, minimum=2, maximum=NAME_LENGTH) is None:
            self.name, self.updated_at = name, at

    def emptied(self, *, at: datetime) -> None:
        """Say that nothing of the current content is kept any more."""
        self.size_bytes, self.updated_at = 0, at

    def indexing(self, *, done: int, total: int, at: datetime) -> None:
        """Say how far the current content is indexed."""
        if self._is_settled():
            return
        self.step, self.passages_done, self.passages_total, self.updated_at = SourceStep.INDEXING, done, total, at

    def indexed(self, *, passages: int, model: str, at: datetime) -> None:
        """Let the current content be found from now on, by the vectors that `model` made."""
        self.status, self.error, self.error_code = SourceStatus.READY, None, None
        self.passages_done = self.passages_total = passages
        self.indexed_version, self.indexed_with = self.content_version, model
        self.indexed_at = self.updated_at = at
        self.record(
            KnowledgeSourceIndexed(
                source_id=self.id, knowledge_base_id=self.knowledge_base_id, content_version=self.content_version, passages=passages
            )
        )
        if self.content_version > 1:
            self.record(
                KnowledgeSourceVersionRetired(
                    source_id=self.id, knowledge_base_id=self.knowledge_base_id, content_version=self.content_version
                )
            )
        self.note(AuditNote(action="knowledge_source.indexed", after={"passages": passages, "content_version": self.content_version}))

    def renew(self, model: str, *, at: datetime) -> bool:
        """Let what is found be indexed anew unless `model` made its vectors; return whether it will be.

        The old vectors can't be compared with anything any more, so nothing of it is found meanwhile. Where newer content was given up,
        the source goes on saying so, and what it did not replace is indexed anew behind it.
        """
        outdated, before = self.indexed_version, self.indexed_with
        if outdated is None or before == model or not self._is_settled():
            return False
        if self._is_found():
            self.status, self.step, self.error, self.error_code = SourceStatus.PENDING, SourceStep.STORED, None, None
            self.indexed_version, self.passages_done = None, 0
        else:
            self.indexed_with = model
        self.updated_at = at
        self.record(KnowledgeSourceOutdated(source_id=self.id, knowledge_base_id=self.knowledge_base_id, content_version=outdated))
        self.note(AuditNote(action="knowledge_source.renewed", before={"indexed_with": before}, after={"model": model}))
        return True

    def stumbled(self, reason: str, *, at: datetime) -> None:
        """Say what went wrong, while it is being tried again."""
        if self._is_settled():
            return
        self.status, self.error, self.updated_at = SourceStatus.PROCESSING, reason, at

    def failed(self, reason: str, *, code: str | None = None, at: datetime) -> None:
        """Give up on the current content; `reason` is meant for people, `code` for programs. The second time nothing happens."""
        if self._is_settled():
            return
        self.status, self.error, self.error_code, self.updated_at = SourceStatus.FAILED, reason, code, at
        self.record(
            KnowledgeSourceFailed(
                source_id=self.id, knowledge_base_id=self.knowledge_base_id, content_version=self.content_version, reason=reason
            )
        )
        self.note(AuditNote(action="knowledge_source.failed", after={"reason": reason}))

    def linked(self, *, expires_at: datetime) -> None:
        """Remember that somebody was given a link to what it is made of."""
        self.note(AuditNote(action="knowledge_source.linked", after={"expires_at": expires_at.isoformat()}))

    def delete(self, *, at: datetime) -> None:
        """Delete the source: nothing of it is found from now on. Raises `NotFound` when it was deleted already."""
        if self.deleted_at is not None:
            raise NotFound
        self.deleted_at = self.updated_at = at
        self.record(KnowledgeSourceDeleted(source_id=self.id, knowledge_base_id=self.knowledge_base_id))
        self.note(AuditNote(action="knowledge_source.deleted", before={"name": self.name, "bytes": self.size_bytes}))

    def _is_settled(self) -> bool:
        return self._is_found() or self.status is SourceStatus.FAILED

    def _is_found(self) -> bool:
        return self.indexed_version == self.content_version


def _url(content: SourceContent) -> str | None:
    return str(content.address) if isinstance(content, WebPageContent) else None
