"""Commands: requests to a module, in the imperative."""

from typing import Generic, TypeVar

from tallystick.domain.record import Record

R = TypeVar("R")


class Command(Record, Generic[R]):
    """A request that one module handles; `R` is the reply. Its class name is its type in the log."""


class AskedSomewhere(Command[R]):
    """One that also says in what surroundings it is asked: its key stands for the rest, wherever that is asked again (P15)."""

    def contents(self) -> "tuple[Command[R], ...]":
        """What its key stands for; after it, what former versions wrote down for the same."""
        raise NotImplementedError
