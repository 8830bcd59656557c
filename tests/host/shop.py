"""A program for the command line's tests: a shop whose parcels wait for a person when nobody can carry them, and a clerk."""

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tallystick as ts
from tallystick.host import control


class Sent(ts.Event):
    aggregate_type = "Parcel"
    parcel_id: str
    how: str

    @property
    def aggregate_id(self) -> str:
        return self.parcel_id


class Filed(ts.Event):
    aggregate_type = "File"
    parcel_id: str

    @property
    def aggregate_id(self) -> str:
        return self.parcel_id


class Carry(ts.Action[str]):
    parcel_id: str
    street: str = ""


class Sending(ts.Intent[str]):
    parcel_id: str
    on_exhausted = "dead_letter"
    ends_with = (Sent,)


class Send(ts.Command[str]):
    parcel_id: str
    street: str = ""


class Shop(ts.Module):
    name = "shop"

    @ts.handles(Send)
    def send(self, _turn: ts.Turn, command: Send) -> ts.Decision[str]:
        yield ts.Begin(intent=Sending(parcel_id=command.parcel_id), actions=(Carry(parcel_id=command.parcel_id, street=command.street),))
        return command.parcel_id

    @Sending.settled
    def settle(self, _turn: ts.Turn, sending: Sending, outcome: ts.Outcome[str]) -> ts.Effects:
        yield Sent(parcel_id=sending.parcel_id, how=outcome.result if isinstance(outcome, ts.Succeeded) else type(outcome).__name__)


class Clerk(ts.Module):
    name = "clerk"

    @ts.reacts_to(Sent, emits=[Filed])
    def sent(self, _turn: ts.Turn, event: Sent) -> ts.Effects:
        if event.parcel_id == "illegible":
            raise ValueError(event.parcel_id)
        yield Filed(parcel_id=event.parcel_id)


def carry(action: Carry, _call: ts.Call) -> str:
    if not action.street:
        msg = "no street"
        raise OSError(msg)
    return f"carried to {action.street}"


def compose(**given: Any) -> ts.System:
    return ts.System([Shop(), Clerk()], performers=[Carry.performed_by(carry)], **given)


@contextmanager
def stepped(log: str | Path | ts.EventLog | None) -> Generator[tuple[ts.System, ts.SteppedRuntime]]:
    """The shop in virtual time."""
    runtime = ts.SteppedRuntime(ts.ManualClock(), seed=1)
    with compose(log=log, runtime=runtime) as system:
        yield system, runtime


def host(log: str, socket: str) -> None:
    """A host process: serves, if a socket is named, and says so; ends when its input does, and tells what it has logged."""
    with compose(log=log) as system:
        if socket:
            with control.serve(system, socket):
                wait()
        else:
            wait()


def wait() -> None:
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    host(*json.loads(sys.argv[1]))
