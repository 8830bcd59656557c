"""An image opened by the library, and held against what was known when the power went."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

import tallystick as ts
from tallystick.host.programs import TINY_STORE
from tallystick.host.verify import BadLog, verify
from tallystick.scenarios.tiny_store.audit import Heard
from tallystick.scenarios.tiny_store.ledger import MemoryLedger
from tallystick.scenarios.tiny_store.providers import Carrier, Gateway
from tallystick.scenarios.tiny_store.stage import MORNING
from tallystick.scenarios.tiny_store.system import modules, performers
from tallystick.testing.storage import Image
from tests.powerloss.stories import LOG
from tests.powerloss.trace import Known, content_of

POWER_IS_BACK: Final = MORNING + timedelta(days=1)
ENDS_WITHIN: Final = timedelta(hours=6)


class Verdict(Enum):
    """What became of the log."""

    WHOLE = "whole"
    LOST = "lost"
    """It is a gap-free prefix of what was attempted, but something that was acknowledged is missing."""
    CORRUPT = "corrupt"


class Judgement(NamedTuple):
    """A verdict with its reason."""

    verdict: Verdict
    reason: str = ""


def written(image: Image, folder: Path) -> Path:
    """The image as files in a fresh folder; where its log is."""
    folder.mkdir()
    for name, content in image.items():
        (folder / name).write_bytes(content)
    return folder / LOG


def judged(path: Path, known: Known) -> Judgement:
    """Open the log, check all of it (S4, S5), write to it, close it and look again."""
    try:
        with closing(ts.SqliteLog(path)) as log:
            end = log.open().position
            found = [content_of(each) for each in log.verify()]
            lost = list(_lost(log, end, known))
            log.write([_one_more(end + 1)])
        with closing(ts.SqliteReader(path)) as reader:
            *again, last = (content_of(each) for each in reader.verify())
    except ts.LogError as error:
        return Judgement(Verdict.CORRUPT, f"{type(error).__name__}: {error}")
    if found != known.attempted[:end] or end not in known.ends:
        return Judgement(Verdict.CORRUPT, f"the {len(found)} records are no batches that were attempted")
    if again != found or last != content_of(_one_more(end + 1)):
        return Judgement(Verdict.CORRUPT, "what was read after opening is not what is there after closing")
    return Judgement(Verdict.LOST, "; ".join(lost)) if lost else Judgement(Verdict.WHOLE)


def _lost(log: ts.SqliteLog, end: int, known: Known) -> Iterator[str]:
    if end < known.acknowledged:
        yield f"{known.acknowledged} was acknowledged, the log ends at {end}"
    if known.identity not in {None, log.identity}:
        yield f"the log is another one: {known.identity} was {log.identity}"
    if log.epoch <= known.epoch:
        yield f"epoch {log.epoch} comes again"
    for owner, position in known.snapshots.items():
        kept = max((each.position for each in log.snapshots(owner)), default=0)
        if kept < position:
            yield f"the snapshot of {owner} at {position} was acknowledged, the newest is at {kept}"


def _one_more(position: int) -> ts.Recorded:
    return ts.Recorded(
        position=position,
        event_type="PowerCameBack",
        schema_version=1,
        aggregate_type="Power",
        aggregate_id="power",
        aggregate_version=1,
        occurred_at_us=1 << 60,
        owner="power",
        correlation="power",
        payload=b"{}",
    )


def problems_of_the_store(path: Path, known: Known) -> Iterator[str]:
    """A Tiny Store opened on the image, with the providers' ledgers as they were: what is amiss when it has come to rest."""
    gateway, carrier = Gateway(_ledger(known, "capture", "refund")), Carrier(_ledger(known, "shipment", "recall"))
    runtime = ts.SteppedRuntime(ts.ManualClock(POWER_IS_BACK))
    with ts.System(modules(), performers=performers(gateway, carrier), log=path, runtime=runtime) as system:
        runtime.run_until_idle()
        runtime.advance(ENDS_WITHIN)
        for each in system.open_executions():
            yield f"{each.execution.token} of {each.owner} is still open"
        for letter in system.dead_letters():
            yield f"{letter.source} is a dead letter of {letter.owner}"
    try:
        verify(path, TINY_STORE)
    except (BadLog, ts.LogError) as error:
        yield str(error)
    with closing(ts.SqliteReader(path)) as reader:
        for disagreement in Heard.of(reader.read()).compared((*gateway.ledger.entries(), *carrier.ledger.entries())):
            yield str(disagreement)


def _ledger(known: Known, *kinds: str) -> MemoryLedger:
    ledger = MemoryLedger()
    for entry in known.entries:
        if entry.kind in kinds:
            ledger.enter(entry)
    return ledger
