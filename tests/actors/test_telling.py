"""What is told to people: nothing while all goes well, and enough to find the place when it does not."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import structlog

import tallystick as ts
from tallystick.actors.messages import Context, QueueCompleted
from tallystick.actors.runtimes.runtime import Runtime
from tests.actors.outside import StillRunning, wait_until
from tests.actors.stage import Stage
from tests.actors.workshop import Do, Drop, Order

Lines = list[Any]


def told(lines: Lines, event: str) -> list[Any]:
    return [line for line in lines if line["event"] == event]


def test_the_happy_path_leaves_no_line_per_event(stage: Stage, lines: Lines) -> None:
    for number in range(50):
        stage.system.ask(Order(order_id=f"{number}"), idempotency_key=f"{number}")
    stage.provider.answers("retried", ValueError("no"))
    stage.system.ask(Do(job_id="retried"))
    stage.advance(60)
    assert lines == []
    stage.reopen()
    assert [line["event"] for line in lines] == ["system.stopped", "system.recovered"]
    assert {line["log_level"] for line in lines} == {"info"}


@pytest.mark.parametrize("what", ["failure", "success"])
def test_a_stale_report_is_told_with_owner_token_attempt_and_correlation(stage: Stage, lines: Lines, what: str) -> None:
    stage.provider.answers("a", StillRunning(), StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.advance(70)
    old, current = stage.runtime.open_calls
    if what == "success":
        current.returns("done")
    else:
        stage.idle()
    old.raises(ValueError("no")) if what == "failure" else old.returns("done")
    stage.idle()
    (line,) = told(lines, "report.stale")
    assert (line["log_level"], line["owner"], line["token"]) == ("warning", "workshop", stage.token("a"))
    assert line["correlation"] == stage.of_type("JobBegun")[0].correlation
    assert line["what"] == ("stale_failures" if what == "failure" else "duplicate_successes")
    if what == "failure":
        assert line["attempt"] == 1


def test_a_failing_handler_is_told_with_owner_source_position_attempt_and_correlation(stage: Stage, lines: Lines) -> None:
    def hook(what: str, job_id: str) -> None:
        if what == "ordered":
            raise ValueError(job_id)

    stage.ledger.hook = hook
    stage.system.ask(Order(order_id="x", text="card 4111 1111"))
    stage.advance(60)
    failed, dead = told(lines, "handler.failed"), told(lines, "handler.dead_letter")
    ordered = stage.of_type("Ordered")[0]
    assert [line["attempt"] for line in (*failed, *dead)] == [1, 2, 3, 4]
    for line in (*failed, *dead):
        assert (line["owner"], line["source"], line["position"]) == ("ledger", ("Order", "x"), ordered.position)
        assert (line["correlation"], line["error"]) == (ordered.correlation, "ValueError")
    assert "4111" not in str(lines), "payloads are never told"


def test_a_failing_settlement_is_told_with_its_token(stage: Stage, lines: Lines) -> None:
    def hook(what: str, job_id: str) -> None:
        if what == "settle":
            raise ValueError(job_id)

    stage.workshop.hook = hook
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    (line,) = told(lines, "handler.failed")
    assert (line["owner"], line["token"]) == ("workshop", stage.token("a"))
    assert line["correlation"] == stage.of_type("JobBegun")[0].correlation


def test_what_needs_a_person_is_told_with_owner_token_correlation_and_reason(stage: Stage, lines: Lines) -> None:
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    stage.open_call("a").returns(42)
    stage.idle()
    (line,) = told(lines, "execution.needs_person")
    assert (line["owner"], line["token"]) == ("workshop", stage.token("a"))
    assert line["correlation"] == stage.of_type("JobBegun")[0].correlation
    assert "str" in line["reason"]


def test_a_probe_that_fails_is_told_with_owner_and_token(stage: Stage, lines: Lines) -> None:
    stage.provider.answers("a", StillRunning())
    stage.system.ask(Do(job_id="a"))
    stage.idle()
    stage.provider.found["a"] = OSError("down")
    stage.crash()
    (line,) = told(lines, "probe.failed")
    assert (line["owner"], line["token"], line["action"]) == ("workshop", stage.token("a"), "Work")


def test_a_failing_log_and_what_follows_are_told(stage: Stage, lines: Lines) -> None:
    stage.disk.fails(written=False)
    with pytest.raises(ts.CommitUnknown):
        stage.system.ask(Do(job_id="a"))
    assert [line["event"] for line in lines] == ["engine.failed", "system.recovered"]
    assert (lines[0]["actor"], lines[0]["epoch"]) == ("writer", 1)
    assert (lines[1]["epoch"], lines[1]["log"]) == (2, "memory")


def test_lines_go_to_the_standard_librarys_logger_where_structlog_is_not_configured(
    stage: Stage, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    structlog.reset_defaults()  # capturing lines, as other tests do, leaves it configured
    caplog.set_level("WARNING", logger="tallystick")
    stage.system.complete(ts.Token("nobody's"), "done")
    (record,) = [record for record in caplog.records if record.name == "tallystick"]
    assert record.levelname == "WARNING"
    assert "report.unknown_token" in record.getMessage()
    assert capsys.readouterr().out == "", "standard output belongs to the program"


WARNS = """
import logging, sys
import tallystick as ts
from tallystick.actors.telling import WhenShown, warn

with ts.System() as system:
    system.complete(ts.Token("nobody's"), "done")
    warn("something", about=WhenShown(lambda: "looked up"), number=3)
print("structlog" in sys.modules)
if "structlog" not in sys.modules:
    import structlog
    warn("something", about=WhenShown(lambda: "looked up"), number=3)
"""


def test_a_host_that_does_not_use_structlog_does_not_wait_for_it_to_be_imported_and_reads_the_same() -> None:
    run = subprocess.run([sys.executable, "-c", WARNS], capture_output=True, text=True, check=True)  # noqa: S603 - our own
    lines = run.stderr.splitlines()
    assert (run.stdout, len(lines)) == ("False\n", 3), run.stderr
    assert "report.unknown_token" in lines[0]
    assert lines[1] == lines[2] == "event='something' about='looked up' number=3"


def test_a_report_for_an_owner_that_is_not_there_is_counted_and_told(stage: Stage, lines: Lines) -> None:
    stage.engine.router.post.tell(QueueCompleted(Context("nobody", ts.Token("t")), 1, "done"))
    stage.idle()
    assert stage.counted("unroutable_reports") == 1
    (line,) = told(lines, "report.unroutable")
    assert (line["owner"], line["token"]) == ("nobody", "t")
    assert stage.system.ask(Drop(job_id="a")) == 0


# A host's logger that raises.


@pytest.fixture
def broken_sink() -> Iterator[list[str]]:
    """A host whose lines end in a closed standard output; the events that it was asked to tell of."""
    asked: list[str] = []

    def sink(_logger: object, _name: str, line: Any) -> Any:
        asked.append(line["event"])
        raise BrokenPipeError(32, "Broken pipe")

    structlog.configure(processors=[sink])
    yield asked
    structlog.reset_defaults()


def test_a_hosts_logger_that_raises_harms_nobody_and_is_counted(runtime: Runtime, broken_sink: list[str]) -> None:
    with ts.System(runtime=runtime) as system:
        with pytest.raises(KeyError, match="mine"), system.bracket("Billing.Run"):
            raise KeyError("mine")  # noqa: EM101 - its own words
        overdue = system.operations.start("Billing.Overdue", timeout=timedelta(microseconds=1))
        if isinstance(runtime, ts.SteppedRuntime):
            runtime.advance(timedelta(seconds=1))
        wait_until(lambda: [each.name for each in system.operations.find(status=ts.OperationStatus.ABANDONED)] == ["Billing.Overdue"])
        assert not system.complete(ts.Token(overdue), "too late")
        health = system.health()
    assert (health.status, health.restarts) == ("running", 0), "the line of an end is told by the thread that commits"
    assert {"operation.started", "operation.failed", "operation.abandoned"} <= set(broken_sink)
    assert health.counters["log_lines_lost"] >= 3


def test_an_engine_is_rebuilt_though_nobody_can_be_told_that_it_failed(stage: Stage, broken_sink: list[str]) -> None:
    stage.disk.fails(written=False)
    with pytest.raises(ts.CommitUnknown):
        stage.system.ask(Do(job_id="a"))
    health = stage.system.health()
    assert (health.status, health.restarts, broken_sink[0]) == ("running", 1, "engine.failed")
    assert stage.system.ask(Do(job_id="b")) == "b"


def test_an_engine_is_rebuilt_though_the_telling_is_interrupted(stage: Stage) -> None:
    def sink(_logger: object, _name: str, line: Any) -> Any:
        if line["event"] == "engine.failed":
            raise SystemExit(3)
        raise structlog.DropEvent

    structlog.configure(processors=[sink])
    stage.disk.fails(written=False)
    with pytest.raises((SystemExit, ts.CommitUnknown)):
        stage.system.ask(Do(job_id="a"))
    assert (stage.system.health().status, stage.system.health().restarts) == ("running", 1)
    assert stage.system.ask(Do(job_id="b")) == "b"
