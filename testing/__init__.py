"""For the tests of programs on Tallystick: one module by given/when/then, whole systems in virtual time, with faults, from one seed.

Each name is fetched from its module when it is first used, as those of `tallystick` itself are.
"""

TYPE_CHECKING = False  # what type checkers take for true; importing typing for it would cost more than all the rest
if TYPE_CHECKING:
    from tallystick.testing.plugin import OpenSystem
    from tallystick.testing.specification import Before, Expected, Happening, given, late_success, settled, timed_out
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
    "Expected",
    "Happening",
    "OpenSystem",
    "given",
    "late_success",
    "settled",
    "timed_out",
]

_ROOMS = {
    "plugin": "OpenSystem",
    "specification": "Before Expected Happening given late_success settled timed_out",
}
