"""Nothing in the library reaches real time, chance, ids or threads in a simulated run: whoever does meets a tripwire."""

import asyncio
import os
import random
import secrets
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
import uuid_utils

from tallystick.actors import clock
from tallystick.host.simulate import SIMULATED
from tallystick.scenarios.settlers.simulated import SimulatedColony
from tallystick.testing import Options, Simulation
from tallystick.testing.faults import LogKind
from tests.testing.shops import SimulatedWorkshop

TIME = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep")
CHANCE = ("random", "randrange", "randint", "getrandbits", "choice", "choices", "shuffle", "sample", "uniform", "seed", "SystemRandom")


class Tripped(BaseException):
    """Not an error that anything handles."""


def asked_by_pykka() -> bool:
    """Pykka gives each actor a random name when it is made. The library uses it nowhere; actors are known by their own names."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__") in {"uuid", __name__}:
        frame = frame.f_back
    return frame is not None and frame.f_globals.get("__name__") == "pykka._actor"


def tripwire(name: str, real: Callable[..., Any], tripped: list[str]) -> Callable[..., Any]:
    def trip(*arguments: Any, **named: Any) -> Any:
        if name in {"uuid.uuid4", "os.urandom"} and asked_by_pykka():
            return real(*arguments, **named)
        tripped.append(name)
        raise Tripped(name)

    return trip


@contextmanager
def tripwires() -> Generator[list[str]]:
    """What is touched inside. Set for the run alone: whoever runs the tests looks at the clock between their phases."""
    found: list[str] = []
    places: list[tuple[Any, tuple[str, ...]]] = [
        (time, TIME),
        (random, CHANCE),
        (os, ("urandom", "getrandom", "fork")),
        (secrets, ("token_bytes", "token_hex", "randbelow")),
        (uuid, ("uuid1", "uuid4")),
        (uuid_utils, ("uuid1", "uuid4", "uuid7")),
        (threading.Thread, ("start",)),
        (subprocess.Popen, ("__init__",)),
        (asyncio, ("run", "new_event_loop")),
        (clock.SystemClock, ("now_us", "sleeping_us")),
        (clock.SystemIdentity, ("new_id", "draw")),
    ]
    with pytest.MonkeyPatch.context() as patched:
        for place, names in places:
            for name in names:
                patched.setattr(place, name, tripwire(f"{place.__name__}.{name}", getattr(place, name), found))
        yield found


@pytest.mark.parametrize("program", [*SIMULATED.values(), SimulatedWorkshop], ids=lambda program: program.name)
@pytest.mark.parametrize("faults", ["none", "all"])
@pytest.mark.parametrize("log", ["memory", "sqlite"])
def test_a_simulated_run_touches_no_real_time_chance_id_or_thread(program: type[Any], faults: str, log: LogKind) -> None:
    """Also of lines and steps, sagas, processes and schedules."""
    options: Options = {"faults": faults, "log": log}
    if program is SimulatedColony:
        options["minutes"] = 1
    with tripwires() as touched:
        results = [Simulation(program, seed, **options).run() for seed in range(1, 4)]
    assert touched == []
    assert [result.violation for result in results] == [None] * 3


def test_a_tripwire_is_felt() -> None:
    with tripwires() as touched:
        with pytest.raises(Tripped):
            clock.SystemIdentity().new_id(0)
        with pytest.raises(Tripped):
            clock.SystemClock()
    assert touched == ["SystemIdentity.new_id", "time.time_ns"]
