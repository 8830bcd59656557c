"""Which open executions an intent and a subject have, oldest first. Nearly every subject has one, whose token then stands for itself."""

from collections.abc import Iterable
from typing import Any

from tallystick.domain.intent import Intent
from tallystick.domain.token import Token

Subjects = dict[type[Any], dict[str, Token | dict[Token, None]]]
"""By type of intent, and by subject; nothing is kept of a subject that has none."""


def enter(subjects: Subjects, intent: Intent[Any], token: Token) -> None:
    """One more is open."""
    of_kind = subjects.setdefault(type(intent), {})
    before = of_kind.setdefault(intent.subject, token)
    if isinstance(before, dict):
        before[token] = None
    elif before != token:
        of_kind[intent.subject] = {before: None, token: None}


def leave(subjects: Subjects, intent: Intent[Any], token: Token) -> None:
    """One that was entered is open no more."""
    of_kind, subject = subjects[type(intent)], intent.subject
    left = of_kind[subject]
    if isinstance(left, dict):
        del left[token]
        if len(left) == 1:
            (of_kind[subject],) = left
        return
    del of_kind[subject]
    if not of_kind:
        del subjects[type(intent)]


def tokens_of(subjects: Subjects, kind: type[Any], subject: str) -> Iterable[Token]:
    """The tokens of those that are open, oldest first."""
    found = subjects.get(kind, {}).get(subject, ())
    return (found,) if isinstance(found, str) else found
