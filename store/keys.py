"""Key stores: a key for each person of whom something sensitive is kept, and the fact that somebody was forgotten. Never in a log."""

from collections.abc import Collection, Mapping
from typing import Final, Protocol, runtime_checkable

from tallystick.domain.errors import KeyStoreError

FORGOTTEN: Final = b""
"""What stands in the place of a key once its person is forgotten, for ever: a key is not made twice."""


class KeyStore(Protocol):
    """Where keys are kept. Thread-safe. What has been put or forgotten is durable when the method returns.

    Raises, from whatever method:
        KeyStoreError: it cannot be read or written.
        LogLocked: another process has it.
    """

    @property
    def forgettings(self) -> int:
        """How often keys were deleted since it was made; whoever keeps keys at hand looks them up again then."""
        ...

    def open(self) -> None:
        """Make it ready; as often as it is closed."""
        ...

    def close(self) -> None:
        """Let go of it, when nobody else in this process has it open."""
        ...

    def get(self, subject: str) -> bytes | None:
        """A person's key; `FORGOTTEN` for a forgotten one, None where there is none yet."""
        ...

    def put(self, keys: Mapping[str, bytes]) -> None:
        """Keep new keys, all or nothing; a forgotten person gets none.

        Raises:
            KeyStoreError: a person has another key already, which a system that shares the store has made meanwhile.
        """
        ...

    def forget(self, subjects: Collection[str]) -> None:
        """Delete keys so that nothing of them is left, and remember that it was done; all or nothing."""
        ...

    def forgotten(self) -> frozenset[str]:
        """All who were forgotten."""
        ...


@runtime_checkable
class MakesKeys(Protocol):
    """What a `KeyStore` is besides if it makes its new keys itself; for any other they are made by chance."""

    def new_key(self, subject: str) -> bytes:
        """A key for a person who has none. It is put like any other."""
        ...


@runtime_checkable
class HasPersonalKeys(Protocol):
    """What a log is besides if it has a place for the keys of its sensitive values; with any other a system is given `keys`."""

    def personal_keys(self) -> KeyStore:
        """Where the keys are that belong to it."""
        ...


def check_own(subject: str, key: bytes, kept: bytes) -> None:
    """Refuse a second key of a person.

    Raises:
        KeyStoreError: what was sealed with it could not be opened.
    """
    if kept not in {key, FORGOTTEN}:
        msg = f"{subject!r} has another key by now: a system that shares these keys was first. What was sealed meanwhile is sealed again."
        raise KeyStoreError(msg)


class MemoryKeys:
    """Keys in memory, for logs in memory: gone with the process, and with them whatever was sealed."""

    def __init__(self) -> None:
        self._keys: dict[str, bytes] = {}
        self.forgettings = 0

    def open(self) -> None:
        """Nothing to be done."""

    def close(self) -> None:
        """The keys stay with whoever has this store."""

    def get(self, subject: str) -> bytes | None:
        """As `KeyStore.get`."""
        return self._keys.get(subject)

    def put(self, keys: Mapping[str, bytes]) -> None:
        """As `KeyStore.put`."""
        for subject, key in keys.items():
            check_own(subject, key, self._keys.get(subject, key))
        for subject, key in keys.items():
            self._keys.setdefault(subject, key)

    def forget(self, subjects: Collection[str]) -> None:
        """As `KeyStore.forget`."""
        self._keys.update(dict.fromkeys(subjects, FORGOTTEN))
        self.forgettings += 1

    def forgotten(self) -> frozenset[str]:
        """As `KeyStore.forgotten`."""
        return frozenset(subject for subject, key in list(self._keys.items()) if key == FORGOTTEN)
