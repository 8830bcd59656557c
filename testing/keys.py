"""Keys that repeat: the same person has the same key in each run of a test or a simulation, so that logs are the same byte for byte."""

import hashlib
from typing import Any

import msgspec
from pyrsistent import PMap

from tallystick.domain.sensitive import Sealer, Sensitive, unsealed
from tallystick.store.keys import MemoryKeys
from tallystick.store.sealing import KEY_BYTES


class SeededKeys(MemoryKeys):
    """A `KeyStore` in memory whose keys are made of a seed and the person's id. Whoever knows both has the key: for tests only."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self._seed = seed

    def new_key(self, subject: str) -> bytes:
        """The key of a person."""
        return hashlib.blake2b(f"{self._seed}\0{subject}".encode(), digest_size=KEY_BYTES).digest()


def sealed(value: Any, sealer: Sealer) -> Any:
    """A copy of what a test has written down, its sensitive values as the log has them."""
    match value:
        case Sensitive():
            text = unsealed(value)
            return value if text is None else Sensitive(sealed_for=value.sealed_for, box=sealer.seal(text))
        case msgspec.Struct():
            before = {name: getattr(value, name) for name in value.__struct_fields__}
            after = {name: sealed(each, sealer) for name, each in before.items()}
            changed = {name: each for name, each in after.items() if each is not before[name]}
            return msgspec.structs.replace(value, **changed) if changed else value
        case tuple() if any(sealed(each, sealer) is not each for each in value):
            return tuple(sealed(each, sealer) for each in value)
        case PMap():
            changed = {key: after for key, each in value.items() if (after := sealed(each, sealer)) is not each}
            return value.update(changed) if changed else value
        case _:
            return value
