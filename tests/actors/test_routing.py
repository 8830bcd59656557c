"""The router reads owner and token of a report. What the report is about passes unread."""

from typing import Any, NoReturn

import pytest

from tallystick.actors.counters import Counters
from tallystick.actors.messages import REPORTS, Context
from tallystick.actors.router import RouterActor
from tallystick.domain.token import Token
from tests.actors.stage import Stage


class Sealed:
    """A report of which nothing but its context can be looked at."""

    def __init__(self, context: Context) -> None:
        self.context = context

    def __getattribute__(self, name: str) -> Any:
        if name == "context":
            return object.__getattribute__(self, name)
        raise AssertionError(name)

    def _unread(self, *_arguments: Any) -> NoReturn:
        raise AssertionError

    __bool__ = __eq__ = __hash__ = __iter__ = __len__ = __repr__ = __str__ = _unread


class Post:
    """Somebody's mailbox."""

    def __init__(self) -> None:
        self.got: list[Any] = []

    def tell(self, message: Any) -> None:
        self.got.append(message)


@pytest.mark.parametrize("kind", REPORTS)
def test_a_report_reaches_the_owner_that_it_names_whatever_it_says(stage: Stage, kind: type[Any]) -> None:
    work, needs = Post(), Post()
    router = RouterActor(stage.runtime, lambda _name, error: pytest.fail(repr(error)), {"work": work, "needs": needs}, Counters())
    sealed = Sealed(Context("needs", Token("t")))
    router.handlers[kind](sealed)
    assert work.got == []
    assert len(needs.got) == 1
    assert needs.got[0] is sealed
