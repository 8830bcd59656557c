"""Those who send commands to a simulated system: they wait for replies, and send again what may not have been carried out."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from typing import Any, Final

from tallystick.actors.messages import Context, QueueCompleted
from tallystick.actors.system import System
from tallystick.domain.envelope import MICROSECOND
from tallystick.domain.errors import CommitUnknown, NotAccepted, NotCommitted, Overloaded, Rejected
from tallystick.domain.token import Token
from tallystick.testing.handlers import PlantedFailure
from tallystick.testing.program import Wish
from tallystick.testing.simulated import SimulatedRuntime
from tallystick.testing.violations import InvariantViolation
from tallystick.testing.world import DAY, NEVER, SECOND, World

FLOODED_WITH: Final = 60
KEYS_KEPT_US: Final = 29 * DAY
"""How long an answer is surely remembered by its key; the library keeps it for a day longer."""
NOT_DONE: Final = (NotAccepted, NotCommitted, PlantedFailure)


class Customers:
    """Send each wish at its time, and again until it is answered. They outlive every process."""

    def __init__(
        self, world: World, wishes: Iterable[tuple[int, Wish]], limit: int | None = None, durable: Callable[[], int] = lambda: 0
    ) -> None:
        self._world = world
        self.limit = limit
        """How many commands the system lets in at once, if that is to be checked."""
        self._durable = durable
        """Up to where the log is durable by now."""
        self._wishes = dict(wishes)
        self._asked: dict[int, int] = {}
        self._sent: dict[int, int] = {}
        self._forgotten: set[int] = set()
        self.answers: dict[int, tuple[str, Any]] = {}
        """What each wish was answered: "reply", "rejected", or "unknown" where a command without a key was lost with its answer."""
        self.violation: InvariantViolation | None = None
        self.turned_away = False
        """Whether somebody was told that the system does not run."""
        self.denied: dict[str, int] = {}
        """The keys of commands that were said not to have been carried out, and up to where the log was durable then."""
        self.overloads = 0
        self._system: System | None = None
        self._runtime: SimulatedRuntime | None = None
        self.most_in_flight = 0
        """How many were let in at once and not answered yet."""
        self._sent_again: Counter[int] = Counter()
        self.insistence = 0
        """How often a command was sent again, of the one that was sent most often."""
        for number, wish in self._wishes.items():
            world.after(wish.after // MICROSECOND, partial(self._send, number), outlives=True)

    @property
    def unanswered(self) -> list[Wish]:
        """What nobody has answered yet."""
        return [wish for number, wish in self._wishes.items() if number not in self.answers]

    def keys_answered(self) -> list[str]:
        """The keys of the commands that were answered."""
        return [key for number in self.answers if (key := self._wishes[number].key) is not None]

    def check_all_told(self) -> None:
        """A system that has stopped, or has given up, has told everybody what became of their command.

        Raises:
            InvariantViolation: P26.
        """
        if self._asked:
            raise InvariantViolation("P26", f"nobody was told what became of {self._wishes[min(self._asked)]}")

    # Processes come and go.

    def meet(self, system: System, runtime: SimulatedRuntime) -> None:
        """There is a system to send to."""
        self._system, self._runtime = system, runtime

    def part(self) -> None:
        """The process is gone, and with it all answers that were still to come."""
        self._system = self._runtime = None
        for number in sorted(self._asked):
            if self._wishes[number].key is not None:
                self._again(number)
            else:
                self.answers[number] = ("unknown", None)
        self._asked.clear()

    def clock_jumped(self) -> None:
        """The wall clock is elsewhere: perhaps so far that the keys of what was sent have been forgotten."""
        self._forgotten |= {number for number in self._sent if self._is_long_ago(number)}

    def _is_long_ago(self, number: int) -> bool:
        return abs(self._wall_us - self._sent[number]) >= KEYS_KEPT_US

    @property
    def _wall_us(self) -> int:
        return self._world.wall_us + self._world.now_us

    # Sending.

    def _send(self, number: int) -> None:
        if number in self.answers or number in self._asked:
            return
        self._sent.setdefault(number, self._wall_us)
        if not self._submit(number):
            self._again(number)

    def _submit(self, number: int, *, again: bool = False) -> bool:
        wish, system, world = self._wishes[number], self._system, self._world
        if system is None:
            return False
        if not again:
            world.tell("command", "Customers", "System", f"{type(wish.command).__name__}{f' ({wish.key})' if wish.key else ''}")
        self._asked[number] = self._asked.get(number, 0) + 1
        if self._is_long_ago(number):  # it is answered anew, and that answer is remembered, also when the clock goes back
            self._forgotten.add(number)
        try:
            future = system.submit(wish.command, idempotency_key=wish.key)
        except (Overloaded, NotAccepted) as error:
            self._no_longer_asked(number)
            self.overloads += isinstance(error, Overloaded)
            self.turned_away |= isinstance(error, NotAccepted)
            return False
        self.most_in_flight = max(self.most_in_flight, sum(self._asked.values()))
        process = world.process
        future.add_done_callback(lambda done: self._heard(number, done) if world.alive and world.process == process else None)
        return True

    def _no_longer_asked(self, number: int) -> None:
        self._asked[number] -= 1
        if not self._asked[number]:
            del self._asked[number]

    def _again(self, number: int) -> None:
        self._sent_again[number] += 1
        self.insistence = max(self.insistence, self._sent_again[number])
        delay_us = int((0.2 + self._world.chance.at("again", number, self._world.now_us)) * SECOND)
        self._world.after(delay_us, partial(self._send, number), outlives=True)

    # Hearing.

    def _heard(self, number: int, future: "Future[Any]") -> None:
        self._no_longer_asked(number)
        error = future.exception()
        self.turned_away |= isinstance(error, NotAccepted)
        key = self._wishes[number].key
        if isinstance(error, CommitUnknown) and key is not None:
            self.denied[key] = NEVER  # of two that were sent with one key this one may have been carried out
        elif isinstance(error, NotCommitted) and key is not None:
            self.denied.setdefault(key, self._durable())
        if isinstance(error, NOT_DONE) or (isinstance(error, CommitUnknown) and self._wishes[number].key is not None):
            if number not in self.answers:
                self._again(number)
            return
        self._answered(number, error, None if error is not None else future.result())
        self._world.may_die("crash.release")

    def _answered(self, number: int, error: BaseException | None, reply: Any) -> None:
        wish = self._wishes[number]
        if error is None:
            answer = ("reply", reply)
        elif isinstance(error, Rejected):
            answer = ("rejected", error.code)
        elif isinstance(error, CommitUnknown):
            answer = ("unknown", None)
        else:
            text = f"{type(wish.command).__name__} was answered with {type(error).__name__}: {error}"
            self.violation = self.violation or InvariantViolation("P15", text)
            return
        if number not in self.answers:
            self._world.tell("reply", "System", "Customers", f"{answer[1]!r}" if error is None else f"{answer[0]} {answer[1] or ''}")
        before = self.answers.setdefault(number, answer)
        if before != answer and number not in self._forgotten and not self._is_long_ago(number):
            text = f"{type(wish.command).__name__} with key {wish.key!r} was answered {before}, and then {answer}"
            self.violation = self.violation or InvariantViolation("P15", text)

    # Flooding.

    def flood(self, draw: float) -> None:
        """Send much too much at once: commands that were sent before, and reports of what nobody has begun."""
        keyed = [number for number in self._sent if self._wishes[number].key is not None]
        for copy in range(FLOODED_WITH if keyed else 0):
            number = keyed[(copy + int(draw * len(keyed))) % len(keyed)]
            self._submit(number, again=True)
        runtime = self._runtime
        router = None if runtime is None else runtime.actors.get("router")
        if runtime is not None and router is not None:
            for owner in runtime.owner_names():
                for number in range(FLOODED_WITH):
                    router.post.tell(QueueCompleted(Context(owner, Token(f"junk-{number}")), 1, None))
