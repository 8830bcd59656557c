"""The simulated runtime: the real actors in one thread and in virtual time, their order, delays and faults drawn from a seed."""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from tallystick.actors.actor import ALARM, NOTHING, EngineActor, Inbox, hand_over
from tallystick.actors.messages import Mailbox
from tallystick.actors.owner.owner import OwnerActor
from tallystick.actors.performers.performer import Executor, Report, RunningCall
from tallystick.actors.router import RouterActor
from tallystick.actors.runtimes.runtime import Awaited
from tallystick.actors.runtimes.stepped import SteppedRuntime
from tallystick.actors.timer import Key, TimerActor
from tallystick.actors.writer import WriterActor
from tallystick.domain.action import Performer
from tallystick.domain.envelope import from_micros
from tallystick.testing.chance import Chance
from tallystick.testing.faults import Injector
from tallystick.testing.outside import Outside, Performed, Process
from tallystick.testing.strategies import Name, Strategy, strategy_named
from tallystick.testing.world import MINUTE, NEVER, SECOND, ProcessDied, World, WorldClock

Watch = Callable[[EngineActor, Any], None]
"""Told of each turn when it is over: the actor, and the message that it took."""


class SimulatedRuntime(SteppedRuntime):
    """Runs one system. The same seed and options give the same log, byte for byte, in every process.

    The seed chooses who takes its next message, so also when the writer commits, and how long performers take. Waiting for a reply lets
    virtual time pass, from one thing that is to happen to the next; running (`step`, `run_until_idle`) lets none pass. With `strategy`
    "priorities" actors are starved for as long as it takes, but for `change_points` moments (PCT); with "uniform" each is as likely; with
    a strategy of your own it is as that one says.
    Not thread-safe.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        strategy: Name | Strategy = "uniform",
        change_points: int = 3,
        world: World | None = None,
        outside: Outside | None = None,
    ) -> None:
        """Make a runtime for one system. `world` and `outside` are for whoever simulates several processes in one world."""
        chance = Chance(seed)
        self.world = world or World(chance, Injector({}, chance))
        self.world_clock = WorldClock(self.world)
        super().__init__(self.world_clock, seed=seed)
        self._outside = outside or Outside(self.world)
        drawn = Chance(f"{seed}/{self.world.process}")
        self._strategy = strategy_named(strategy, drawn, change_points) if isinstance(strategy, str) else strategy
        self._waiting: list[Inbox] = []
        self._inside: EngineActor | None = None
        self._process = self.world.process
        self._has_faults = self.world.faults.active
        self._alarm_us = NEVER
        self.turns = 0
        self.actors: dict[str, EngineActor] = {}
        """The actors of the present engine, by name."""
        self.watch: Watch | None = None
        self.watch_call: Callable[[RunningCall], None] | None = None
        """Told of each call of a performer, as it is made."""

    # For the engine.

    def executor(self, performer: Performer, report: Report) -> Executor:
        """Performers run outside, and answer in virtual time."""
        return _SimulatedExecutor(self, performer, report)

    def perform(self, performed: Performed, call: RunningCall, report: Report) -> None:
        """Have a call performed outside."""
        if self.watch_call is not None:
            self.watch_call(call)
        self._outside.call(performed, call, report, Process(self._process, self.world_clock, self._router, self.owner_names))

    def adopt(self, actor: EngineActor) -> None:
        """Serve the actor."""
        if isinstance(actor, WriterActor):  # the first of an engine
            self.actors = {}
            self.world.recovering = False
        self.actors[actor.name] = actor
        actor.actor_inbox.serve(self._schedule if self._has_faults else self._waiting.append)

    def owner_names(self) -> list[str]:
        """The owners of the present engine."""
        return [name for name, actor in self.actors.items() if isinstance(actor, OwnerActor)]

    def _router(self) -> Mailbox | None:
        return next((actor.post for actor in self.actors.values() if isinstance(actor, RouterActor)), None)

    def _schedule(self, inbox: Inbox) -> None:
        """Somebody has a message: told in the middle of a turn, so this is where a process may die inside of one."""
        world = self.world
        if isinstance(inbox.actor, WriterActor) and world.faults.happens("slow_commit"):
            world.tell("fault", "Fault", "Fault", "the disk is slow")
            world.after(int(world.faults.detail("slow_commit") ** 4 * 2 * MINUTE), lambda: self._waiting.append(inbox))
            return
        self._waiting.append(inbox)
        if self._inside is not None:
            world.may_die("crash.release" if isinstance(self._inside, WriterActor) else "crash.append")

    # Driving.

    def step(self) -> bool:
        """Let one actor take one message, or one thing happen that is due; False when there is none, without time passing."""
        world, waiting, pick = self.world, self._waiting, self._strategy.pick
        while True:
            due = world.first_us <= world.now_us and world.is_due()
            rings = self._alarm_us <= world.now_us
            if not waiting and not due and not rings:
                return False
            index = pick(waiting, due + rings)
            if index < len(waiting):
                if self._take(index):
                    return True
                continue
            if due and index == len(waiting):
                world.happen()
            else:
                self._ring()
            return True

    def _take(self, index: int) -> bool:
        """Let the actor at that place take a message; False when it has none."""
        waiting = self._waiting
        inbox = waiting[index]
        message = inbox.take()
        if message is NOTHING:
            waiting[index] = waiting[-1]
            waiting.pop()
            return False
        actor = inbox.actor
        if inbox.closed or actor is None:
            return True
        self.turns += 1
        outer, self._inside = self._inside, actor
        hand_over(inbox, message)  # raises only when the process has died in it
        self._inside = outer
        if not self.world.alive:
            raise ProcessDied
        if self.watch is not None:
            self.watch(actor, message)
        return True

    def set_alarm(self, inbox: Inbox, due_us: int | None) -> None:
        """Rung when the clock gets there."""
        super().set_alarm(inbox, due_us)
        self._look_for_alarm()

    def _look_for_alarm(self) -> None:
        self._alarm_us = self.world_clock.world_us(min(self._alarms.values())) if self._alarms else NEVER

    def _next_us(self) -> int | None:
        """When something is due next, by this process's clock."""
        outside_us = self.world.next_us()
        due_us = self._alarm_us if outside_us is None else min(self._alarm_us, outside_us)
        return None if due_us == NEVER else due_us + self.clock.now_us() - self.world.now_us

    def next_due(self) -> datetime | None:
        """When a timer, or the outside world, acts next; None when neither does."""
        due_us = self._next_us()
        return None if due_us is None else from_micros(due_us)

    def jump(self, limit_us: int | None = None) -> bool:
        """Let virtual time pass until something is due; False when nothing ever is, or not by `limit_us` from now."""
        due_us = self._next_us()
        now_us = self.clock.now_us()
        if due_us is None or (limit_us is not None and due_us > now_us + limit_us):
            return False
        self.clock.advance_to_us(max(due_us, now_us))
        return True

    def advance_to(self, moment: datetime) -> None:
        """Let virtual time pass up to a moment, stopping at everything that is due on the way."""
        self.run_until_idle()
        while (due := self.next_due()) is not None and due <= moment:
            self.jump()
            self.run_until_idle()
        self.clock.advance(moment - self.clock.now)
        self.run_until_idle()

    # For the system.

    def wait(self, reply: Awaited, timeout_s: float | None) -> None:
        """Run until it is there; time passes where nothing else is left to do."""
        limit_us = None if timeout_s is None else self.clock.now_us() + int(timeout_s * SECOND)
        while not reply.given:
            if not self.step() and not self.jump(None if limit_us is None else limit_us - self.clock.now_us()):
                msg = "Nothing is left to run, and the reply has not come: only an answer from outside, or more time, can bring it."
                raise TimeoutError(msg)

    def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Run until it holds, or that much virtual time has passed."""
        end_us = self.clock.now_us() + int(timeout_s * SECOND)
        while not condition():
            if not self.step() and not self.jump(end_us - self.clock.now_us()):
                return condition()
        return True

    def background(self, name: str, task: Callable[[], Any]) -> None:
        """At once; a process that is dead does nothing any more."""
        if self.world.alive:
            super().background(name, task)

    def stop(self) -> None:
        """Run what is in the mailboxes, but no timer, and let nothing happen outside."""
        self._alarms.clear()
        self._look_for_alarm()
        while self._waiting:
            self._take(self._strategy.pick(self._waiting, 0))

    def timers(self) -> int:
        """How many deadlines are armed."""
        return len(self.armed())

    def armed(self) -> list[Key]:
        """For what deadlines are armed: executions, and parked sources of owners."""
        armed = (actor.deadlines.keys() for actor in self.actors.values() if isinstance(actor, TimerActor))
        return [key for keys in armed for key in keys]

    def _ring(self) -> bool:
        inbox = min(self._alarms, key=self._alarms.__getitem__)
        del self._alarms[inbox]
        self._look_for_alarm()
        inbox.tell(ALARM)
        return True


class _SimulatedExecutor:
    def __init__(self, runtime: SimulatedRuntime, performer: Performer, report: Report) -> None:
        self._runtime = runtime
        self._performed = Performed(performer, performer.is_async)
        self._report = report

    def submit(self, call: RunningCall) -> None:
        """Have it performed outside."""
        self._runtime.perform(self._performed, call, self._report)

    def leave_out(self) -> Iterable[RunningCall]:
        """None waits: each is on its way at once."""
        return ()

    def stop(self) -> None:
        """Nothing to stop."""
