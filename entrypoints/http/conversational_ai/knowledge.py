"""Knowledge bases, sources and search."""

from collections.abc import Callable
from typing import Any
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
    ContentLinkBody,
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
from domains.conversational_ai.model.attachment_name import attachment
from domains.conversational_ai.model.knowledge_source import Pair, QuestionsContent, SourceContent, TextContent, WebPageContent
from domains.conversational_ai.model.languages import KnowledgeLanguage
from domains.conversational_ai.model.web_address import WebAddress
from domains.conversational_ai.ports.knowledge_reading import KnowledgeBaseRow, KnowledgeReading, KnowledgeSourceRow
from domains.conversational_ai.use_cases.add_file_source import AddFileSource, AddFileSourceHandler
from domains.conversational_ai.use_cases.add_knowledge_source import AddKnowledgeSource, AddKnowledgeSourceHandler
from domains.conversational_ai.use_cases.create_knowledge_base import CreateKnowledgeBase, CreateKnowledgeBaseHandler
from domains.conversational_ai.use_cases.delete_knowledge_base import DeleteKnowledgeBase, DeleteKnowledgeBaseHandler
from domains.conversational_ai.use_cases.delete_knowledge_source import DeleteKnowledgeSource, DeleteKnowledgeSourceHandler
from domains.conversational_ai.use_cases.edit_knowledge_base import EditKnowledgeBase, EditKnowledgeBaseHandler
from domains.conversational_ai.use_cases.get_download import GetDownloadHandler
from domains.conversational_ai.use_cases.get_source_content import GetSourceContent, GetSourceContentHandler
from domains.conversational_ai.use_cases.make_content_link import MakeContentLink, MakeContentLinkHandler
from domains.conversational_ai.use_cases.rename_knowledge_source import RenameKnowledgeSource, RenameKnowledgeSourceHandler
from domains.conversational_ai.use_cases.replace_source_content import ReplaceSourceContent, ReplaceSourceContentHandler
from domains.conversational_ai.use_cases.search_knowledge import SearchKnowledge, SearchKnowledgeHandler
from domains.conversational_ai.use_cases.store_upload import Upload
from entrypoints.http.etags import IfMatch, etag, expected_version
from entrypoints.http.paging import page_request
from entrypoints.http.routing import ALSO_ANSWERS, public, requires
from entrypoints.http.uploads import UPLOAD, UploadForm, is_form
from shared_kernel.errors import FieldError, InvalidInput
from shared_kernel.identifiers import new_id
from shared_kernel.principal import Principal

_TAGS = ["Knowledge"]
_DOWNLOADED = "application/octet-stream"
DOWNLOADS = "/downloads"


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
    principal: NamedDependency[Principal],
    handler: FromDishka[EditKnowledgeBaseHandler],
    reading: FromDishka[KnowledgeReading],
    if_match: IfMatch = None,
) -> Response[KnowledgeBaseBody]:
    """Change a knowledge base. `If-Match` guards against overwriting somebody else's change."""
    await handler(
        EditKnowledgeBase(
            knowledge_base_id=knowledge_base_id,
            name=None if data.name is UNSET else data.name,
            description=None if data.description is UNSET else data.description,
            language=None if data.language is UNSET else KnowledgeLanguage(data.language),
            expected_version=expected_version(if_match),
            requested_by=principal,
        )
    )
    return _base(await reading.base(principal, knowledge_base_id))


@delete("/knowledge-bases/{knowledge_base_id:uuid}", status_code=204, opt=requires(Permission.KNOWLEDGE_MANAGE), tags=_TAGS)
@inject
async def delete_knowledge_base(
    knowledge_base_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    handler: FromDishka[DeleteKnowledgeBaseHandler],
    if_match: IfMatch = None,
) -> None:
    """Delete a knowledge base with its sources: nothing of it is found from now on."""
    expected = expected_version(if_match)
    await handler(DeleteKnowledgeBase(knowledge_base_id=knowledge_base_id, expected_version=expected, requested_by=principal))


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
    """Store a source: a text, pairs or a page's address as JSON, or a file as a form.

    It is fetched and indexed in the background, and searched once it is ready.
    """
    if is_form(request.headers.get("content-type")):
        form = UploadForm(request)
        command = AddFileSource(
            knowledge_base_id=knowledge_base_id, upload=await form.upload(), described=form.described, requested_by=principal
        )
        return _source(await file_handler(command))
    if data is None:
        raise _no_body()
    content = _content(data)
    return _source(
        await handler(
            AddKnowledgeSource(
                knowledge_base_id=knowledge_base_id,
                name=_name(data, content),
                content=content,
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
    """Replace what a source says, by a text, pairs or a page's address as JSON, or a file as a form.

    What it said is found until the new is indexed. A page is fetched again by its own address.
    """
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


@get(
    "/knowledge-bases/{knowledge_base_id:uuid}/sources/{source_id:uuid}/content",
    opt={**requires(Permission.KNOWLEDGE_VIEW), ALSO_ANSWERS: ("409",)},  # while it is read for the first time
    tags=_TAGS,
)
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


@post(
    "/knowledge-bases/{knowledge_base_id:uuid}/sources/{source_id:uuid}/content-links",
    status_code=201,
    opt=requires(Permission.KNOWLEDGE_VIEW),
    tags=_TAGS,
)
@inject
async def make_content_link(
    knowledge_base_id: FromPath[UUID],
    source_id: FromPath[UUID],
    principal: NamedDependency[Principal],
    handler: FromDishka[MakeContentLinkHandler],
) -> ContentLinkBody:
    """Make a link at which the source's file, page or text can be saved for a while without a credential."""
    made = await handler(MakeContentLink(knowledge_base_id=knowledge_base_id, source_id=source_id, requested_by=principal))
    return ContentLinkBody(url=made.url, expires_at=made.expires_at)


@get(
    DOWNLOADS + "/{token:str}",
    opt={**public("the address itself is the credential: signed, of one file, for minutes"), ALSO_ANSWERS: ("410",)},
    tags=_TAGS,
    media_type=_DOWNLOADED,
)
@inject
async def download(token: FromPath[str], handler: FromDishka[GetDownloadHandler]) -> Stream:
    """Save what a link leads to. A link that has ended is answered with 410 `link_expired`, one that is none with 404."""
    opened = await handler(token)
    headers = {
        "content-disposition": attachment(opened.name),
        "content-length": str(opened.size_bytes),
        "content-security-policy": "default-src 'none'; sandbox",
        "x-content-type-options": "nosniff",
        "cache-control": "private, no-store",
    }
    return Stream(opened.content, media_type=_DOWNLOADED, headers=headers)


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


_CONTENT_OF_TYPE = {"text": "content", "qa": "pairs", "web_page": "url"}


def _content(data: AddSourceBody) -> SourceContent:
    """Return the content that `type` asks for. Raises `InvalidInput` when it is missing, or another is there too."""
    wanted = _CONTENT_OF_TYPE[data.type]
    given = _given(data)
    for field in given:
        if field != wanted:
            raise InvalidInput(FieldError(field, "unexpected", f"does not belong to type {data.type}"))
    if not given:
        raise _missing(wanted, data.type)
    return given[wanted]()


def _name(data: AddSourceBody, content: SourceContent) -> str:
    if data.name is not UNSET:
        return data.name
    if isinstance(content, WebPageContent):
        return content.address.name
    raise _missing("name", data.type)


def _replacement(data: ReplaceContentBody) -> SourceContent:
    """Return the content that is there. Raises `InvalidInput` for none or several."""
    given = _given(data)
    if len(given) > 1:
        first, second, *_ = given
        raise InvalidInput(FieldError(second, "unexpected", f"does not go with {first}"))
    for content in given.values():
        return content()
    raise InvalidInput(FieldError("content", "missing", "is required, or pairs, or url"))


def _given(data: AddSourceBody | ReplaceContentBody) -> dict[str, Callable[[], SourceContent]]:
    """Return what makes the content of each field that is there."""
    found: dict[str, Callable[[], SourceContent]] = {}
    if (text := data.content) is not UNSET:
        found["content"] = lambda: TextContent(text)
    if (pairs := data.pairs) is not UNSET:
        found["pairs"] = lambda: QuestionsContent(tuple(Pair(p.question, p.answer) for p in pairs))
    if (url := data.url) is not UNSET:
        found["url"] = lambda: WebPageContent(new_id(), WebAddress.parse(url))
    return found


def _no_body() -> InvalidInput:
    return InvalidInput(FieldError("body", "missing", "is required, as JSON or as a form with a file"))


def _missing(field: str, kind: str) -> InvalidInput:
    return InvalidInput(FieldError(field, "missing", f"is required for type {kind}"))


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
        url=row.url,
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
    make_content_link,
    download,
    delete_source,
    search_knowledge,
]
