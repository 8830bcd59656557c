"""Given, when a host's step, then: a module's turn of a step is stated like every other, with residents as the test wants them."""

import pytest

import tallystick as ts
from tallystick.testing import given
from tallystick.testing.one_owner import NotOfThisModule


class PotEvent(ts.Event):
    aggregate_type = "Pot"
    pot: str

    @property
    def aggregate_id(self) -> str:
        return self.pot


class Filled(PotEvent):
    until_us: int


class Boiled(PotEvent):
    at_us: int


class Pots(ts.Resident):
    pots: tuple[Filled, ...] = ()


class Weather(ts.Resident):
    pressure: int = 100


class Kitchen(ts.Module):
    name = "kitchen"

    @ts.each_step
    def look(self, turn: ts.Turn, step: ts.Step) -> ts.Effects:
        if step.resident(Weather).pressure > 50:
            for pot in turn.resident(Pots).pots:
                if pot.until_us <= step.now_us:
                    yield Boiled(pot=pot.pot, at_us=int(turn.now.timestamp() * 1_000_000))

    @ts.folds(Filled, Pots)
    def filled(self, pots: Pots, event: Filled) -> Pots:
        return Pots(pots=(*pots.pots, event))

    @ts.folds(Boiled, Pots)
    def boiled(self, pots: Pots, event: Boiled) -> Pots:
        return Pots(pots=tuple(pot for pot in pots.pots if pot.pot != event.pot))


class Silent(ts.Module):
    name = "silent"


NOON_US = 1_767_268_800_000_000
TEA = Filled(pot="tea", until_us=NOON_US + 1)


def at(now_us: int, pressure: int = 100) -> ts.Step:
    return ts.Step(delta_us=1, now_us=now_us, look={Weather: Weather(pressure=pressure)}.__getitem__)


def test_a_step_is_a_turn_at_its_own_time() -> None:
    given(Kitchen(), TEA).when(at(NOON_US)).then_nothing().when(at(NOON_US + 1)).then(Boiled(pot="tea", at_us=NOON_US + 1)).then_resident(
        Pots, Pots()
    )


def test_a_step_shows_other_modules_residents() -> None:
    given(Kitchen(), TEA).when(at(NOON_US + 1, pressure=10)).then_nothing()


def test_a_module_without_a_method_for_it_hears_of_no_step() -> None:
    with pytest.raises(NotOfThisModule, match="silent has no method for each step"):
        given(Silent()).when(at(NOON_US))
