"""Commands: requests to a module, in the imperative."""

from typing import Generic, TypeVar

from tallystick.domain.record import Record

R = TypeVar("R")


class Command(Record, Generic[R]):
    """A request that one module handles; `R` is the reply. Its class name is its type in the log."""
