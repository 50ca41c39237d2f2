"""The families there are, and how annotations, values and JSON schemas find theirs."""

from __future__ import annotations

import types
from collections.abc import Collection, Mapping
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import typing_extensions

from bentotask.codec.binary import Bytes
from bentotask.codec.family import Family
from bentotask.codec.file import File
from bentotask.codec.image import Image

#: Every family, the most particular first: an image is described as a file too.
FAMILIES: Final[tuple[Family, ...]] = (Image(), File(), Bytes())


def family_for(annotation: Any) -> Family | None:
    """Return the family of a bare annotation."""
    return next((family for family in FAMILIES if family.owns(annotation)), None)


def family_of(value: Any) -> Family | None:
    """Return the family of a Python value."""
    return next((family for family in FAMILIES if family.is_value(value)), None)


def family_described(schema: Mapping[str, Any]) -> Family | None:
    """Return the family that a JSON schema speaks of, through ``anyOf`` and ``items`` too."""
    for node in (*arms(schema), *arms(schema.get("items", {}))):
        for family in FAMILIES:
            if family.describes(node):
                return family
    items = [arm["items"] for arm in arms(schema) if arm is not schema and "items" in arm]
    return next(filter(None, map(family_described, items)), None)


def arms(schema: Any) -> list[Mapping[str, Any]]:
    """Return the schemas that a value may fit: the schema itself, or those of its ``anyOf``."""
    if not isinstance(schema, Mapping):
        return []
    return list(schema.get("anyOf", [schema]))


def rewritten(annotation: Any) -> Any:
    """Return ``annotation`` with each family's types taught to pydantic, however deep.

    Goes through ``list[...]``, ``Optional``, ``Annotated``, unions, dicts and tuples.
    """
    if (family := family_for(annotation)) is not None:
        return Annotated[annotation, family.hook()]
    if is_typeddict(annotation):
        return _readable_typed_dict(annotation)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _with_metadata(rewritten(args[0]), annotation.__metadata__)
    if origin in {None, Literal}:
        return annotation
    new = tuple(map(rewritten, args))
    return annotation if new == args else _rebuilt(annotation, origin, new)


def mentions_binary(annotation: Any) -> bool:
    """Tell whether a family's type is anywhere in ``annotation``."""
    if family_for(annotation) is not None:
        return True
    if get_origin(annotation) is Annotated:
        return mentions_binary(annotation.__origin__)
    return any(map(mentions_binary, get_args(annotation)))


def union_arms(annotation: Any) -> list[Any]:
    """Return the types that a value may have, without ``Annotated`` around them."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return union_arms(annotation.__origin__)
    if origin in {Union, types.UnionType}:
        return [arm for part in get_args(annotation) for arm in union_arms(part)]
    return [annotation]


def item_of(annotation: Any) -> Any:
    """Return the annotation of a list-like parameter's items, ``None`` when it is no list."""
    for arm in union_arms(annotation):
        origin = get_origin(arm) or arm
        if not _is_list_like(origin):
            continue
        args = [arg for arg in get_args(arm) if arg is not Ellipsis]
        # tuple[int, str] has no one item type.
        return args[0] if len(args) == 1 else Any
    return None


def _is_list_like(origin: Any) -> bool:
    if not isinstance(origin, type) or issubclass(origin, str | bytes | bytearray | Mapping):
        return False
    return issubclass(origin, Collection) and origin.__module__ in {
        "builtins",
        "collections",
        "collections.abc",
    }


def _with_metadata(inner: Any, metadata: tuple[Any, ...]) -> Any:
    # FilePath would ask for the file before anybody has written it; it is one by construction.
    kept = tuple(word for word in metadata if type(word).__name__ != "PathType")
    return Annotated[(inner, *kept)] if kept else inner


#: The TypedDicts that are just being rewritten.
_being_said: Final[set[Any]] = set()


def _readable_typed_dict(annotation: Any) -> Any:
    """Say a TypedDict again with readable fields, in the form that every pydantic takes.

    Before Python 3.12 pydantic refuses ``typing.TypedDict``, whatever its fields are.
    """
    if annotation in _being_said:
        return annotation  # one that refers to itself; a file inside of it stays unknown
    _being_said.add(annotation)
    try:
        fields = {
            key: _mark(annotation, key, hint)[rewritten(_without_mark(hint))]
            for key, hint in get_type_hints(annotation, include_extras=True).items()
        }
    finally:
        _being_said.discard(annotation)
    # The functional form is the only one for names that are known at run time alone.
    new = typing_extensions.TypedDict(annotation.__name__, fields)  # type: ignore[misc]
    new.__doc__, new.__module__ = annotation.__doc__, annotation.__module__
    return new


def _mark(annotation: Any, key: str, hint: Any) -> Any:
    # Under `from __future__ import annotations` only the evaluated hint still shows its mark.
    if get_origin(hint) in {Required, NotRequired}:
        return get_origin(hint)
    return Required if key in annotation.__required_keys__ else NotRequired


def _without_mark(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) in {Required, NotRequired} else hint


def _rebuilt(annotation: Any, origin: Any, args: tuple[Any, ...]) -> Any:
    if origin in {Union, types.UnionType}:
        return Union[args]  # noqa: UP007 - the arms are only known now
    if hasattr(annotation, "copy_with"):
        return annotation.copy_with(args)
    return origin[args]
