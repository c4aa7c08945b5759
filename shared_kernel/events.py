"""Facts that a context publishes.

Concrete events are frozen dataclasses in `contracts/<context>/events.py`. Each names its `TYPE`, such as
`identity.user_signed_up.v1`: the version
is part of the name, a changed shape is a new name. Fields are strings, integers, booleans, UUIDs, aware datetimes, `None`, and tuples or
string-keyed dicts of those, so that they survive JSON.
"""

from dataclasses import dataclass
from typing import ClassVar
from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base of every published fact; subclasses are `@dataclass(frozen=True, slots=True, kw_only=True)`."""

    TYPE: ClassVar[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one consumer.

    A transaction that is opened as completing a delivery marks it done when it commits, or raises `AlreadyDelivered` and changes nothing
    when somebody else was first: at least once on the wire, exactly once in effect. `attempt` counts from 1.
    """

    id: UUID
    event_id: UUID
    organization_id: UUID | None
    consumer: str
    attempt: int
