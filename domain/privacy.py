"""The owner of what is forgotten: an ordinary module. It writes down who was forgotten, by whom and why. The keys are deleted elsewhere."""

from datetime import datetime

from msgspec import structs
from pyrsistent import PMap, pmap

from tallystick.domain.command import Command
from tallystick.domain.effect import Decision
from tallystick.domain.event import Event, Resident
from tallystick.domain.module import Module, Turn, folds, handles

OWNER = "privacy"
"""The owner's name in the log."""


class Forget(Command[bool]):
    """Forget a person; the reply says whether that had not been done before."""

    subject: str
    who: str
    why: str


class SubjectForgotten(Event):
    """A person was forgotten: from here on nobody has the key to what was sealed for them."""

    aggregate_type = "PersonalData"

    subject: str
    at: datetime
    who: str
    why: str

    @property
    def aggregate_id(self) -> str:
        """The person."""
        return self.subject


class ForgottenSubjects(Resident):
    """Who was forgotten, and when."""

    subjects: PMap[str, datetime] = pmap()


class Privacy(Module):
    """The owner of what is forgotten in a system."""

    name = OWNER
    joins_at = "use"

    @handles(Forget, emits=[SubjectForgotten])
    def forget(self, turn: Turn, command: Forget) -> Decision[bool]:
        """Once for each person."""
        if command.subject in turn.resident(ForgottenSubjects).subjects:
            return False
        yield SubjectForgotten(subject=command.subject, at=turn.now, who=command.who, why=command.why)
        return True

    @folds(SubjectForgotten, ForgottenSubjects)
    def forgotten(self, state: ForgottenSubjects, event: SubjectForgotten) -> ForgottenSubjects:
        """One more."""
        return structs.replace(state, subjects=state.subjects.set(event.subject, event.at))
