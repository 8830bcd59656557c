"""Telling a story: who is told, what is new in the log, and how a story says that it went another way.

Not the stories, which are the scripts, nor what an audience makes of them, which is the host's.
"""

import tallystick as ts


class PlayedWrong(ts.TallystickError):
    """A story did not go as it should; the log tells where it went another way."""


class Audience:
    """Who is told what happens. This one does not listen."""

    def hears(self, line: str) -> None:
        """A line of the story."""

    def sees(self, recorded: ts.Recorded) -> None:
        """An event, when it is durable."""


class Teller:
    """Tells an audience one story: its lines, and what is new in its log, whichever process has written that."""

    def __init__(self, audience: Audience) -> None:
        self._audience = audience
        self._shown = 0

    def say(self, line: str) -> None:
        """A line of the story."""
        self._audience.hears(line)

    def show(self, system: ts.System) -> None:
        """What is durable in the log and was not shown yet."""
        for recorded in system.events(after=self._shown):
            self._shown = recorded.position
            self._audience.sees(recorded)


def must_be(found: object, wanted: object, otherwise: str) -> None:
    """Check the story.

    Raises:
        PlayedWrong: what was found is not what it tells; `otherwise` says so.
    """
    if found != wanted:
        raise PlayedWrong(otherwise)
