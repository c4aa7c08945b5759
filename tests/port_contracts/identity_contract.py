"""What identity does, whatever stores it: run over the fakes and over Postgres."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from adapters.crypto.hmac_mailbox_proofs import HmacMailboxProofs
from adapters.crypto.hmac_tokens import HmacSessionTokens, RandomApiKeys
from contracts.billing.commands import BillingAccounts, Quotas
from contracts.billing.errors import FeatureNotInPlan
from contracts.billing.queries import Entitlements
from contracts.identity.events import SignUpRequested
from contracts.identity.permissions import PERMISSIONS_OF, Permission, Role
from domains.identity.model.api_key import DEFAULT_SCOPES
from domains.identity.model.membership import LastOwnerMustStay, Membership
from domains.identity.model.names import Locale
from domains.identity.model.organization import OrganizationStatus, OrganizationSuspended
from domains.identity.model.session import SessionKind, SessionLifetimes
from domains.identity.model.sign_up import EmailAlreadyRegistered, VerificationAlreadyUsed, VerificationExpired, VerificationInvalid
from domains.identity.ports.directory import Directory
from domains.identity.ports.reading import IdentityReading
from domains.identity.ports.standing import Standing
from domains.identity.ports.tokens import NewApiKey
from domains.identity.ports.transactions import IdentityTransactions
from domains.identity.use_cases.attempts import AttemptLimits, TooManyAttempts
from domains.identity.use_cases.change_member_role import ChangeMemberRole, ChangeMemberRoleHandler
from domains.identity.use_cases.create_admin import CreateAdmin, CreateAdminHandler
from domains.identity.use_cases.create_api_key import CreateApiKey, CreateApiKeyHandler
from domains.identity.use_cases.create_demo_organization import (
    DEMO_EMAIL,
    DEMO_SLUG,
    CreateDemoOrganization,
    CreateDemoOrganizationHandler,
    DemoOrganization,
)
from domains.identity.use_cases.create_organization import CreateOrganization, CreateOrganizationHandler
from domains.identity.use_cases.end_session import EndSession, EndSessionHandler
from domains.identity.use_cases.facade import StandingAuthentication
from domains.identity.use_cases.forget_spent import ForgetSpent
from domains.identity.use_cases.founding import Founding
from domains.identity.use_cases.log_in import LogIn, LogInHandler
from domains.identity.use_cases.on_sign_up_requested import SendSignUpMail
from domains.identity.use_cases.refresh_session import RefreshSession, RefreshSessionHandler
from domains.identity.use_cases.remove_member import RemoveMember, RemoveMemberHandler
from domains.identity.use_cases.request_sign_up import RequestSignUp, RequestSignUpHandler
from domains.identity.use_cases.revoke_api_key import RevokeApiKey, RevokeApiKeyHandler
from domains.identity.use_cases.signed_in import SignedIn, TokenIssuer
from domains.identity.use_cases.switch_organization import SwitchOrganization, SwitchOrganizationHandler
from domains.identity.use_cases.update_organization import UpdateOrganization, UpdateOrganizationHandler
from domains.identity.use_cases.verify_email import VerifyEmail, VerifyEmailHandler
from shared_kernel.errors import AlreadyDelivered, Conflict, InvalidInput, LuneoError, NotFound, PermissionDenied, Unauthenticated
from shared_kernel.events import Delivery
from shared_kernel.identifiers import new_id
from shared_kernel.pagination import PageRequest
from shared_kernel.principal import Origin, Principal
from tests.fakes.mailer import InMemoryMailer
from tests.fakes.password_hashing import InMemoryPasswordHashing
from tests.fakes.rate_limits import InMemoryRateLimits

PASSWORD = "correct horse battery"
KEY = b"k" * 32
VISITOR = Principal.anonymous(Origin(ip_address="203.0.113.7", user_agent="tests", request_id="request"))


class MovableClock:
    """A clock that the test moves; it starts now, because Postgres may look at its own."""

    def __init__(self) -> None:
        self.time = datetime.now(UTC)

    def now(self) -> datetime:
        return self.time

    def pass_by(self, **span: float) -> None:
        self.time += timedelta(**span)


@dataclass(kw_only=True)
class IdentityHouse:
    """Every handler of identity over one store."""

    transactions: IdentityTransactions
    directory: Directory
    standing: Standing
    reading: IdentityReading
    quotas: Quotas
    accounts: BillingAccounts
    entitlements: Entitlements
    clock: MovableClock
    sign_up_deliveries: Callable[[], Awaitable[list[Delivery]]]
    suspend: Callable[[UUID], Awaitable[None]]
    seats_taken: Callable[[UUID], Awaitable[int]]
    audited: Callable[[UUID], Awaitable[list[str]]]

    def __post_init__(self) -> None:
        tokens, clock, transactions = HmacSessionTokens([KEY]), self.clock, self.transactions
        self.mailer = InMemoryMailer(clock)
        self.passwords = InMemoryPasswordHashing()
        self.rate_limits = InMemoryRateLimits()
        self.proofs = HmacMailboxProofs([KEY])
        self.issuer = TokenIssuer(tokens, SessionLifetimes())
        founding = Founding(self.accounts, self.quotas)
        self.authentication = StandingAuthentication(tokens, RandomApiKeys(), self.standing, clock)
        self.request_sign_up = RequestSignUpHandler(transactions, self.passwords, self.rate_limits, AttemptLimits(), clock)
        self.send_sign_up_mail = SendSignUpMail(transactions, self.proofs, self.mailer, "https://luneo.example", clock)
        self.verify_email = VerifyEmailHandler(transactions, self.proofs, founding, self.issuer, clock)
        self.log_in = LogInHandler(transactions, self.directory, self.passwords, self.rate_limits, AttemptLimits(), self.issuer, clock)
        self.refresh = RefreshSessionHandler(transactions, self.directory, self.issuer, clock)
        self.end_session = EndSessionHandler(transactions, clock)
        self.create_organization = CreateOrganizationHandler(transactions, founding, clock)
        self.update_organization = UpdateOrganizationHandler(transactions)
        self.switch = SwitchOrganizationHandler(transactions, self.directory, self.issuer, clock)
        self.change_role = ChangeMemberRoleHandler(transactions)
        self.remove_member = RemoveMemberHandler(transactions, self.quotas, clock)
        self.create_api_key = CreateApiKeyHandler(transactions, RandomApiKeys(), self.entitlements, clock)
        self.revoke_api_key = RevokeApiKeyHandler(transactions, clock)
        self.create_demo = CreateDemoOrganizationHandler(transactions, self.passwords, founding, clock)
        self.create_admin = CreateAdminHandler(transactions, self.passwords, founding, clock)
        self.forget_spent = ForgetSpent(transactions, clock)

    async def ask_for_account(self, email: str, *, organization_name: str | None = "Acme", locale: Locale = Locale.ENGLISH) -> None:
        await self.request_sign_up(
            RequestSignUp(
                email=email,
                password=PASSWORD,
                full_name="Ada Lovelace",
                organization_name=organization_name,
                locale=locale,
                requested_by=VISITOR,
            )
        )

    async def mails(self) -> list[str]:
        """Deliver what is due; return the texts of all mails so far."""
        for delivery in await self.sign_up_deliveries():
            sign_up_id = delivery.event_id
            try:
                await self.send_sign_up_mail(SignUpRequested(sign_up_id=sign_up_id), delivery)
            except AlreadyDelivered:
                continue
        return [mail.text for mail in self.mailer.sent]

    async def newest_token(self) -> str:
        found = re.search(r"token=(\S+)", (await self.mails())[-1])
        assert found is not None
        return found[1]

    async def member(self, email: str | None = None, *, kind: SessionKind = SessionKind.TOKEN) -> SignedIn:
        """Sign somebody up, who then owns an organisation."""
        await self.ask_for_account(email or f"{new_id().hex}@example.com")
        return await self.verify_email(VerifyEmail(token=await self.newest_token(), session=kind, requested_by=VISITOR))

    async def principal(self, signed_in: SignedIn, organization_id: UUID | None = None) -> Principal:
        return await self.authentication.bearer(signed_in.access_token, organization_id=organization_id, origin=Origin())

    async def join(self, owner: Principal, user: SignedIn, role: Role) -> UUID:
        """Make `user` a member of the owner's organisation, as accepting an invitation will; return the member's id."""
        membership = Membership.join(organization_id=owner.tenant, user_id=user.person.id, role=role, at=self.clock.now())
        member_id = membership.id
        async with self.transactions(owner) as tx:
            tx.memberships.add(membership)
        return member_id

    async def demo(self) -> tuple[DemoOrganization, NewApiKey]:
        """Make the demo organisation; return it with its key."""
        organization_id = new_id()
        key = RandomApiKeys().new_api_key(organization_id, sandbox=False)
        return await self.create_demo(CreateDemoOrganization(organization_id=organization_id, password=PASSWORD, key=key)), key

    async def business(self) -> tuple[Principal, str]:
        """Return the owner of an organisation whose plan has API access, and a key that may do everything."""
        demo, key = await self.demo()
        signed_in = await self.log_in(
            LogIn(email=demo.email, password=PASSWORD, remember=False, session=SessionKind.TOKEN, requested_by=VISITOR)
        )
        return await self.principal(signed_in), key.plaintext


async def outcomes(*calls: Awaitable[object]) -> list[object]:
    """Return what each of simultaneous calls gave, or its error."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, LuneoError):
            raise result
    return results


class IdentityContract:
    """Subclass and say how to open a house."""

    def open(self) -> AbstractAsyncContextManager[IdentityHouse]:
        """Return a house with an empty store, for the length of the block."""
        raise NotImplementedError

    # sign-up

    async def test_an_account_begins_with_the_proof_of_its_mailbox(self) -> None:
        async with self.open() as house:
            await house.ask_for_account(" Ada@EXAMPLE.com ")
            with pytest.raises(Unauthenticated):
                await house.log_in(
                    LogIn(email="ada@example.com", password=PASSWORD, remember=False, session=SessionKind.TOKEN, requested_by=VISITOR)
                )
            token = await house.newest_token()
            signed_in = await house.verify_email(VerifyEmail(token=token, session=SessionKind.TOKEN, requested_by=VISITOR))
            assert signed_in.person.email == "ada@example.com"
            assert signed_in.organization is not None
            assert (signed_in.organization.name, signed_in.organization.role) == ("Acme", Role.OWNER)
            principal = await house.principal(signed_in)
            assert principal.tenant == signed_in.organization.id
            assert principal.permissions == frozenset(Permission)
            assert (await house.entitlements.of(principal.tenant)).plan == "free"
            assert await house.seats_taken(principal.tenant) == 1
            assert sorted(await house.audited(principal.tenant)) == [
                "member.joined",
                "organization.created",
                "session.started",
                "user.signed_up",
            ]

    async def test_a_link_works_once(self) -> None:
        async with self.open() as house:
            await house.ask_for_account("ada@example.com")
            command = VerifyEmail(token=await house.newest_token(), session=SessionKind.TOKEN, requested_by=VISITOR)
            results = await outcomes(house.verify_email(command), house.verify_email(command))
            assert sorted(type(r).__name__ for r in results) == ["SignedIn", "VerificationAlreadyUsed"]
            with pytest.raises(VerificationAlreadyUsed):
                await house.verify_email(command)

    async def test_of_two_wishes_for_one_address_one_becomes_an_account(self) -> None:
        async with self.open() as house:
            await house.ask_for_account("ada@example.com")
            first = await house.newest_token()
            await house.ask_for_account("ada@example.com")
            second = await house.newest_token()
            assert first != second
            commands = [VerifyEmail(token=t, session=SessionKind.TOKEN, requested_by=VISITOR) for t in (first, second)]
            results = await outcomes(*(house.verify_email(c) for c in commands))
            assert sorted(type(r).__name__ for r in results) == ["EmailAlreadyRegistered", "SignedIn"]
            account = next(r for r in results if isinstance(r, SignedIn))
            places = await house.directory.places(account.person.id)
            assert len(places) == 1, "the loser left no organisation behind"

    async def test_who_has_an_account_is_told_so_by_mail_alone(self) -> None:
        async with self.open() as house:
            await house.member("ada@example.com")
            await house.ask_for_account("ada@example.com", locale=Locale.FRENCH)
            mail = (await house.mails())[-1]
            assert "déjà un compte" in mail
            assert "token=" not in mail

    async def test_nobodys_mailbox_is_flooded(self) -> None:
        async with self.open() as house:
            for _ in range(5):
                await house.ask_for_account("ada@example.com")
            with pytest.raises(TooManyAttempts):
                await house.ask_for_account("Ada@example.com")
            await house.ask_for_account("bob@example.com")

    async def test_a_mail_is_sent_once_however_often_it_is_delivered(self) -> None:
        async with self.open() as house:
            await house.ask_for_account("ada@example.com")
            deliveries = await house.sign_up_deliveries()
            event = SignUpRequested(sign_up_id=deliveries[0].event_id)
            await house.send_sign_up_mail(event, deliveries[0])
            with pytest.raises(AlreadyDelivered):
                await house.send_sign_up_mail(event, deliveries[0])
            assert len(house.mailer.sent) == 1

    async def test_the_six_digits_prove_the_mailbox_too(self) -> None:
        async with self.open() as house:
            await house.ask_for_account("ada@example.com")
            code = re.findall(r"\b\d{6}\b", (await house.mails())[-1])[0]
            signed_in = await house.verify_email(
                VerifyEmail(email="ADA@example.com", code=code, session=SessionKind.COOKIE, requested_by=VISITOR)
            )
            assert signed_in.kind is SessionKind.COOKIE

    async def test_five_wrong_codes_are_the_end_of_the_code_but_not_of_the_link(self) -> None:
        async with self.open() as house:
            await house.ask_for_account("ada@example.com")
            code = re.findall(r"\b\d{6}\b", (await house.mails())[-1])[0]
            wrong = "000000" if code != "000000" else "000001"
            for _ in range(5):
                with pytest.raises(VerificationInvalid):
                    await house.verify_email(
                        VerifyEmail(email="ada@example.com", code=wrong, session=SessionKind.TOKEN, requested_by=VISITOR)
                    )
            with pytest.raises(VerificationInvalid):
                await house.verify_email(VerifyEmail(email="ada@example.com", code=code, session=SessionKind.TOKEN, requested_by=VISITOR))
            token = await house.newest_token()
            assert await house.verify_email(VerifyEmail(token=token, session=SessionKind.TOKEN, requested_by=VISITOR)) is not None

    async def test_proofs_that_prove_nothing(self) -> None:
        async with self.open() as house:
            forged = house.proofs.of_sign_up(new_id()).token
            for token in ("", "junk", forged, HmacMailboxProofs([b"x" * 32]).of_sign_up(new_id()).token):
                with pytest.raises(VerificationInvalid):
                    await house.verify_email(VerifyEmail(token=token, session=SessionKind.TOKEN, requested_by=VISITOR))
            with pytest.raises(VerificationInvalid):
                await house.verify_email(
                    VerifyEmail(email="nobody@example.com", code="123456", session=SessionKind.TOKEN, requested_by=VISITOR)
                )

    async def test_a_day_later_the_link_is_too_old_and_a_week_later_forgotten(self) -> None:
        async with self.open() as house:
            await house.ask_for_account("ada@example.com")
            command = VerifyEmail(token=await house.newest_token(), session=SessionKind.TOKEN, requested_by=VISITOR)
            house.clock.pass_by(hours=24)
            with pytest.raises(VerificationExpired):
                await house.verify_email(command)
            house.clock.pass_by(days=7, seconds=1)
            assert await house.forget_spent() == 1
            with pytest.raises(VerificationInvalid):
                await house.verify_email(command)

    # sessions

    async def test_each_login_is_a_session_of_its_own(self) -> None:
        async with self.open() as house:
            owner = await house.member("ada@example.com")
            command = LogIn(email="Ada@example.com", password=PASSWORD, remember=True, session=SessionKind.TOKEN, requested_by=VISITOR)
            one, two = await house.log_in(command), await house.log_in(command)
            assert len({owner.session_id, one.session_id, two.session_id}) == 3
            assert one.organization == owner.organization
            assert one.refresh_expires_at - house.clock.now() > timedelta(days=29)
            principal, now = await house.principal(one), house.clock.now()
            newest = await house.reading.sessions(principal, PageRequest(limit=2), at=now)
            oldest = await house.reading.sessions(principal, PageRequest(newest.next_cursor, 2), at=now)
            assert [s.id for s in (*newest.items, *oldest.items)] == [two.session_id, one.session_id, owner.session_id]
            assert oldest.next_cursor is None
            with pytest.raises(InvalidInput):
                await house.reading.sessions(principal, PageRequest("nonsense"), at=now)

    async def test_a_wrong_password_and_an_unknown_address_are_one_answer(self) -> None:
        async with self.open() as house:
            await house.member("ada@example.com")
            errors, checks = [], []
            for email in ("ada@example.com", "nobody@example.com", "no address"):
                before = house.passwords.checked
                with pytest.raises(Unauthenticated) as refused:
                    await house.log_in(
                        LogIn(email=email, password="wrong password", remember=False, session=SessionKind.TOKEN, requested_by=VISITOR)
                    )
                errors.append(refused.value.detail)
                checks.append(house.passwords.checked - before)
            assert len(set(errors)) == 1
            assert checks == [1, 1, 1]

    async def test_five_failures_lock_an_account_for_an_address_and_nobody_else(self) -> None:
        async with self.open() as house:
            await house.member("ada@example.com")
            right = LogIn(email="ada@example.com", password=PASSWORD, remember=False, session=SessionKind.TOKEN, requested_by=VISITOR)
            for _ in range(7):
                await house.log_in(right)
            wrong = LogIn(email="ada@example.com", password="wrong", remember=False, session=SessionKind.TOKEN, requested_by=VISITOR)
            for _ in range(5):
                with pytest.raises(Unauthenticated):
                    await house.log_in(wrong)
            with pytest.raises(TooManyAttempts) as locked:
                await house.log_in(replace(wrong, password=PASSWORD))
            assert 0 < int(str(locked.value.extra["retry_after"])) <= 900
            elsewhere = Principal.anonymous(Origin(ip_address="198.51.100.1"))
            assert await house.log_in(replace(wrong, password=PASSWORD, requested_by=elsewhere)) is not None

    async def test_two_tabs_refresh_at_once_and_get_the_very_same_tokens(self) -> None:
        async with self.open() as house:
            signed_in = await house.member()
            command = RefreshSession(refresh_token=signed_in.refresh_token, kind=SessionKind.TOKEN, requested_by=VISITOR)
            house.clock.pass_by(minutes=14)
            one, two = await asyncio.gather(house.refresh(command), house.refresh(command))
            assert (one.access_token, one.refresh_token) == (two.access_token, two.refresh_token)
            assert one.refresh_token != signed_in.refresh_token
            house.clock.pass_by(seconds=29)
            assert (await house.refresh(command)).refresh_token == one.refresh_token
            assert await house.principal(one) is not None

    async def test_a_third_tab_comes_after_two_rotations_and_gets_the_current_tokens(self) -> None:
        async with self.open() as house:
            signed_in = await house.member()
            command = RefreshSession(refresh_token=signed_in.refresh_token, kind=SessionKind.TOKEN, requested_by=VISITOR)
            house.clock.pass_by(minutes=14)
            first = await house.refresh(command)
            second = await house.refresh(replace(command, refresh_token=first.refresh_token))
            assert second.refresh_token != first.refresh_token
            house.clock.pass_by(seconds=29)
            for token in (signed_in.refresh_token, first.refresh_token):
                assert (await house.refresh(replace(command, refresh_token=token))).refresh_token == second.refresh_token
            assert await house.principal(second) is not None
            house.clock.pass_by(seconds=2)
            with pytest.raises(Unauthenticated):
                await house.refresh(command)
            with pytest.raises(Unauthenticated):
                await house.principal(second)

    async def test_a_refresh_token_used_again_after_the_grace_ends_the_session(self) -> None:
        async with self.open() as house:
            signed_in = await house.member()
            command = RefreshSession(refresh_token=signed_in.refresh_token, kind=SessionKind.TOKEN, requested_by=VISITOR)
            successor = await house.refresh(command)
            house.clock.pass_by(seconds=32)
            with pytest.raises(Unauthenticated):
                await house.refresh(command)
            with pytest.raises(Unauthenticated):
                await house.principal(successor)
            with pytest.raises(Unauthenticated):
                await house.refresh(replace(command, refresh_token=successor.refresh_token))
            assert successor.organization is not None
            assert "session.revoked" in await house.audited(successor.organization.id)

    async def test_tokens_are_good_for_one_thing_and_one_way(self) -> None:
        async with self.open() as house:
            signed_in = await house.member(kind=SessionKind.COOKIE)
            principal = await house.authentication.session_cookie(signed_in.access_token, origin=Origin())
            assert house.authentication.csrf_token(principal) == signed_in.csrf_token
            with pytest.raises(Unauthenticated):
                await house.principal(signed_in)
            for token in (signed_in.refresh_token, signed_in.csrf_token, "", "lat_", "junk", "lun_live_junk"):
                with pytest.raises(Unauthenticated):
                    await house.authentication.session_cookie(token, origin=Origin())
                with pytest.raises(Unauthenticated):
                    await house.authentication.bearer(token, organization_id=None, origin=Origin())
            for token in (signed_in.refresh_token, signed_in.access_token):
                with pytest.raises(Unauthenticated):
                    await house.refresh(RefreshSession(refresh_token=token, kind=SessionKind.TOKEN, requested_by=VISITOR))
            house.clock.pass_by(minutes=15)
            with pytest.raises(Unauthenticated):
                await house.authentication.session_cookie(signed_in.access_token, origin=Origin())

    async def test_an_ended_session_is_refused_on_its_next_request(self) -> None:
        async with self.open() as house:
            signed_in, other = await house.member(), await house.member()
            principal = await house.principal(signed_in)
            with pytest.raises(NotFound):
                await house.end_session(EndSession(session_id=other.session_id, requested_by=principal))
            await house.end_session(EndSession(session_id=signed_in.session_id, requested_by=principal))
            with pytest.raises(Unauthenticated):
                await house.principal(signed_in)
            with pytest.raises(Unauthenticated):
                await house.refresh(RefreshSession(refresh_token=signed_in.refresh_token, kind=SessionKind.TOKEN, requested_by=VISITOR))
            assert await house.principal(other) is not None

    # organisations and members

    async def test_a_person_may_own_several_organisations_and_switch(self) -> None:
        async with self.open() as house:
            signed_in = await house.member()
            principal = await house.principal(signed_in)
            second = await house.create_organization(CreateOrganization(name="Zweite", locale=Locale.ENGLISH, requested_by=principal))
            assert [p.name for p in await house.directory.places(signed_in.person.id)] == ["Acme", "Zweite"]
            by_header = await house.principal(signed_in, second.organization_id)
            assert by_header.tenant == second.organization_id
            switched = await house.switch(SwitchOrganization(organization_id=second.organization_id, requested_by=principal))
            assert switched.session_id != signed_in.session_id
            assert (await house.principal(switched)).tenant == second.organization_id
            with pytest.raises(Unauthenticated):
                await house.principal(signed_in)

    async def test_another_tenants_things_do_not_exist(self) -> None:
        async with self.open() as house:
            one, two = await house.member(), await house.member()
            ada, bob = await house.principal(one), await house.principal(two)
            with pytest.raises(PermissionDenied):
                await house.principal(one, bob.tenant)
            with pytest.raises(NotFound):
                await house.switch(SwitchOrganization(organization_id=bob.tenant, requested_by=ada))
            [bobs] = (await house.reading.members(bob, PageRequest())).items
            for call in (
                house.reading.member(ada, bobs.id),
                house.change_role(ChangeMemberRole(member_id=bobs.id, role=Role.VIEWER, requested_by=ada)),
                house.remove_member(RemoveMember(member_id=bobs.id, requested_by=ada)),
                house.revoke_api_key(RevokeApiKey(api_key_id=new_id(), requested_by=ada)),
            ):
                with pytest.raises(NotFound):
                    await call
            async with house.transactions(ada) as tx:
                with pytest.raises(NotFound):
                    await tx.organizations.get(bob.tenant)

    async def test_an_organisation_changes_its_name(self) -> None:
        async with self.open() as house:
            principal = await house.principal(await house.member())
            await house.update_organization(UpdateOrganization(name="  Neu  ", locale=Locale.FRENCH, requested_by=principal))
            found = await house.reading.organization(principal)
            assert (found.name, found.locale) == ("Neu", Locale.FRENCH)
            assert found.version == 2
            assert "organization.updated" in await house.audited(principal.tenant)
            with pytest.raises(Conflict):
                await house.update_organization(UpdateOrganization(name="Zu spät", expected_version=1, requested_by=principal))
            await house.update_organization(UpdateOrganization(name="Rechtzeitig", expected_version=2, requested_by=principal))
            with pytest.raises(InvalidInput):
                await house.update_organization(UpdateOrganization(name=" ", requested_by=principal))

    async def test_a_role_holds_from_the_next_request(self) -> None:
        async with self.open() as house:
            owner = await house.principal(await house.member())
            user = await house.member()
            member_id = await house.join(owner, user, Role.MEMBER)
            assert (await house.principal(user, owner.tenant)).permissions == PERMISSIONS_OF[Role.MEMBER]
            await house.change_role(ChangeMemberRole(member_id=member_id, role=Role.VIEWER, requested_by=owner))
            assert (await house.principal(user, owner.tenant)).permissions == PERMISSIONS_OF[Role.VIEWER]
            member = await house.reading.member(owner, member_id)
            assert (member.role, member.version) == (Role.VIEWER, 2)
            with pytest.raises(Conflict):
                await house.change_role(ChangeMemberRole(member_id=member_id, role=Role.ADMIN, expected_version=1, requested_by=owner))
            await house.change_role(ChangeMemberRole(member_id=member_id, role=Role.ADMIN, expected_version=2, requested_by=owner))

    async def test_members_are_listed_page_by_page(self) -> None:
        async with self.open() as house:
            owner = await house.principal(await house.member())
            for _ in range(2):
                await house.join(owner, await house.member(), Role.VIEWER)
            first = await house.reading.members(owner, PageRequest(limit=2))
            rest = await house.reading.members(owner, PageRequest(limit=2, cursor=first.next_cursor))
            assert [m.role for m in (*first.items, *rest.items)] == [Role.OWNER, Role.VIEWER, Role.VIEWER]
            assert rest.next_cursor is None
            with pytest.raises(InvalidInput):
                await house.reading.members(owner, PageRequest(cursor="junk"))

    async def test_a_removed_member_is_refused_on_the_next_request(self) -> None:
        async with self.open() as house:
            owner = await house.principal(await house.member())
            user = await house.member()
            member_id = await house.join(owner, user, Role.ADMIN)
            inside = await house.switch(SwitchOrganization(organization_id=owner.tenant, requested_by=await house.principal(user)))
            assert await house.principal(inside) is not None
            await house.remove_member(RemoveMember(member_id=member_id, requested_by=owner))
            with pytest.raises(Unauthenticated):
                await house.principal(inside)
            with pytest.raises(Unauthenticated):
                await house.refresh(RefreshSession(refresh_token=inside.refresh_token, kind=SessionKind.TOKEN, requested_by=VISITOR))
            assert "member.removed" in await house.audited(owner.tenant)

    async def test_the_last_owner_must_stay(self) -> None:
        async with self.open() as house:
            owner = await house.principal(await house.member())
            [only] = (await house.reading.members(owner, PageRequest())).items
            with pytest.raises(LastOwnerMustStay):
                await house.remove_member(RemoveMember(member_id=only.id, requested_by=owner))
            with pytest.raises(LastOwnerMustStay):
                await house.change_role(ChangeMemberRole(member_id=only.id, role=Role.ADMIN, requested_by=owner))

    async def test_of_two_owners_who_leave_at_once_one_must_stay(self) -> None:
        async with self.open() as house:
            owner = await house.principal(await house.member())
            [first] = (await house.reading.members(owner, PageRequest())).items
            second = await house.join(owner, await house.member(), Role.OWNER)
            results = await outcomes(
                house.remove_member(RemoveMember(member_id=first.id, requested_by=owner)),
                house.change_role(ChangeMemberRole(member_id=second, role=Role.VIEWER, requested_by=owner)),
            )
            assert sorted(type(r).__name__ for r in results) == ["LastOwnerMustStay", "NoneType"]

    async def test_a_suspended_organisation_is_refused_on_the_next_request(self) -> None:
        async with self.open() as house:
            owner, api_key = await house.business()
            signed_in = await house.member()
            assert signed_in.organization is not None
            await house.suspend(signed_in.organization.id)
            with pytest.raises(OrganizationSuspended):
                await house.principal(signed_in)
            await house.suspend(owner.tenant)
            for when_suspended in (False, True):
                with pytest.raises(OrganizationSuspended):
                    await house.authentication.bearer(api_key, organization_id=None, origin=Origin(), when_suspended=when_suspended)
            [place] = await house.directory.places(signed_in.person.id)
            assert place.status is OrganizationStatus.SUSPENDED

    async def test_a_person_of_a_suspended_organisation_may_do_nothing_in_it_but_go_elsewhere(self) -> None:
        async with self.open() as house:
            signed_in = await house.member()
            assert signed_in.organization is not None
            assert signed_in.organization.status is OrganizationStatus.ACTIVE
            await house.suspend(signed_in.organization.id)
            token = signed_in.access_token
            caller = await house.authentication.bearer(token, organization_id=None, origin=Origin(), when_suspended=True)
            assert (caller.id, caller.tenant, caller.role) == (signed_in.person.id, signed_in.organization.id, "owner")
            assert caller.permissions == frozenset()
            refreshed = await house.refresh(
                RefreshSession(refresh_token=signed_in.refresh_token, kind=SessionKind.TOKEN, requested_by=VISITOR)
            )
            assert refreshed.organization is not None
            assert refreshed.organization.status is OrganizationStatus.SUSPENDED
            second = await house.create_organization(CreateOrganization(name="Zweite", locale=Locale.ENGLISH, requested_by=caller))
            with pytest.raises(OrganizationSuspended):
                await house.switch(SwitchOrganization(organization_id=signed_in.organization.id, requested_by=caller))
            switched = await house.switch(SwitchOrganization(organization_id=second.organization_id, requested_by=caller))
            assert (await house.principal(switched)).permissions == frozenset(Permission)
            house.clock.pass_by(seconds=1)
            await house.end_session(EndSession(session_id=switched.session_id, requested_by=await house.principal(switched)))

    # API keys

    async def test_a_key_may_do_what_its_scopes_and_its_makers_role_allow(self) -> None:
        async with self.open() as house:
            owner, _ = await house.business()
            made = await house.create_api_key(CreateApiKey(name="Site", requested_by=owner, sandbox=True))
            assert made.plaintext.startswith(f"lun_sbx_{owner.tenant.hex}")
            caller = await house.authentication.bearer(made.plaintext, organization_id=None, origin=Origin())
            assert (caller.id, caller.tenant, caller.sandbox) == (made.id, owner.tenant, True)
            assert caller.permissions == frozenset(DEFAULT_SCOPES)
            user = await house.member()
            member_id = await house.join(owner, user, Role.ADMIN)
            admin = await house.principal(user, owner.tenant)
            wide = await house.create_api_key(
                CreateApiKey(name="Wide", requested_by=admin, scopes=[Permission.AGENTS_DELETE, Permission.AGENTS_VIEW])
            )
            await house.change_role(ChangeMemberRole(member_id=member_id, role=Role.VIEWER, requested_by=owner))
            narrowed = await house.authentication.bearer(wide.plaintext, organization_id=None, origin=Origin())
            assert narrowed.permissions == frozenset({Permission.AGENTS_VIEW})
            await house.remove_member(RemoveMember(member_id=member_id, requested_by=owner))
            with pytest.raises(Unauthenticated):
                await house.authentication.bearer(wide.plaintext, organization_id=None, origin=Origin())

    async def test_a_key_ends_when_it_is_revoked_or_too_old(self) -> None:
        async with self.open() as house:
            owner, api_key = await house.business()
            short = await house.create_api_key(
                CreateApiKey(name="Short", requested_by=owner, expires_at=house.clock.now() + timedelta(hours=1))
            )
            for plaintext in (short.plaintext, api_key):
                assert await house.authentication.bearer(plaintext, organization_id=None, origin=Origin()) is not None
            other = short.plaintext.replace("lun_live_", "lun_sbx_")
            with pytest.raises(Unauthenticated):
                await house.authentication.bearer(other, organization_id=None, origin=Origin())
            house.clock.pass_by(hours=1)
            with pytest.raises(Unauthenticated):
                await house.authentication.bearer(short.plaintext, organization_id=None, origin=Origin())
            keys = (await house.reading.api_keys(owner, PageRequest())).items
            assert [k.name for k in keys] == ["Short", "Demo"]
            assert all(k.last_used_at is not None for k in keys)
            assert await house.reading.api_key(owner, keys[0].id) == keys[0]
            with pytest.raises(NotFound):
                await house.reading.api_key(await house.principal(await house.member()), keys[0].id)
            await house.revoke_api_key(RevokeApiKey(api_key_id=keys[1].id, requested_by=owner))
            await house.revoke_api_key(RevokeApiKey(api_key_id=keys[1].id, requested_by=owner))
            with pytest.raises(Unauthenticated):
                await house.authentication.bearer(api_key, organization_id=None, origin=Origin())
            assert (await house.audited(owner.tenant)).count("api_key.revoked") == 1

    async def test_keys_need_a_plan_with_api_access(self) -> None:
        async with self.open() as house:
            free = await house.principal(await house.member())
            with pytest.raises(FeatureNotInPlan):
                await house.create_api_key(CreateApiKey(name="Site", requested_by=free))

    # operators

    async def test_the_demo_is_made_once(self) -> None:
        async with self.open() as house:
            assert await house.directory.organization_with_slug(DEMO_SLUG) is None
            demo, key = await house.demo()
            assert await house.directory.organization_with_slug(DEMO_SLUG) == demo.organization_id
            caller = await house.authentication.bearer(key.plaintext, organization_id=None, origin=Origin())
            assert caller.permissions == frozenset(Permission)
            with pytest.raises(EmailAlreadyRegistered):
                await house.demo()
            assert demo.email == DEMO_EMAIL

    async def test_an_administrator_is_made_by_operators(self) -> None:
        async with self.open() as house:
            made = await house.create_admin(CreateAdmin(email="root@example.com", full_name="Root", password=PASSWORD))
            account = await house.directory.account_of(made.user_id)
            assert account is not None
            assert account.platform_admin
            user = await house.member()
            assert not (await house.reading.person(await house.principal(user))).platform_admin
