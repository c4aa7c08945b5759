"""The mail that follows a wish for an account."""

from contextlib import suppress
from dataclasses import dataclass

from contracts.identity.events import SignUpRequested
from domains.identity.model.email import Email
from domains.identity.ports.mailbox_proofs import MailboxProofs
from domains.identity.ports.mailer import Mailer, MailRefused
from domains.identity.ports.transactions import IdentityTransactions
from domains.identity.use_cases.sign_up_mails import account_exists_mail, verification_mail
from shared_kernel.clock import Clock
from shared_kernel.events import Delivery
from shared_kernel.principal import Principal


@dataclass(frozen=True, slots=True)
class SendSignUpMail:
    """Consumer `identity.send_sign_up_mail`."""

    transactions: IdentityTransactions
    proofs: MailboxProofs
    mailer: Mailer
    public_url: str
    clock: Clock

    async def __call__(self, event: SignUpRequested, delivery: Delivery) -> None:
        """Send the proof of the mailbox, or tell its owner that there is an account.

        No transaction is open while the mail server is spoken to. A crash between the mail and its mark sends it again under the same
        reference.
        An address that the mail server refuses for good gets nothing. Raises `Unavailable` to be tried again.
        """
        nobody = Principal.system(delivery.organization_id, name=delivery.consumer)
        now = self.clock.now()
        async with self.transactions(nobody) as tx:
            sign_up = await tx.sign_ups.get(event.sign_up_id)
            has_account = await tx.users.has_account(Email(sign_up.email))
        if sign_up.is_open(now) and sign_up.mailed_at is None:
            mail = (
                account_exists_mail(sign_up, public_url=self.public_url)
                if has_account
                else verification_mail(sign_up, self.proofs.of_sign_up(sign_up.id), public_url=self.public_url)
            )
            with suppress(MailRefused):  # there is nobody to try again for
                await self.mailer.send(mail)
        async with self.transactions(nobody, completes=delivery) as tx:
            (await tx.sign_ups.get(event.sign_up_id)).mark_mailed(now)
