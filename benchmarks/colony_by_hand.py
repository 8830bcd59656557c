"""The colony by hand: the rules of `scenarios/settlers` in one mutable loop, as one writes it who needs none of what the library gives.

The land, the paths, the choice of a job, what befalls the colony and every constant are the scenario's own.
"""

from heapq import heappop, heappush

from benchmarks.colony_bodies import NEVER, STEP_US, TICKS_A_TILE, Doing, Settler
from tallystick.scenarios.settlers.colony import MORNING, STEPS_A_SECOND
from tallystick.scenarios.settlers.fate import arrivals, befalls
from tallystick.scenarios.settlers.jobs import (
    BUILD_US,
    DROPPED_FOR_US,
    FAILURES_LIMIT,
    FELL_US,
    FOR_GOOD,
    GROWS_AGAIN_US,
    LOOKS_AGAIN_US,
    PUT_OFF_US,
    RETRIED_AFTER_US,
    TASKS,
    TREE_WOOD,
    JobKind,
    Offers,
    Task,
)
from tallystick.scenarios.settlers.land import MOVES, Land, Tile
from tallystick.scenarios.settlers.levels import COOLS_AFTER_FAILURE_US, COOLS_AFTER_SUCCESS_US, RULES, Need, micros
from tallystick.scenarios.settlers.navigation import TRIED_AGAIN_US, TRIES_LIMIT, BlockTile, ClearTile, SendTo
from tallystick.scenarios.settlers.paths import Paths
from tallystick.scenarios.settlers.relief import HELPS, LASTS_US, ON_THE_SPOT, PORTIONS, PROPERLY, Relief
from tallystick.scenarios.settlers.work import FellTree


class ColonyByHand:
    """The whole colony, and the one loop."""

    def __init__(self, seed: int, settlers: int) -> None:
        self.land = Land.generated(seed, settlers)
        self.paths = Paths(self.land)
        self.now_us = micros(MORNING)
        self.steps = 0
        self.stock = self.promised = 0
        self.wood = [TREE_WOOD] * len(self.land.trees)
        self.wood_promised = [0] * len(self.land.trees)
        self.felled_us = [0] * len(self.land.trees)
        self.beams = [0] * len(self.land.houses)
        self.beams_promised = [0] * len(self.land.houses)
        self.blocked: frozenset[Tile] = frozenset()
        self.jobs_done = self.jobs_dropped = self.tasks_failed = self.not_met = self.errands_done = self.errands_dropped = 0
        self.met: dict[str, int] = {}
        self.settlers: dict[str, Settler] = {}
        self.agenda: list[tuple[int, str]] = []
        self.rising: list[tuple[int, str]] = []
        self.needy: set[str] = set()
        self.errands: dict[str, Settler] = {}
        for arrival in arrivals(self.land, settlers):
            settler = Settler(arrival.settler, arrival.at, self.now_us, arrival.hunger, arrival.fatigue)
            self.settlers[settler.name] = settler
            heappush(self.agenda, (self.now_us, settler.name))
            self._feel(settler)
        self.bids: dict[str, list[Doing]] = {}

    # A step.

    def step(self) -> None:
        """Let fate act, and everybody do something; then decide who does what next."""
        second, part = divmod(self.steps, STEPS_A_SECOND)
        if part == 0:
            self._befall(second)
        self.steps += 1
        self.now_us += STEP_US
        ended = [(settler, reason) for settler in self.settlers.values() if (reason := self._tick(settler)) is not None]
        failed_rations = []
        for settler, reason in ended:
            doing, settler.doing = settler.doing, None
            if doing is None:
                continue
            self._ended(settler, doing, reason)
            if reason and doing.owner == "needs" and settler.parked is not None:
                failed_rations.append(settler)
            self.bids.setdefault(settler.name, [])
        self._look_after()
        self._run_errands()
        self._dispatch()
        for settler in failed_rations:
            parent, settler.parked = settler.parked, None
            if parent is not None:
                self._ended(settler, parent, "INTERRUPTED")
        self._arbitrate()

    def _befall(self, second: int) -> None:
        for event in befalls(self.land, len(self.settlers), second):
            match event:
                case BlockTile(tile=tile):
                    self.blocked |= {tile}
                case ClearTile(tile=tile):
                    self.blocked -= {tile}
                case FellTree(tree=tree):
                    self.wood[tree], self.felled_us[tree] = 0, self.now_us
                case SendTo(settler=name, to=to):
                    settler = self.settlers[name]
                    if settler.errand is None or settler.errand_due_us < NEVER:
                        settler.errand, settler.errand_tries, settler.errand_due_us = to, 0, self.now_us
                        self.errands[name] = settler
                case _:
                    raise NotImplementedError(event)

    def _tick(self, settler: Settler) -> str | None:
        """None: it goes on; empty: it is done; else why it cannot go on."""
        doing = settler.doing
        if doing is None:
            return None
        doing.left -= 1
        if doing.way is None:
            if doing.left % STEPS_A_SECOND:
                return None
            return self._hindered(settler, doing) or (None if doing.left else "")
        return None if doing.left else self._walk(doing, doing.way)

    def _hindered(self, settler: Settler, doing: Doing) -> str:
        if doing.owner == "work" and settler.task is Task.FELL and not self.wood_of(settler.tree):
            return "TARGET_GONE"
        return "NO_RATIONS" if doing.relief is Relief.RATION and not settler.portions else ""

    def _walk(self, doing: Doing, way: str) -> str | None:
        """To the next tile; at the end of the way, what was to be done there begins."""
        if way:
            (x, y), (dx, dy) = doing.at, MOVES[way[doing.moves]]
            tile = Tile(x + dx, y + dy)
            if tile in self.blocked:
                return "PATH_BLOCKED"
            doing.at = tile
            doing.moves += 1
        if doing.moves < len(way):
            doing.left = TICKS_A_TILE
            return None
        doing.way, doing.left = None, doing.lasts
        return None if doing.lasts else ""

    def wood_of(self, tree: int) -> int:
        """What a tree has; felled long enough ago, all of it again."""
        if not self.wood[tree] and self.now_us >= self.felled_us[tree] + GROWS_AGAIN_US:
            self.wood[tree] = TREE_WOOD
            self.felled_us[tree] = 0
        return self.wood[tree]

    # What ends.

    def _ended(self, settler: Settler, doing: Doing, reason: str) -> None:
        if doing.owner == "work":
            if reason:
                self._task_failed(settler, reason)
            else:
                self._task_done(settler, doing.at)
        elif doing.owner == "needs":
            if reason:
                self._not_met(settler, doing.need)
            else:
                self._met(settler, doing)
        elif reason:
            self._errand_failed(settler)
        else:
            settler.at, settler.errand = doing.at, None
            self.errands_done += 1
            self._take_up(settler)

    def _due(self, settler: Settler, due_us: int) -> None:
        settler.free, settler.due_us = True, due_us
        heappush(self.agenda, (due_us, settler.name))

    def _task_done(self, settler: Settler, at: Tile) -> None:
        settler.at = at
        match settler.task:
            case Task.FELL:
                tree = settler.tree
                self.wood_promised[tree] -= 1
                self.wood[tree] = max(0, self.wood_of(tree) - 1)
                if not self.wood[tree]:
                    self.felled_us[tree] = self.now_us
            case Task.FETCH:
                self.stock -= 1
                self.promised -= 1
            case Task.STORE:
                self.stock += 1
            case Task.BUILD:
                self.beams[settler.house] += 1
                self.beams_promised[settler.house] -= 1
            case Task.CARRY:
                pass
        settler.done += 1
        if settler.job is not None and settler.done == len(TASKS[settler.job]):
            settler.job, settler.done, settler.failures = None, 0, 0
            self.jobs_done += 1
        self._due(settler, self.now_us)

    def _task_failed(self, settler: Settler, reason: str) -> None:
        if reason not in FOR_GOOD and settler.failures + 1 < FAILURES_LIMIT:
            settler.failures += 1
            settler.put_off = False
            self.tasks_failed += 1
            self._due(settler, self.now_us + RETRIED_AFTER_US)
            return
        self.jobs_dropped += 1
        if settler.task is Task.FELL:
            self.wood_promised[settler.tree] -= 1
        if settler.task is Task.FETCH:
            self.promised -= 1
        if settler.job is JobKind.HOUSE:
            self.beams_promised[settler.house] -= 1
        settler.job, settler.done, settler.failures, settler.put_off = None, 0, 0, False
        self._due(settler, self.now_us + DROPPED_FOR_US)

    def _take_up(self, settler: Settler) -> None:
        if settler.put_off:
            self._due(settler, self.now_us)

    def _feel(self, settler: Settler) -> None:
        settler.pursued = None
        settler.urgent_us = min(settler.from_us(need, rule.urgent) for need, rule in RULES.items())
        heappush(self.rising, (settler.urgent_us, settler.name))

    def _met(self, settler: Settler, doing: Doing) -> None:
        need, relief = doing.need, doing.relief
        points = max(0, settler.points(need, self.now_us) - HELPS[relief])
        settler.levels[need] = [points, self.now_us, self.now_us + COOLS_AFTER_SUCCESS_US]
        if relief is Relief.MEAL:
            settler.portions = PORTIONS
        elif relief is Relief.RATION:
            settler.portions -= 1
        if not doing.stays:
            settler.at = doing.at
        self.met[relief] = self.met.get(relief, 0) + 1
        self._feel(settler)
        self._take_up(settler)

    def _not_met(self, settler: Settler, need: Need) -> None:
        settler.levels[need][2] = self.now_us + COOLS_AFTER_FAILURE_US
        self.not_met += 1
        self._feel(settler)
        self._take_up(settler)

    def _errand_failed(self, settler: Settler) -> None:
        settler.errand_tries += 1
        if settler.errand_tries >= TRIES_LIMIT:
            settler.errand = None
            self.errands_dropped += 1
        else:
            settler.errand_due_us = self.now_us + TRIED_AGAIN_US
            self.errands[settler.name] = settler
        self._take_up(settler)

    # What is decided: needs first, then errands, then work.

    def _look_after(self) -> None:
        while self.rising and self.rising[0][0] <= self.now_us:
            due_us, name = heappop(self.rising)
            if self.settlers[name].urgent_us == due_us and self.settlers[name].pursued is None:
                self.needy.add(name)
        for name in sorted(self.needy):
            settler = self.settlers[name]
            critical = [need for need, rule in RULES.items() if settler.from_us(need, rule.critical) <= self.now_us]
            free = settler.free and not self._is_on_errand(settler)
            if not free and not critical:
                continue
            self.needy.discard(name)
            urgent = [need for need, rule in RULES.items() if settler.from_us(need, rule.urgent) <= self.now_us]
            self._pursue(settler, (critical or urgent)[0], free=free, critical=bool(critical))

    def _pursue(self, settler: Settler, need: Need, *, free: bool, critical: bool) -> None:
        way, spot = None, settler.at
        if free:
            spots = self.land.bushes if need is Need.HUNGER else self.land.beds
            spot = min(spots, key=lambda each: self.paths.distance(settler.at, each))
            way = self.paths.way(settler.at, spot, self.blocked)
        if way is None and not critical:
            self._not_met(settler, need)
            return
        relief = (ON_THE_SPOT if way is None else PROPERLY)[need]
        doing = Doing("needs", settler.at, way, LASTS_US[relief])
        doing.need, doing.relief, doing.critical, doing.stays = need, relief, critical, way is None
        settler.pursued = need
        self.bids.setdefault(settler.name, []).append(doing)

    def _is_on_errand(self, settler: Settler) -> bool:
        return settler.errand is not None and settler.errand_due_us == NEVER

    def _run_errands(self) -> None:
        for settler in list(self.errands.values()):
            if settler.errand is None or settler.errand_due_us > self.now_us or not settler.free or settler.has_to_eat(self.now_us):
                continue
            way = self.paths.way(settler.at, settler.errand, self.blocked)
            del self.errands[settler.name]
            if way is None:
                self._errand_failed(settler)
                continue
            settler.errand_due_us = NEVER
            doing = Doing("navigation", settler.at, way)
            doing.replays = (settler.at, way)
            self.bids.setdefault(settler.name, []).append(doing)

    def _dispatch(self) -> None:
        due: list[Settler] = []
        hungry: list[tuple[int, str]] = []
        while self.agenda and self.agenda[0][0] <= self.now_us:
            due_us, name = heappop(self.agenda)
            settler = self.settlers[name]
            if not settler.free or settler.due_us != due_us or (due and due[-1] is settler):
                continue
            if settler.has_to_eat(self.now_us):
                hungry.append((due_us, name))
            else:
                due.append(settler)
        for entry in dict.fromkeys(hungry):
            heappush(self.agenda, entry)
        if not due:
            return
        offers = Offers(
            [self.stock - self.promised],
            [self.wood_of(tree) - promised for tree, promised in enumerate(self.wood_promised)],
            [beams + promised for beams, promised in zip(self.beams, self.beams_promised, strict=True)],
        )
        for settler in due:
            if settler.job is None and not self._give_job(settler, offers):
                self._due(settler, self.now_us + LOOKS_AGAIN_US)
            else:
                self._begin_task(settler)

    def _give_job(self, settler: Settler, offers: Offers) -> bool:
        job = offers.choose(settler.at, self.land, self.paths)
        if job is None:
            return False
        offers.take(job)
        settler.job, settler.tree, settler.house, settler.done, settler.failures = job.kind, job.tree, job.house, 0, 0
        if job.kind is JobKind.HOUSE:
            self.promised += 1
            self.beams_promised[job.house] += 1
        else:
            self.wood_promised[job.tree] += 1
        return True

    def _begin_task(self, settler: Settler) -> None:
        task = settler.task
        if task is Task.BUILD:
            doing = Doing("work", settler.at, None, BUILD_US)
            doing.critical = True
        else:
            goal = self.land.stockpile
            if task is Task.FELL:
                goal = self.land.trees[settler.tree]
            elif task is Task.CARRY:
                goal = self.land.houses[settler.house]
            way = self.paths.way(settler.at, goal, self.blocked)
            if way is None:
                self._task_failed(settler, "NO_WAY")
                return
            doing = Doing("work", settler.at, way, FELL_US if task is Task.FELL else 0)
            if task is Task.FETCH:
                doing.replays = (settler.at, way)
        settler.free, settler.put_off = False, False
        self.bids.setdefault(settler.name, []).append(doing)

    # Who gets the settler.

    def _arbitrate(self) -> None:
        """Of those who want a settler, the first: they have bid in the order of their ranks. Only what is critical interrupts."""
        bids, self.bids = self.bids, {}
        for name, wanted in bids.items():
            settler = self.settlers[name]
            winner: Doing | None = None
            if settler.doing is not None:
                if wanted and wanted[0].owner == "needs" and not settler.doing.critical:
                    winner, settler.parked = wanted[0], settler.doing
            elif settler.parked is not None and not (wanted and wanted[0].owner == "needs"):
                settler.doing, settler.parked = self._resumed(settler.parked), None
            elif wanted:
                winner = wanted[0]
            if winner is not None:
                settler.doing = winner
            for loser in wanted:
                if loser is not winner:
                    self._refused(settler, loser)

    def _resumed(self, doing: Doing) -> Doing:
        if doing.replays is not None:
            doing.at, doing.way = doing.replays
            doing.moves, doing.left = 0, TICKS_A_TILE
        return doing

    def _refused(self, settler: Settler, doing: Doing) -> None:
        if doing.owner == "work":
            settler.put_off = True
            self._due(settler, self.now_us + PUT_OFF_US)
        elif doing.owner == "needs":
            self._not_met(settler, doing.need)
        else:
            self._errand_failed(settler)
