"""Tokens: the opaque ids of executions."""

from typing import NewType

Token = NewType("Token", str)
"""The id of one execution, made by its owner; also the idempotency key for the outside world."""
