"""Ticks: what a step costs for each action that takes ticks, beside calling the tickers in a loop by hand.

Run: python -m benchmarks.ticks --tickers 1000
"""

import argparse
import time
from collections.abc import Sequence
from datetime import timedelta
from statistics import median

import msgspec

import tallystick as ts


class Walk(ts.Action[str]):
    """Goes on for as long as the measurement lasts."""

    to: int


class Walking(ts.Ticker[Walk, str]):
    """Does next to nothing, so that what is measured is what surrounds it."""

    taken: int = 0

    def tick(self, action: Walk, step: ts.Step) -> ts.Running | ts.Done[str] | ts.Failed:
        """One step further."""
        del step
        self.taken += 1
        return ts.Running() if self.taken < action.to else ts.Done(result="there")


class Stroll(ts.Intent[str]):
    """A walk of somebody's."""

    who: str
    line = "people"

    @property
    def subject(self) -> str:
        """Whose."""
        return self.who


class Send(ts.Command[None]):
    """Send so many people for a walk."""

    people: int


class People(ts.Module):
    """Walk."""

    name = "people"

    @ts.handles(Send)
    def send(self, _turn: ts.Turn, command: Send) -> ts.Decision[None]:
        """Each of them."""
        for number in range(command.people):
            yield ts.Begin(intent=Stroll(who=f"{number}"), actions=(Walk(to=1 << 60),))

    @Stroll.settled
    def settle(self, _turn: ts.Turn, _stroll: Stroll, _outcome: ts.Outcome[str]) -> ts.Effects:
        """Nobody arrives."""
        return ()


def by_hand(tickers: int, steps: int) -> float:
    """The median step of a plain loop over as many tickers, in microseconds."""
    walks = [(Walk(to=1 << 60), Walking()) for _ in range(tickers)]
    step = ts.Step(delta_us=16_000)
    times: list[float] = []
    for _ in range(steps):
        began = time.perf_counter()
        for action, walking in walks:
            if type(walking.tick(action, step)) is not ts.Running:
                raise RuntimeError
        times.append((time.perf_counter() - began) * 1e6)
    return median(times)


def stepped(tickers: int, steps: int) -> float:
    """The median step of a system with as many tickers, in microseconds."""
    times: list[float] = []
    lines = [ts.Line("people", arbitration="each_step")]
    with ts.System([People()], performers=[Walk.ticked_by(Walking)], lines=lines, runtime=ts.SteppedRuntime()) as system:
        for begun in range(0, tickers, 1000):
            system.ask(Send(people=min(1000, tickers - begun)))
        system.step(timedelta(milliseconds=16))
        for _ in range(steps):
            began = time.perf_counter()
            system.step(timedelta(milliseconds=16))
            times.append((time.perf_counter() - began) * 1e6)
        for each in system.open_executions():
            system.abandon(each, "the measurement is over")
    return median(times)


def measure(tickers: int, steps: int) -> dict[str, float]:
    """By hand and in a system, and what each tick costs beyond its own work."""
    hand_us, step_us = by_hand(tickers, steps), stepped(tickers, steps)
    return {
        "tickers": tickers,
        "by_hand_us_per_step": round(hand_us, 1),
        "us_per_step": round(step_us, 1),
        "overhead_us_per_tick": round((step_us - hand_us) / tickers, 3),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ticks", description="Actions that take ticks.")
    parser.add_argument("--tickers", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    figures = measure(options.tickers, options.steps)
    if options.json:
        print(msgspec.json.encode(figures).decode())
    else:
        print("\n".join(f"{name:>22} {value:12,.3f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
