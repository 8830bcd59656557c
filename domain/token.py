"""Tokens: the opaque ids of executions."""

from typing import NewType

Token = NewType("Token", str)
"""The id of one execution, made by its owner. The outside world is given `Call.key`, which is made of it (P5)."""
