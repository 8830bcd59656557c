"""What a sensitive field costs: `python -m benchmarks.privacy`. CPU time; runs in turn, the median of each.

The same command, event and fold with two fields as text and as sensitive text, on a log in memory; of people who are known, and of new
ones, whose keys are made. Then the vault alone, and forgetting in a key file.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

import tallystick as ts
from tallystick.actors.vault import Vault
from tallystick.domain.sensitive import Unsealed
from tallystick.testing import SeededKeys

PEOPLE = 100
BATCH = 1_000
FORGOTTEN = 20


class Told(ts.Event):
    """Two fields as text."""

    aggregate_type = "Plain"
    person: str
    email: str
    street: str

    @property
    def aggregate_id(self) -> str:
        """The person."""
        return self.person


class Kept(ts.Event):
    """Two sensitive fields."""

    aggregate_type = "Sealed"
    person: str
    email: ts.Sensitive[str]
    street: ts.Sensitive[str]

    @property
    def aggregate_id(self) -> str:
        """The person."""
        return self.person


class Tell(ts.Command[None]):
    """Keep two fields as text."""

    person: str
    email: str
    street: str


class Keep(ts.Command[None]):
    """Keep two sensitive fields."""

    person: str
    email: ts.Sensitive[str]
    street: ts.Sensitive[str]


class PlainPerson(ts.Aggregate):
    """Folded from text."""

    email: str = ""


class SealedPerson(ts.Aggregate):
    """Folded from sensitive text."""

    email: ts.Sensitive[str] | None = None


class Plain(ts.Module):
    """Keeps text."""

    name = "plain"

    @ts.handles(Tell, emits=[Told])
    def tell(self, turn: ts.Turn, command: Tell) -> ts.Decision[None]:
        """As it is."""
        del turn
        yield Told(person=command.person, email=command.email, street=command.street)

    @ts.folds(Told, PlainPerson)
    def told(self, person: PlainPerson, event: Told) -> PlainPerson:
        """The last one."""
        del person
        return PlainPerson(email=event.email)


class Sealed(ts.Module):
    """Keeps sensitive text."""

    name = "sealed"

    @ts.handles(Keep, emits=[Kept])
    def keep(self, turn: ts.Turn, command: Keep) -> ts.Decision[None]:
        """As it is."""
        del turn
        yield Kept(person=command.person, email=command.email, street=command.street)

    @ts.folds(Kept, SealedPerson)
    def kept(self, person: SealedPerson, event: Kept) -> SealedPerson:
        """The last one."""
        del person
        return SealedPerson(email=event.email)


def each_us(count: int, do: Callable[[int], Any]) -> float:
    """CPU microseconds of one."""
    began = time.process_time_ns()
    for number in range(count):
        do(number)
    return (time.process_time_ns() - began) / 1e3 / count


def tell(system: ts.System) -> Callable[[int], Any]:
    """Two fields as text."""
    return lambda n: system.ask(Tell(person=f"p-{n % PEOPLE}", email="ada@example.org", street="12 St James's Square"))


def keep(system: ts.System, people: int) -> Callable[[int], Any]:
    """Two sensitive fields."""

    def one(number: int) -> None:
        person = f"p-{number % people}"
        email, street = ts.sensitive("ada@example.org", of=person), ts.sensitive("12 St James's Square", of=person)
        system.ask(Keep(person=person, email=email, street=street))

    return one


def turns(commands: int, runs: int) -> dict[str, float]:
    """Microseconds of a command, by what it has."""
    found: dict[str, list[float]] = {"text": [], "sensitive": [], "new_people": []}
    for _ in range(runs):
        with ts.System([Plain()], runtime=ts.SteppedRuntime()) as system:
            found["text"].append(each_us(commands, tell(system)))
        with ts.System([Sealed()], runtime=ts.SteppedRuntime()) as system:
            each_us(PEOPLE, keep(system, PEOPLE))
            found["sensitive"].append(each_us(commands, keep(system, PEOPLE)))
        with ts.System([Sealed()], runtime=ts.SteppedRuntime()) as system:
            found["new_people"].append(each_us(commands, keep(system, commands)))
    return {name: statistics.median(times) for name, times in found.items()}


def fields(commands: int, runs: int) -> dict[str, float]:
    """A command with two fields, as text, sensitive, and sensitive of somebody new each time."""
    took = turns(commands, runs)
    ratio = took["sensitive"] / took["text"]
    return {
        "command_us": took["text"],
        "sensitive_command_us": took["sensitive"],
        "new_person_command_us": took["new_people"],
        "ratio": ratio,
    }


def vault(calls: int) -> dict[str, float]:
    """Sealing and revealing alone."""
    keys = SeededKeys()
    made = Vault(keys, keys.new_key)
    text = Unsealed("p", "ada@example.org")
    value: ts.Sensitive[str] = ts.Sensitive(sealed_for="p", box=made.seal(text))
    return {"seal_us": each_us(calls, lambda _: made.seal(text)), "reveal_us": each_us(calls, lambda _: made.open(value))}


def key_file(people: int) -> dict[str, float]:
    """A key file of so many: wall time where the disk has a part in it."""
    new_key = SeededKeys().new_key
    with tempfile.TemporaryDirectory() as folder:
        file = ts.KeyFile(Path(folder) / "keys")
        file.open()
        began = time.perf_counter()
        for start in range(0, people, BATCH):
            file.put({f"p-{number}": new_key(f"p-{number}") for number in range(start, min(start + BATCH, people))})
        put_us = (time.perf_counter() - began) * 1e6 / people
        get_us = each_us(min(people, 1_000), lambda number: file.get(f"p-{number}"))
        began = time.perf_counter()
        for number in range(FORGOTTEN):
            file.forget([f"p-{number}"])
        forget_ms = (time.perf_counter() - began) * 1e3 / FORGOTTEN
        size = Path(file.path).stat().st_size / people
        file.close()
    return {"keys": people, "bytes_per_key": size, "put_us_per_key": put_us, "get_cpu_us": get_us, "forget_ms": forget_ms}


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.privacy", description="What a sensitive field costs, and a key.")
    parser.add_argument("--commands", type=int, default=2_000)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args(arguments)
    measured = {**fields(options.commands, options.runs), **vault(options.calls), **key_file(options.keys)}
    figures = {name: round(value, 2) for name, value in measured.items()}
    if options.json:
        print(msgspec.json.encode(figures).decode())
    else:
        print("\n".join(f"{name:>20} {value:12,.2f}" for name, value in figures.items()))


if __name__ == "__main__":
    main()
