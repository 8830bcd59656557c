"""A program with sensitive fields under all faults: nothing is written in plain, and the same seed makes the same log."""

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, ClassVar

import pytest

import tallystick as ts
from tallystick.domain.privacy import Forget, ForgottenSubjects
from tallystick.testing import FakeProvider, Invariant, InvariantViolation, SeededKeys, SimulatedProgram, Simulation, Wish
from tests.actors.register import Directory, Enrol, Enrolled, Greet, Newsletter, Register, Sent

PEOPLE = 6


class NothingInPlain:
    """No record says what was sensitive, and who is forgotten is so to everybody at the end."""

    def __init__(self) -> None:
        self.emails: dict[str, ts.Sensitive[str]] = {}

    def take(self, recorded: ts.Recorded, event: Any) -> None:
        if b"person-" in recorded.payload:
            violation = "PRIVACY"
            raise InvariantViolation(violation, "a record says what is sensitive", position=recorded.position)
        if isinstance(event, Enrolled):
            self.emails[event.customer_id] = event.email

    def end(self, system: ts.System) -> None:
        forgotten = system.resident(ForgottenSubjects).subjects
        keys = system._life._program.vault
        assert keys is not None
        keys.forget_also(forgotten)  # as the host that asked for it does when it hears that it is durable
        for customer_id, email in system.resident(Directory).emails.items():
            text = system.reveal(email)
            wanted = ts.Forgotten(subject=customer_id) if customer_id in forgotten else f"person-{customer_id}"
            if text != wanted and not (email.box == "" and isinstance(text, ts.Forgotten)):
                violation = "PRIVACY"
                raise InvariantViolation(violation, f"{customer_id} is {text!r}, and {'' if customer_id in forgotten else 'not '}forgotten")


class SimulatedRegister(SimulatedProgram):
    """Customers enrol, some again and again, and some are forgotten meanwhile."""

    name: ClassVar[str] = "register"

    def __init__(self, chance: Any) -> None:
        super().__init__(chance)
        self.provider = FakeProvider(chance, declines_percent=10, later_percent=15)
        self._keys = SeededKeys(1)

    def modules(self) -> Sequence[ts.Module]:
        return (Register(), Newsletter())

    def performers(self) -> Sequence[ts.Performer]:
        return (self.provider.performs(Greet, lambda greet, _key: Sent(to=greet.email)),)

    def keys(self) -> ts.KeyStore:
        return self._keys

    def deliver(self, system: ts.System) -> None:
        self.provider.deliver(system.complete)

    def wishes(self) -> Iterator[Wish]:
        for number in range(20):
            customer_id = f"c-{self.chance.between(1, PEOPLE, 'who', number)}"
            at = timedelta(seconds=300 * self.chance.at("when", number))
            if self.chance.at("what", number) < 0.2:
                yield Wish(at, Forget(subject=customer_id, who="dpo", why="asked"), f"forget:{number}")
            else:
                email = ts.sensitive(f"person-{customer_id}", of=customer_id)
                yield Wish(at, Enrol(customer_id=customer_id, email=email), f"enrol:{number}")

    def invariants(self) -> Sequence[Invariant]:
        return (NothingInPlain(),)


@pytest.mark.parametrize("seed", range(1, 41))
def test_all_faults_together_are_survived_and_leave_nothing_in_plain(seed: int) -> None:
    Simulation(SimulatedRegister, seed, faults="all").check()


def test_the_same_seed_makes_the_same_log() -> None:
    digests = {Simulation(SimulatedRegister, 3, log=log).run().digest for log in ("memory", "memory", "sqlite", "sqlite")}
    assert len(digests) == 2, "one for each kind of log, whose identities differ"
