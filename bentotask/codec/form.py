"""The parts of a form, given to the parameters that they are for."""

from __future__ import annotations

from collections import defaultdict
from functools import cached_property
from types import NoneType
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from bentotask.codec.family import Place
from bentotask.codec.problems import invalid, problem
from bentotask.codec.registry import family_for, item_of, union_arms
from bentotask.codec.text import parse_json
from bentotask.codec.values import Blob, Document
from bentotask.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Part = str | Blob


class Slot:
    """One parameter as a form sees it: what becomes of the parts that carry its name."""

    def __init__(self, annotation: Any) -> None:
        #: as :func:`~bentotask.codec.registry.rewritten` gave it
        self.annotation = annotation

    def read(self, name: str, parts: Sequence[Part]) -> Any:
        """Return the value that ``parts`` make; repeated parts make a list.

        Raises:
            InvalidInput: several parts for a parameter that takes one value.
        """
        if len(parts) == 1:
            return self._one_or_list(parts[0])
        if self.item is None:
            message = f"The field was sent {len(parts)} times, but takes one value"
            raise invalid(problem("duplicate_field", [name], message))
        return [self.item.one(part) for part in parts]

    def one(self, part: Part) -> Any:
        """Return the value of a single part."""
        if isinstance(part, str):
            return self._text(part)
        # A text parameter may well be sent as a file: curl -F prompt=@prompt.txt
        text = None if self._takes_blobs else _as_text(part)
        return part if text is None else self._text(text)

    @cached_property
    def item(self) -> Slot | None:
        """What one item is, for a parameter that takes a list."""
        item = Any if self.annotation is Any else item_of(self.annotation)
        return None if item is None else Slot(item)

    @cached_property
    def is_binary(self) -> bool:
        """Whether the parameter is a file, an image or bytes (not a list of those)."""
        return any(family_for(arm) for arm in union_arms(self.annotation))

    @cached_property
    def _takes_blobs(self) -> bool:
        return self.is_binary or self.annotation in {Any, Blob}

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.annotation)

    def _one_or_list(self, part: Part) -> Any:
        if self.item is None or self.annotation is Any or self.is_binary:
            return self.one(part)
        if isinstance(part, str) and self._fits(part):
            return parse_json(part)
        return [self.item.one(part)]

    def _text(self, text: str) -> Any:
        """JSON where that fits the parameter, plain text otherwise.

        The text of a binary parameter is the value itself, except for the ``null`` that an
        optional one is sent as.
        """
        if self.is_binary and not (text == "null" and self._optional):
            return text
        return parse_json(text) if self._fits(text) else text

    @cached_property
    def _optional(self) -> bool:
        return any(arm in {None, NoneType} for arm in union_arms(self.annotation))

    def _fits(self, text: str) -> bool:
        try:
            parse_json(text)
            self._adapter.validate_json(text, context=Place())
        except (InvalidInput, ValidationError, UnicodeEncodeError):
            return False
        return True


def read_form(slots: Mapping[str, Slot], fields: Sequence[tuple[str, Part]]) -> Document:
    """Read a form; a field that belongs to no parameter is kept for validation to refuse."""
    document: Document = {}
    for name, parts in _grouped(fields).items():
        document[name] = slots.get(name, _ANYTHING).read(name, parts)
    return document


def read_root_form(name: str, slot: Slot, fields: Sequence[tuple[str, Part]]) -> Any:
    """Read a form that is itself the value of the root parameter ``name``.

    A file takes the form's files whatever their field is called; an object takes the fields as
    its members, unless the form says ``name`` and nothing else.
    """
    grouped = _grouped(fields)
    if slot.is_binary or (slot.item is not None and slot.item.is_binary):
        return slot.read(name, [part for _, part in fields])
    if list(grouped) == [name]:
        return slot.read(name, grouped[name])
    return {key: _ANYTHING.read(key, parts) for key, parts in grouped.items()}


class _Loose(Slot):
    """A field that nothing is known about: text, unless it is JSON's other than a number.

    pydantic turns the text "3" into the number where a number is wanted, but never back.
    """

    def _text(self, text: str) -> Any:
        try:
            value = parse_json(text)
        except InvalidInput:
            return text
        return text if isinstance(value, int | float) and not isinstance(value, bool) else value


_ANYTHING = _Loose(Any)


def _grouped(fields: Sequence[tuple[str, Part]]) -> dict[str, list[Part]]:
    grouped = defaultdict(list)
    for name, part in fields:
        grouped[name].append(part)
    return grouped


def _as_text(blob: Blob) -> str | None:
    try:
        return blob.data.decode()
    except UnicodeDecodeError:
        return None
