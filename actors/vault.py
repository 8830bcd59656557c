"""The vault: what a running system seals and opens with. A new key is durable before anything that was sealed with it is.

Keys are made in turns, which must not wait for a disk. They are written by the thread that commits, before it commits: many at once.
"""

import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, cast

from tallystick.domain.envelope import Recorded
from tallystick.domain.errors import KeyMissing, KeyStoreError
from tallystick.domain.sensitive import Forgotten, Sensitive, Unsealed
from tallystick.store.keys import FORGOTTEN, KeyStore
from tallystick.store.log import EventLog, Head
from tallystick.store.sealing import Cipher, WrongKey

CIPHERS_KEPT: Final = 10_000
"""How many people's keys are at hand without being looked up; those that were looked up first go first."""


WITH_ITS_KEYS: Final = "open the log with the keys that it was written with."


class Nobody:
    """Stands in the place of a forgotten person's cipher."""


NOBODY: Final = Nobody()


class Vault:
    """Seals and opens by a store of keys: a `Sealer`. Thread-safe.

    Raises, from whatever method looks into the store:
        KeyStoreError: it cannot be read or written.
    """

    def __init__(self, store: KeyStore, new_key: Callable[[str], bytes]) -> None:
        """Make a vault; nothing is opened. `new_key` makes the key of a person."""
        self._store = store
        self._new_key = new_key
        self._ciphers: dict[str, Cipher | Nobody] = {}
        self._forgettings = store.forgettings
        self._unwritten: dict[str, bytes] = {}
        self._lock = threading.RLock()
        self._writing = threading.Lock()
        """Held while keys go to the store or out of it, so that a key that is forgotten meanwhile is not written after that."""

    def open_store(self) -> None:
        """Have the store ready."""
        self._store.open()

    def close_store(self) -> None:
        """Let go of the store, and of the keys at hand."""
        self._store.close()
        with self._lock:
            self._ciphers.clear()

    # Sealing and opening.

    def seal(self, unsealed: Unsealed) -> str:
        """The box for a text, with a new key for a new person; empty where the person has been forgotten."""
        subject = unsealed.subject
        if self._forgettings != self._store.forgettings:
            self._look_again()
        cipher = self._ciphers.get(subject) or self._cipher(subject, makes=True)
        return cipher.seal(subject, unsealed.text) if isinstance(cipher, Cipher) else ""

    def open(self, value: Sensitive[Any]) -> str | Forgotten:
        """The text of a sealed value.

        Raises:
            KeyMissing: there is no key that fits.
        """
        subject = value.sealed_for
        if self._forgettings != self._store.forgettings:
            self._look_again()
        cipher = (self._ciphers.get(subject) or self._cipher(subject, makes=False)) if value.box else NOBODY
        if isinstance(cipher, Nobody):
            return Forgotten(subject=subject)
        if cipher is None:
            msg = f"The key of {subject!r} is missing, though nobody has forgotten them: {WITH_ITS_KEYS}"
            raise KeyMissing(msg)
        try:
            return cipher.open(subject, value.box)
        except WrongKey as error:
            msg = f"A value of {subject!r} was sealed with another key than there is now: {WITH_ITS_KEYS}"
            raise KeyMissing(msg) from error

    def _cipher(self, subject: str, *, makes: bool) -> "Cipher | Nobody | None":
        """That of a person who is not at hand; None where there is no key, and none is to be made."""
        with self._lock:
            key = self._store.get(subject)  # before those that are not written: another system may have forgotten them meanwhile
            if key is None:
                key = self._unwritten.get(subject)
            if key is None:
                if not makes:
                    return None
                key = self._unwritten[subject] = self._new_key(subject)
            return self._keep(subject, key)

    def _look_again(self) -> None:
        """Somebody was forgotten, perhaps by another system with the same store: all keys are looked up anew."""
        with self._lock:
            self._forgettings = self._store.forgettings
            self._ciphers.clear()

    def _keep(self, subject: str, key: bytes) -> "Cipher | Nobody":
        self._ciphers.pop(subject, None)
        if len(self._ciphers) >= CIPHERS_KEPT:
            del self._ciphers[next(iter(self._ciphers))]
        cipher = self._ciphers[subject] = NOBODY if key == FORGOTTEN else Cipher(key)
        return cipher

    # Keys.

    def write_keys(self) -> None:
        """Have the store keep the new keys."""
        if not self._unwritten:
            return
        with self._writing:
            with self._lock:
                keys = dict(self._unwritten)
            try:
                self._store.put(keys)
            except KeyStoreError:
                self._give_way(keys)
                raise
            with self._lock:
                for subject in keys:
                    self._unwritten.pop(subject, None)

    def _give_way(self, keys: Collection[str]) -> None:
        """Let go of keys for people who have others by now. Whatever was sealed with them is never written: the log's generation ends."""
        with self._lock:
            for subject in keys:
                if self._store.get(subject) is not None:
                    self._unwritten.pop(subject, None)
            self._ciphers.clear()

    def forget(self, subjects: Collection[str]) -> None:
        """Delete the keys of people, so that nobody can open what is theirs from now on. It must be in the log before."""
        with self._writing:
            self._store.forget(subjects)
            with self._lock:
                for subject in subjects:
                    self._unwritten.pop(subject, None)

    def forget_also(self, subjects: Collection[str]) -> None:
        """Delete the keys that are left of people who are forgotten in the log: of before a crash, or in a copy that was restored."""
        left = frozenset(subjects) - self._store.forgotten() if subjects else ()
        if left:
            self.forget(left)

    def between(self, log: EventLog) -> EventLog:
        """The same log, with new keys written before it writes."""
        return cast("EventLog", _KeyedLog(log, self))


class _KeyedLog:
    """A log whose batches never come before their keys. Everything else is the log's own."""

    def __init__(self, log: EventLog, vault: Vault) -> None:
        self._log = log
        self._vault = vault

    def write(self, records: Sequence[Recorded]) -> Head:
        """As the log's own; keys that cannot be written end the log's generation as the log's own errors do (P18)."""
        self._vault.write_keys()
        return self._log.write(records)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)
