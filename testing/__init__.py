"""For the tests of programs on Tallystick: one module by given/when/then, whole systems in virtual time, with faults, from one seed.

Each name is fetched from its module when it is first used, as those of `tallystick` itself are.
"""

TYPE_CHECKING = False  # what type checkers take for true; importing typing for it would cost more than all the rest
if TYPE_CHECKING:
    from tallystick.testing.chance import Chance
    from tallystick.testing.faults import Hit, NeverHit, UnknownFault, check_all_hit, probabilities
    from tallystick.testing.invariants import Invariant, check_invariants
    from tallystick.testing.keys import SeededKeys
    from tallystick.testing.machine import HypothesisMissing, SystemMachine
    from tallystick.testing.options import Options, Script
    from tallystick.testing.plugin import OpenSystem
    from tallystick.testing.program import SimulatedProgram, Wish
    from tallystick.testing.providers import FakeProvider
    from tallystick.testing.recording_disk import RecordingDisk
    from tallystick.testing.shrinking import shrink
    from tallystick.testing.simulated import SimulatedRuntime
    from tallystick.testing.simulation import Simulation, SimulationResult
    from tallystick.testing.specification import Before, Expected, Happening, given, late_success, settled, timed_out
    from tallystick.testing.storage import Storage
    from tallystick.testing.story import diagram, told
    from tallystick.testing.violations import InvariantViolation
else:

    def __getattr__(name: str) -> object:
        """The public name, from the module that defines it; kept, so that each is asked for once.

        Raises:
            AttributeError: there is no such public name.
        """
        from importlib import import_module  # noqa: PLC0415 - only when a name is used

        room = next((room for room, names in _ROOMS.items() if name in names.split()), None)
        if room is None:
            msg = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(msg, name=name)
        value = globals()[name] = getattr(import_module(f"{__name__}.{room}"), name)
        return value

    def __dir__() -> list[str]:
        """What is there already, and every public name."""
        return sorted({*globals(), *__all__})


__all__ = [
    "Before",
    "Chance",
    "Expected",
    "FakeProvider",
    "Happening",
    "Hit",
    "HypothesisMissing",
    "Invariant",
    "InvariantViolation",
    "NeverHit",
    "OpenSystem",
    "Options",
    "RecordingDisk",
    "Script",
    "SeededKeys",
    "SimulatedProgram",
    "SimulatedRuntime",
    "Simulation",
    "SimulationResult",
    "Storage",
    "SystemMachine",
    "UnknownFault",
    "Wish",
    "check_all_hit",
    "check_invariants",
    "diagram",
    "given",
    "late_success",
    "probabilities",
    "settled",
    "shrink",
    "timed_out",
    "told",
]

_ROOMS = {
    "chance": "Chance",
    "faults": "Hit NeverHit UnknownFault check_all_hit probabilities",
    "invariants": "Invariant check_invariants",
    "keys": "SeededKeys",
    "machine": "HypothesisMissing SystemMachine",
    "options": "Options Script",
    "plugin": "OpenSystem",
    "program": "SimulatedProgram Wish",
    "providers": "FakeProvider",
    "recording_disk": "RecordingDisk",
    "shrinking": "shrink",
    "simulated": "SimulatedRuntime",
    "simulation": "Simulation SimulationResult",
    "specification": "Before Expected Happening given late_success settled timed_out",
    "storage": "Storage",
    "story": "diagram told",
    "violations": "InvariantViolation",
}
