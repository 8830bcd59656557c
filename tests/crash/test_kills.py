"""The store, killed again and again by SIGKILL, and then held against the promises: from outside, by its log and the providers' ledgers."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

import pytest

from tests.crash.again import Recovered, recovered
from tests.crash.evidence import Evidence
from tests.crash.plan import POISONED, order_id
from tests.crash.points import POINTS
from tests.crash.town import Kill, Town, killed

MAX_RETRIES = {"PaymentProcessing": 3, "ShipmentCreation": 3, "Refunding": 18, "Recalling": 18}
CALLS_LIMIT = 20

pytestmark = pytest.mark.slow


class Story(NamedTuple):
    """A town after all its kills, come to rest."""

    town: Town
    evidence: Evidence
    last_words: dict[str, Any]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, kills: int, seed: int, killed_here: list[Kill]) -> Iterator[Story]:
    with Town(tmp_path_factory.mktemp("town"), seed) as town:
        killed_here.extend(town.kill(where) for where in town.plan(kills))
        last_words = town.come_to_rest()
        yield Story(town, Evidence(town.folder), last_words)


@pytest.fixture(scope="module")
def town(story: Story) -> Town:
    return story.town


@pytest.fixture(scope="module")
def evidence(story: Story) -> Evidence:
    return story.evidence


@pytest.fixture(scope="module")
def last_words(story: Story) -> dict[str, Any]:
    return story.last_words


# The kills hit


def test_every_kill_was_a_kill(town: Town, kills: int) -> None:
    assert len(town.kills) == kills
    assert [kill for kill in town.kills if not killed(kill)] == []


def test_the_named_points_were_come_by(town: Town, kills: int) -> None:
    hits = Counter(kill.where for kill in town.kills if kill.hit)
    if kills >= 2 * len(POINTS) + 3:
        assert set(hits) >= set(POINTS)
    named = [kill for kill in town.kills if kill.where in POINTS]
    assert sum(kill.hit for kill in named) >= 0.8 * len(named)


def test_recoveries_were_killed_twice_in_a_row(town: Town, kills: int) -> None:
    pairs = [(kill, after) for kill, after in zip(town.kills, town.kills[1:], strict=False) if "recovery" in kill.where == after.where]
    assert sum(kill.hit and after.hit for kill, after in pairs) >= kills // 25


def test_the_kills_hit_while_work_was_under_way(town: Town, evidence: Evidence, kills: int) -> None:
    moved = sum(kill.tail > before.tail for before, kill in zip(town.kills, town.kills[1:], strict=False))
    assert moved >= kills // 3, "the log must have grown between the kills"
    assert sum(kill.found > 0 for kill in town.kills) >= kills // 2, "executions must have been open when it died"
    opened = [line for line in evidence.said if "open" in line and "found" in line]
    assert sum(line["found"] > 0 for line in opened) >= kills // 4, "recoveries must have found open executions"
    assert len(evidence.intents) > kills, "there must have been something to lose"
    assert len(evidence.of("AttemptStarted", "LateSuccess", "TimeoutFired")) > 0


# Safety


def test_at_most_one_completion_per_execution_s1(evidence: Evidence) -> None:
    assert {token: len(ends) for token, ends in evidence.settlements.items() if len(ends) > 1} == {}


def test_every_completion_refers_to_an_earlier_intent_of_the_same_owner_s2(evidence: Evidence) -> None:
    intents = evidence.intents
    for token, (end, *_) in evidence.settlements.items():
        assert (intents[token].owner, intents[token].position < end.position) == (end.owner, True)


def test_whatever_was_acknowledged_is_there_and_was_done_once_s4(evidence: Evidence, town: Town) -> None:
    assert town.early == []
    answered = {fact.stream[1]: fact for fact in evidence.of("CommandSettled")}
    assert len(answered) == len(evidence.of("CommandSettled")), "a key is answered once"
    placed = Counter(fact.stream[1] for fact in evidence.of("OrderPlaced"))
    assert set(placed.values()) == {1}
    assert len(evidence.acknowledged) > len(town.kills)
    for key, replies in evidence.acknowledged.items():
        assert all(each == replies[0] for each in replies), f"{key} was answered differently the next time"
        settled = answered[key].content
        assert settled["rejected"] == ("refused" in replies[0]), key
        if key.startswith("place-") and "reply" in replies[0]:
            assert replies[0]["reply"] == settled["reply"]
            assert placed[replies[0]["reply"]] == 1
        if "refused" in replies[0]:
            assert replies[0]["refused"] == settled["code"]


def test_nobody_was_told_of_a_failure_that_was_none(evidence: Evidence) -> None:
    assert [line for line in evidence.said if "failed" in line] == []


def test_the_log_is_a_gap_free_prefix_with_ids_and_times_in_order_s5(evidence: Evidence, town: Town) -> None:
    assert [fact.position for fact in evidence.facts] == list(range(1, len(evidence.facts) + 1))
    assert [fact.event_id for fact in evidence.facts] == sorted({fact.event_id for fact in evidence.facts})
    assert [fact.at_us for fact in evidence.facts] == sorted(fact.at_us for fact in evidence.facts)
    tails = [kill.tail for kill in town.kills]
    assert tails == sorted(tails), "what was there once is there for good"


def test_the_versions_of_every_aggregate_are_contiguous_s6(evidence: Evidence) -> None:
    versions: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for fact in evidence.facts:
        versions[fact.stream].append(fact.version)
    assert {stream: found for stream, found in versions.items() if found != list(range(1, len(found) + 1))} == {}


@pytest.fixture(scope="module")
def opened_again(story: Story, tmp_path_factory: pytest.TempPathFactory) -> list[Recovered]:
    """Recovered by a fresh system: from snapshots, and from the events alone."""
    folder = tmp_path_factory.mktemp("again")
    order_ids = list(story.evidence.orders())
    log = story.town.folder / "log.db"
    return [recovered(log, folder / str(snapshots), order_ids, snapshots=snapshots) for snapshots in (True, False)]


def test_a_fresh_system_folds_the_log_to_the_state_that_was_live_with_snapshots_or_without_s7(
    opened_again: list[Recovered], evidence: Evidence, last_words: dict[str, Any]
) -> None:
    with_snapshots, without = opened_again
    assert (with_snapshots.snapshots > 0, without.snapshots) == (True, 0)
    assert with_snapshots.owners == without.owners
    *_, stock = evidence.stock()
    for again in opened_again:
        assert again.stock == last_words["stock"] == stock
        assert again.orders == evidence.orders()
        assert {key: last_words["orders"].get(key) for key in again.orders} == again.orders


def test_opening_a_log_in_which_nothing_is_open_calls_nobody_s8(opened_again: list[Recovered]) -> None:
    assert [again.called for again in opened_again] == [(), ()]


def test_goods_are_neither_made_nor_lost_nor_below_nothing_at_any_time_s9(evidence: Evidence) -> None:
    final: dict[str, list[int]] = {}
    for final in evidence.stock():
        assert min(min(level) for level in final.values()) >= 0
    assert {sku: sum(level) for sku, level in final.items()} == dict(evidence.received())


def test_no_order_is_charged_twice_and_nothing_is_refunded_that_was_not_captured_s10(evidence: Evidence) -> None:
    captured, refunded = Counter[str](), Counter[str]()
    for entry in evidence.gateway:
        (captured if entry["kind"] == "capture" else refunded)[entry["orderId"]] += entry["cents"]
    captures = [entry for entry in evidence.gateway if entry["kind"] == "capture"]
    assert len(captures) > 10
    assert len({entry["key"] for entry in captures}) == len({entry["orderId"] for entry in captures}) == len(captures)
    assert all(refunded[each] <= captured[each] for each in refunded)
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for call in evidence.calls:
        keys[call.token].add(call.key)
    assert {token: used for token, used in keys.items() if len(used) > 1} == {}, "all attempts use one key"


def test_every_capture_is_known_and_that_of_an_order_that_was_given_up_is_refunded(evidence: Evidence) -> None:
    captures = {entry["number"]: entry["orderId"] for entry in evidence.gateway if entry["kind"] == "capture"}
    assert set(captures) - evidence.captures_known() == set()
    refunded = {entry["orderId"] for entry in evidence.gateway if entry["kind"] == "refund"}
    given_up = {order for order, status in evidence.orders().items() if status in {"CANCELLED", "PAYMENT_FAILED"}}
    assert set(captures.values()) & given_up == refunded
    assert {fact.stream[1] for fact in evidence.of("PaymentRefunded")} == refunded


def test_no_timeout_fires_before_its_recorded_deadline_s12(evidence: Evidence) -> None:
    deadlines = evidence.deadlines()
    fired = evidence.of("TimeoutFired")
    assert fired != []
    for fact in fired:
        deadline = deadlines[str(fact.token), fact.content["attempt"]]
        assert fact.at_us >= (deadline - datetime.fromtimestamp(0, deadline.tzinfo)).total_seconds() * 1e6 - 1


def test_attempts_stay_within_the_policy_and_calls_within_their_limit_s13(evidence: Evidence) -> None:
    intents = evidence.intents
    for fact in evidence.of("RetryScheduled", "AttemptStarted"):
        operation = intents[str(fact.token)].type.removesuffix("Started")
        assert fact.content["attempt"] <= MAX_RETRIES[operation] + 1
        assert fact.content.get("call", 0) <= CALLS_LIMIT
    for token in {fact.token for fact in evidence.of("RetryScheduled")}:
        attempts = [fact.content["attempt"] for fact in evidence.of("RetryScheduled") if fact.token == token]
        assert attempts == list(range(2, len(attempts) + 2)), "each retry is scheduled once, in order"


def test_nothing_was_seen_outside_before_its_event_was_durable_s14(evidence: Evidence, town: Town) -> None:
    """Looked at after each kill, before anybody could write what was missing."""
    assert town.early == []
    assert len(evidence.calls) > len(town.kills)
    assert {call.token for call in evidence.calls} <= set(evidence.intents)


def test_a_second_process_was_refused_while_the_first_one_ran_s15(town: Town) -> None:
    assert len(town.locked_out) >= 1
    assert all(refusal.pid is not None for refusal in town.locked_out)


def test_what_customers_can_fill_is_bounded_and_says_so_s16(last_words: dict[str, Any]) -> None:
    assert last_words["overloads"] > 0


# Liveness


def test_every_intent_came_to_exactly_one_completion_l1(evidence: Evidence) -> None:
    assert {token for token in evidence.intents if len(evidence.settlements.get(token, [])) != 1} == set()


def test_at_rest_nothing_is_open_and_no_timer_is_set_l2(last_words: dict[str, Any], opened_again: list[Recovered]) -> None:
    assert (last_words["open"], last_words["timers"], last_words["restarts"]) == ([], 0, 0)
    for again in opened_again:
        assert [executions for _, executions, _ in again.owners.values()] == [{}] * len(again.owners)


def test_a_poisoned_order_holds_up_no_other_l4(evidence: Evidence, last_words: dict[str, Any]) -> None:
    orders = evidence.orders()
    poisoned = {order_id(number) for number in POISONED} & set(orders)
    assert poisoned != set()
    assert {tuple(each) for each in last_words["dead"]} == {("inventory", each) for each in poisoned}
    still_open = {order for order, status in orders.items() if status in {"PENDING", "CONFIRMED"}}
    assert still_open == poisoned
    # A paid order whose parcel nobody takes stays paid until somebody decides; that is a decision of the store, not a leak.
    unsent = {fact.stream[1] for fact in evidence.of("ShipmentFailed")}
    assert {order for order, status in orders.items() if status == "PAID"} <= unsent
