"""Open timers: what it costs to add, cancel and fire one among many. The deadlines alone, without the log that a fired one is written to.

Run: python -m benchmarks.timers --timers 100000
"""

import argparse
import random
import time
from collections.abc import Callable, Sequence

import msgspec

from tallystick.actors.messages import Context, TimeoutDue
from tallystick.actors.timer import Deadlines
from tallystick.domain.token import Token


def microseconds_each(run: Callable[[], object], count: int) -> float:
    """How long one of `count` took."""
    began_s = time.perf_counter()
    run()
    return (time.perf_counter() - began_s) * 1e6 / count


def measure(timers: int) -> dict[str, float]:
    """Add that many to an empty set in no order of time; cancel half of them in another order; fire the rest, earliest first."""
    deadlines = Deadlines()
    contexts = [Context("payments", Token(f"token-{number}")) for number in range(timers)]
    draw = random.Random(1)  # noqa: S311 - the same order every time
    dues_us = [draw.randrange(1, timers * 1000) for _ in contexts]
    cancelled = draw.sample(contexts, timers // 2)

    def add() -> None:
        for context, due_us in zip(contexts, dues_us, strict=True):
            deadlines.arm(context, due_us, TimeoutDue(context, 1))

    def cancel() -> None:
        for context in cancelled:
            deadlines.disarm(context)

    def fire() -> None:
        fired = 0
        while deadlines.pop(timers * 1000) is not None:
            fired += 1
        if fired != timers - len(cancelled) or len(deadlines):
            msg = f"{fired} timers fired, {timers - len(cancelled)} were armed"
            raise RuntimeError(msg)

    return {
        "timers": timers,
        "add_us": round(microseconds_each(add, timers), 3),
        "cancel_us": round(microseconds_each(cancel, len(cancelled)), 3),
        "fire_us": round(microseconds_each(fire, timers - len(cancelled)), 3),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.timers", description="Add, cancel and fire timers.")
    parser.add_argument("--timers", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    figures = measure(options.timers)
    if options.json:
        print(msgspec.json.encode(figures).decode())
    else:
        print("\n".join(f"{name:>10} {value:12,.3f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
