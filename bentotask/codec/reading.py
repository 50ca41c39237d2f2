"""A request's body, by its media type, as a document."""

from __future__ import annotations

from typing import Final

from bentotask.codec.form import Slot, read_form, read_root_form
from bentotask.codec.model import is_required
from bentotask.codec.parameters import Method
from bentotask.codec.problems import invalid, problem
from bentotask.codec.registry import family_for, union_arms
from bentotask.codec.text import JSON, is_json, parse_json
from bentotask.codec.values import Blob, Body, Document
from bentotask.errors import UnsupportedMediaType

_MULTIPART: Final = "multipart/form-data"
_URLENCODED: Final = "application/x-www-form-urlencoded"


class BodyReader:
    """Reads the bodies of one method's requests; whether they fit is not asked here."""

    def __init__(self, method: Method) -> None:
        self._method = method
        self._slots = {p.name: Slot(p.annotation) for p in method.parameters}

    def read(self, body: Body) -> Document:
        """Read a body.

        Raises:
            InvalidInput: it cannot be read as its media type says.
            UnsupportedMediaType: nothing here reads such a body; names what is read.
        """
        media_type = body.media_type.lower()
        if media_type in {_MULTIPART, _URLENCODED}:
            return self._read_form(body)
        if is_json(media_type):
            return self._read_json(body.data)
        raw = self._raw_parameter(media_type)
        if raw is not None:
            return {raw: Blob(body.data, media_type)}
        if not body.data:
            return {}
        raise UnsupportedMediaType(self._unsupported(media_type))

    def _read_json(self, data: bytes) -> Document:
        if not data:
            return {}
        value = parse_json(data)
        if self._method.is_root:
            return {next(iter(self._slots)): value}
        if isinstance(value, dict):
            return value
        names = ", ".join(self._slots) or "none"
        raise invalid(problem("dict_type", [], f"Input should be an object; its members: {names}"))

    def _read_form(self, body: Body) -> Document:
        if not self._method.is_root:
            self._refuse_disguised_json(body)
            return read_form(self._slots, body.fields)
        if not body.fields:
            return {}
        name, slot = next(iter(self._slots.items()))
        return {name: read_root_form(name, slot, body.fields)}

    def _refuse_disguised_json(self, body: Body) -> None:
        """``curl -d '{...}'`` calls JSON a form, and a form parser makes one odd field of it."""
        if body.media_type.lower() == _URLENCODED and body.fields:
            name = body.fields[0][0]
            if name.lstrip().startswith("{") and name not in self._slots:
                raise UnsupportedMediaType(f"JSON was sent as {_URLENCODED}; say {JSON}")

    def _raw_parameter(self, media_type: str) -> str | None:
        """Return the one binary parameter that a raw body can be, if every other is optional."""
        binary = [name for name, slot in self._slots.items() if slot.is_binary]
        required = [p.name for p in self._method.parameters if is_required(p)]
        if len(binary) != 1 or not set(required) <= set(binary):
            return None
        arms = union_arms(self._slots[binary[0]].annotation)
        families = [family for arm in arms if (family := family_for(arm)) is not None]
        return binary[0] if any(family.reads(media_type) for family in families) else None

    def _unsupported(self, media_type: str) -> str:
        read = [JSON, _MULTIPART, _URLENCODED]
        read += [t for t in ("image/*", "application/octet-stream") if self._raw_parameter(t)]
        return f"{media_type} is not read by {self._method.name}; send {', '.join(read)}"
