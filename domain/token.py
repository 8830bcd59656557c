"""Tokens: the opaque ids of executions."""

from typing import NewType

Token = NewType("Token", str)
"""The id of one execution, made by its owner. The outside world is given `Call.key`, which is made of it (P5)."""


def token_of(key: str) -> Token:
    """The token of an action's idempotency key."""
    before, slash, _ = key.partition("~")[0].rpartition("/")
    return Token(before if slash else key.partition("~")[0])
