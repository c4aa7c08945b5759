"""An e-mail address as the key of an account."""

import re
import unicodedata
from dataclasses import dataclass

from shared_kernel.errors import FieldError, InvalidInput

_MAXIMUM_LENGTH = 254  # RFC 5321, section 4.5.3.1.3, less the angle brackets
_MAXIMUM_LOCAL_LENGTH = 64  # RFC 5321, section 4.5.3.1.1
# a dot-atom of RFC 5322, section 3.2.3, with letters of every script (RFC 6532); quoted local parts are refused
_LOCAL = re.compile(r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_MINIMUM_LABELS = 2


@dataclass(frozen=True, slots=True)
class Email:
    """A normalised address: NFKC, case folded, the domain in its ASCII form.

    Two spellings of one mailbox are one value, and mail is only ever sent to the normalised spelling: an account can't be claimed through
    a look-alike
    of its address. Build it with `Email.of`.
    """

    value: str

    @classmethod
    def of(cls, text: str) -> "Email":
        """Return the address that `text` writes. Raises `InvalidInput` when it writes none."""
        normal = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).strip().casefold())
        local, at, domain = normal.rpartition("@")
        domain = _ascii_domain(domain)
        value = f"{local}@{domain}"
        well_formed = bool(at) and _LOCAL.fullmatch(local) is not None and _is_domain(domain)
        if not well_formed or len(value.encode()) > _MAXIMUM_LENGTH or len(local.encode()) > _MAXIMUM_LOCAL_LENGTH:
            raise InvalidInput(FieldError("email", "email_invalid", "This is not an e-mail address"))
        return cls(value)

    def __str__(self) -> str:
        return self.value


def _ascii_domain(domain: str) -> str:
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return ""


def _is_domain(domain: str) -> bool:
    labels = domain.split(".")
    return len(labels) >= _MINIMUM_LABELS and all(_LABEL.fullmatch(label) for label in labels) and not labels[-1].isdigit()
