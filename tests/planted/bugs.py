"""The list of planted bugs, from `bugs.toml` beside this file, which says what makes one worth its place."""

import tomllib
from pathlib import Path
from typing import NamedTuple


class Bug(NamedTuple):
    """One bug: what stands in the file, what stands there instead, and which tests look for it when the simulator finds nothing."""

    name: str
    file: str
    good: str
    bad: str
    tests: tuple[str, ...]


def _listed() -> tuple[Bug, ...]:
    content = tomllib.loads(Path(__file__).with_name("bugs.toml").read_text("utf-8"))
    return tuple(Bug(each["name"], each["file"], each["good"], each["bad"], tuple(each["tests"])) for each in content["bug"])


BUGS = _listed()
