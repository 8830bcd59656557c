"""Canaries: secrets in every sensitive place, and in what exceptions say, are looked for in all that a system leaves behind it.

Files (log, snapshots, keys, saves), log lines, metrics, exports of the command line, dead letters, timelines, texts of errors. Encoded
forms are looked for too: as JSON escapes them, in base64, as a representation.
"""

import base64
import io
import json
import logging
import traceback
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import structlog
from click.testing import CliRunner
from prometheus_client import CollectorRegistry, generate_latest

import tallystick as ts
from tallystick.host.cli import cli
from tallystick.host.metrics import SystemCollector
from tests.actors.register import Address, Customer, Directory, Mailer, Newsletter, compose, enrol

EMAIL = "ada.lovelace+canary@example.org"
STREET = "Kanarienvögel-Straße 12"
CANARIES = (EMAIL, STREET)
PARTS = ("lovelace", "canary@", "Kanarien", "Straße")


def forms(text: str) -> Iterator[bytes]:
    """How a text may stand somewhere."""
    yield text.encode()
    yield json.dumps(text)[1:-1].encode()
    yield repr(text)[1:-1].encode()
    yield quote(text).encode()
    yield text.encode("utf-16-le")
    for shift in range(3):  # base64 depends on where in three bytes a text begins
        yield base64.b64encode(b"\0" * shift + text.encode())[4 if shift else 0 : -4]


def found_in(content: bytes) -> list[str]:
    return [text for text in (*CANARIES, *PARTS) if any(form in content for form in forms(text) if len(form) > 4)]


def test_this_way_of_looking_finds_what_is_there() -> None:
    assert found_in(b"to " + EMAIL.encode()) == [EMAIL, "lovelace", "canary@"]
    assert STREET in found_in(json.dumps({"street": STREET}).encode())
    assert EMAIL in found_in(base64.b64encode(b"x" + EMAIL.encode() + b"y"))
    assert found_in(b"nothing") == []


class Scene:
    """A register on a disk, with a meter and log lines that are kept, through all that can go wrong with it."""

    def __init__(self, folder: Path, keys: ts.KeyStore | None = None) -> None:
        self.folder = folder
        self.path = folder / "register.db"
        self.said = io.StringIO()
        self.errors: list[BaseException] = []
        self.mailer, self.newsletter = Mailer(), Newsletter()
        self._keys = keys
        self.system = self.opened()

    def opened(self) -> ts.System:
        self.clock = ts.ManualClock()
        self.runtime = ts.SteppedRuntime(self.clock)
        return compose(self.mailer, self.newsletter, log=self.path, runtime=self.runtime, meter=ts.Meter(), keys=self._keys)

    def secret(self, text: str, of: str = "c-ada") -> ts.Sensitive[str]:
        return ts.sensitive(text, of=of)

    def enrol(self, of: str = "c-ada", *, key: str | None = None, refuse: bool = False) -> Any:
        email, address = self.secret(EMAIL, of), Address(street=self.secret(STREET, of))
        return self.system.ask(enrol(customer_id=of, email=email, address=address, refuse=refuse), idempotency_key=key)

    def everything(self) -> None:
        """Successes, refusals, failures, dead letters, retries, brackets, schedules, a stop, and a start again."""
        system = self.system
        self.enrol(key="k-1")
        self.runtime.run_until_idle()
        for key in (None, "k-2", "k-2"):
            self.caught(lambda key=key: self.enrol(refuse=True, key=key))
        self.caught(lambda: self.enrol("c-eve", key="k-1"))
        self.mailer.fails = self.newsletter.fails = True
        self.enrol("c-bob")
        self.runtime.advance(timedelta(hours=1))
        self.runtime.run_until_idle()
        self.mailer.fails = self.newsletter.fails = False
        self.caught(self.bracketed)
        self.caught(self.nested)
        system.schedules.after(timedelta(days=9), enrol(email=self.secret(EMAIL), address=None), id="later")
        system.operations.audit("customer.enrolled", self.secret(EMAIL), operation_id="", who="Ann")  # type: ignore[arg-type]
        logging.getLogger("tallystick.test").warning("enrolled %s: %r", self.secret(EMAIL), enrol(email=self.secret(EMAIL)))
        structlog.get_logger("tallystick").warning("program.enrolled", email=self.secret(EMAIL), street=system.seal(self.secret(STREET)))
        assert len(system.dead_letters()) == 2

    def bracketed(self) -> None:
        with self.system.bracket("Register.Enrol", tags={"customer": "c-ada"}) as operation:
            operation.note("warning", f"seen {self.secret(EMAIL)}", {"email": self.secret(EMAIL)})  # type: ignore[dict-item]
            operation.progress(10, str(self.secret(EMAIL)))
            raise LookupError(self.system.reveal(self.secret(EMAIL)))

    def nested(self) -> None:
        with self.system.bracket("Register.Outer"):
            text = self.system.reveal(self.secret(STREET))
            with self.system.bracket("Register.Inner"):
                raise KeyError(text)

    def caught(self, do: Any) -> None:
        try:
            do()
        except Exception as error:  # noqa: BLE001 - the caller's own, which it sees as it is
            self.errors.append(error)
        else:
            pytest.fail("nothing was raised")

    def commands(self) -> bytes:
        """What the command line shows of the log."""
        correlation = next(iter(ts.SqliteReader(self.path).read(ts.Query(event_types=("Enrolled",))))).correlation
        letters = [letter["id"] for letter in self._json("dead-letters", "list")]
        shown = [
            *(self._run("log", self.path, *more) for more in ((), ("--json",))),
            *(self._run("dead-letters", "list", self.path, *more) for more in ((), ("--json",))),
            *(self._run("dead-letters", "show", self.path, each, *more) for each in letters for more in ((), ("--json",), ("--sealed",))),
            *(self._run("operations", "list", self.path, *more) for more in ((), ("--json",))),
            *(self._run("operations", "show", self.path, name) for name in ("Register.Enrol", "Register.Inner", "Register.Outer")),
            self._run("operations", "list", self.path, "--statistics"),
            *(
                self._run("operations", "timeline", self.path, correlation, *more)
                for more in ((), ("--json",), ("--mermaid", "sequence"), ("--mermaid", "gantt"))
            ),
            self._run("verify", self.path),
        ]
        assert len(letters) == 2
        return b"\n".join(shown)

    def _json(self, *arguments: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._run(*arguments, self.path, "--json").splitlines()]

    def _run(self, *arguments: object) -> bytes:
        done = CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert done.output
        return done.output.encode()

    def objects(self) -> bytes:
        """What a program gets in its hands, as it shows it."""
        system = self.system
        registry = CollectorRegistry()
        registry.register(SystemCollector({"register": system}))
        correlation = next(iter(system.events(event_types=("Enrolled",)))).correlation
        shown = [
            *map(repr, (system.dead_letters(), system.open_executions(), system.health(), system.timeline(correlation))),
            *(repr(system.get(Customer, each)) for each in ("c-ada", "c-bob")),
            repr(system.resident(Directory)),
            *(repr(recorded) for recorded in system.events()),
            *(repr(system.why(each.execution.token)) for each in system.open_executions()),
            *(repr(each) for each in self.errors if isinstance(each, ts.TallystickError) and not isinstance(each, ts.Rejected)),
            generate_latest(registry).decode(),
        ]
        return "\n".join(shown).encode()

    def files(self) -> bytes:
        return b"\n".join(each.read_bytes() for each in sorted(self.folder.iterdir()))


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    handler = logging.StreamHandler(made.said)
    logging.getLogger().addHandler(handler)
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info, structlog.processors.JSONRenderer()],
        logger_factory=structlog.PrintLoggerFactory(made.said),
    )
    yield made
    structlog.reset_defaults()
    logging.getLogger().removeHandler(handler)


def test_no_secret_is_found_in_anything_that_a_system_leaves_behind(scene: Scene) -> None:
    with scene.system as system:
        scene.everything()
        system.save(scene.folder / "register.save")
        assert found_in(scene.objects()) == []
        assert found_in(scene.files()) == []
    assert found_in(scene.files()) == [], "a clean stop leaves snapshots"
    assert found_in(scene.commands()) == []
    said = scene.said.getvalue()
    assert found_in(said.encode()) == []
    for line in (
        "handler.dead_letter",
        "operation.failed",
        "execution.dead_letter",
        "program.enrolled",
        "enrolled <sensitive of 'c-ada'>",
    ):
        assert line in said
    with scene.opened() as again:  # what was revealed before is revealed again: nothing was lost on the way
        assert again.reveal(again.resident(Directory).emails["c-bob"]) == EMAIL


def test_what_exceptions_say_is_withheld_where_something_was_revealed_and_nowhere_else(scene: Scene) -> None:
    with scene.system as system:
        scene.everything()
        letters = {letter.kind: letter.error for letter in system.dead_letters()}
        assert letters["reaction"].startswith("ValueError: (withheld")
        assert letters["actions"].startswith("ConnectionError: (withheld")
        for name, code in (("Enrol", "LookupError"), ("Outer", "KeyError"), ("Inner", "KeyError")):
            (operation,) = system.operations.find(name_prefix=f"Register.{name}")
            assert operation.failure is not None
            assert (operation.failure.kind, operation.message[:9]) == (code, "(withheld")
            assert operation.failure.stack, "where it was raised is told"
        texts = ["".join(traceback.format_exception(each)) for each in scene.errors]
        assert EMAIL in texts[-2], "the caller's own exception goes on as it was"
        with pytest.raises(ValueError, match="as it is"), system.bracket("Register.Plain") as plain:
            raise ValueError("as it is")  # noqa: EM101, TRY003
        found = system.operations.get(plain.id)
        assert found is not None
        assert found.message == "as it is"


def test_when_a_person_is_forgotten_nothing_is_found_with_all_the_keys_that_are_left(scene: Scene) -> None:
    with scene.system as system:
        scene.everything()
        system.save(scene.folder / "register.save")
        boxes = {recorded.position: recorded.payload for recorded in system.events()}
        for person in ("c-ada", "c-bob", "c-eve"):
            system.forget(person, who="dpo", why="asked")
        states = (system.get(Customer, "c-ada"), system.get(Customer, "c-bob"), system.resident(Directory))
        assert found_in(scene.objects()) == []
    assert found_in(scene.files() + scene.commands() + scene.said.getvalue().encode()) == []
    keys = ts.KeyFile(f"{scene.path}.keys")
    keys.open()
    assert keys.forgotten() == {"c-ada", "c-bob", "c-eve"}
    assert [keys.get(person) for person in sorted(keys.forgotten())] == [b""] * 3
    keys.close()
    with scene.opened() as again:
        assert {recorded.position: recorded.payload for recorded in again.events(until=max(boxes))} == boxes, "the log is as it was"
        assert (again.get(Customer, "c-ada"), again.get(Customer, "c-bob"), again.resident(Directory)) == states
        assert again.reveal(again.resident(Directory).emails["c-bob"]) == ts.Forgotten(subject="c-bob")
        for letter in again.dead_letters():
            again.redrive(letter, who="Ann", why="mended")
        scene.runtime.run_until_idle()
        assert again.dead_letters() == ()
        assert scene.newsletter.met[-1] == scene.mailer.sent[-1] == ts.Forgotten(subject="c-bob")


def test_a_save_opens_nothing_without_the_keys_and_nothing_of_who_was_forgotten_with_them(scene: Scene) -> None:
    save = scene.folder / "register.save"
    keys = ts.MemoryKeys()
    scene._keys = keys
    scene.system = scene.opened()
    with scene.system as system:
        scene.everything()
        system.save(save)
        system.forget("c-bob", who="dpo", why="asked")
    modules, performers = scene.system._program.behaviours, scene.system._pool.performers.values()
    given: dict[str, Any] = {
        "modules": [each.module for each in modules if each.name in {"register", "newsletter"}],
        "performers": [each for each in performers if each.action.__name__ == "Greet"],
    }
    with pytest.raises(ts.DefinitionError, match="A save has no keys"):
        ts.System.load(save, **given, runtime=ts.SteppedRuntime())
    with ts.System.load(save, **given, runtime=ts.SteppedRuntime(), keys=ts.MemoryKeys()) as blind, pytest.raises(ts.KeyMissing):
        blind.reveal(blind.resident(Directory).emails["c-ada"])
    with ts.System.load(save, **given, runtime=ts.SteppedRuntime(), keys=keys) as loaded:
        emails = loaded.resident(Directory).emails
        assert [loaded.reveal(emails[each]) for each in ("c-ada", "c-bob")] == [EMAIL, ts.Forgotten(subject="c-bob")]
