"""The system machine: what is right passes, and a planted bug shrinks to a few steps that tell how it comes about."""

import re
import subprocess
import sys

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from tallystick.testing import InvariantViolation, SystemMachine, UnknownFault
from tests.testing.hotel import Book, Booking, Cancel, CarelessHotel, ForgetfulHotel, Hotel

GUESTS = st.sampled_from(("ann", "bob"))
TRIED = settings(  # many, for what is drawn depends on which modules are there; the search ends with the first that fails
    max_examples=5_000, stateful_step_count=8, deadline=None, derandomize=True, database=None, phases=(Phase.generate, Phase.shrink)
)


class BookingMachine(SystemMachine):
    simulates = Hotel
    faults = "late, dropped, crash.step, restart"

    @rule(guest=GUESTS)
    def books(self, guest: str) -> None:
        self.ask(Book(guest=guest), key=f"book {guest}")


class HotelMachine(BookingMachine):
    @rule(guest=GUESTS)
    def cancels(self, guest: str) -> None:
        self.ask(Cancel(guest=guest))


class ForgetfulMachine(HotelMachine):
    simulates = ForgetfulHotel


class CarelessMachine(BookingMachine):
    simulates = CarelessHotel


def counter_example(machine: type[SystemMachine]) -> tuple[list[str], str]:
    """The steps of the shrunk failure, by rule, and all that is told of it."""
    with pytest.raises(InvariantViolation) as raised:
        run_state_machine_as_test(machine, settings=TRIED)
    text = "\n".join([str(raised.value), *raised.value.__notes__])
    return re.findall(r"state\.(\w+)\(", text), text


def test_a_program_that_is_right_passes() -> None:
    run_state_machine_as_test(HotelMachine, settings=settings(TRIED, max_examples=100))


def test_a_late_answer_that_nobody_thought_of_is_told_in_a_few_steps() -> None:
    steps, text = counter_example(ForgetfulMachine)
    assert steps[0] == "books"
    assert "cancels" in steps
    assert len(steps) <= 5
    assert "HOTEL: " in text
    assert "TakeMoney, attempt 1" in text


def test_a_provider_that_is_not_idempotent_is_told_in_a_few_steps() -> None:
    steps, text = counter_example(CarelessMachine)
    assert steps[0] == "books"
    assert len(steps) <= 4
    assert "has paid 2 times" in text
    assert text.count("TakeMoney, attempt 1") == 2


def test_what_is_asked_is_answered_and_the_program_and_its_system_can_be_looked_at() -> None:
    machine = HotelMachine()
    first, second = machine.ask(Book(guest="ann"), key="a"), machine.ask(Book(guest="ann"), key="b")
    assert (machine.answers, machine.system) == ({}, None)
    machine.goes_on(minutes=1, fault=None)
    assert machine.answers == {first: ("reply", None), second: ("rejected", "BOOKED_ALREADY")}
    assert machine.system is not None
    assert machine.system.get(Booking, "ann") == Booking()
    assert isinstance(machine.program, Hotel)
    machine.takes_turns(order=[0], fault="crash.step")
    machine.teardown()


def test_a_step_that_fails_is_not_hidden_by_the_end() -> None:
    class Impatient(ForgetfulMachine):
        @rule()
        def looks(self) -> None:
            msg = "a step of one's own"
            raise ZeroDivisionError(msg)

    with pytest.raises(ZeroDivisionError, match="a step of one's own"):
        run_state_machine_as_test(Impatient, settings=TRIED)


def test_the_steps_of_a_story_can_be_run_by_hand() -> None:
    try:
        [].pop()
    except IndexError:  # an error that is being handled around it is not the machine's
        machine = ForgetfulMachine()
        machine.books(guest="ann")
        machine.goes_on(minutes=1, fault="late")
        machine.cancels(guest="ann")
        with pytest.raises(InvariantViolation) as raised:
            machine.teardown()
        assert "TakeMoney, attempt 1" in "\n".join(raised.value.__notes__)


def test_a_fault_that_is_none_is_refused() -> None:
    class Misspelt(HotelMachine):
        faults = "lateness"

    with pytest.raises(UnknownFault, match="lateness"):
        Misspelt()


def test_without_faults_nothing_strikes() -> None:
    class Calm(BookingMachine):
        faults = "none"
        simulates = CarelessHotel

    run_state_machine_as_test(Calm, settings=settings(TRIED, max_examples=50))


def test_without_hypothesis_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['hypothesis'] = None; from tallystick.testing import given; from tallystick.testing import SystemMachine"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)  # noqa: S603 - our own program
    assert done.returncode == 1
    assert "HypothesisMissing: SystemMachine needs Hypothesis, which is not installed: pip install 'tallystick[testing]'." in done.stderr
    assert "import SystemMachine" not in done.stderr.splitlines()[-1]
