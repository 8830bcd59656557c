"""A recording disk that writes down in a trace what it was asked to do."""

from tallystick.testing.recording_disk import RecordingDisk
from tests.powerloss.trace import Trace


class TracedDisk(RecordingDisk):
    """One folder's disk, with its trace."""

    def __init__(self) -> None:
        self.trace = Trace()
        super().__init__(self.trace.add)
