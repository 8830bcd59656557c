"""Events that are folded into residents alone: however many a stream has, none of them is read again to write the next."""

from collections.abc import Iterator

import tallystick as ts


class Drop(ts.Event):
    aggregate_type = "Barrel"
    barrel: str

    @property
    def aggregate_id(self) -> str:
        return self.barrel


class Barrels(ts.Resident):
    drops: int = 0


class Let(ts.Command[int]):
    barrel: str


class Cellar(ts.Module):
    name = "cellar"

    @ts.handles(Let, emits=[Drop])
    def let(self, turn: ts.Turn, command: Let) -> ts.Decision[int]:
        yield Drop(barrel=command.barrel)
        return turn.resident(Barrels).drops + 1

    @ts.folds(Drop, Barrels)
    def dropped(self, barrels: Barrels, event: Drop) -> Barrels:
        del event
        return Barrels(drops=barrels.drops + 1)


class Noting(ts.MemoryLog):
    """Notes what is read of streams."""

    def __init__(self) -> None:
        super().__init__()
        self.read_of: list[str] = []

    def read(self, query: ts.Query | None = None) -> Iterator[ts.Recorded]:
        for recorded in super().read(query) if query is not None else super().read():
            if query is not None and query.aggregate_id:
                self.read_of.append(recorded.aggregate_id)
            yield recorded


def test_a_stream_without_a_state_of_its_own_is_not_read_back() -> None:
    log = Noting()
    with ts.System([Cellar()], log=log, runtime=ts.SteppedRuntime()) as system:
        for _ in range(8):
            for barrel in range(100):
                system.ask(Let(barrel=f"barrel-{barrel}"))
        of_one = [each.aggregate_version for each in system.events() if each.aggregate_id == "barrel-7"]
        assert of_one == list(range(1, 9))
        assert system.resident(Barrels).drops == 800
    assert len(log.read_of) < 10
