"""How often somebody may try."""

from dataclasses import dataclass

from contracts.rate_limits import RateRule
from domains.identity.model.email import Email
from shared_kernel.errors import LuneoError
from shared_kernel.principal import Principal


class TooManyAttempts(LuneoError):
    """Too many attempts for one account. `extra` holds `retry_after` in seconds."""

    code = "too_many_attempts"
    title = "Too many attempts; wait before you try again"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLimits:
    """What is let through in a window of so many seconds.

    Failed logins to one account from one address, and mails about signing up to one mailbox.
    """

    failed_logins: int = 5
    login_window: int = 15 * 60
    sign_ups: int = 5
    sign_up_window: int = 60 * 60

    def logins(self, email: Email | None, caller: Principal) -> tuple[RateRule, ...]:
        """Return the rule for logging in."""
        who = f"login:{email or 'nobody'}:{caller.origin.ip_address}"
        return (RateRule("login", who, self.failed_logins, self.login_window),)

    def requests(self, email: Email) -> tuple[RateRule, ...]:
        """Return the rule for asking for an account: nobody's mailbox is flooded, from however many addresses."""
        return (RateRule("sign_up", f"sign_up:{email}", self.sign_ups, self.sign_up_window),)
