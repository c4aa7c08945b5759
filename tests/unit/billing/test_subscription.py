"""A subscription says what changed, once."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from contracts.billing.errors import AddOnNotAvailable, UnknownPlan
from contracts.billing.events import SubscriptionChanged
from contracts.billing.metrics import Metric
from contracts.billing.plans import PlanSlug
from domains.billing.model.subscription import Subscription
from shared_kernel.identifiers import new_id


def opened(plan: str = "pro") -> Subscription:
    subscription = Subscription.open(organization_id=new_id(), plan=plan, at=datetime(2026, 1, 31, 8, tzinfo=UTC))
    subscription.take_events()
    subscription.take_notes()
    return subscription


def test_opening_publishes_and_notes_the_plan() -> None:
    subscription = Subscription.open(organization_id=new_id(), plan="FREE", at=datetime(2026, 1, 31, 8, tzinfo=UTC))
    assert subscription.take_events() == [
        SubscriptionChanged(
            organization_id=subscription.organization_id,
            subscription_id=subscription.id,
            plan="free",
            previous_plan=None,
            add_ons={},
            status="active",
        )
    ]
    (note,) = subscription.take_notes()
    assert (note.action, note.after) == ("subscription.opened", {"plan": "free", "add_ons": {}, "status": "active"})


def test_the_anchor_is_the_day_in_utc() -> None:
    early = datetime(2026, 2, 1, 1, tzinfo=timezone(timedelta(hours=3)))
    assert Subscription.open(organization_id=new_id(), plan="free", at=early).anchor_day == 31


def test_a_change_of_plan_is_published_with_what_was_before() -> None:
    subscription = opened()
    assert subscription.change_plan("business", {"extra_storage": 3})
    (event,) = subscription.take_events()
    assert isinstance(event, SubscriptionChanged)
    assert (event.plan, event.previous_plan, event.add_ons) == ("business", "pro", {"extra_storage": 3})
    (note,) = subscription.take_notes()
    assert note.action == "subscription.changed"
    assert note.before["plan"] == "pro"
    assert subscription.allowances[Metric.STORAGE_GB].limit == 130 * 10**9


def test_the_same_plan_again_changes_nothing() -> None:
    subscription = opened()
    assert not subscription.change_plan("PRO", {})
    assert subscription.take_events() == []
    assert subscription.take_notes() == []


@pytest.mark.parametrize(("plan", "add_ons", "error"), [("gold", {}, UnknownPlan), ("free", {"extra_agents": 1}, AddOnNotAvailable)])
def test_a_refused_change_leaves_everything_as_it_was(plan: str, add_ons: dict[str, int], error: type[Exception]) -> None:
    subscription = opened()
    with pytest.raises(error):
        subscription.change_plan(plan, add_ons)
    assert (subscription.plan, subscription.add_ons, subscription.take_events()) == (PlanSlug.PRO, {}, [])
