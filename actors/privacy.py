"""What a system does about personal data: it reveals to its host, seals, and forgets; and how it gets its keys when it is composed."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, Protocol, cast

from tallystick.actors.clock import random_bytes
from tallystick.actors.engine import Engine
from tallystick.actors.surroundings import reveal_here
from tallystick.actors.telling import note
from tallystick.actors.vault import Vault
from tallystick.domain.behaviour import Behaviour
from tallystick.domain.command import Command
from tallystick.domain.errors import DefinitionError
from tallystick.domain.intent import Intent
from tallystick.domain.privacy import Forget, ForgottenSubjects
from tallystick.domain.record import type_argument
from tallystick.domain.sensitive import NO_KEYS, Forgotten, Sensitive, declares_sensitive, refuse_sensitive, unsealed
from tallystick.domain.text import checked_id, checked_person
from tallystick.store.codec import Codec
from tallystick.store.keys import HasPersonalKeys, KeyStore, MakesKeys
from tallystick.store.log import EventLog
from tallystick.store.sealing import KEY_BYTES, library


class _Host(Protocol):
    """What of a system is needed here."""

    def ask(self, command: Command[Any]) -> Any:
        """Have a command carried out."""
        ...


class KeepsPersonalData:
    """The part of a `System` that sensitive values are kept by. All methods may be called from any thread."""

    _codec: Codec
    _vault: Vault | None

    def reveal(self, value: Sensitive[str]) -> str | Forgotten:
        """What a sensitive value says, for the host. Exceptions that leave the bracket, or call, are then evidence without their messages.

        Raises:
            KeyMissing: its person was not forgotten, but the keys have none that fits.
            KeyStoreError: the keys cannot be read.
            DefinitionError: the system has no keys.
        """
        reveal_here()
        return self._codec.reveal(value)

    def seal(self, value: Sensitive[str]) -> Sensitive[str]:
        """The same value as it stands in the log, so that it can be compared and has a `token`. Of a forgotten person it holds nothing.

        Raises:
            KeyStoreError, DefinitionError: as `reveal`.
        """
        text = unsealed(value)
        return value if text is None else Sensitive(sealed_for=value.sealed_for, box=self._keys().seal(text))

    def forget(self, subject: str, *, who: str, why: str) -> bool:
        """Forget a person: an event in the log, with who and why; then their key is deleted. Whether it had not been done before.

        With the key goes all that was sealed for them, wherever it stands; what still comes is forgotten on arrival. Durable when it
        returns. Doing it again changes nothing, but deletes a key that was left.

        Raises:
            InvalidPayload: the id is blank, or nobody or no reason is named.
            KeyStoreError: it is in the log, but the key could not be deleted. That is done when the log is opened next, or by asking again.
            DefinitionError: the system has no keys.
            NotAccepted, NotCommitted, CommitUnknown: as `System.ask`.
        """
        keys = self._keys()
        refuse_sensitive("the id of a person", subject, who, why)
        checked_id("a person's id", subject)
        checked_person(who, why)
        first: bool = cast("_Host", self).ask(Forget(subject=subject, who=who, why=why))
        keys.forget([subject])
        note("privacy.forgotten", subject=subject, who=who, first=first)
        return first

    def _keys(self) -> Vault:
        if self._vault is None:
            raise DefinitionError(NO_KEYS)
        return self._vault


# When it is composed, and when it begins.


def vault_for(behaviours: Iterable[Behaviour], actions: Collection[type[Any]], keys: KeyStore | None, log: EventLog) -> Vault | None:
    """The vault of a system: on `keys`, else on those that belong to its log. None where nothing is sensitive, which then costs nothing.

    Raises:
        DefinitionError: something is, and cryptography is not installed or the log has no place for keys; or it is no text.
    """
    declared = declares_sensitive([*actions, *_kinds_of(behaviours)])
    if not declared and keys is None:
        return None
    library()
    if keys is None:
        if not isinstance(log, HasPersonalKeys):
            msg = f"Records of this system have sensitive fields, and a {type(log).__name__} has no place for their keys: give keys=…."
            raise DefinitionError(msg)
        keys = log.personal_keys()
    return Vault(keys, keys.new_key if isinstance(keys, MakesKeys) else _key_by_chance)


def _key_by_chance(_subject: str) -> bytes:
    return random_bytes(KEY_BYTES)


def _kinds_of(behaviours: Iterable[Behaviour]) -> Iterator[Any]:
    """All types that a program has in its log, or compares by what is there."""
    for behaviour in behaviours:
        yield from (*behaviour.published, *behaviour.reactions)
        for intent in (*behaviour.settlements, *behaviour.late):
            yield from (intent, type_argument(intent, Intent), getattr(intent, "actions_type", None))
        for command in behaviour.commands:
            yield from (command, type_argument(command, Command))


def forget_again(vault: Vault, engine: Engine) -> None:
    """Have the keys follow the log: a crash came between the two, or an older copy of the keys was restored."""
    vault.forget_also(engine.resident(ForgottenSubjects).subjects)
