"""The head of a log as somebody keeps it elsewhere: `POSITION:HASH`, by which a tail that was cut off is found. Not how it is kept.

The chain shows that no record was changed or left out before another one. That the last ones are gone it cannot show: what is left is a
log that ended earlier. Nor that all of it was made anew by somebody who may write the file.
"""

import re
from typing import Final, NamedTuple, Self

import tallystick as ts
from tallystick.store.chain import HASH_BYTES

_HEAD: Final = re.compile(rf"0:|(?P<position>[1-9][0-9]{{0,18}}):(?P<digits>[0-9a-fA-F]{{{2 * HASH_BYTES}}})", re.ASCII)


class KeptHead(NamedTuple):
    """The position and hash of a record that was a log's last one; 0 and nothing for an empty log."""

    position: int = 0
    hash: bytes = b""

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The head that `str` has written.

        Raises:
            ValueError: it has not.
        """
        found = _HEAD.fullmatch(text.strip())
        if found is None:
            msg = f"{text!r} is no head like 42:0123456789abcdef0123456789abcdef; `tallystick verify` prints it."
            raise ValueError(msg)
        return cls(int(found["position"] or 0), bytes.fromhex(found["digits"] or ""))

    def __str__(self) -> str:
        return f"{self.position}:{self.hash.hex()}"

    def check(self, head: "KeptHead") -> None:
        """Hold it against a record of the log, as the head that it was.

        Raises:
            LogCorrupt: the log has another record at this position.
        """
        if head.position == self.position and head.hash != self.hash:
            msg = (
                f"The record at position {self.position} is not the one of the head that was kept: this is another log, or everything from "
                f"there or before was written anew. Restore a copy of the log."
            )
            raise ts.LogCorrupt(msg, position=self.position)

    def check_reached(self, end: "KeptHead") -> None:
        """Hold it against the log's end.

        Raises:
            LogCorrupt: the log ends before this position.
        """
        if end.position < self.position:
            msg = (
                f"Position {end.position + 1} is missing: the log was cut off behind {end.position}, and the head that was kept is at "
                f"{self.position}. Restore a copy of the log."
            )
            raise ts.LogCorrupt(msg, position=end.position + 1)
