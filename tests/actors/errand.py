"""A saga for tests: two things done, one after another, and the first undone if the second cannot be."""

import tallystick as ts


class Did(ts.Record):
    what: str


class Do(ts.Action[Did]):
    what: str


class Undo(ts.Action[None]):
    what: str


class Job(ts.Record):
    what: str


class Errand(ts.Saga[Job, Did]):
    @ts.step
    def first(self, job: Job, done: ts.Results) -> Do:
        del done
        return Do(what=job.what)

    @first.undone_by
    def undo_first(self, job: Job, did: Did) -> Undo:
        del did
        return Undo(what=job.what)

    @ts.step(after=(first,))
    def second(self, job: Job, done: ts.Results) -> Do:
        del done
        return Do(what=f"{job.what} again")

    @second.undone_by
    def undo_second(self, job: Job, did: Did) -> Undo:
        del did
        return Undo(what=f"{job.what} again")

    def result(self, given: Job, done: ts.Results) -> Did:
        del given
        return done[Errand.second]


class Outside:
    """Does and undoes, but what it refuses; remembers what was undone."""

    def __init__(self) -> None:
        self.refuses: set[str] = set()
        self.puts_off: set[str] = set()
        self.undone: list[str] = []

    def do(self, action: Do, _call: ts.Call) -> Did | ts.Later:
        self._may_refuse(action.what)
        return ts.Later() if action.what in self.puts_off else Did(what=action.what)

    def undo(self, action: Undo, _call: ts.Call) -> None:
        self._may_refuse(f"undo {action.what}")
        self.undone.append(action.what)

    def _may_refuse(self, what: str) -> None:
        if what in self.refuses:
            code = "REFUSED"
            raise ts.Rejected(code, what)

    def system(self, log: ts.EventLog, meter: ts.Meter | None = None) -> tuple[ts.System, ts.SteppedRuntime]:
        """A system with that saga, in virtual time."""
        runtime = ts.SteppedRuntime(ts.ManualClock(), seed=1)
        performers = [Do.performed_by(self.do), Undo.performed_by(self.undo)]
        return ts.System(sagas=[Errand()], performers=performers, log=log, runtime=runtime, meter=meter), runtime
