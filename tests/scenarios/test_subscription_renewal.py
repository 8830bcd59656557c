"""A year of subscriptions: when they are charged, how often they are asked for, and what is left of them with all faults."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tallystick as ts
from tallystick import testing
from tallystick.scenarios.subscription_renewal import script, subscriptions
from tallystick.scenarios.subscription_renewal.simulated import SimulatedSubscriptions
from tallystick.scenarios.subscription_renewal.subscriptions import (
    ChargeCard,
    MonthPaid,
    MonthsAudit,
    Paid,
    Subscribe,
    Subscription,
    SubscriptionEnded,
    Unsubscribe,
    months_after,
)
from tallystick.scenarios.telling import Audience, PlayedWrong
from tallystick.testing import Chance, Simulation

DAY = timedelta(days=1)


class Answerable:
    """A call, as far as a fake provider looks."""

    token = ts.Token("t")
    key = "k"
    attempt = 1
    deadline = None

    def cancelled(self) -> bool:
        return False

    def heartbeat(self) -> None:
        """Alive."""

    def progress(self, percent: float | None = None, message: str = "") -> None:
        """Getting on."""

    def reveal(self, value: ts.Sensitive[str]) -> str | ts.Forgotten:
        raise AssertionError(value)


def test_the_year_ends_as_it_should() -> None:
    log = ts.MemoryLog()
    script.play(log, Audience())
    written = log.reopened()
    written.open()
    paid = [each for each in written.read() if each.event_type == "MonthPaid"]
    assert [each.occurred_at.strftime("%d.%m.") for each in paid if each.aggregate_id == "ada"] == [
        *("31.01.", "28.02.", "31.03.", "30.04.", "31.05.", "30.06.", "31.07.", "31.08.", "30.09.", "31.10.", "30.11.", "31.12."),
    ]
    assert [each.occurred_at.strftime("%d.%m.") for each in paid if each.aggregate_id == "ben"][3:5] == ["03.05.", "31.05."]


def test_money_that_is_given_back_in_this_story_is_told_as_wrong() -> None:
    bank = script.Bank(ts.ManualClock(script.NEW_YEAR))
    with pytest.raises(PlayedWrong, match="ada wants ada/1 back"):
        bank.give_back(subscriptions.GiveBack(customer="ada", receipt="ada/1"), Answerable())


def test_an_unpaid_month_is_asked_for_after_one_three_and_seven_days_and_then_all_ends() -> None:
    clock = ts.ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    asked: list[timedelta] = []

    def declines(_action: ChargeCard, _call: ts.Call) -> Paid:
        asked.append(clock.now - datetime(2026, 1, 1, tzinfo=UTC))
        raise script.CardDeclined

    runtime = ts.SteppedRuntime(clock)
    with ts.System(subscriptions.modules(), performers=[ChargeCard.performed_by(declines)], runtime=runtime) as system:
        system.ask(Subscribe(customer="a", cents=1))
        runtime.advance(60 * DAY)
        assert asked == [0 * DAY, 1 * DAY, 3 * DAY, 7 * DAY]
        found = system.get(Subscription, "a")
        assert found is not None
        assert (found.status, found.reason, system.open_executions()) == ("ended", "unpaid", ())


def test_who_leaves_is_not_charged_again() -> None:
    clock = ts.ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    bank, runtime = script.Bank(clock), ts.SteppedRuntime(clock)
    with ts.System(subscriptions.modules(), performers=[ChargeCard.performed_by(bank.charge)], runtime=runtime) as system:
        system.ask(Subscribe(customer="a", cents=1))
        runtime.advance(40 * DAY)
        system.ask(Unsubscribe(customer="a"))
        runtime.advance(400 * DAY)
        assert (len(bank.taken), system.open_executions()) == (2, ())


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)), st.integers(0, 120))  # noqa: DTZ001 - any zone will do
def test_months_keep_their_day_and_never_leave_one_out(moment: datetime, months: int) -> None:
    later = months_after(moment, months)
    assert (later.year * 12 + later.month) - (moment.year * 12 + moment.month) == months
    assert later.day == moment.day or (later + DAY).day == 1 < moment.day


@pytest.mark.parametrize("seed", range(8))
def test_with_all_faults_each_month_is_charged_once_and_none_is_left_out(seed: int) -> None:
    assert Simulation(SimulatedSubscriptions, seed).run().violation is None


def test_the_audit_finds_months_that_are_left_out_and_second_ends() -> None:
    audit = MonthsAudit()
    events: list[Any] = [MonthPaid(customer="a", month=2, receipt="r"), *[SubscriptionEnded(customer="a", reason="x")] * 2]
    for event in events:
        audit.take(event)
    assert list(audit.problems({})) == ["a: month 2 where 1 was due", "a: ended twice"]


def test_whoever_asks_again_when_the_key_has_been_forgotten_is_rejected_and_that_is_no_violation() -> None:
    assert Simulation(SimulatedSubscriptions, 644, minutes=20).run().violation is None


def test_the_bank_fails_in_all_of_the_year() -> None:
    results = [Simulation(SimulatedSubscriptions, seed).run() for seed in range(100, 112)]
    assert [result.violation for result in results if result.violation] == []
    assert sum(result.faults["hung"] + result.faults["failing"] for result in results) > 2 * len(results)


def test_a_charge_that_went_through_after_all_is_given_back() -> None:
    charge = subscriptions.MonthlyCharge(customer="a", month=1)
    giving = subscriptions.GivingBack(customer="a", month=1, receipt="r")
    back = subscriptions.GiveBack(customer="a", receipt="r")
    subscribed = subscriptions.Subscribed(customer="a", cents=1, began_at=datetime(2026, 1, 1, tzinfo=UTC))
    testing.given(subscriptions.Subscriptions(), subscribed, charge, testing.timed_out(charge)).when(
        testing.late_success(charge, Paid(receipt="r"))
    ).then(
        ts.Begin(intent=giving, actions=(back,)),
    )
    testing.given(subscriptions.Subscriptions(), giving).when(testing.settled(giving, ts.Succeeded(result=None))).then(
        subscriptions.MoneyGivenBack(customer="a", month=1, receipt="r"),
    )


def test_what_was_taken_and_nobody_knows_is_found() -> None:
    program = SimulatedSubscriptions(Chance(1))
    (charges, _) = program.performers()
    charges.run(ChargeCard(customer="a", month=1, cents=1), Answerable())
    (invariant,) = program.invariants()
    with ts.System(program.modules()) as system, pytest.raises(testing.InvariantViolation, match="nobody knows"):
        invariant.end(system)
