"""Signals at every place at which Python would answer one."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import tallystick as ts

LIBRARY = str(Path(ts.__file__).parent)


class Strikes:
    """Raises the signal at one of the places at which Python would answer one: a function is entered, or has called one written in C."""

    def __init__(self, at: int | None = None) -> None:
        self._at = at
        self.passed = 0

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event in {"call", "c_return"} and frame.f_code.co_filename.startswith(LIBRARY) and "/tests/" not in frame.f_code.co_filename:
            self.passed += 1
            if self.passed == self._at:
                sys.setprofile(None)
                signal.raise_signal(signal.SIGINT)

    def during(self, run: Callable[[], object]) -> None:
        before = sys.getprofile()
        sys.setprofile(self)
        try:
            run()
        finally:
            sys.setprofile(before)
