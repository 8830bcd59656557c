"""The most memory that this process has held. Imports next to nothing, so that what it measures is not its own."""

import os
import resource
import sys

STATUS = "/proc/self/status"


def peak_rss_bytes() -> int:
    """The most memory this process has held.

    Linux: from the process's own status, since getrusage there starts with the peak of the process that started this one.
    """
    if os.path.exists(STATUS):  # noqa: PTH110 - pathlib would be measured with the rest
        with open(STATUS) as status:  # noqa: PTH123 - as above
            for line in status:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
