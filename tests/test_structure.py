"""The style that a linter does not know: lengths, the seam for time and chance, unsafe loading, swallowed errors, sleeping tests.

Every rule is a small function of a source text, tried on a planted case first; then it is held against the whole tree.
"""

import ast
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("domain", "store", "actors", "testing", "scenarios", "host")
ENGINE = ("domain", "store", "actors")  # what a replay, a simulation or a test drives by its own time and chance
CODE = (*LAYERS, "tests", "benchmarks")
SEAM = "actors/clock.py"
SIMULATED = ("testing/chance.py", "testing/plugin.py")  # the simulator's own, from a seed; and where a test run's seed comes from

FILE_LINES = 400
FUNCTION_LINES = 70

IMPURE_MODULES = ("time", "random", "secrets")
IMPURE_NAMES = (
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "datetime.date.today",
    "os.urandom",
    "os.getrandom",
    "uuid.uuid",  # uuid1, uuid4 …, but not the class UUID
    "uuid_utils.uuid",
)
# fmt: off
IMPURE_IN_DOMAIN = frozenset({
    "asyncio", "ctypes", "http", "io", "logging", "multiprocessing", "os", "pathlib", "queue", "random",
    "secrets", "select", "selectors", "shutil", "signal", "socket", "sqlite3", "ssl", "subprocess",
    "sys", "tempfile", "threading", "time", "urllib", "uuid",
})
# fmt: on
DOMAIN_STANDS_ON = frozenset({"msgspec", "pyrsistent", "tallystick"})
UNSAFE = ("pickle", "marshal", "shelve", "dill", "cloudpickle", "builtins.eval", "builtins.exec")
SLEEPS = ("time.sleep", "asyncio.sleep", "trio.sleep", "anyio.sleep")
# The only errors that may be dropped without a word: each says that what was wanted is so already, or that there is no more.
EXPECTED_ERRORS = frozenset(
    {
        "BrokenPipeError",
        "CancelledError",
        "Empty",
        "FileNotFoundError",
        "Full",
        "KeyboardInterrupt",
        "ProcessLookupError",
        "StopAsyncIteration",
        "StopIteration",
    }
)
# Packages come from wherever the host's own settings say; joined here so that this file obeys its own rule.
PACKAGE_HOSTS = ("py" + "pi", "python" + "hosted", "conda" + "-forge", "npm" + "js", "arti" + "factory")

Rule = Callable[[ast.Module], Iterator[str]]


# What the rules look at


class Imported(NamedTuple):
    full: str
    local: str
    means: str  # what the local name stands for: `import os.path` binds os
    line: int


def imported(tree: ast.AST) -> Iterator[Imported]:
    """Each import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                yield Imported(alias.name, alias.asname or top, alias.name if alias.asname else top, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield Imported(full, alias.asname or alias.name, full, node.lineno)


def mentioned(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Each imported or built-in thing that is used, called or not, by its full name: `now` after `from time import time as now`."""
    names = {each.local: each.means for each in imported(tree)}
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute | ast.Name) or id(node) in inner:
            continue
        parts: list[str] = []
        expression: ast.expr = node
        while isinstance(expression, ast.Attribute):
            parts.append(expression.attr)
            expression = expression.value
        if isinstance(expression, ast.Name):
            head = expression.id
            if head in names:
                yield ".".join([names[head], *reversed(parts)]), node.lineno
            elif not parts:
                yield f"builtins.{head}", node.lineno


def is_within(name: str, modules: Sequence[str]) -> bool:
    """Whether a dotted name is one of these or lies in one of them."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


# The rules


def long_functions(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES:
                yield f"{node.lineno}: {node.name} has {lines} lines; the limit is {FUNCTION_LINES}"


def time_ids_and_chance(tree: ast.Module) -> Iterator[str]:
    for name, line in mentioned(tree):
        if is_within(name, IMPURE_MODULES) or name.startswith(IMPURE_NAMES):
            yield f"{line}: {name}; ask the clock instead ({SEAM})"
    for full, _, _, line in imported(tree):
        if full.startswith(tuple(f"{module}." for module in IMPURE_MODULES)) or full.startswith(IMPURE_NAMES):
            yield f"{line}: imports {full}; ask the clock instead ({SEAM})"


def impure_imports_of_the_domain(tree: ast.Module) -> Iterator[str]:
    for full, _, _, line in imported(tree):
        top = full.partition(".")[0]
        if top in IMPURE_IN_DOMAIN:
            yield f"{line}: imports {full}; the domain has no I/O, clock, chance, threads or logging"
        elif top not in sys.stdlib_module_names and top not in DOMAIN_STANDS_ON:
            yield f"{line}: imports {full}; the domain stands on the standard library, msgspec and pyrsistent"


def unsafe_loading(tree: ast.Module) -> Iterator[str]:
    for full, _, _, line in imported(tree):
        if is_within(full, UNSAFE):
            yield f"{line}: imports {full}; payloads are typed data, never code"
    for name, line in mentioned(tree):
        if name in UNSAFE:
            yield f"{line}: {name}; payloads are typed data, never code"


def sleeps(tree: ast.Module) -> Iterator[str]:
    for name, line in mentioned(tree):
        if name in SLEEPS:
            yield f"{line}: {name}; wait on a condition, or advance virtual time"


def swallowed_errors(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and all(does_nothing(statement) for statement in node.body):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            line = node.lineno
        elif isinstance(node, ast.Call) and last_word(node.func) == "suppress":
            kinds = list(node.args)
            line = node.lineno
        else:
            continue
        dropped = {last_word(kind) for kind in kinds} - EXPECTED_ERRORS
        if dropped:
            yield f"{line}: drops {', '.join(sorted(dropped))} without a word"


def does_nothing(statement: ast.stmt) -> bool:
    empty_return = isinstance(statement, ast.Return) and statement.value is None
    constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass | ast.Continue | ast.Break) or empty_return or constant


def last_word(kind: ast.expr | None) -> str:
    return kind.attr if isinstance(kind, ast.Attribute) else kind.id if isinstance(kind, ast.Name) else "everything"


def imports_of_the_root(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = any(alias.name == "tallystick" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found = node.module == "tallystick" or (node.level > 0 and node.module is None)
        else:
            continue
        if found:
            yield f"{node.lineno}: imports the public face; import from the module that defines"


def address_or_host_lines(text: str, *, addresses: bool) -> Iterator[str]:
    words = (*PACKAGE_HOSTS, *(("http:", "https:", "--index", "--find-links", "--extra-index") if addresses else ()))
    for number, line in enumerate(text.splitlines(), 1):
        for word in words:
            if re.search(rf"(?<![a-z]){re.escape(word)}", line.lower()):
                yield f"{number}: {word}"


# The rules against the tree


def python_files(folders: Sequence[str]) -> list[Path]:
    return [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]


def violations(rule: Rule, folders: Sequence[str], *, but: Sequence[str] = ()) -> list[str]:
    found: list[str] = []
    for path in python_files(folders):
        name = path.relative_to(ROOT).as_posix()
        if name not in but:
            found += [f"{name}:{each}" for each in rule(ast.parse(path.read_text(encoding="utf-8"), name))]
    return found


def test_there_are_files_to_look_at() -> None:
    assert {path.name for path in python_files(CODE)} >= {"errors.py", "floor.py", "test_structure.py"}


def test_no_file_is_longer_than_four_hundred_lines() -> None:
    files = [*ROOT.glob("*.py"), *python_files(CODE)]
    lengths = {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {name: lines for name, lines in lengths.items() if lines > FILE_LINES} == {}


def test_functions_fit_on_a_screen() -> None:
    assert violations(long_functions, CODE) == []


def test_time_ids_and_chance_come_through_one_seam() -> None:
    assert violations(time_ids_and_chance, [*ENGINE, "testing"], but=[SEAM, *SIMULATED]) == []


def test_the_domain_is_pure() -> None:
    assert violations(impure_imports_of_the_domain, ["domain"]) == []


def test_nothing_unpickles_or_evaluates() -> None:
    assert violations(unsafe_loading, LAYERS) == []


def test_no_test_sleeps() -> None:
    assert violations(sleeps, ["tests"]) == []


def test_no_error_is_swallowed() -> None:
    assert violations(swallowed_errors, CODE) == []


def test_nothing_below_the_scenarios_imports_the_public_face() -> None:
    assert violations(imports_of_the_root, [*ENGINE, "testing"]) == []


def test_the_locks_pin_every_package_and_name_no_index() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert list(address_or_host_lines(text, addresses=True)) == [], name
        assert [line for line in text.splitlines() if not re.match(r"^[a-z0-9-]+==[^ ]+( ; .+)?$", line)] == [], name


def test_no_file_names_a_package_host() -> None:
    files = [path for pattern in ("*.md", "*.toml", "Makefile", ".ci/*", "docs/**/*.md") for path in ROOT.glob(pattern)]
    found = [
        f"{path.relative_to(ROOT).as_posix()}:{each}"
        for path in [*files, *python_files(CODE)]
        for each in address_or_host_lines(path.read_text(encoding="utf-8"), addresses=False)
    ]
    assert found == []


# Each rule on a planted case, and on one that is right

LONG = "def long():\n" + "    step()\n" * FUNCTION_LINES
SHORT = "def short():\n" + "    step()\n" * (FUNCTION_LINES - 1)


@pytest.mark.parametrize(
    ("rule", "planted"),
    [
        (long_functions, LONG),
        (long_functions, LONG.replace("def", "async def")),
        (time_ids_and_chance, "import time\nnow = time.monotonic"),
        (time_ids_and_chance, "from time import time_ns as now"),
        (time_ids_and_chance, "import datetime as dt\ndt.datetime.now(dt.UTC)"),
        (time_ids_and_chance, "from datetime import datetime\nnow = datetime.now"),
        (time_ids_and_chance, "from uuid_utils import uuid7"),
        (time_ids_and_chance, "import uuid\nuuid.uuid4()"),
        (time_ids_and_chance, "import os\nos.urandom(8)"),
        (time_ids_and_chance, "def f():\n    import random\n    return random.random()"),
        (impure_imports_of_the_domain, "import os.path"),
        (impure_imports_of_the_domain, "from threading import Lock"),
        (impure_imports_of_the_domain, "import structlog"),
        (unsafe_loading, "import pickle"),
        (unsafe_loading, "from pickle import loads"),
        (unsafe_loading, "eval(text)"),
        (sleeps, "import time\ntime.sleep(0.1)"),
        (sleeps, "from asyncio import sleep as pause\npause(1)"),
        (swallowed_errors, "try:\n    f()\nexcept Exception:\n    pass"),
        (swallowed_errors, "try:\n    f()\nexcept:\n    ..."),
        (swallowed_errors, "try:\n    f()\nexcept (KeyError, StopIteration):\n    return"),
        (swallowed_errors, "with contextlib.suppress(Exception):\n    f()"),
        (imports_of_the_root, "import tallystick as ts"),
        (imports_of_the_root, "from tallystick import Rejected"),
        (imports_of_the_root, "from .. import Rejected"),
    ],
)
def test_a_planted_case_is_found(rule: Rule, planted: str) -> None:
    assert list(rule(ast.parse(planted))) != []


@pytest.mark.parametrize(
    ("rule", "right"),
    [
        (long_functions, SHORT),
        (
            time_ids_and_chance,
            "from datetime import time\nfrom uuid import UUID\ntime(12)\nUUID(text)",
        ),
        (time_ids_and_chance, "def f(random, time):\n    return random.choice(time.time)"),
        (impure_imports_of_the_domain, "from datetime import UTC, datetime\nimport msgspec\nfrom tallystick.domain.token import Token"),
        (unsafe_loading, "import ast\nast.literal_eval(text)\nmodel.eval()"),
        (sleeps, "condition.wait(1)\nclock.sleep(1)"),
        (swallowed_errors, "try:\n    f()\nexcept FileNotFoundError:\n    pass"),
        (swallowed_errors, "try:\n    f()\nexcept Exception as error:\n    report(error)"),
        (imports_of_the_root, "from tallystick.domain.errors import Rejected\nfrom .errors import Fenced"),
    ],
)
def test_what_is_right_is_left_alone(rule: Rule, right: str) -> None:
    assert list(rule(ast.parse(right))) == []


def test_an_address_or_a_host_in_a_lock_is_found() -> None:
    assert list(address_or_host_lines("--index-url x\nmsgspec==0.20", addresses=True)) == ["1: --index"]
    assert list(address_or_host_lines("msgspec @ https://example.org/x.whl", addresses=True)) == ["1: https:"]
    assert list(address_or_host_lines(f"get it from {PACKAGE_HOSTS[0]}", addresses=False)) == [f"1: {PACKAGE_HOSTS[0]}"]
    assert list(address_or_host_lines("msgspec==0.20", addresses=True)) == []
