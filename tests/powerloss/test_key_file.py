"""A key file after a power cut at any moment: no acknowledged key is lost, and nothing is left of one whose deletion was acknowledged."""

import random
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import tallystick as ts
from tallystick.store.keys import FORGOTTEN
from tallystick.testing import Chance, RecordingDisk, Storage
from tallystick.testing.storage import Image, Operation
from tests.powerloss.cutting import room

NAME = "store.db.keys"
DRAWS = 3


class Acknowledged(NamedTuple):
    """What the caller was told is so, from here on."""

    kept: Mapping[str, bytes]
    gone: Mapping[str, bytes]


def key_of(name: str) -> bytes:
    return random.Random(name).randbytes(64)  # noqa: S311 - keys that are looked for


def story(folder: Path) -> Sequence[Operation | Acknowledged]:
    """Batches of keys and deletions over several openings, with what was told in between."""
    told: list[Operation | Acknowledged] = []
    kept: dict[str, bytes] = {}
    gone: dict[str, bytes] = {}
    with RecordingDisk(told.append) as disk:
        for opening in range(3):
            file = ts.KeyFile(folder / NAME, vfs=disk.name)
            file.open()
            for batch in range(4):
                names = [f"p-{opening}-{batch}-{number}" for number in range(12)]
                file.put({name: key_of(name) for name in names})
                kept |= {name: key_of(name) for name in names}
                told.append(Acknowledged(dict(kept), dict(gone)))
                leaving = [*names[::3], *[name for name in kept if name.startswith(f"p-{opening - 1}")][:2]]
                told.append(Acknowledged({name: key for name, key in kept.items() if name not in leaving}, dict(gone)))
                file.forget(leaving)
                gone |= {name: kept.pop(name) for name in leaving}
                told.append(Acknowledged(dict(kept), dict(gone)))
            file.close()
    return told


def judge(image: Image, acknowledged: Acknowledged, folder: Path) -> str:
    """What is wrong with what a power cut has left; empty if nothing is."""
    content = b"".join(image.values())
    if any(key[:16] in content for key in acknowledged.gone.values()):
        return "a deleted key is still there"
    for name, data in image.items():
        (folder / name).write_bytes(data)
    file = ts.KeyFile(folder / NAME)
    file.open()
    try:
        lost = [name for name, key in acknowledged.kept.items() if file.get(name) != key]
        back = [name for name in acknowledged.gone if file.get(name) != FORGOTTEN]
        file.put({"later": key_of("later")})
        return f"lost {lost}, back {back}" if lost or back or file.get("later") != key_of("later") else ""
    finally:
        file.close()


def test_a_power_cut_at_any_moment_loses_no_key_and_brings_none_back() -> None:
    found: Counter[str] = Counter()
    with room() as folder:
        (folder / "recorded").mkdir()
        told = story(folder / "recorded")
        storage, acknowledged = Storage(), Acknowledged({}, {})
        for moment, operation in enumerate(told):
            if isinstance(operation, Acknowledged):
                acknowledged = operation
                continue
            storage.take(operation)
            for draw in range(DRAWS):
                lots = Chance(f"{moment}/{draw}").stream("cut")
                image = storage.torn(lots) if draw == 0 else storage.image(lots)
                if image is not None:
                    place = Path(tempfile.mkdtemp(dir=folder))
                    found[judge(image, acknowledged, place)] += 1
    assert set(found) == {""}, found
    assert found[""] > 300
