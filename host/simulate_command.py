"""`tallystick simulate`."""

import click
import msgspec

from tallystick.host.output import Name, counted, print_json, progress_bar
from tallystick.host.simulate import PATHS_PROVED_FROM, PROVES_FROM, SIMULATED, Order, Tally, failing_run, repeating, shrunk, simulate
from tallystick.testing import NeverHit, SimulationResult, check_all_hit, diagram, probabilities
from tallystick.testing.faults import RECOVERY_PATHS

SEEDS = 100


@click.command("simulate")
@click.argument("scenario", type=Name(sorted(SIMULATED)), metavar="SCENARIO")
@click.option("--seeds", type=click.IntRange(1), help=f"How many seeds; {SEEDS} unless minutes are given.")
@click.option("--seed", "first", type=click.IntRange(0), default=1, show_default=True, help="The first of them.")
@click.option("--faults", default="all", show_default=True, help="all, none, or names with commas between them.")
@click.option("--minutes", type=click.FloatRange(0, min_open=True), help="Stop after so many minutes, however many seeds are left.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line; the last one sums up.")
def command(*, scenario: str, seeds: int | None, first: int, faults: str, minutes: float | None, as_json: bool) -> None:
    """Run SCENARIO through thousands of faults, by seeds.

    Each seed draws an order of turns, answers of the outside world, crashes, failing disks and so on; invariants are checked at every turn.

    Exit code 1 if one does not hold: then the seed is named, the few wishes and faults that suffice are drawn as a sequence diagram
    (Mermaid), and the command that repeats it is printed.
    """
    enabled = probabilities(faults)
    order = Order(scenario=scenario, faults=faults, first=first, seeds=seeds or (None if minutes else SEEDS), minutes=minutes)
    with progress_bar("Simulating") as progress:
        tally, failed = simulate(order, progress)
    if failed is not None:
        _tell_failure(order, failed, as_json=as_json)
    missed = _never_hit(SIMULATED[scenario].cannot_meet, enabled, tally) if failed is None and tally.seeds >= PROVES_FROM else None
    if missed is not None:
        click.echo(f"WORTHLESS: {missed}", err=True)
    if as_json:
        print_json({name: value for name, value in msgspec.to_builtins(tally).items() if name != "recovery_paths"})
    else:
        _tell(tally)
    if failed is not None or missed is not None:
        raise click.exceptions.Exit(1)


def _never_hit(cannot_meet: frozenset[str], enabled: dict[str, float], tally: Tally) -> NeverHit | None:
    try:
        check_all_hit([kind for kind, probability in enabled.items() if probability > 0 and kind not in cannot_meet], tally.faults)
        if all(enabled.values()) and tally.seeds >= PATHS_PROVED_FROM:
            check_all_hit([path for path in RECOVERY_PATHS if path not in cannot_meet], tally.paths)
    except NeverHit as missed:
        return missed
    return None


def _tell_failure(order: Order, seed: int, *, as_json: bool) -> None:
    failing = failing_run(order, seed)
    click.echo(f"Seed {seed}: {failing.violation}\nLooking for the few commands and faults that suffice: a few minutes at most …", err=True)
    with progress_bar(f"Shrinking seed {seed}") as progress:
        result = shrunk(order, failing, progress)
    story = list(diagram(result.story))
    if as_json:
        print_json({"seed": seed, **_violation(result), "story": "\n".join(story), "repeat": repeating(order, seed)})
        return
    click.echo(f"VIOLATION  {result.violation}")
    click.echo(f"It takes {counted(len(result.script.wishes), 'command')} and {counted(len(result.script.faults), 'fault')}:\n")
    for line in story:
        click.echo(line)
    click.echo(f"\nRepeat it with: {repeating(order, seed)}\n")


def _violation(result: SimulationResult) -> dict[str, object]:
    violation = result.violation
    if violation is None:
        return {}
    return {"invariant": violation.invariant, "violation": violation.text, "position": violation.position, "token": violation.token}


def _tell(tally: Tally) -> None:
    speed = f"{tally.steps / tally.seconds:,.0f} turns a second" if tally.seconds else "no time"
    click.echo(
        f"{counted(tally.seeds, 'seed')}, {tally.steps:,} turns, {tally.virtual_seconds / 86_400:,.1f} virtual days "
        f"in {tally.seconds:.1f} s ({speed}): {tally.violations or 'no'} violation{'' if tally.violations == 1 else 's'}."
    )
    if tally.faults:
        faults = ", ".join(f"{kind} {count}" for kind, count in sorted(msgspec.to_builtins(tally.faults).items()))
        click.echo(f"Faults injected: {faults}.")
    paths = ", ".join(f"{path} {count}" for path, count in sorted(msgspec.to_builtins(tally.paths).items()) if count)
    if paths:
        click.echo(f"Paths of recovery taken: {paths}.")
