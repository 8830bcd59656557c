"""What the tests of lines share: who may come, and who is there."""

from collections.abc import Sequence

from hypothesis import strategies as st

import tallystick as ts
from tallystick.domain.line import Candidate, Priority, Standing

PRIORITIES = tuple(Priority)
INTERRUPTIONS = ("deferred", "replayable", "not_interruptible")
POLICIES = ("resume_parent", "fail_parent", "drop_parent")

candidates_ = st.builds(
    lambda number, priority, rank, interruption, policy: Candidate(ts.Token(str(number)), number, priority, rank, interruption, policy),
    st.integers(0, 10_000),
    st.sampled_from(PRIORITIES),
    st.integers(0, 3),
    st.sampled_from(INTERRUPTIONS),
    st.sampled_from(POLICIES),
)


def tokens(standing: Standing) -> Sequence[str]:
    active = [standing.active] if standing.active is not None else []
    places = [*active, *standing.parked, *standing.waiting]
    return [place.candidate.token for place in places] + [each.token for each in standing.arrived]
