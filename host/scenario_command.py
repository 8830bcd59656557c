"""`tallystick scenario list` and `tallystick scenario run`."""

import logging
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import click

import tallystick as ts
from tallystick.host import colony_view
from tallystick.host.log_command import as_object
from tallystick.host.output import Name, print_json, print_table
from tallystick.host.parameters import LOG_TO_WRITE
from tallystick.host.programs import PROGRAMS, Program
from tallystick.host.render import Arrow, Sequencer, mermaid, title
from tallystick.scenarios.agent import script as agent_script
from tallystick.scenarios.nightly_import import script as import_script
from tallystick.scenarios.order_fulfilment import script as fulfilment_script
from tallystick.scenarios.subscription_renewal import script as subscription_script
from tallystick.scenarios.telling import Audience, PlayedWrong
from tallystick.scenarios.tiny_store.scripts import SCRIPTS
from tallystick.scenarios.travel_booking import script as travel_script
from tallystick.scenarios.webhook import script as webhook_script


class Play(Protocol):
    """A story, told on a log to an audience."""

    def __call__(self, log: ts.EventLog, audience: Audience) -> None:
        """Tell it.

        Raises:
            PlayedWrong: it goes another way.
        """
        ...


class Story(NamedTuple):
    """What a scenario is about, and the telling of it; its program has its name."""

    summary: str
    play: Play


STORIES: Final[Mapping[str, Story]] = {
    **{name: Story(script.summary, script.play) for name, script in SCRIPTS.items()},
    travel_script.NAME: Story(travel_script.SUMMARY, travel_script.play),
    fulfilment_script.NAME: Story(fulfilment_script.SUMMARY, fulfilment_script.play),
    subscription_script.NAME: Story(subscription_script.SUMMARY, subscription_script.play),
    webhook_script.NAME: Story(webhook_script.SUMMARY, webhook_script.play),
    import_script.NAME: Story(import_script.SUMMARY, import_script.play),
    agent_script.NAME: Story(agent_script.SUMMARY, agent_script.play),
}


@click.group("scenario")
def command() -> None:
    """Play the stories of the examples, in virtual time."""


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON array.")
def list_(*, as_json: bool) -> None:
    """List the scenarios."""
    listed = [*((name, story.summary) for name, story in STORIES.items()), (colony_view.NAME, colony_view.SUMMARY)]
    if as_json:
        print_json([{"name": name, "summary": summary} for name, summary in listed])
    else:
        print_table(("Scenario", "What happens"), listed)


@command.command("run")
@click.argument("name", type=Name([*STORIES, colony_view.NAME]), metavar="NAME")
@click.option("--log", "log_path", type=LOG_TO_WRITE, metavar="FILE", help="Keep the log in this new file.")
@click.option("--mermaid", is_flag=True, help="Print the sequence diagram that the log makes, instead of the story.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--settlers", type=click.IntRange(1, 20_000), help="settlers: how many; 50 unless it is said.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="settlers: how much virtual time; 30 unless it is said.")
@click.option("--seed", type=click.IntRange(0), help="settlers: of the land and all that befalls it; 1 unless it is said.")
@click.option("--headless", is_flag=True, default=None, help="settlers: show nothing but how it ends, as where no terminal looks on.")
def run(*, name: str, log_path: Path | None, mermaid: bool, as_json: bool, **colony: Any) -> None:
    """Play the scenario NAME in virtual time and tell what happens, as it happens.

    Exit code 1 if it does not end as it should.
    """
    given = {option: value for option, value in colony.items() if value is not None}
    if given and name != colony_view.NAME:
        msg = f"{', '.join(f'--{option}' for option in given)}: for the scenario {colony_view.NAME} only."
        raise click.UsageError(msg)
    if mermaid and name == colony_view.NAME:
        msg = f"--mermaid is not for the scenario {colony_view.NAME}, which is too long to be drawn; --log keeps what happens."
        raise click.UsageError(msg)
    if mermaid and as_json:
        msg = "--mermaid and --json exclude each other."
        raise click.UsageError(msg)
    if log_path is not None and log_path.exists() and log_path.stat().st_size:
        msg = f"{log_path} exists already; a scenario begins a log of its own."
        raise click.UsageError(msg)
    logging.getLogger("tallystick").setLevel(logging.ERROR)  # the story tells of failures itself
    if name == colony_view.NAME:
        if colony_view.run(colony_view.Life(**given), log_path, as_json=as_json):
            raise click.exceptions.Exit(1)
        return
    program = PROGRAMS[name]
    audience = Drawn(program) if mermaid else AsJson() if as_json else Told(program)
    log = ts.MemoryLog() if log_path is None else ts.SqliteLog(log_path)
    try:
        STORIES[name].play(log, audience)
    except PlayedWrong as wrong:
        audience.ends(name, wrong)
        raise click.exceptions.Exit(1) from wrong
    audience.ends(name, None)


class Told(Audience):
    """People: a line for each event, the day where a new one begins, and the story between them."""

    def __init__(self, program: Program) -> None:
        modules = program.modules()
        self._sequencer = Sequencer(modules, program.additions)
        self._width = max(len(title(type(module).name)) for module in modules)
        self._day: date | None = None

    def hears(self, line: str) -> None:
        """A line of the story."""
        click.echo(f"\n{line}")

    def sees(self, recorded: ts.Recorded) -> None:
        """An event: when, who, what, and who reacts."""
        arrows = list(self._sequencer.arrows_of(recorded))
        if not arrows:
            return
        told = next(arrow for arrow in arrows if arrow.kind != "command")
        text = f"{told.text} (ours)" if told.ours else told.text
        reacting = ", ".join(_marked(arrow) for arrow in arrows if arrow.kind == "delivered")
        line = f"{recorded.position:5}  {recorded.occurred_at:%H:%M:%S.%f}"[:-3] + f"  {told.source:{self._width}}  {text}"
        if recorded.occurred_at.date() != self._day:
            self._day = recorded.occurred_at.date()
            click.echo(f"       {self._day:%A}, {self._day}")
        click.echo(f"{line} → {reacting}" if reacting else line)

    def ends(self, name: str, problem: PlayedWrong | None) -> None:
        """The last line."""
        click.echo(f"\n{name}: {'as it should be.' if problem is None else f'WRONG: {problem}'}")


class AsJson(Audience):
    """Programs: an object for each event and each line of the story, and one for the end."""

    def hears(self, line: str) -> None:
        """A line of the story."""
        print_json({"story": line})

    def sees(self, recorded: ts.Recorded) -> None:
        """An event."""
        print_json(as_object(recorded))

    def ends(self, name: str, problem: PlayedWrong | None) -> None:
        """The last line."""
        print_json({"scenario": name, "ok": problem is None, "problem": None if problem is None else str(problem)})


class Drawn(Audience):
    """A diagram, at the end."""

    def __init__(self, program: Program) -> None:
        self._sequencer = Sequencer(program.modules(), program.additions)
        self._arrows: list[Arrow] = []

    def sees(self, recorded: ts.Recorded) -> None:
        """An event: some arrows more."""
        self._arrows.extend(self._sequencer.arrows_of(recorded))

    def ends(self, name: str, problem: PlayedWrong | None) -> None:
        """The diagram."""
        if problem is not None:
            click.echo(f"{name}: WRONG: {problem}", err=True)
        for line in mermaid(self._arrows):
            click.echo(line)


def _marked(arrow: Arrow) -> str:
    return f"{arrow.target} (ours)" if arrow.ours else arrow.target
