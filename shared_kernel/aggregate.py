"""The base of aggregates: identity, optimistic version, and what is to be written with the next save."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from uuid import UUID

from shared_kernel.errors import Conflict
from shared_kernel.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditNote:
    """What an aggregate asks the audit trail to remember of one change.

    `action` is `<noun>.<past tense>`, such as `agent.published`. `before` and `after` hold JSON values; `personal` holds the values that
    identify a person (an e-mail, a name): the trail keeps only salted commitments of those in the chain, so that they can be erased.
    """

    action: str
    before: Mapping[str, object] = field(default_factory=dict)
    after: Mapping[str, object] = field(default_factory=dict)
    personal: Mapping[str, str] = field(default_factory=dict)


class Aggregate:
    """Something that is loaded, changed by one method call, and saved whole.

    `AGGREGATE` is its name in events and audit entries (`agent`). `version` counts saves: the unit of work raises `Conflict` when
    somebody else saved first. Methods call `record` and `note`; the unit of work collects both when its block is left.
    """

    AGGREGATE: ClassVar[str]
    id: UUID
    version: int

    def must_be_at(self, version: int | None) -> None:
        """Go on only if nobody saved since `version` was read; `None` for whatever it is now. Raises `Conflict`."""
        if version is not None and version != self.version:
            raise Conflict("It was changed meanwhile; read it again")

    def record(self, event: Event) -> None:
        """Publish `event` when this change is saved."""
        self.__dict__.setdefault("_events", []).append(event)

    def note(self, note: AuditNote) -> None:
        """Write `note` to the audit trail when this change is saved."""
        self.__dict__.setdefault("_notes", []).append(note)

    def take_events(self) -> list[Event]:
        """Return the events recorded since the last call, oldest first, and forget them."""
        events: list[Event] = self.__dict__.pop("_events", [])
        return events

    def take_notes(self) -> list[AuditNote]:
        """Return the audit notes made since the last call, oldest first, and forget them."""
        notes: list[AuditNote] = self.__dict__.pop("_notes", [])
        return notes
