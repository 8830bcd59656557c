"""The colony by hand, measured: no actors, router, log or saves. It prints the hash of its final state, which has to be the scenario's.

Run: python -m benchmarks.colony_floor --settlers 1000 --minutes 10
"""

import argparse
import time
from collections.abc import Sequence

import msgspec

from benchmarks.colony_by_hand import ColonyByHand
from benchmarks.peak_memory import peak_rss_bytes
from tallystick.scenarios.settlers.colony import STEPS_A_SECOND
from tallystick.scenarios.settlers.levels import Need
from tallystick.scenarios.settlers.picture import Picture, SettlerPicture


def picture(colony: ColonyByHand) -> Picture:
    """As the scenario's."""
    settlers = tuple(
        SettlerPicture(
            name=settler.name,
            at=settler.at,
            task="" if settler.job is None else settler.task,
            failures=settler.failures,
            hunger=settler.points(Need.HUNGER, colony.now_us),
            fatigue=settler.points(Need.FATIGUE, colony.now_us),
            portions=settler.portions,
            pursued=settler.pursued or "",
        )
        for settler in colony.settlers.values()
    )
    return Picture(
        settlers=settlers,
        blocked=tuple(sorted(colony.blocked)),
        stock=colony.stock,
        trees=tuple(colony.wood_of(tree) for tree in range(len(colony.wood))),
        houses=tuple(colony.beams),
        jobs_done=colony.jobs_done,
        jobs_dropped=colony.jobs_dropped,
        tasks_failed=colony.tasks_failed,
        reliefs=colony.met,
        not_met=colony.not_met,
        orders_followed=colony.errands_done,
        orders_dropped=colony.errands_dropped,
    )


def run(seed: int, settlers: int, minutes: float) -> dict[str, float | str]:
    """Let it live so long; the figures, and the final hash."""
    colony = ColonyByHand(seed, settlers)
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    steps = round(minutes * 60 * STEPS_A_SECOND)
    for _ in range(steps):
        colony.step()
    spent_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
    return {
        "hash": picture(colony).hash,
        "seconds": round(spent_s, 3),
        "cpu_seconds": round(cpu_s, 3),
        "times_real": round(minutes * 60 / spent_s, 1),
        "times_real_of_cpu": round(minutes * 60 / cpu_s, 1),
        "peak_rss_mb": round(peak_rss_bytes() / 1e6, 1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.colony_floor", description="The colony by hand.")
    parser.add_argument("--settlers", type=int, default=1_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    print(msgspec.json.encode(run(options.seed, options.settlers, options.minutes)).decode())


if __name__ == "__main__":
    main()
