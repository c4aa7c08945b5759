"""Logs: one line per event, JSON for machines, coloured for people, redacted for everybody."""

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from typing import Any, Final, TextIO
from uuid import UUID

import msgspec
import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.stdlib import ExtraAdder, ProcessorFormatter
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

from entrypoints.observability.redaction import redact

_OWN_ACCESS_LOGS: Final = ("uvicorn.access", "aiohttp.access")
"""They write addresses and full paths; the request log and the metrics say the same without."""
_JSON: Final = msgspec.json.Encoder(enc_hook=str)
_CHATTY: Final = ("httpx", "httpcore", "urllib3", "asyncio", "apscheduler", "alembic")


def configure_logging(*, level: str = "INFO", pretty: bool | None = None, stream: TextIO | None = None) -> None:
    """Send everything that structlog or the standard library logs to `stream` (standard error), redacted.

    `pretty` chooses lines for people; by default a terminal gets them and everything else JSON lines. May be called again; the last call
    holds. Raises `ValueError` for an unknown `level`.
    """
    target = stream if stream is not None else sys.stderr
    for_people = target.isatty() if pretty is None else pretty
    shared: list[Processor] = [
        merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor] = (
        [structlog.processors.format_exc_info, redact, structlog.dev.ConsoleRenderer(colors=target.isatty())]
        if for_people
        else [
            # locals hold passwords and conversations: they are never read
            _with_exception,
            redact,
            structlog.processors.JSONRenderer(_json),
        ]
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(
        ProcessorFormatter(
            foreign_pre_chain=[*shared, ExtraAdder()],
            processors=[_without_private_keys, structlog.processors.StackInfoRenderer(), *rendering],
        ),
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    for name in _OWN_ACCESS_LOGS:
        logging.getLogger(name).disabled = True
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(capture=True)
    # our own lines skip the standard library's records, handlers and formatters, which cost more than the line itself
    structlog.configure(
        processors=[*shared, structlog.processors.StackInfoRenderer(), *rendering],
        logger_factory=lambda name="": _Lines(name, target),
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        cache_logger_on_first_use=False,
    )


class _Lines(structlog.WriteLogger):
    """Writes whole lines to one stream, from any thread; has a name, as the standard library's loggers do.

    A line that cannot be written (the disk is full, the reader of a pipe has gone) is lost: nothing that is told fails because of it.
    """

    def __init__(self, name: str, stream: TextIO) -> None:
        super().__init__(stream)
        self.name = name

    def msg(self, message: str) -> None:
        """Write a line."""
        with suppress(OSError):
            super().msg(message)

    debug = info = warning = error = critical = msg


def _json(event: object, **_: object) -> str:
    return _JSON.encode(event).decode()


@contextmanager
def logged_with(
    *,
    request_id: str | None = None,
    organization_id: UUID | None = None,
    turn_id: UUID | None = None,
) -> Iterator[None]:
    """Put these on every line that is logged in the block, by whichever logger, in this task and those it starts."""
    given = {"request_id": request_id, "organization_id": organization_id, "turn_id": turn_id}
    with bound_contextvars(**{key: str(value) for key, value in given.items() if value is not None}):
        yield


_EXCEPTION: Final = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def _with_exception(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Render an exception where there is one, its frames in one line each."""
    if not event.get("exc_info"):
        event.pop("exc_info", None)
        return event
    event = _EXCEPTION(logger, method, event)
    pending: list[Any] = [event.get("exception")]
    while pending:
        raised = pending.pop()
        if isinstance(raised, list):
            pending.extend(raised)
        elif isinstance(raised, dict):
            raised["frames"] = [f"{frame['filename']}:{frame['lineno']} in {frame['name']}" for frame in raised.get("frames", ())]
            pending.append(raised.get("exceptions"))
    return event


def _without_private_keys(_logger: object, _method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    for key in ("_record", "_from_structlog", "positional_args"):
        event.pop(key, None)
    return event
