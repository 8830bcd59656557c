"""What is shipped: the wheel's content, the public face, and what importing it costs."""

import ast
import importlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tallystick

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ("domain", "store", "actors", "testing", "scenarios", "host")
REPOSITORY = (*LAYERS, "tests", "benchmarks", "docs", ".ci", "*.md", "*.py", "*.toml", "*.lock", "Makefile", "LICENSE", "*.in", "py.typed")


def settings() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def package_folder(package: str) -> Path:
    return ROOT.joinpath(*package.split(".")[1:])


def copied(to: Path) -> Path:
    """A copy of the tree, so that nothing is left over from an earlier build, and nothing is left behind."""
    for pattern in REPOSITORY:
        for path in ROOT.glob(pattern):
            if path.is_dir():
                shutil.copytree(path, to / path.name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, to / path.name)
    return to


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files in a wheel."""
    source = copied(tmp_path_factory.mktemp("source"))
    (source / "tests" / "__init__.py").touch()  # there to be left out
    target = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(target)]
    command = [sys.executable, "-m", "pip", "wheel", *options, "."]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    assert built.returncode == 0, built.stderr
    (wheel,) = target.glob("tallystick-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_a_source_distribution_has_all_that_the_repository_has_and_its_tests_run(tmp_path_factory: pytest.TempPathFactory) -> None:
    source, target = copied(tmp_path_factory.mktemp("source")), tmp_path_factory.mktemp("sdist")
    repository = {path.relative_to(source).as_posix() for path in source.rglob("*") if path.is_file()}
    assert repository >= {"Makefile", ".ci/run", "tests/conftest.py", "tests/actors/stage.py", "docs/testing.md", "CHANGELOG.md"}
    command = [sys.executable, "-c", f"from setuptools import build_meta; build_meta.build_sdist({str(target)!r})"]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)  # noqa: S603 - our own command
    assert built.returncode == 0, built.stderr
    (distribution,) = target.glob("tallystick-*.tar.gz")
    with tarfile.open(distribution) as archive:
        assert repository - {name.partition("/")[2] for name in archive.getnames()} == set()
        archive.extractall(target, filter="data")
    (unpacked,) = target.glob("tallystick-*/")
    ran = subprocess.run([sys.executable, "-m", "pytest", "tests/test_links.py"], cwd=unpacked, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def expected_modules() -> Iterator[str]:
    for package in settings()["tool"]["setuptools"]["packages"]:
        for module in package_folder(package).glob("*.py"):
            yield f"{package.replace('.', '/')}/{module.name}"


def test_the_wheel_has_every_module_of_every_package(wheel_names: set[str]) -> None:
    assert set(expected_modules()) - wheel_names == set()


def test_the_wheel_has_no_other_module(wheel_names: set[str]) -> None:
    assert {name for name in wheel_names if name.endswith(".py")} - set(expected_modules()) == set()


def test_the_wheel_says_that_it_is_typed(wheel_names: set[str]) -> None:
    assert "tallystick/py.typed" in wheel_names


def test_the_wheel_has_the_sql_that_the_store_reads(wheel_names: set[str]) -> None:
    sql = {f"tallystick/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "store").rglob("*.sql")}
    assert sql
    assert sql - wheel_names == set()


def test_the_extra_that_the_page_on_testing_names_brings_what_its_commands_and_imports_need() -> None:
    page = (ROOT / "docs/testing.md").read_text(encoding="utf-8")
    assert "pip install 'tallystick[testing]'" in page
    run = set(re.findall(r"^\$ (\w+)", page, flags=re.MULTILINE)) - {"python", "tallystick"}
    imported = set(re.findall(r"^(?:from|import) (\w+)", page, flags=re.MULTILINE)) & {"hypothesis", "pytest"}
    brought = {re.split(r"[<>=\[]", each)[0] for each in settings()["project"]["optional-dependencies"]["testing"]}
    assert brought == run | imported == {"hypothesis", "pytest"}


def test_the_wheel_has_the_licence_and_the_command(wheel_names: set[str]) -> None:
    assert any(name.endswith("/LICENSE") for name in wheel_names)
    assert any(name.endswith(".dist-info/entry_points.txt") for name in wheel_names)


def test_every_folder_with_modules_is_a_listed_package() -> None:
    found = {"tallystick"}
    for layer in LAYERS:
        for module in (ROOT / layer).rglob("*.py"):
            found.add(".".join(["tallystick", *module.parent.relative_to(ROOT).parts]))
    assert set(settings()["tool"]["setuptools"]["packages"]) == found


def test_every_package_has_an_init() -> None:
    packages = settings()["tool"]["setuptools"]["packages"]
    assert [package for package in packages if not (package_folder(package) / "__init__.py").is_file()] == []


def test_the_command_line_is_there_without_its_script() -> None:
    said = subprocess.run([sys.executable, "-m", "tallystick", "--help"], capture_output=True, text=True, check=True)
    assert said.stdout.startswith("Usage: tallystick [OPTIONS] COMMAND")


def test_the_command_starts_at_a_function_that_is_there() -> None:
    module, _, function = settings()["project"]["scripts"]["tallystick"].partition(":")
    assert callable(getattr(importlib.import_module(module), function))


def test_every_dependency_is_ranged_in_the_settings_and_pinned_in_the_lock() -> None:
    pinned = {line.partition("==")[0] for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()}
    dependencies = settings()["project"]["dependencies"]
    assert [each for each in dependencies if ">=" not in each or "<" not in each] == []
    assert {each.partition(">=")[0] for each in dependencies} - pinned == set()


def test_the_development_lock_agrees_with_the_lock_of_the_runtime() -> None:
    runtime = set((ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines())
    development = set((ROOT / "requirements-dev.lock").read_text(encoding="utf-8").splitlines())
    assert runtime - development == set()


# The public face


def imports_for_type_checkers() -> dict[str, str]:
    """Name to module, as a type checker sees them."""
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [statement for statement in block.body if isinstance(statement, ast.ImportFrom)]
    return {alias.name: statement.module or "" for statement in imports for alias in statement.names}


def rooms() -> dict[str, str]:
    """Name to module, as a running program finds them."""
    table: dict[str, str] = vars(tallystick)["_ROOMS"]
    return {name: f"tallystick.{room}" for room, names in table.items() for name in names.split()}


def test_the_public_names_are_sorted_and_none_stands_twice() -> None:
    assert list(tallystick.__all__) == sorted(set(tallystick.__all__))


def test_type_checkers_and_programs_see_the_same_public_face() -> None:
    assert imports_for_type_checkers() == rooms()
    assert set(tallystick.__all__) == set(rooms())


def names_defined_in(module: str) -> set[str]:
    """What a module makes itself, at its top level; not what it imports."""
    path = package_folder(module).with_suffix(".py")
    names: set[str] = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return names


@pytest.mark.parametrize("name", tallystick.__all__)
def test_a_public_name_is_found_in_the_module_that_defines_it(name: str) -> None:
    room = rooms()[name]
    assert name in names_defined_in(room)
    assert getattr(tallystick, name) is getattr(importlib.import_module(room), name)


def test_the_public_names_are_listed_by_dir() -> None:
    assert set(tallystick.__all__) <= set(dir(tallystick))


def test_an_unknown_name_is_an_attribute_error_that_says_which() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Tallystik'"):
        getattr(tallystick, "Tallystik")  # noqa: B009 - type checkers know that it is not there


def modules_loaded_by(statement: str) -> set[str]:
    program = f"import json, sys; before = set(sys.modules); {statement}; print(json.dumps(sorted(set(sys.modules) - before)))"
    run = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True)  # noqa: S603 - our own command
    return set(json.loads(run.stdout))


def test_importing_tallystick_loads_nothing_else() -> None:
    assert modules_loaded_by("import tallystick") == {"tallystick"}


def test_using_an_error_loads_neither_a_driver_nor_the_actors() -> None:
    loaded = modules_loaded_by("import tallystick; tallystick.Rejected")
    assert "tallystick.domain.errors" in loaded
    assert loaded & {"apsw", "sqlite3", "structlog", "pykka", "rich", "click"} == set()
