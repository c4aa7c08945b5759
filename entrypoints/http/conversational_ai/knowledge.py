"""Knowledge bases, sources and search."""

from typing import Any
from urllib.parse import quote
from uuid import UUID

from dishka import FromDishka
from dishka.integrations.litestar import inject
from litestar import Request, Response, delete, get, patch, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from litestar.response import Stream
from litestar.types import ControllerRouterHandler
from msgspec import UNSET

from contracts.http.conversational_ai import (
    AddSourceBody,
    CreateKnowledgeBaseBody,
    EditKnowledgeBaseBody,
    FoundPassageBody,
    KnowledgeBaseBody,
    KnowledgeBaseList,
    KnowledgeSourceBody,
    KnowledgeSourceList,
    PassageScores,
    RenameSourceBody,
    ReplaceContentBody,
    SearchBody,
    SearchResult,
    SourceContentBody,
)
from contracts.http.conversations import LocatorBody
from contracts.identity.permissions import Permission
from domains.conversational_ai.model.knowledge_source import Pair, QuestionsContent, SourceContent, TextContent
from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.ports.knowledge_reading import KnowledgeBaseRow, KnowledgeReading, KnowledgeSourceRow
from domains.conversational_ai.use_cases.add_file_source import AddFileSource, AddFileSourceHandler
from domains.conversational_ai.use_cases.add_knowledge_source import AddKnowledgeSource, AddKnowledgeSourceHandler
from domains.conversational_ai.use_cases.create_knowledge_base import CreateKnowledgeBase, CreateKnowledgeBaseHandler
from domains.conversational_ai.use_cases.delete_knowledge_base import DeleteKnowledgeBase, DeleteKnowledgeBaseHandler
from domains.conversational_ai.use_cases.delete_knowledge_source import DeleteKnowledgeSource, DeleteKnowledgeSourceHandler
from domains.conversational_ai.use_cases.edit_knowledge_base import EditKnowledgeBase, EditKnowledgeBaseHandler
from domains.conversational_ai.use_cases.get_source_content import GetSourceContent, GetSourceContentHandler
from domains.conversational_ai.use_cases.get_source_file import GetSourceFile, GetSourceFileHandler
from domains.conversational_ai.use_cases.rename_knowledge_source import RenameKnowledgeSource, RenameKnowledgeSourceHandler
from domains.conversational_ai.use_cases.replace_source_content import ReplaceSourceContent, ReplaceSourceContentHandler
from domains.conversational_ai.use_cases.search_knowledge import SearchKnowledge, SearchKnowledgeHandler
from domains.conversational_ai.use_cases.store_upload import Upload
from entrypoints.http.etags import etag, expected_version
from entrypoints.http.paging import page_request
from entrypoints.http.routing import requires
from entrypoints.http.uploads import UPLOAD, UploadForm, is_form
from shared_kernel.errors import FieldError, InvalidInput
from shared_kernel.principal import Principal

_TAGS = ["Knowledge"]


@post("/knowledge-bases", status_code=201, opt=requires(Permission.KNOWLEDGE_MANAGE), tags=_TAGS)
@inject
async def create_knowledge_base(
    data: JSONBody[CreateKnowledgeBaseBody], principal: NamedDependency[Principal], handler: FromDishka[CreateKnowledgeBaseHandler]
) -> Response[KnowledgeBaseBody]:
    """Make an empty knowledge base. It takes one of the plan's knowledge bases."""
    return _base(
        await handler(
            CreateKnowledgeBase(
                name=data.name, description=data.description, language=KnowledgeLanguage(data.language), requested_by=principal
            )
        )
    )


@get("/knowledge-bases", opt=requires(Permission.KNOWLEDGE_VIEW), tags=_TAGS)
@inject
async def list_knowledge_bases(
    principal: NamedDependency[Principal],
    reading: FromDishka[KnowledgeReading],
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = 20,
) -> KnowledgeBaseList:
    """List knowledge bases, newest first."""
    page = await reading.bases(principal, page_request(cursor, limit))
    return KnowledgeBaseList(items=[_base_body(row) for row in page.items], next_cursor=page.next_cursor)


@get("/knowledge-bases/{knowledge_base_id:uuid}", opt=requires(Permission.KNOWLEDGE_VIEW), tags=_TAGS)
@inject
async def get_knowledge_base(
    knowledge_base_id: FromPath[UUID], principal: NamedDependency[Principal], reading: FromDishka[KnowledgeReading]
) -> Response[KnowledgeBaseBody]:
    """Return one knowledge base."""
    return _base(await reading.base(principal, knowledge_base_id))


@patch("/knowledge-bases/{knowledge_base_id:uuid}", opt=requires(Permission.KNOWLEDGE_MANAGE), tags=_TAGS)
@inject
async def edit_knowledge_base(  # noqa: PLR0917 - Litestar calls it by name
    knowledge_base_id: FromPath[UUID],
    data: JSONBody[EditKnowledgeBaseBody],
    request: Request[Principal, Any, Any],
    principal: NamedDependency[Principal],
    handler: FromDishka[EditKnowledgeBaseHandler],
    reading: FromDishka[KnowledgeReading],
) -> Response[KnowledgeBaseBody]:
    """Change a knowledge base. `If-Match` guards against overwriting somebody else's change."""
    await handler(
        EditKnowledgeBase(
            knowledge_base_id=knowledge_base_id,
            name=None if data.name is UNSET else data.name,
            description=None if data.description is UNSET else data.description,
            language=None if data.language is UNSET else KnowledgeLanguage(data.language),
            expected_version=expected_version(request.headers.get("if-match")),
            requested_by=principal,
        )
    )
    return _base(await reading.base(principal, knowledge_base_id))


@delete("/knowledge-bases/{knowledge_base_id:uuid}", status_code=204, opt=requires(Permission.KNOWLEDGE_MANAGE), tags=_TAGS)
@inject
async def delete_knowledge_base(
    knowledge_base_id: FromPath[UUID], principal: NamedDependency[Principal], handler: FromDishka[DeleteKnowledgeBaseHandler]
) -> None:
    """Delete a knowledge base with its sources: nothing of it is found from now on."""
    await handler(DeleteKnowledgeBase(knowledge_base_id=knowledge_base_id, requested_by=principal))


@post(
    "/knowledge-bases/{knowledge_base_id:uuid}/sources",
    status_code=202,
    opt={**requires(Permission.KNOWLEDGE_MANAGE), UPLOAD: ("name", "language")},
    tags=_TAGS,
)
@inject
async def add_source(  # noqa: PLR0917 - Litestar calls it by name
    knowledge_base_id: FromPath[UUID],
    request: Request[Principal, Any, Any],
    principal: NamedDependency[Principal],
    handler: FromDishka[AddKnowledgeSourceHandler],
    file_handler: FromDishka[AddFileSourceHandler],
    data: JSONBody[AddSourceBody | None] = None,
) -> KnowledgeSourceBody:
    """Store a source: a text or pairs as JSON, or a file as a form. It is indexed in the background and searched once it is ready."""
    if is_form(request.headers.get("content-type")):
        form = UploadForm(request)
        command = AddFileSource(
            knowledge_base_id=knowledge_base_id, upload=await form.upload(), described=form.described, requested_by=principal
        )
        return _source(await file_handler(command))
    if data is None:
        raise _no_body()
    return _source(
        await handler(
            AddKnowledgeSource(
                knowledge_base_id=knowledge_base_id,
                name=data.name,
                content=_content(data),
                language=None if data.language is UNSET else KnowledgeLanguage(data.language),
                requested_by=principal,
            )
        )
    )


@get("/knowledge-bases/{knowledge_base_id:uuid}/sources", opt=requires(Permission.KNOWLEDGE_VIEW), tags=_TAGS)
@inject
async def list_sources(
    knowledge_base_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    reading: FromDishka[KnowledgeReading],
    cursor: FromQuery[str | None] = None,
    limit: FromQuery[int] = 20,
) -> KnowledgeSourceList:
    """List a base's sources, newest first."""
    page = await reading.sources(principal, knowledge_base_id, page_request(cursor, limit))
    return KnowledgeSourceList(items=[_source(row) for row in page.items], next_cursor=page.next_cursor)


@get("/knowledge-bases/{knowledge_base_id:uuid}/sources/{source_id:uuid}", opt=requires(Permission.KNOWLEDGE_VIEW), tags=_TAGS)
@inject
async def get_source(
    knowledge_base_id: FromPath[UUID],
    source_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    reading: FromDishka[KnowledgeReading],
) -> KnowledgeSourceBody:
    """Return one source and how far it is indexed."""
    return _source(await reading.source(principal, knowledge_base_id, source_id))


@patch("/knowledge-bases/{knowledge_base_id:uuid}/sources/{source_id:uuid}", opt=requires(Permission.KNOWLEDGE_MANAGE), tags=_TAGS)
@inject
async def rename_source(  # noqa: PLR0917 - Litestar calls it by name
    knowledge_base_id: FromPath[UUID],
    source_id: FromPath[UUID],
    data: JSONBody[RenameSourceBody],
    principal: NamedDependency[Principal],
    handler: FromDishka[RenameKnowledgeSourceHandler],
    reading: FromDishka[KnowledgeReading],
) -> KnowledgeSourceBody:
    """Rename a source: it is cited by its new name from now on."""
    await handler(RenameKnowledgeSource(knowledge_base_id=knowledge_base_id, source_id=source_id, name=data.name, requested_by=principal))
    return _source(await reading.source(principal, knowledge_base_id, source_id))


@put(
    "/knowledge-bases/{knowledge_base_id:uuid}/sources/{source_id:uuid}/content",
    status_code=202,
    opt={**requires(Permission.KNOWLEDGE_MANAGE), UPLOAD: ()},
    tags=_TAGS,
)
@inject
async def replace_source_content(  # noqa: PLR0917 - Litestar calls it by name
    knowledge_base_id: FromPath[UUID],
    source_id: FromPath[UUID],
    request: Request[Principal, Any, Any],
    principal: NamedDependency[Principal],
    handler: FromDishka[ReplaceSourceContentHandler],
    data: JSONBody[ReplaceContentBody | None] = None,
) -> KnowledgeSourceBody:
    """Replace what a source says, by a text or pairs as JSON or a file as a form. What it said is found until the new is indexed."""
    content: SourceContent | Upload
    if is_form(request.headers.get("content-type")):
        content = await UploadForm(request).upload()
    elif data is None:
        raise _no_body()
    else:
        content = _replacement(data)
    return _source(
        await handler(
            ReplaceSourceContent(knowledge_base_id=knowledge_base_id, source_id=source_id, content=content, requested_by=principal)
        )
    )


@get("/knowledge-bases/{knowledge_base_id:uuid}/sources/{source_id:uuid}/content", opt=requires(Permission.KNOWLEDGE_VIEW), tags=_TAGS)
@inject
async def get_source_content(  # noqa: PLR0917 - Litestar calls it by name
    knowledge_base_id: FromPath[UUID],
    source_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    handler: FromDishka[GetSourceContentHandler],
    start: FromQuery[int] = 0,
    end: FromQuery[int] = 10_000,
) -> SourceContentBody:
    """Return the text of a source from `start` up to `end` (at most 100,000 characters): where a citation's locator points."""
    found = await handler(
        GetSourceContent(knowledge_base_id=knowledge_base_id, source_id=source_id, start=start, end=end, requested_by=principal)
    )
    return SourceContentBody(text=found.text, start=found.start, end=found.end, length=found.length, page=found.page)


@get("/knowledge-bases/{knowledge_base_id:uuid}/sources/{source_id:uuid}/file", opt=requires(Permission.KNOWLEDGE_VIEW), tags=_TAGS)
@inject
async def get_source_file(
    knowledge_base_id: FromPath[UUID],
    source_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    handler: FromDishka[GetSourceFileHandler],
) -> Stream:
    """Return a source as a file to keep: the one that was uploaded, byte for byte; a text, or questions and answers, as Markdown."""
    file = await handler(GetSourceFile(knowledge_base_id=knowledge_base_id, source_id=source_id, requested_by=principal))
    headers = {
        # never shown in the browser as a page of ours, whatever it holds (RFC 6266, with the name of RFC 8187)
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.name, safe='')}",
        "Content-Length": str(file.size_bytes),
        "Cache-Control": "no-store",
    }
    return Stream(file.content, media_type="application/octet-stream", headers=headers)


@delete(
    "/knowledge-bases/{knowledge_base_id:uuid}/sources/{source_id:uuid}",
    status_code=204,
    opt=requires(Permission.KNOWLEDGE_MANAGE),
    tags=_TAGS,
)
@inject
async def delete_source(
    knowledge_base_id: FromPath[UUID],
    source_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    handler: FromDishka[DeleteKnowledgeSourceHandler],
) -> None:
    """Delete a source: nothing of it is found from now on."""
    await handler(DeleteKnowledgeSource(knowledge_base_id=knowledge_base_id, source_id=source_id, requested_by=principal))


@post("/knowledge-bases/{knowledge_base_id:uuid}/search", status_code=200, opt=requires(Permission.KNOWLEDGE_VIEW), tags=_TAGS)
@inject
async def search_knowledge(
    knowledge_base_id: FromPath[UUID],
    data: JSONBody[SearchBody],
    principal: NamedDependency[Principal],
    handler: FromDishka[SearchKnowledgeHandler],
) -> SearchResult:
    """Find the passages of a base that fit a query best in meaning and words, with the score of each stage and without a cut-off."""
    found = await handler(SearchKnowledge(knowledge_base_id=knowledge_base_id, query=data.query, limit=data.limit, requested_by=principal))
    return SearchResult(
        items=[
            FoundPassageBody(
                text=p.text,
                score=round(p.score, 4),
                source_id=p.source_id,
                title=p.title,
                locator=LocatorBody(page=p.locator.page, heading=p.locator.heading, start=p.locator.start, end=p.locator.end),
                scores=PassageScores(dense=round(p.score, 4), sparse=round(p.sparse, 4), fused=round(p.fused, 4)),
            )
            for p in found
        ]
    )


def _content(data: AddSourceBody) -> SourceContent:
    """Return the content that `type` asks for. Raises `InvalidInput` when it is missing, or the other one is there too."""
    if data.type == "text":
        if data.pairs is not UNSET:
            raise _misplaced("pairs", data.type)
        if data.content is UNSET:
            raise _missing("content", data.type)
        return TextContent(data.content)
    if data.content is not UNSET:
        raise _misplaced("content", data.type)
    if data.pairs is UNSET:
        raise _missing("pairs", data.type)
    return QuestionsContent(tuple(Pair(p.question, p.answer) for p in data.pairs))


def _replacement(data: ReplaceContentBody) -> SourceContent:
    """Return the content that is there. Raises `InvalidInput` for none or both."""
    if data.content is not UNSET and data.pairs is not UNSET:
        raise InvalidInput(FieldError("pairs", "unexpected", "does not go with content"))
    if data.content is not UNSET:
        return TextContent(data.content)
    if data.pairs is UNSET:
        raise InvalidInput(FieldError("content", "missing", "is required, or pairs"))
    return QuestionsContent(tuple(Pair(p.question, p.answer) for p in data.pairs))


def _no_body() -> InvalidInput:
    return InvalidInput(FieldError("body", "missing", "is required, as JSON or as a form with a file"))


def _missing(field: str, kind: str) -> InvalidInput:
    return InvalidInput(FieldError(field, "missing", f"is required for type {kind}"))


def _misplaced(field: str, kind: str) -> InvalidInput:
    return InvalidInput(FieldError(field, "unexpected", f"does not belong to type {kind}"))


def _base_body(row: KnowledgeBaseRow) -> KnowledgeBaseBody:
    return KnowledgeBaseBody(
        id=row.id,
        name=row.name,
        description=row.description,
        language=row.language,
        sources=row.sources,
        sources_ready=row.sources_ready,
        created_at=row.created_at,
        updated_at=row.updated_at,
        version=row.version,
    )


def _base(row: KnowledgeBaseRow) -> Response[KnowledgeBaseBody]:
    return Response(_base_body(row), headers=etag(row.version))


def _source(row: KnowledgeSourceRow) -> KnowledgeSourceBody:
    return KnowledgeSourceBody(
        id=row.id,
        knowledge_base_id=row.knowledge_base_id,
        type=row.kind,
        name=row.name,
        language=row.language,
        status=row.status,
        step=row.step,
        error=row.error,
        error_code=row.error_code,
        progress=row.progress,
        passages=row.passages,
        passages_indexed=row.passages_indexed,
        size_bytes=row.size_bytes,
        created_at=row.created_at,
        updated_at=row.updated_at,
        indexed_at=row.indexed_at,
    )


route_handlers: list[ControllerRouterHandler] = [
    create_knowledge_base,
    list_knowledge_bases,
    get_knowledge_base,
    edit_knowledge_base,
    delete_knowledge_base,
    add_source,
    list_sources,
    get_source,
    rename_source,
    replace_source_content,
    get_source_content,
    get_source_file,
    delete_source,
    search_knowledge,
]
