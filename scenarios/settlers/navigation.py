"""Navigation: knows where everybody stands and what is in the way, and leads settlers to where the player sends them."""

from datetime import timedelta
from typing import ClassVar, Final, assert_never

import msgspec

import tallystick as ts
from tallystick.scenarios.settlers.actions import Walk
from tallystick.scenarios.settlers.events import (
    JobDone,
    NeedMet,
    OrderBegun,
    OrderDone,
    OrderDropped,
    OrderGiven,
    OrderPutOff,
    SettlerArrived,
    SettlerMoved,
    SettlerReset,
    TaskDone,
    TileBlocked,
    TileCleared,
)
from tallystick.scenarios.settlers.land import Land, Tile
from tallystick.scenarios.settlers.levels import SECOND_US, micros
from tallystick.scenarios.settlers.line import NAVIGATION, SETTLERS
from tallystick.scenarios.settlers.paths import Paths
from tallystick.scenarios.settlers.roster import Order, Roster
from tallystick.scenarios.settlers.wellbeing import Wellbeing
from tallystick.scenarios.settlers.works import Works

_replace = msgspec.structs.replace

TRIED_AGAIN_US: Final = 5 * SECOND_US
TRIES_LIMIT: Final = 20


class Going(ts.Intent[Tile | None]):
    """To have a settler go where the player wants it."""

    line: ClassVar[str] = SETTLERS.name
    timeout: ClassVar[timedelta | None] = timedelta(minutes=10)
    on_timeout: ClassVar = "abandon"
    ends_with: ClassVar[tuple[type[ts.Event], ...]] = (OrderDone, OrderPutOff, OrderDropped)

    settler: str
    to: Tile

    @property
    def subject(self) -> str:
        """The settler."""
        return self.settler


class Arrive(ts.Command[None]):
    """Let a settler come to the land."""

    settler: str
    at: Tile
    hunger: int = 0
    fatigue: int = 0


class SendTo(ts.Command[None]):
    """Send a settler somewhere; it goes when it is free."""

    settler: str
    to: Tile


class ResetSettler(ts.Command[None]):
    """Call off whatever a settler does."""

    settler: str


class BlockTile(ts.Command[None]):
    """Let nobody onto a tile. Whoever stands on it may leave it."""

    tile: Tile


class ClearTile(ts.Command[None]):
    """Let everybody onto a tile again."""

    tile: Tile


class NavigationManager(ts.Module):
    """The owner of places."""

    name: ClassVar[str] = NAVIGATION

    def __init__(self, land: Land, paths: Paths) -> None:
        self._land = land
        self._paths = paths

    # Deciding.

    @ts.each_step
    def lead(self, turn: ts.Turn, step: ts.Step) -> ts.Effects:
        """Those who were sent somewhere set out if they are free, and need not eat first."""
        roster, now_us = turn.resident(Roster), step.now_us
        due = roster.agenda.due(now_us, longest_us=TRIED_AGAIN_US)
        if not due:
            return
        works, wellbeing = step.resident(Works), step.resident(Wellbeing)
        for settler in due:
            if not works.is_free(settler) or wellbeing.has_to_eat(settler, now_us):
                continue
            order = roster.orders[settler]
            way = self._paths.way(roster.at[settler], order.to, roster.blocked)
            if way is None:
                yield _not_done(settler, order, "NO_WAY", now_us)
            else:
                yield OrderBegun(settler=settler)
                yield ts.Begin(
                    intent=Going(settler=settler, to=order.to),
                    actions=(Walk(start=roster.at[settler], way=way),),
                    priority=ts.Priority.NORMAL,  # as work's: navigation goes before its equals, and interrupts nobody
                    origin=NAVIGATION,
                    interruption="replayable",
                )

    @Going.settled
    def settle(self, turn: ts.Turn, going: Going, outcome: ts.Outcome[Tile | None]) -> ts.Effects:
        """There, or once more after a while."""
        settler, now_us = going.settler, micros(turn.now)
        order = turn.resident(Roster).orders.get(settler, Order(to=going.to))
        match outcome:
            case ts.Succeeded(result=at):
                yield OrderDone(settler=settler, at=at or going.to)
            case ts.Failed(code=reason) | ts.Refused(cause=reason):
                yield _not_done(settler, order, reason.upper(), now_us)
            case ts.TimedOut():
                yield _not_done(settler, order, "TIMED_OUT", now_us)
            case ts.Cancelled(reason=reason):
                yield OrderDropped(settler=settler, reason=reason)
            case _:
                assert_never(outcome)

    # Others' decisions: where somebody stands when it has done something.

    @ts.reacts_to(TaskDone, emits=[SettlerMoved])
    def after_task(self, turn: ts.Turn, event: TaskDone) -> ts.Effects:
        """Where the task was done."""
        return _moved(turn, event.settler, event.at)

    @ts.reacts_to(JobDone)
    def after_job(self, turn: ts.Turn, event: JobDone) -> ts.Effects:
        """Where the job was done."""
        return _moved(turn, event.settler, event.at)

    @ts.reacts_to(NeedMet)
    def after_relief(self, turn: ts.Turn, event: NeedMet) -> ts.Effects:
        """Where it ate or slept."""
        return _moved(turn, event.settler, event.at)

    # The player's.

    @ts.handles(Arrive, emits=[SettlerArrived])
    def arrive(self, turn: ts.Turn, command: Arrive) -> ts.Decision[None]:
        """Rejects with ALREADY_THERE, NO_SUCH_PLACE."""
        if command.settler in turn.resident(Roster):
            code = "ALREADY_THERE"
            raise ts.Rejected(code, f"There is a settler {command.settler} already.")
        self._check_place(command.at)
        yield SettlerArrived(settler=command.settler, at=command.at, at_us=micros(turn.now), hunger=command.hunger, fatigue=command.fatigue)

    @ts.handles(SendTo, emits=[OrderGiven])
    def send(self, turn: ts.Turn, command: SendTo) -> ts.Decision[None]:
        """Rejects with UNKNOWN_SETTLER, NO_SUCH_PLACE, UNDER_WAY."""
        roster = _known(turn, command.settler)
        self._check_place(command.to)
        if roster.is_under_orders(command.settler):
            code = "UNDER_WAY"
            raise ts.Rejected(code, f"{command.settler} is on its way to {roster.orders[command.settler].to}; reset it first.")
        yield OrderGiven(settler=command.settler, to=command.to, at_us=micros(turn.now))

    @ts.handles(ResetSettler, emits=[SettlerReset])
    def reset(self, turn: ts.Turn, command: ResetSettler) -> ts.Decision[None]:
        """Rejects with UNKNOWN_SETTLER."""
        roster = _known(turn, command.settler)
        under_way = turn.open(Going, command.settler)
        for execution in under_way:
            yield ts.Settle(token=execution.token, outcome=ts.Cancelled(reason="RESET"))
        if command.settler in roster.orders and not under_way:
            yield OrderDropped(settler=command.settler, reason="RESET")
        yield SettlerReset(settler=command.settler)

    @ts.handles(BlockTile, emits=[TileBlocked])
    def block(self, turn: ts.Turn, command: BlockTile) -> ts.Decision[None]:
        """Blocking what is blocked changes nothing. Rejects with NO_SUCH_PLACE."""
        self._check_place(command.tile)
        if command.tile not in turn.resident(Roster).blocked:
            yield TileBlocked(tile=command.tile)

    @ts.handles(ClearTile, emits=[TileCleared])
    def clear(self, turn: ts.Turn, command: ClearTile) -> ts.Decision[None]:
        """Clearing what is clear changes nothing."""
        if command.tile in turn.resident(Roster).blocked:
            yield TileCleared(tile=command.tile)

    def _check_place(self, tile: Tile) -> None:
        if not self._land.is_open(tile):
            code = "NO_SUCH_PLACE"
            raise ts.Rejected(code, f"Nobody can stand at {tile.x},{tile.y}.")

    # State.

    @ts.folds(SettlerArrived, Roster)
    def arrived(self, roster: Roster, event: SettlerArrived) -> Roster:
        """One more."""
        return _replace(roster, at=roster.at.set(event.settler, event.at))

    @ts.folds(SettlerMoved, Roster)
    def moved(self, roster: Roster, event: SettlerMoved) -> Roster:
        """Elsewhere."""
        return _replace(roster, at=roster.at.set(event.settler, event.at))

    @ts.folds(OrderGiven, Roster)
    def given(self, roster: Roster, event: OrderGiven) -> Roster:
        """In place of an order that it has not followed yet."""
        orders = roster.orders.set(event.settler, Order(to=event.to))
        return _replace(roster, orders=orders, agenda=roster.agenda.with_(event.settler, event.at_us))

    @ts.folds(OrderBegun, Roster)
    def begun(self, roster: Roster, event: OrderBegun) -> Roster:
        """On its way."""
        order = _replace(roster.orders[event.settler], under_way=True)
        return _replace(roster, orders=roster.orders.set(event.settler, order), agenda=roster.agenda.without(event.settler))

    @ts.folds(OrderDone, Roster)
    def done(self, roster: Roster, event: OrderDone) -> Roster:
        """There."""
        roster = _replace(roster, at=roster.at.set(event.settler, event.at), reached=roster.reached + 1)
        return _replace(roster, orders=roster.orders.discard(event.settler), agenda=roster.agenda.without(event.settler))

    @ts.folds(OrderPutOff, Roster)
    def put_off(self, roster: Roster, event: OrderPutOff) -> Roster:
        """Once more, after a while."""
        order = roster.orders[event.settler]
        orders = roster.orders.set(event.settler, Order(to=order.to, tries=order.tries + 1))
        return _replace(roster, orders=orders, agenda=roster.agenda.with_(event.settler, event.until_us))

    @ts.folds(OrderDropped, Roster)
    def dropped(self, roster: Roster, event: OrderDropped) -> Roster:
        """No more of it."""
        orders, agenda = roster.orders.discard(event.settler), roster.agenda.without(event.settler)
        return _replace(roster, orders=orders, agenda=agenda, dropped=roster.dropped + 1)

    @ts.folds(TileBlocked, Roster)
    def blocked(self, roster: Roster, event: TileBlocked) -> Roster:
        """In the way."""
        return _replace(roster, blocked=roster.blocked | {event.tile})

    @ts.folds(TileCleared, Roster)
    def cleared(self, roster: Roster, event: TileCleared) -> Roster:
        """Not in the way."""
        return _replace(roster, blocked=roster.blocked - {event.tile})


def _known(turn: ts.Turn, settler: str) -> Roster:
    roster = turn.resident(Roster)
    if settler not in roster:
        code = "UNKNOWN_SETTLER"
        raise ts.Rejected(code, f"There is no settler {settler}.")
    return roster


def _not_done(settler: str, order: Order, reason: str, now_us: int) -> ts.Event:
    """Once more after a while, unless it was tried often enough."""
    if order.tries + 1 >= TRIES_LIMIT:
        return OrderDropped(settler=settler, reason=reason)
    return OrderPutOff(settler=settler, reason=reason, until_us=now_us + TRIED_AGAIN_US)


def _moved(turn: ts.Turn, settler: str, at: Tile | None) -> ts.Effects:
    """Told only if it has."""
    if at is not None and turn.resident(Roster).at[settler] != at:
        yield SettlerMoved(settler=settler, at=at)
