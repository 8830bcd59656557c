"""Records: frozen, keyword-only data with camelCase on the wire. Not a registry: which records a system knows, its codec says."""

from typing import Any, ClassVar, TypeVar, dataclass_transform, get_args, get_origin

import msgspec

from tallystick.domain.errors import DefinitionError


class RecordMeta(msgspec.StructMeta):
    """Makes every subclass frozen, keyword-only, camelCase and strict about unknown fields; msgspec inherits only some of that."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        """Make the struct class, and refuse it where the name of a field is a setting of a base."""
        for option in ("frozen", "kw_only", "forbid_unknown_fields"):
            options.setdefault(option, True)
        options.setdefault("rename", "camel")
        options.setdefault("gc", False)  # frozen data has no cycles, so the collector need not look at it
        try:
            made = super().__new__(mcls, name, bases, namespace, **options)
        except ValueError as error:
            for base in bases:
                tag = base.__struct_config__.tag_field if isinstance(base, msgspec.StructMeta) else None
                if tag is not None and repr(tag) in str(error):
                    raise _taken(name, tag, base) from error
            raise
        for base in bases:
            for field in made.__struct_fields__:  # and not the annotations of the namespace, which Python 3.14 leaves to be asked for
                if field in getattr(base, "reserved_names", ()):
                    raise _taken(name, field, base)
        return made


def _taken(name: str, field: str, base: type) -> DefinitionError:
    return DefinitionError(f"{name}.{field}: {field!r} is a setting of {base.__name__}, so it cannot be a field; choose another name.")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, metaclass=RecordMeta, frozen=True, kw_only=True):
    """Immutable data with declared types.

    Use tuples, frozensets and frozen records for what it holds. Constructors do not check types; a system does, when the record enters
    or leaves it.
    """

    reserved_names: ClassVar[frozenset[str]] = frozenset()


def type_argument(kind: type, generic: type) -> Any:
    """What a class gave for the parameter of its generic ancestor: `Receipt` for a `Charge(Action[Receipt])`; `Any` if it gave nothing."""
    for ancestor in kind.__mro__:
        for original in ancestor.__dict__.get("__orig_bases__", ()):
            if get_origin(original) is generic:
                argument = get_args(original)[0]
                return Any if isinstance(argument, TypeVar) else argument
    return Any
