"""How values of options are read from words, and shown as words: none, short numbers, lists."""

from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args

from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    UnsupportedTypeAnnotationError,
)

VALUES = ConstructorRegistry()
NONE = ("none", "None")


@VALUES.primitive_rule
def number(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """Show a float with four digits: 0.6667, 5 and 1e-5."""
    if info.type is not float:
        return None
    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="FLOAT",
        instance_from_str=lambda words: float(words[0]),
        is_instance=lambda value: isinstance(value, int | float),
        str_from_instance=lambda value: [f"{value:.4g}".replace("e-0", "e-")],
    )


@VALUES.primitive_rule
def optional(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """Read `X | None` as X, or as the word none."""
    kinds = get_args(info.type)
    if info.type_origin not in (Union, UnionType) or kinds[1:] != (NoneType,):
        return None
    inner = _values_of(kinds[0], info)
    return PrimitiveConstructorSpec(
        nargs=inner.nargs if inner.nargs in (1, "*") else (1, inner.nargs),
        metavar=inner.metavar,
        instance_from_str=lambda words: (
            None if len(words) == 1 and words[0] in NONE else inner.instance_from_str(words)
        ),
        is_instance=lambda value: value is None or inner.is_instance(value),
        str_from_instance=lambda value: (
            ["none"] if value is None else inner.str_from_instance(value)
        ),
        choices=inner.choices and (*inner.choices, *NONE),
    )


@VALUES.primitive_rule
def several(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """Read `tuple[X, ...]` from any number of words, and `list[X]`, a positional, from some."""
    kind, kinds = info.type_origin, get_args(info.type)
    if kind is not list and (kind is not tuple or kinds[-1] is not Ellipsis):
        return None
    inner = _values_of(kinds[0], info)
    if isinstance(inner, UnsupportedTypeAnnotationError):  # stages, which have options of their own
        return None

    def read(words: list[str]) -> Sequence[Any]:
        if kind is list and not words:
            raise ValueError("expected one or more")
        return kind(inner.instance_from_str([word]) for word in words)

    return PrimitiveConstructorSpec(
        nargs="*",
        metavar=f"{inner.metavar} ...",
        instance_from_str=read,
        is_instance=lambda value: isinstance(value, kind) and all(map(inner.is_instance, value)),
        str_from_instance=lambda value: (
            [word for item in value for word in inner.str_from_instance(item)] or ["none"]
        ),
        choices=inner.choices,
    )


def _values_of(
    kind: Any, info: PrimitiveTypeInfo
) -> PrimitiveConstructorSpec | UnsupportedTypeAnnotationError:
    return ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kind, info.markers))
