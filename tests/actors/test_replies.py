"""A reply is given out once, to whoever waits for it, by a lock or by a future, before or after it came."""

import threading
from concurrent.futures import Future
from typing import Any

import pytest

import tallystick as ts
from tallystick.actors import replies
from tallystick.actors.replies import HostReply
from tests.actors.outside import PATIENCE_S


@pytest.fixture
def reply() -> HostReply:
    left: list[HostReply] = []

    def leave(reply: HostReply) -> bool:
        left.append(reply)
        return len(left) == 1

    return HostReply(leave, HostReply.resolve)


def test_a_thread_waits_until_it_is_given(reply: HostReply) -> None:
    assert not reply.wait(0)
    assert not reply.wait(-1.5), "a time that is over is over"
    reply.answer("a")
    assert not reply.wait(0.001), "what it will say is not yet given"
    threading.Thread(target=reply.release).start()
    assert reply.wait(PATIENCE_S)
    assert reply.wait(None), "also for the next who waits"
    assert reply.wait(float("inf")), "for ever is a time, too"
    assert (reply.result(), reply.result()) == ("a", "a")


def test_all_threads_that_wait_hear_of_it(reply: HostReply) -> None:
    heard: list[bool] = []
    threads = [threading.Thread(target=lambda: heard.append(reply.wait(PATIENCE_S))) for _ in range(5)]
    for thread in threads:
        thread.start()
    reply.answer("a")
    reply.release()
    for thread in threads:
        thread.join()
    assert heard == [True] * 5


@pytest.mark.parametrize("early", [False, True])
def test_a_future_of_it_may_be_asked_for_before_it_is_given_or_after(reply: HostReply, *, early: bool) -> None:
    before = reply.future if early else None
    reply.answer("a")
    reply.release()
    assert reply.future.result(0) == "a"
    assert before in {None, reply.future}, "there is one future of it"


def test_the_first_end_is_the_one_that_is_given(reply: HostReply) -> None:
    reply.answer("a")
    reply.lost("unknown")
    reply.release()
    reply.withdraw(None)
    assert reply.given
    assert isinstance(reply.future.exception(0), ts.CommitUnknown)
    for _ in range(2):
        with pytest.raises(ts.CommitUnknown):
            reply.result()


def test_who_has_cancelled_the_future_hears_nothing_and_others_do(reply: HostReply) -> None:
    assert reply.future.cancel()
    reply.answer("a")
    reply.release()
    assert reply.future.cancelled()
    assert reply.wait(0)
    assert reply.result() == "a"


def test_it_is_given_to_the_host_by_whoever_delivers() -> None:
    handed_over: list[HostReply] = []
    reply = HostReply(lambda _reply: True, handed_over.append)
    heard: list[Future[Any]] = []
    reply.future.add_done_callback(heard.append)
    reply.answer("a")
    reply.release()
    assert handed_over == [reply]
    assert not heard
    assert not reply.wait(0)
    reply.resolve()
    assert heard == [reply.future]


def test_what_a_signals_handler_asks_for_while_a_future_is_made_holds_up_neither(reply: HostReply, monkeypatch: pytest.MonkeyPatch) -> None:
    others: list[HostReply] = []

    def interrupted() -> "Future[Any]":
        if not others:
            others.append(HostReply(lambda _reply: True, HostReply.resolve))
            others[0].answer(others[0].future)
            others[0].release()
        return Future()

    monkeypatch.setattr(replies, "Future", interrupted)
    thread = threading.Thread(target=lambda: reply.future, daemon=True)
    thread.start()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert others[0].future.done()
