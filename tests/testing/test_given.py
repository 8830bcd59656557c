"""Given, when, then: what holds passes, what does not is told field by field, and what the engine refuses is refused here too."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from unittest.mock import ANY

import pytest

import tallystick as ts
from tallystick.testing import given, late_success, settled, timed_out
from tests.testing.library import (
    Asked,
    Bind,
    Binding,
    CallOff,
    Fetch,
    Fetching,
    Lent,
    Library,
    Loan,
    Mend,
    NotLent,
    Reserve,
    Reserved,
    Returned,
    Shelf,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
RESERVED = Reserved(book="b", who="ann", at=NOON)
FETCHING = Fetching(book="b")
BEGUN = ts.Begin(intent=FETCHING, actions=(Fetch(book="b"),), tags={"who": "ann"})


def said(statement: Callable[[], object]) -> list[str]:
    """What a statement that does not hold says, line by line."""
    with pytest.raises(AssertionError) as raised:
        statement()
    return str(raised.value).splitlines()


# What holds


def test_a_command_is_stated_by_its_effects_and_its_reply() -> None:
    given(Library()).when(Reserve(book="b")).then(RESERVED, BEGUN, reply="id-2").then_open(FETCHING)


def test_own_events_are_folded_and_a_refusal_is_stated_by_its_code() -> None:
    given(Library(), RESERVED).when(Reserve(book="b")).then_rejected("TAKEN").then_state(Loan, "b", Loan(who="ann"))


def test_commands_in_the_past_are_carried_out_with_all_that_follows() -> None:
    given(Library(), Reserve(book="b"), settled(FETCHING, ts.Succeeded(result="r"))).when(CallOff(book="b")).then_nothing().then_state(
        Loan, "b", Loan(who="ann", receipt="r")
    ).then_resident(Shelf, Shelf(out=1))


def test_an_end_is_stated_by_the_completion_event() -> None:
    given(Library(), FETCHING).when(settled(FETCHING, ts.Succeeded(result="r"))).then(Lent(book="b", receipt="r")).then_open()
    given(Library(), FETCHING).when(settled(FETCHING, ts.Refused(cause="busy"))).then(NotLent(book="b", reason="NO")).then_open()


def test_an_end_that_the_module_is_silent_about_is_the_librarys_own_completion() -> None:
    silence: ts.Succeeded[str] = ts.Succeeded(result="silence")
    given(Library(), FETCHING).when(settled(FETCHING, silence)).then(settled(FETCHING, silence)).then_open()


def test_an_end_by_the_module_itself_is_stated_before_its_completion_event() -> None:
    given(Library(), FETCHING, Binding(book="b")).when(CallOff(book="b")).then(
        settled(FETCHING, ts.Cancelled(reason="CALLED_OFF")),
        NotLent(book="b", reason="NO"),
        settled(Binding(book="b"), ts.Cancelled(reason="CALLED_OFF")),
    ).then_open()


def test_an_end_by_the_module_itself_may_be_stated_by_token() -> None:
    token = ts.Token("t")
    given(Library(), ts.Begin(intent=FETCHING, token=token)).when(CallOff(book="b")).then(
        ts.Settle(token=token, outcome=ts.Cancelled(reason="CALLED_OFF")), NotLent(book="b", reason="NO")
    )


def test_a_person_is_called_by_token() -> None:
    given(Library(), ts.Begin(intent=FETCHING, token=ts.Token("t"))).when(CallOff(book="b", how="person")).then(
        ts.NeedsPerson(token=ts.Token("t"), reason="unclear")
    ).then_open(FETCHING)


def test_a_timeout_comes_after_all_retries_at_its_own_time_and_with_the_tags() -> None:
    given(Library(), Reserve(book="b")).when(timed_out(FETCHING)).then(NotLent(book="b", reason="NO_ANSWER 3 12:32 {'who': 'ann'}"))


def test_a_late_success_comes_after_the_end() -> None:
    given(Library(), FETCHING, timed_out(FETCHING)).when(late_success(FETCHING, "r")).then(Returned(book="b", fine=0))
    given(Library(), FETCHING, timed_out(FETCHING), late_success(FETCHING, "r")).when(late_success(FETCHING, "r")).then_nothing()


def test_what_the_past_made_does_not_change_the_ids_of_the_present() -> None:
    given(Library(), Reserve(book="a"), Binding(book="c")).when(Reserve(book="b")).then(RESERVED, BEGUN, reply="id-2")


def test_one_thing_leads_to_another() -> None:
    given(Library()).when(Reserve(book="b")).then(RESERVED, BEGUN).when(Reserve(book="b")).then_rejected("TAKEN").when(
        settled(FETCHING, ts.Failed(code="LOST"))
    ).then(NotLent(book="b", reason="NO"))


def test_a_field_may_be_left_open() -> None:
    given(Library()).when(Reserve(book="b")).then(Reserved(book="b", who="ann", at=ANY), BEGUN)


def test_the_time_may_be_said() -> None:
    at = datetime(2030, 2, 3, tzinfo=UTC)
    given(Library(), now=at).when(Reserve(book="b")).then(Reserved(book="b", who="ann", at=at), BEGUN)


def test_a_begin_is_stated_with_all_that_it_sets() -> None:
    given(Library()).when(Mend(book="b")).then(
        ts.Begin(intent=Binding(book="b"), actions=(Bind(book="b"),), timeout=timedelta(hours=1)), reply=3
    )


# What does not hold


def test_only_what_differs_is_told_field_by_field() -> None:
    other = ts.Begin(intent=Fetching(book="c"), actions=(Fetch(book="b"), Fetch(book="c")), tags={"who": "bob", "why": "fun"})
    assert said(lambda: given(Library()).when(Reserve(book="b")).then(RESERVED, other)) == [
        "library, when Reserve: not what was expected",
        "  1. as expected: Reserved",
        "  2. Begin Fetching",
        "       intent.book:",
        "         expected  'c'",
        "         actual    'b'",
        "       actions: 2 expected, 1 actual",
        "       actions[1]:",
        "         missing     Fetch(book='c')",
        "       tags['who']:",
        "         expected  'bob'",
        "         actual    'ann'",
        "       tags['why']:",
        "         missing     'fun'",
    ]


def test_what_is_missing_and_what_is_unexpected_is_told_whole() -> None:
    assert said(lambda: given(Library()).when(Reserve(book="b")).then(Lent(book="b", receipt="r"), RESERVED)) == [
        "library, when Reserve: not what was expected",
        "  1. missing: Lent(book='b', receipt='r')",
        "  2. as expected: Reserved",
        "  3. unexpected: Begin Fetching(book='b') with Fetch(book='b')",
    ]


def test_of_a_long_story_the_one_event_that_was_left_out_is_told() -> None:
    words = [f"w{number}" for number in range(50)]
    expected = [Returned(book=word, fine=1) for word in words if word != "w7"]
    assert said(lambda: given(Library()).when(Asked(who="x", words=tuple(words))).then(*expected)) == [
        "library, when Asked: not what was expected",
        "  1-7. as expected",
        "  8. unexpected: Returned(book='w7', fine=1)",
        "  9-50. as expected",
    ]


def test_an_event_instead_of_an_end_is_told() -> None:
    cancelled = settled(FETCHING, ts.Cancelled(reason="CALLED_OFF"))
    event = NotLent(book="b", reason="CALLED_OFF")
    assert said(lambda: given(Library(), FETCHING).when(CallOff(book="b", how="forget")).then(cancelled, event)) == [
        "library, when CallOff: not what was expected",
        "  1. missing: Settled(intent=Fetching(book='b'), outcome=Cancelled(reason='CALLED_OFF'))",
        "  2. as expected: NotLent",
    ]


def test_another_reply_is_told() -> None:
    assert said(lambda: given(Library()).when(Reserve(book="b")).then(RESERVED, BEGUN, reply="id-3"))[1:] == [
        "  reply:",
        "    expected  'id-3'",
        "    actual    'id-2'",
    ]


def test_a_refusal_instead_of_effects_is_told_and_the_other_way_round() -> None:
    refused = given(Library(), RESERVED).when(Reserve(book="b"))
    assert said(refused.then_nothing) == ["library, when Reserve: rejected", "  TAKEN: b is out."]
    assert said(lambda: refused.then_rejected("LOST"))[1:] == ["  expected  LOST", "  actual    TAKEN: b is out."]
    assert said(lambda: given(Library()).when(CallOff(book="b")).then_rejected("LOST"))[1:] == ["  nothing was done"]


def test_another_state_is_told() -> None:
    happened = given(Library()).when(Reserve(book="b"))
    assert said(lambda: happened.then_state(Loan, "b", Loan(who="bob")))[1:] == ["  who:", "    expected  'bob'", "    actual    'ann'"]
    assert said(lambda: happened.then_state(Loan, "b", None))[0] == "library, when Reserve: Loan 'b' is not as expected"
    assert said(lambda: happened.then_resident(Shelf, Shelf(out=1)))[0] == "library, when Reserve: Shelf is not as expected"
    assert said(happened.then_open)[1:] == ["  all: 0 expected, 1 actual", "  [0]:", "    unexpected  Fetching(book='b')"]


def test_an_end_of_what_is_not_open_is_told_with_what_is() -> None:
    assert said(lambda: given(Library(), Binding(book="b")).when(settled(FETCHING, ts.TimedOut(attempts=1)))) == [
        "library has no open execution of Fetching(book='b'). Open:",
        "  Binding(book='b')",
    ]
    assert "never times out" in said(lambda: given(Library(), Binding(book="b")).when(timed_out(Binding(book="b"))))[0]
    assert "is still open" in said(lambda: given(Library(), FETCHING).when(late_success(FETCHING, "r")))[0]
    assert "was never begun" in said(lambda: given(Library()).when(late_success(FETCHING, "r")))[0]


# What is refused


def test_events_that_do_not_concern_the_module_are_refused() -> None:
    class Elsewhere(Asked):
        pass

    with pytest.raises(ts.TallystickError, match="does not react to Elsewhere"):
        given(Library(), Elsewhere(who="x"))
    with pytest.raises(ts.TallystickError, match="does not react to Lent"):
        given(Library()).when(Lent(book="b", receipt="r"))
    with pytest.raises(ts.UnknownCommand, match="handles CallOff, Mend, Reserve"):
        given(Library()).when(ts.Command[None]())


@pytest.mark.parametrize(
    ("word", "error", "words"),
    [
        ("foreign", ts.EffectError, "Question belongs to another module"),
        ("wrong", ts.InvalidPayload, "Expected `int`, got `str`"),
        ("raise", ZeroDivisionError, "too much"),
    ],
)
def test_what_the_engine_refuses_is_refused(word: str, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        given(Library()).when(Asked(who="x", words=(word,)))


def test_a_second_completion_event_is_refused() -> None:
    with pytest.raises(ts.EffectError, match="exactly one of ends_with"):
        given(Library(), FETCHING).when(settled(FETCHING, ts.Succeeded(result="twice")))


def test_results_and_replies_have_the_types_that_were_promised() -> None:
    wrong: ts.Succeeded[str] = ts.Succeeded(result=1)  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(ts.InvalidPayload):
        given(Library(), FETCHING).when(settled(FETCHING, wrong))
    with pytest.raises(ts.InvalidPayload):
        given(Library()).when(Mend(book="b", reply="three"))
    with pytest.raises(ts.InvalidPayload):
        given(Library()).when(Asked(who=1))  # type: ignore[arg-type]  # the point of the test


def test_a_refusal_in_the_past_is_an_error() -> None:
    with pytest.raises(ts.Rejected, match="TAKEN"):
        given(Library(), RESERVED, Reserve(book="b"))


def test_a_resident_is_not_asked_for_by_key() -> None:
    with pytest.raises(ts.EffectError, match="then_resident"):
        given(Library(), RESERVED).when(CallOff(book="b")).then_state(Shelf, "b", Shelf())
