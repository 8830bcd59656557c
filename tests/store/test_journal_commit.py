"""Group commit and output commit: what leaves the system waits for the disk, in order, and hears what became of it when the disk fails."""

import threading

import pytest

import tallystick as ts
from tallystick.store.journal import Fate, Journal
from tests.store.journals import PATIENCE_S, Desk, draft, during_the_next_write, in_threads


@pytest.fixture
def desk() -> Desk:
    return Desk()


PLANTED = OSError("planted")


def fails(desk: Desk, when: str = "before", error: BaseException = PLANTED) -> None:
    desk.log.failing = (when, error)


# Group commit


def test_what_has_gathered_is_written_in_one_batch(desk: Desk) -> None:
    for key in "abc":
        desk.append(draft(key), draft(key))
    assert desk.journal.commit()
    assert (desk.log.batches, desk.journal.watermark, desk.journal.commits) == ([[1, 2, 3, 4, 5, 6]], 6, 1)
    assert not desk.journal.commit(), "nothing has gathered since"
    assert desk.journal.commits == 1


def test_while_one_batch_is_being_written_the_next_gathers(desk: Desk) -> None:
    desk.append(draft("a"))
    during_the_next_write(desk, lambda: [desk.append(draft("b")), desk.append(draft("c"))])
    desk.journal.commit()
    assert (desk.log.batches, desk.journal.watermark, desk.journal.tail) == ([[1]], 1, 3)
    desk.journal.commit()
    assert desk.log.batches == [[1], [2, 3]]


def test_whoever_commits_is_told_once_for_each_time_that_something_begins_to_gather(desk: Desk) -> None:
    told: list[str] = []
    desk.journal.on_pending = lambda: told.append("pending")
    desk.append(draft("a"))
    desk.append(draft("b"))
    desk.gate("out")
    assert told == ["pending"]
    desk.journal.commit()
    desk.append(draft("c"))
    assert told == ["pending", "pending"]


def test_nothing_but_an_output_is_something_to_commit_and_writes_nothing(desk: Desk) -> None:
    told: list[str] = []
    desk.append(draft("a"))
    during_the_next_write(desk, lambda: desk.gate("gated"))
    desk.journal.on_pending = lambda: told.append("pending")
    desk.journal.commit()
    assert (desk.book, told) == ([], ["pending"])
    assert desk.journal.commit()
    assert (desk.book, desk.log.batches) == ([("gated", 1)], [[1]])


# Output commit: rule S14.


def test_outputs_are_released_in_order_when_their_append_is_durable_and_not_before_s14(desk: Desk) -> None:
    desk.append(draft("a"), outputs=[desk.output("first"), desk.output("second")])
    desk.gate("third")
    desk.append(draft("b"), outputs=[desk.output("fourth")])
    during_the_next_write(desk, lambda: desk.append(draft("c"), outputs=[desk.output("fifth")]))
    assert desk.book == []
    desk.journal.commit()
    assert desk.book == [("first", 2), ("second", 2), ("third", 2), ("fourth", 2)]
    desk.journal.commit()
    assert desk.book[4:] == [("fifth", 3)]


def test_an_output_that_comes_with_no_event_is_released_at_once_when_nothing_is_pending(desk: Desk) -> None:
    assert desk.gate("at once").heard == [0]
    desk.append(draft("a"))
    desk.journal.commit()
    assert desk.gate("again").heard == [1]
    assert not desk.journal.commit()


def test_an_output_that_comes_with_no_event_waits_for_all_that_is_in_the_log_by_then(desk: Desk) -> None:
    desk.append(draft("a"))
    gated = desk.gate("gated")
    assert gated.heard == []
    desk.journal.commit()
    assert gated.heard == [1]


def test_an_output_does_not_overtake_one_that_is_about_to_be_released(desk: Desk) -> None:
    """The first is durable, and in the middle of its release; the second must come after it all the same."""
    gated: list[str] = []

    class Slow:
        def release(self) -> None:
            desk.gate("second")
            gated.extend(name for name, _ in desk.book)
            desk.book.append(("first", desk.journal.watermark))

        def lost(self, fate: Fate) -> None:
            del fate

    desk.append(draft("a"), outputs=[Slow()])
    desk.journal.commit()
    desk.journal.commit()
    assert (gated, [name for name, _ in desk.book]) == ([], ["first", "second"])


def test_each_output_is_released_once(desk: Desk) -> None:
    outputs = [desk.output(str(number)) for number in range(20)]
    for output in outputs:
        desk.append(draft("a"), outputs=[output])
        if output.name in {"3", "11"}:
            desk.journal.commit()
    desk.journal.commit()
    desk.journal.commit()
    assert [len(output.heard) for output in outputs] == [1] * 20


# Poison: rule P18.


@pytest.mark.parametrize("when", ["before", "after"])
def test_outputs_of_the_batch_that_failed_hear_that_nobody_knows_and_those_behind_it_that_it_never_was(desk: Desk, when: str) -> None:
    desk.append(draft("a"), outputs=[desk.output("durable")])
    desk.journal.commit()
    desk.append(draft("b"), outputs=[desk.output("in the batch")])
    fails(desk, when)
    during_the_next_write(desk, lambda: desk.append(draft("c"), outputs=[desk.output("behind")]))
    with pytest.raises(OSError, match="planted"):
        desk.journal.commit()
    assert desk.book == [("durable", 1), ("in the batch", "unknown"), ("behind", "never")]
    assert desk.journal.watermark == 1


def test_an_output_that_was_gated_while_the_failing_batch_was_written_rests_on_it_so_nobody_knows(desk: Desk) -> None:
    """A repeated command gets the first one's reply; to say that it did not happen could be untrue."""
    desk.append(draft("a"), outputs=[desk.output("first")])
    fails(desk, "after")
    during_the_next_write(desk, lambda: [desk.gate("repeated"), desk.append(draft("b"), outputs=[desk.output("behind")])])
    with pytest.raises(OSError, match="planted"):
        desk.journal.commit()
    assert desk.book == [("first", "unknown"), ("repeated", "unknown"), ("behind", "never")]


def test_an_output_that_rests_on_what_was_durable_before_is_released_though_its_batch_fails(desk: Desk) -> None:
    desk.append(draft("a"))
    during_the_next_write(desk, lambda: [desk.gate("rests on a"), desk.append(draft("b"), outputs=[desk.output("rests on b")])])
    desk.journal.commit()
    fails(desk)
    with pytest.raises(OSError, match="planted"):
        desk.journal.commit()
    assert desk.book == [("rests on a", 1), ("rests on b", "unknown")]


def test_a_journal_that_was_ended_says_of_what_was_not_written_that_it_never_was(desk: Desk) -> None:
    desk.append(draft("a"))
    during_the_next_write(desk, lambda: desk.gate("rests on a"))
    desk.journal.commit()
    desk.append(draft("b"), outputs=[desk.output("rests on b")])
    desk.journal.end(RuntimeError("an actor failed"))
    assert desk.book == [("rests on a", 1), ("rests on b", "never")]
    assert [each.position for each in desk.log.read()] == [1]


def test_a_journal_that_has_ended_takes_nothing_more(desk: Desk) -> None:
    desk.append(draft("a"))
    fails(desk)
    with pytest.raises(OSError, match="planted"):
        desk.journal.commit()
    for use in (lambda: desk.append(draft("b")), lambda: desk.gate("out")):
        with pytest.raises(ts.NotAccepted) as caught:
            use()
        assert caught.value.__cause__ is PLANTED
    assert not desk.journal.commit()
    assert desk.book == []
    assert desk.journal.tail == 1


def test_a_journal_ends_once_and_keeps_its_first_cause(desk: Desk) -> None:
    desk.append(draft("a"), outputs=[desk.output("out")])
    desk.journal.end(PLANTED)
    desk.journal.end(RuntimeError("later"))
    assert desk.journal.failure is PLANTED
    assert desk.book == [("out", "never")]


@pytest.mark.parametrize(
    "error", [ts.LogPoisoned(), ts.Fenced(), KeyboardInterrupt(), MemoryError()], ids=lambda error: type(error).__name__
)
def test_whatever_a_write_raises_ends_the_journal(desk: Desk, error: BaseException) -> None:
    desk.append(draft("a"), outputs=[desk.output("out")])
    fails(desk, error=error)
    with pytest.raises(type(error)):
        desk.journal.commit()
    assert desk.journal.failure is error
    assert desk.book == [("out", "unknown")]


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_next_generation_begins_where_the_log_ends_whatever_was_numbered(desk: Desk, when: str) -> None:
    desk.append(draft("a", 0))
    desk.journal.commit()
    desk.append(draft("a", 1))
    fails(desk, when)
    during_the_next_write(desk, lambda: desk.append(draft("a", 2)))
    with pytest.raises(OSError, match="planted"):
        desk.journal.commit()
    again = desk.reopened()
    there = 1 if when == "before" else 2
    assert (again.journal.tail, again.journal.watermark, again.journal.version("Thing", "a")) == (there, there, there)


# Waiting


def test_who_waits_for_a_position_goes_on_when_it_is_durable(desk: Desk) -> None:
    desk.append(draft("a"), draft("b"))
    waited: list[bool] = []

    def work(number: int) -> None:
        if number == 0:
            waited.append(desk.journal.wait_durable(2, PATIENCE_S))
        else:
            desk.journal.commit()

    in_threads(2, work)
    assert waited == [True]
    assert desk.journal.wait_durable(1, 0.0)
    assert not desk.journal.wait_durable(3, 0.0)


def test_who_waits_for_a_position_goes_on_when_the_journal_ends(desk: Desk) -> None:
    desk.append(draft("a"))
    waits = threading.Event()
    heard: list[bool] = []

    def wait(journal: Journal) -> None:
        waits.set()
        heard.append(journal.wait_durable(1, PATIENCE_S))

    thread = threading.Thread(target=wait, args=(desk.journal,), daemon=True)
    thread.start()
    assert waits.wait(PATIENCE_S)
    desk.journal.end(PLANTED)
    thread.join(PATIENCE_S)
    assert heard == [False]
