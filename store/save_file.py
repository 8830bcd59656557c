"""The file of a save: bytes that are on the disk whole or not at all, and are checked when they are read. Not what the bytes mean.

The frame never changes: eight bytes that say what it is, the format's version, two lengths, the body compressed, and a checksum of all
that stands before it. So a file can be told from damage, and from that of another version, before anything of it is decoded.
"""

import hashlib
import os
import stat
import struct
import zlib
from pathlib import Path
from typing import Final

from tallystick.domain.errors import SaveDamaged, SaveError, SaveVersionError

FORMAT: Final = 2
"""The version of the body that this code writes and reads."""
BODY_LIMIT_BYTES: Final = 1 << 30
"""What a body may take in memory. A save that needs more is refused when it is written."""

_MAGIC: Final = b"TALLYSAV"
_HEADER: Final = struct.Struct(">8sHQQ")
_CHECKSUM_BYTES: Final = 16
_LEVEL: Final = 3


def write_save(path: str | os.PathLike[str], body: bytes) -> None:
    """Put a body at `path`, in place of the save that was there; durable when it returns, and readable by its user alone.

    Raises:
        SaveError: it cannot be written; what stood at `path` stands there still.
    """
    target = Path(os.path.realpath(path))
    if len(body) > BODY_LIMIT_BYTES:
        msg = f"{target}: the save takes {len(body)} bytes; the limit is {BODY_LIMIT_BYTES}. Nothing was written."
        raise SaveError(msg)
    if target.exists() and not target.is_file():
        msg = f"{target} is not a plain file; give the save a path of its own. Nothing was written."
        raise SaveError(msg)
    try:
        _replace(target, framed(body))
    except OSError as error:
        msg = f"{target} could not be written ({error}); what stood there before stands there still."
        raise SaveError(msg) from error


def framed(body: bytes, form: int = FORMAT) -> bytes:
    """A body as the content of a file."""
    compressed = zlib.compress(body, _LEVEL)
    content = _HEADER.pack(_MAGIC, form, len(compressed), len(body)) + compressed
    return content + _checksum(content)


def _replace(target: Path, content: bytes) -> None:
    import tempfile  # noqa: PLC0415 - a megabyte of other modules, which only who saves needs

    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
    part = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    # The new name is durable when its folder is.
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_save(path: str | os.PathLike[str]) -> bytes:
    """The body of the save at `path`. Nothing is changed.

    Raises:
        SaveDamaged: the file is cut off, or not as it was written.
        SaveVersionError: it is of another format.
        SaveError: it is no save, or cannot be read.
    """
    try:
        content = _content(path)
    except OSError as error:
        msg = f"{os.fspath(path)!r} could not be read: {error}"
        raise SaveError(msg) from error
    return unframed(content, os.fspath(path))


def _content(path: str | os.PathLike[str]) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not hold us up
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            msg = f"{os.fspath(path)!r} is no save: it is not a plain file."
            raise SaveError(msg)
        # One byte more than a save can have: what is larger is refused without being read.
        return file.read(BODY_LIMIT_BYTES + _HEADER.size + _CHECKSUM_BYTES + 1)


def unframed(content: bytes, path: str) -> bytes:
    """The body that stands in the content of a file; `path` is for messages. Errors as `read_save`."""
    if not content.startswith(_MAGIC):
        if content and not _MAGIC.startswith(content[: len(_MAGIC)]):
            msg = f"{path!r} is no save, or its first bytes are damaged. Nothing was changed."
            raise SaveError(msg)
        raise _damaged(path, "it is empty or cut off")
    if len(content) < _HEADER.size + _CHECKSUM_BYTES:
        raise _damaged(path, "it is cut off")
    _, form, compressed_bytes, body_bytes = _HEADER.unpack_from(content)
    if _checksum(content[:-_CHECKSUM_BYTES]) != content[-_CHECKSUM_BYTES:]:
        missing = _HEADER.size + compressed_bytes + _CHECKSUM_BYTES - len(content)
        raise _damaged(path, f"its last {missing} bytes are missing" if 0 < missing < BODY_LIMIT_BYTES else "its bytes are not as written")
    if form != FORMAT:
        which = "an older" if form < FORMAT else "a newer"
        raise SaveVersionError(path, f"has {which} format", found=form, read=(FORMAT,))
    return _body(content[_HEADER.size : -_CHECKSUM_BYTES], body_bytes, path)


def _body(compressed: bytes, body_bytes: int, path: str) -> bytes:
    decompressor = zlib.decompressobj()
    try:
        body = decompressor.decompress(compressed, min(body_bytes, BODY_LIMIT_BYTES) + 1)
    except zlib.error as error:
        raise _damaged(path, str(error)) from error
    if len(body) != body_bytes or not decompressor.eof:
        raise _damaged(path, "its body has another length than was written")
    return body


def _damaged(path: str, how: str) -> SaveDamaged:
    return SaveDamaged(f"{path!r} is damaged: {how}. Nothing was changed; load an earlier save.")


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=_CHECKSUM_BYTES).digest()
