"""Ctrl-C: whose it is. Not a failure of whatever it interrupts, so nobody here answers it, or goes on as if nothing had been.

Python raises it in the main thread alone, between any two instructions. Only with the stepped runtime do actors, performers and probes run
there, in the midst of a call of the host's: it ends the engine, as any error does that nobody handles (P14), and reaches the host. What had
been written stays, what was interrupted is done again by the engine that is rebuilt. Where actors have threads of their own, a
`KeyboardInterrupt` in one of them was raised by user code, and is its error.
"""

import threading


def leave_to_the_host(error: BaseException) -> None:
    """Raise it again, if somebody has interrupted the host in the midst of this.

    Raises:
        KeyboardInterrupt: it is the host's.
    """
    if isinstance(error, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise error
