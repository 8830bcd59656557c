"""Records: frozen, keyword-only data with camelCase on the wire. Not a registry: which records a system knows, its codec says."""

from typing import Any, ClassVar, TypeVar, dataclass_transform, get_args, get_origin

import msgspec

from tallystick.domain.errors import DefinitionError


class RecordMeta(msgspec.StructMeta):
    """Makes every subclass frozen, keyword-only, camelCase and strict about unknown fields; msgspec inherits only some of that."""

    def __new__(mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any) -> Any:
        """Refuse fields whose names are settings of a base, then make the struct class."""
        reserved = frozenset[str]().union(*(getattr(base, "reserved_names", ()) for base in bases))
        for field, annotation in namespace.get("__annotations__", {}).items():
            if field in reserved and "ClassVar" not in str(annotation):
                msg = f"{name}.{field}: {field!r} is a setting of {bases[0].__name__}, so it cannot be a field; choose another name."
                raise DefinitionError(msg)
        for option in ("frozen", "kw_only", "forbid_unknown_fields"):
            options.setdefault(option, True)
        options.setdefault("rename", "camel")
        options.setdefault("gc", False)  # frozen data has no cycles, so the collector need not look at it
        return super().__new__(mcls, name, bases, namespace, **options)


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
