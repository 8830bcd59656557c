"""The colony of settlers, run and looked at: live on a terminal, or a summary of how it ends. What happens is the scenario's."""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import click
import msgspec

import tallystick as ts
from tallystick.host.output import counted, print_json
from tallystick.scenarios.settlers.actions import Walk
from tallystick.scenarios.settlers.audit import problems
from tallystick.scenarios.settlers.colony import STEPS_A_SECOND, Colony
from tallystick.scenarios.settlers.levels import Need
from tallystick.scenarios.settlers.line import SETTLERS
from tallystick.scenarios.settlers.picture import Picture
from tallystick.scenarios.settlers.roster import Roster
from tallystick.scenarios.settlers.wellbeing import Wellbeing
from tallystick.scenarios.settlers.works import Works

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

NAME: Final = "settlers"
SUMMARY: Final = "A colony lives: settlers work, eat and sleep, for as long as is asked. Live on a terminal."

SHOWN: Final = 20
"""How many settlers the live view has room for."""
FRAME_S: Final = 0.1
"""How often the live view is drawn anew, in real time."""


class Life(NamedTuple):
    """What is to be lived through."""

    settlers: int = 50
    minutes: float = 30.0
    seed: int = 1
    headless: bool = False

    @property
    def steps(self) -> int:
        """How many steps that is."""
        return round(self.minutes * 60 * STEPS_A_SECOND)


class Summary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How it ended; the hash stands for the final state, and is the same for the same settlers, minutes and seed."""

    scenario: str
    ok: bool
    problems: tuple[str, ...]
    settlers: int
    minutes: float
    seed: int
    steps: int
    events: int
    open_executions: Mapping[str, int]
    jobs_done: int
    jobs_dropped: int
    tasks_failed: int
    reliefs: Mapping[str, int]
    needs_not_met: int
    orders_followed: int
    stock: int
    beams: int
    hash: str


def run(life: Life, log: Path | None, *, as_json: bool) -> bool:
    """Live through it and print how it ended; whether something is wrong."""
    with Colony(life.seed, life.settlers, log) as colony:
        if life.headless or as_json or not sys.stdout.isatty():
            for _ in range(life.steps):
                colony.step()
        else:
            _watch(colony, life)
        summary = summarised(colony, life)
    if as_json:
        print_json(summary)
    else:
        for line in _told(summary):
            click.echo(line)
    return not summary.ok


def summarised(colony: Colony, life: Life) -> Summary:
    """How it has ended, and what is wrong about it."""
    look, picture = colony.system.resident, colony.picture()
    executions = colony.system.open_executions()
    wrong = tuple(problems(executions, look(Roster), look(Works), look(Wellbeing), colony.now_us))
    return Summary(
        scenario=NAME,
        ok=not wrong,
        problems=wrong,
        settlers=life.settlers,
        minutes=life.minutes,
        seed=life.seed,
        steps=colony.steps,
        events=colony.system.health().tail,
        open_executions=dict(sorted(Counter(each.owner for each in executions).items())),
        jobs_done=picture.jobs_done,
        jobs_dropped=picture.jobs_dropped,
        tasks_failed=picture.tasks_failed,
        reliefs=dict(sorted(picture.reliefs.items())),
        needs_not_met=picture.not_met,
        orders_followed=picture.orders_followed,
        stock=picture.stock,
        beams=sum(picture.houses),
        hash=picture.hash,
    )


def _told(summary: Summary) -> Iterator[str]:
    """A summary for people."""
    lived = f"{summary.minutes:g} minute{'' if summary.minutes == 1 else 's'} in {counted(summary.steps, 'step')}"
    yield f"{counted(summary.settlers, 'settler')}, {lived}, {counted(summary.events, 'event')}."
    tried_again = f"{counted(summary.tasks_failed, 'task')} failed and {'was' if summary.tasks_failed == 1 else 'were'} tried again"
    yield f"Jobs    {summary.jobs_done} done, {summary.jobs_dropped} dropped; {tried_again}."
    yield f"Wood    {counted(summary.beams, 'beam')} built, {summary.stock} in the stockpile."
    met = ", ".join(counted(count, relief) for relief, count in sorted(summary.reliefs.items())) or "nothing"
    yield f"Needs   {met}; {counted(summary.needs_not_met, 'attempt')} failed."
    under_way = ", ".join(f"{owner} {count}" for owner, count in sorted(summary.open_executions.items())) or "none"
    yield f"Open    {under_way}."
    yield from (f"WRONG   {problem}" for problem in summary.problems)
    yield f"Hash    {summary.hash}"


# The live view.


def _watch(colony: Colony, life: Life) -> None:
    """Run as fast as it goes, and show how it stands a few times a second."""
    from rich.live import Live  # noqa: PLC0415 - 60 ms that JSON does not need

    began_s = shown_s = time.monotonic()
    with Live(rendered(colony, life, 0.0), auto_refresh=False, transient=True) as live:
        while colony.steps < life.steps:
            colony.step()
            now_s = time.monotonic()
            if now_s - shown_s >= FRAME_S:
                shown_s = now_s
                live.update(rendered(colony, life, now_s - began_s), refresh=True)


def rendered(colony: Colony, life: Life, spent_s: float) -> "RenderableType":
    """One frame: how far it is, the settlers with their queues, and each owner's open executions."""
    from rich.console import Group  # noqa: PLC0415 - as above
    from rich.text import Text  # noqa: PLC0415 - as above

    picture = colony.picture()
    lived_s = colony.steps / STEPS_A_SECOND
    speed = f", {lived_s / spent_s:,.0f} times as fast as real time" if spent_s else ""
    head = f"{NAME}: {lived_s / 60:.1f} of {life.minutes:g} minutes{speed}; {colony.system.health().tail} events"
    things = f"stock {picture.stock}, beams {sum(picture.houses)}, trees {sum(picture.trees)}, blocked tiles {len(picture.blocked)}"
    executions = colony.system.open_executions()
    return Group(Text(head), Text(things), _owners(executions), _settlers(picture, executions, colony.system.queues(SETTLERS.name)))


def _owners(executions: tuple[ts.OpenExecution, ...]) -> "Table":
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table(title="Open executions", title_justify="left")
    for heading in ("Owner", "Open", "Oldest tokens"):
        table.add_column(heading)
    for owner in ("needs", "navigation", "work"):
        own = [each for each in executions if each.owner == owner]
        table.add_row(owner, str(len(own)), ", ".join(each.execution.token[-6:] for each in own[:6]))
    return table


def _settlers(picture: Picture, executions: tuple[ts.OpenExecution, ...], queues: Mapping[str, ts.InLine]) -> "Table":
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table(title=f"Settlers, {min(SHOWN, len(picture.settlers))} of {len(picture.settlers)}", title_justify="left")
    for heading in (
        "Settler",
        "Set out from",
        "Task",
        *(need.capitalize() for need in Need),
        "Queues, by owner: what it does, and what was interrupted",
    ):
        table.add_column(heading)
    for settler in picture.settlers[:SHOWN]:
        own = {each.execution.token: each for each in executions if each.execution.intent.subject == settler.name}
        at = f"{settler.at[0]},{settler.at[1]}"
        stack = _stack(own, queues.get(settler.name, ts.InLine()))
        table.add_row(settler.name, at, settler.task, str(settler.hunger), str(settler.fatigue), stack)
    return table


def _stack(own: Mapping[ts.Token, ts.OpenExecution], queues: ts.InLine) -> str:
    """What is done now, then what was interrupted, the latest first; last what has not been let in yet."""
    active = () if queues.active is None else (queues.active,)
    waiting = [token for token in own if token not in (*active, *queues.parked)]
    words = ((active, ""), (reversed(queues.parked), "parked: "), (waiting, "waiting: "))
    shown = ((word, own[token]) for tokens, word in words for token in tokens if token in own)
    return "; ".join(f"{word}{each.owner} {_queue(each.execution.started.actions)}" for word, each in shown)


def _queue(actions: tuple[ts.Action[object], ...]) -> str:
    """Its actions in order; of a walk, how far it is."""
    return " → ".join(f"{type(each).__name__}({len(each.way)})" if isinstance(each, Walk) else type(each).__name__ for each in actions)
