"""When to try again: pure formulas over the number of the retry. Who schedules and counts them is the owner."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from msgspec.structs import force_setattr

from tallystick.domain.record import Record

if TYPE_CHECKING:
    ErrorTypes = tuple[type[Exception], ...]
else:
    ErrorTypes = tuple[str, ...]
"""Types of exceptions, as they are given. A log holds no classes, so that a policy keeps their qualified names."""

NEVER_LATER = timedelta(days=3650)
"""The cap on any delay: ten years, so that no formula overflows."""


@runtime_checkable
class RetryPolicy(Protocol):
    """How often a failed or timed-out attempt is repeated, and after how long."""

    @property
    def max_retries(self) -> int:
        """Attempts after the first."""
        ...

    def delay(self, retry: int, draw: float) -> timedelta:
        """How long to wait before that retry (0 is the first); `draw` is a random number in [0, 1) for the jitter."""
        ...


def _check(policy: object, **durations: timedelta) -> None:
    retries, jitter = getattr(policy, "max_retries"), getattr(policy, "jitter")  # noqa: B009 - of whichever policy
    name = type(policy).__name__
    if retries < 0:
        msg = f"{name}: max_retries is {retries}; it cannot be below zero."
        raise ValueError(msg)
    if not 0.0 <= jitter <= 1.0:
        msg = f"{name}: jitter is {jitter}; it is a share, from 0 to 1."
        raise ValueError(msg)
    for setting, duration in durations.items():
        if duration < timedelta():
            msg = f"{name}: {setting} is {duration}; time does not run backwards."
            raise ValueError(msg)
    _keep_names(policy, name)


def _keep_names(policy: Any, name: str) -> None:
    """Have `final` hold names, whether it was given classes or read from a log; once, when the policy is made."""
    named: list[str] = []
    for each in policy.final:
        if isinstance(each, str):
            named.append(each)
        elif isinstance(each, type) and issubclass(each, Exception):
            named.append(qualified(each))
        else:
            msg = f"{name}: final names {each!r}, which is no type of exception; give classes, final=(ValueError,)."
            raise ValueError(msg)  # noqa: TRY004 - as every setting that makes no sense
    force_setattr(policy, "final", tuple(named))


def qualified(kind: type) -> str:
    """How a type of exception is called in a log."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _jittered(delay: timedelta, jitter: float, draw: float) -> timedelta:
    """Shorten the delay by up to the share `jitter`. Only ever shortened, so that the maximum stays one."""
    return delay * (1.0 - jitter * draw) if jitter else delay


class FixedDelay(Record, tag=True):
    """The same delay before every retry.

    `final`, here and in the other policies: types of exceptions, subclasses included, that no retry follows: a performer that raises one
    has failed for good, as if it had raised `Rejected`.
    """

    interval: timedelta
    max_retries: int = 3
    jitter: float = 0.0
    final: ErrorTypes = ()

    def __post_init__(self) -> None:
        """Refuse what makes no sense, with a ValueError."""
        _check(self, interval=self.interval)

    def delay(self, retry: int, draw: float) -> timedelta:
        """`interval`, whatever the retry."""
        del retry
        return _jittered(min(self.interval, NEVER_LATER), self.jitter, draw)


class ExponentialBackoff(Record, tag=True):
    """The lesser of initial · 2ⁿ and maximum, before retry n = 0, 1, 2 …."""

    initial: timedelta
    maximum: timedelta = timedelta(minutes=5)
    max_retries: int = 3
    jitter: float = 0.0
    final: ErrorTypes = ()

    def __post_init__(self) -> None:
        """Refuse what makes no sense, with a ValueError."""
        _check(self, initial=self.initial, maximum=self.maximum)

    def delay(self, retry: int, draw: float) -> timedelta:
        """Doubling, capped; no overflow at any n, because no power above the cap is computed."""
        cap = min(self.maximum, NEVER_LATER)
        doublings = min(retry, 64)
        capped = cap if self.initial > cap // (1 << doublings) else self.initial * (1 << doublings)
        return _jittered(capped, self.jitter, draw)


class LinearBackoff(Record, tag=True):
    """initial + increment · n before retry n = 0, 1, 2 …, capped at `maximum`."""

    initial: timedelta
    increment: timedelta
    maximum: timedelta = NEVER_LATER
    max_retries: int = 3
    jitter: float = 0.0
    final: ErrorTypes = ()

    def __post_init__(self) -> None:
        """Refuse what makes no sense, with a ValueError."""
        _check(self, initial=self.initial, increment=self.increment, maximum=self.maximum)

    def delay(self, retry: int, draw: float) -> timedelta:
        """Growing by the same step, capped; no overflow at any n."""
        cap = min(self.maximum, NEVER_LATER)
        if self.initial >= cap:
            return _jittered(cap, self.jitter, draw)
        steps_to_cap = (cap - self.initial) // self.increment if self.increment > timedelta() else retry
        grown = cap if retry > steps_to_cap else self.initial + self.increment * retry
        return _jittered(grown, self.jitter, draw)


AnyRetry = FixedDelay | ExponentialBackoff | LinearBackoff
"""The policies that can be recorded in a log, because an execution was begun with one of its own."""


def is_final(policy: AnyRetry | None, error: type[BaseException] | None) -> bool:
    """Whether no retry is to follow what a performer raised."""
    if policy is None or error is None or not policy.final:
        return False
    names = frozenset[Any](policy.final)
    return any(qualified(kind) in names for kind in error.__mro__)
