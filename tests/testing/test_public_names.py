"""The public face of `tallystick.testing`: what type checkers see is what programs find, and none of it is loaded before it is used."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from tallystick import testing

FACE = Path(__file__).parents[2] / "testing" / "__init__.py"


def imports_for_type_checkers() -> dict[str, str]:
    (block,) = (node for node in ast.parse(FACE.read_text(encoding="utf-8")).body if isinstance(node, ast.If))
    imports = [statement for statement in block.body if isinstance(statement, ast.ImportFrom)]
    return {alias.name: statement.module or "" for statement in imports for alias in statement.names}


def rooms() -> dict[str, str]:
    table: dict[str, str] = vars(testing)["_ROOMS"]
    return {name: f"tallystick.testing.{room}" for room, names in table.items() for name in names.split()}


def test_type_checkers_and_programs_see_the_same() -> None:
    assert imports_for_type_checkers() == rooms()
    assert list(testing.__all__) == sorted(rooms())


@pytest.mark.parametrize("name", testing.__all__)
def test_a_public_name_is_what_its_module_defines(name: str) -> None:
    module = importlib.import_module(rooms()[name])
    assert getattr(testing, name) is getattr(module, name)


def test_no_module_has_the_name_of_something_public() -> None:
    # Importing tallystick.testing.given would put the module where the function of that name is looked for.
    assert {path.stem for path in FACE.parent.glob("*.py")} & set(testing.__all__) == set()


def test_an_unknown_name_is_an_attribute_error_that_says_which() -> None:
    with pytest.raises(AttributeError, match="no attribute 'givn'"):
        getattr(testing, "givn")  # noqa: B009 - type checkers know that it is not there


def test_importing_it_loads_neither_hypothesis_nor_the_engine() -> None:
    program = "import sys, tallystick.testing; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - our own program
    assert {"hypothesis", "apsw", "msgspec", "tallystick.actors"} & set(done.stdout.split()) == set()
