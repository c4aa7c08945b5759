"""What a person sends back to prove a mailbox."""

from typing import NamedTuple, Protocol
from uuid import UUID


class MailboxProof(NamedTuple):
    """Two ways to prove the same thing: the token of a link, and six digits to be typed."""

    token: str
    code: str


class MailboxProofs(Protocol):
    """Derives proofs from a sign-up's id with the server's key, so that none is stored and the mail can be written again."""

    def of_sign_up(self, sign_up_id: UUID) -> MailboxProof:
        """Return the proof to be mailed; the same sign-up always has the same one while the first key stays."""
        ...

    def read_token(self, token: str) -> UUID | None:
        """Return the sign-up that `token` proves the mailbox of, `None` when it is not genuine."""
        ...

    def is_code_of(self, sign_up_id: UUID, code: str) -> bool:
        """Tell whether `code` is the six digits mailed for the sign-up."""
        ...
