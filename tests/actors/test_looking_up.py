"""What a command's surroundings have to look up in the log, its caller looks up: no owner waits for a log that is being rebuilt."""

from contextvars import Context

import pytest

import tallystick as ts
from tests.actors.outside import PATIENCE_S, FaultyLog, Provider, wait_until
from tests.actors.workshop import Do, Workshop


@pytest.mark.parametrize("runtime", [ts.DispatcherRuntime, ts.ThreadsRuntime])
def test_a_command_of_a_bracket_does_not_hold_up_the_rebuilding_that_it_comes_into(runtime: type[ts.ThreadsRuntime]) -> None:
    log, workshop = FaultyLog(), Workshop()
    with ts.System([workshop], performers=Provider().performers(probes=True), log=log, runtime=runtime()) as system:

        def hook(_what: str, job_id: str) -> None:
            if job_id == "b":
                wait_until(lambda: system.health().status == "recovering")

        workshop.hook = hook
        with system.bracket("Jobs.Done"):
            log.disk.stalls()
            log.disk.fails(written=False)
            replies = [Context().run(system.submit, Do(job_id=job_id, steps=0)) for job_id in "ab"]
            replies.append(system.submit(Do(job_id="c", steps=0)))
            log.disk.goes_on()
            refused = [type(reply.exception(PATIENCE_S)) for reply in replies]
        assert refused == [ts.CommitUnknown, ts.NotAccepted, ts.NotAccepted]
        assert system.health().status == "running"
