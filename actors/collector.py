"""Python's collector of cycles, and when not to let it look: while much is made that is kept, each look goes through all that there is."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def not_looking() -> Generator[None, None, None]:
    """Have no garbage looked for meanwhile, in the whole process: for a while of making what stays, and hardly anything else."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
