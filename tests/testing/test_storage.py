"""The disk that power cuts are tried on: what was synced is there, what was not may be, in pieces of a sector."""

import random
from collections.abc import Iterable

from tallystick.testing.storage import SECTOR_BYTES, Link, Operation, Storage, Sync, Truncate, Unlink, Write

CREATED = (Link("a", 1), Sync(1, folder_too=True, failed=False))


def images(*operations: Operation) -> list[dict[str, bytes]]:
    """Many of the images that these may leave."""
    storage = Storage()
    for operation in operations:
        storage.take(operation)
    return [dict(storage.image(random.Random(seed).random)) for seed in range(400)]  # noqa: S311 - repeatable on purpose


def kinds(found: Iterable[dict[str, bytes]]) -> set[bytes | None]:
    """The different contents of the file."""
    return {each.get("a") for each in found}


def test_what_was_synced_is_always_there() -> None:
    assert kinds(images(*CREATED, Write(1, 0, b"one"), Write(1, 1, b"--"), Sync(1, folder_too=False, failed=False))) == {b"o--"}


def test_what_was_not_synced_may_be_there_in_any_part() -> None:
    found = kinds(images(*CREATED, Write(1, 0, b"1"), Write(1, 1, b"2")))
    assert found >= {b"", b"1", b"12", b"\0" + b"2"}


def test_a_write_is_torn_at_the_bounds_of_sectors_and_nowhere_else() -> None:
    data = b"a" * 12 + b"b" * SECTOR_BYTES + b"c" * 100
    found = kinds(images(*CREATED, Write(1, SECTOR_BYTES - 12, data)))
    bodies = {each[SECTOR_BYTES - 12 :] for each in found if each}
    pieces = [(each[:12], each[12 : 12 + SECTOR_BYTES], each[12 + SECTOR_BYTES :]) for each in bodies if len(each) == len(data)]
    assert len(pieces) > 3, "some must be torn"
    for piece, whole in ((piece, whole) for each in pieces for piece, whole in zip(each, (b"a", b"b", b"c"), strict=True)):
        assert set(piece) in ({0}, set(whole))


def test_the_part_that_was_cut_off_may_still_be_there() -> None:
    assert kinds(images(*CREATED, Write(1, 0, b"one"), Sync(1, folder_too=False, failed=False), Truncate(1, 1))) == {b"one", b"o"}


def test_a_new_file_may_be_missing_until_the_folder_is_synced() -> None:
    assert None in kinds(images(Link("a", 1), Write(1, 0, b"x"), Sync(1, folder_too=False, failed=False)))
    assert kinds(images(Link("a", 1), Write(1, 0, b"x"), Sync(1, folder_too=True, failed=False))) == {b"x"}


def test_a_removed_file_may_come_back_until_the_folder_is_synced() -> None:
    assert kinds(images(*CREATED, Unlink("a", synced=False))) == {b"", None}
    assert kinds(images(*CREATED, Unlink("a", synced=True))) == {None}
    assert kinds(images(*CREATED, Unlink("a", synced=False), Link("a", 2), Write(2, 0, b"new"))) >= {b"", None, b"new"}


def test_what_a_failed_sync_did_not_write_is_not_written_by_the_next() -> None:
    lost = [Write(1, position, b"x") for position in range(20)]
    found = kinds(images(*CREATED, *lost, Sync(1, folder_too=False, failed=True), Sync(1, folder_too=False, failed=False)))
    assert len(found) == 1
    assert found != {b"x" * 20}


def test_the_last_write_is_torn_when_it_was_not_synced_and_all_before_it_is_whole() -> None:
    storage = Storage()
    for operation in (*CREATED, Write(1, 0, b"one"), Write(1, SECTOR_BYTES, b"x" * 2 * SECTOR_BYTES)):
        storage.take(operation)
    found = [storage.torn(random.Random(seed).random) for seed in range(40)]  # noqa: S311 - repeatable on purpose
    assert all(each is not None and each["a"].startswith(b"one") for each in found)
    assert {(each or {})["a"].count(b"x") for each in found} == {0, SECTOR_BYTES}
    storage.take(Sync(1, folder_too=False, failed=False))
    assert storage.torn(random.Random(1).random) is None  # noqa: S311 - repeatable on purpose
