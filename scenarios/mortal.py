"""A process that dies in the middle of its work, for stories of code that goes on where it stood: it has no modules, only brackets."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NoReturn

import tallystick as ts
from tallystick.scenarios.telling import Audience, PlayedWrong, Teller


class Died(BaseException):
    """The process is gone."""


class Mortal(Teller):
    """One process after another on the same log. The clock and the log outlive them; what is not in the log is gone."""

    def __init__(self, log: ts.EventLog, audience: Audience, now: datetime) -> None:
        super().__init__(audience)
        self.clock = ts.ManualClock(now)
        self._log = log
        self.system = self._opened()
        """The present process's."""

    def _opened(self) -> ts.System:
        restarts = ts.RestartPolicy(restarts=0)  # what has died does not come back by itself
        return ts.System(log=self._log, runtime=ts.SteppedRuntime(self.clock), restarts=restarts)

    def die(self) -> NoReturn:
        """Be gone, in the middle of what the process does: nothing is written any more.

        Raises:
            Died: always.
        """
        self.show(self.system)
        self._log.close()
        raise Died

    def die_of(self, work: Callable[[], object], otherwise: str) -> None:
        """Live until this work ends in death.

        Raises:
            PlayedWrong: it does not; `otherwise` says so.
        """
        with self.system:
            try:
                work()
            except Died:
                self.say("It is dead.")
            else:
                raise PlayedWrong(otherwise)

    def begin_again(self, after: timedelta) -> None:
        """Another process, so much later."""
        self.clock.advance(after)
        self._log = self._log.reopened()
        self.system = self._opened()
