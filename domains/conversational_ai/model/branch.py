"""The branches of a conversation, whose messages form a tree."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from shared_kernel.errors import NotFound


@dataclass(frozen=True, slots=True)
class MessageLink:
    """A message, and the one that it came after."""

    id: UUID
    parent_id: UUID | None


def branch_through(links: Sequence[MessageLink], message_id: UUID) -> tuple[UUID, ...]:
    """Return the branch that a message is in, from its first message to its last.

    Above the message there is one way. Below it the way goes on as it last did: at each fork to the newest message. `links` are all of the
    conversation, in the order in which they were stored, so that what comes after a message stands behind it.
    Raises `NotFound` when the message is not among them.
    """
    parents = {link.id: link.parent_id for link in links}
    if message_id not in parents:
        raise NotFound("There is no such message in the conversation")
    branch: list[UUID] = []
    above: UUID | None = message_id
    while above is not None:
        branch.append(above)
        above = parents.get(above)
    branch.reverse()
    newest_below = {link.parent_id: link.id for link in links}
    below = newest_below.get(message_id)
    while below is not None:
        branch.append(below)
        below = newest_below.get(below)
    return tuple(branch)
