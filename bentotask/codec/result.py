"""Results: a task's value as exact bytes, and those bytes as a value again."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from bentotask.codec.family import Family, Place
from bentotask.codec.file import File
from bentotask.codec.names import from_data_url, is_data_url
from bentotask.codec.registry import FAMILIES, arms, family_of
from bentotask.codec.text import JSON, is_json, text_payload
from bentotask.codec.values import Payload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def encode_value(value: Any, dump_json: Callable[[Any], bytes]) -> Payload:
    """Encode a result by what it is: a binary as its own type, a text as text, else JSON."""
    if (family := family_of(value)) is not None:
        return family.to_payload(value)
    if isinstance(value, str):
        return text_payload(str.__str__(getattr(value, "value", value)))
    return Payload(dump_json(value), JSON)


def decode_payload(
    payload: Payload, output_schema: Mapping[str, Any], directory: Path | None = None
) -> Any:
    """Decode a result from nothing but the server's JSON schema.

    Args:
        payload: the answer.
        output_schema: the endpoint's ``output`` in ``/schema.json``.
        directory: where files are written; a fresh temporary one when ``None``.

    Raises:
        ConfigurationError: it is an image, and Pillow is not installed.
        ValueError: the bytes are not what their media type says.
    """
    family = _binary_of(payload, output_schema)
    if family is not None:
        return family.from_payload(payload, _place(directory, family))
    if is_json(payload.bare_type):
        return _Inside(output_schema, directory).restored(from_json(payload.body), output_schema)
    if payload.bare_type.startswith("text/"):
        return payload.body.decode("utf-8")
    return payload.body


def _binary_of(payload: Payload, schema: Mapping[str, Any]) -> Family | None:
    """Find the family of the whole answer; a JSON file has a name, a JSON value has none."""
    value = is_json(payload.bare_type) and payload.filename is None
    if value and "anyOf" in schema:
        return None
    for arm in arms(schema):
        for family in FAMILIES:
            if family.describes(arm) and not (payload.filename and not _is_file(arm)):
                return family
    return File() if payload.filename is not None else None


def _is_file(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "file"


def _place(directory: Path | None, family: Family) -> Place:
    if directory is None and isinstance(family, File):
        return Place(Path(tempfile.mkdtemp(prefix="bentotask-")))
    return Place(directory)


class _Inside:
    """Restores the binaries inside of a JSON value, which are ``data:`` URLs."""

    def __init__(self, schema: Mapping[str, Any], directory: Path | None) -> None:
        self._definitions = schema.get("$defs", {})
        self._directory = directory

    def restored(self, value: Any, schema: Mapping[str, Any]) -> Any:
        """Return ``value`` with each text that ``schema`` calls a file made one."""
        if isinstance(value, str) and is_data_url(value):
            return self._from_url(value, schema)
        if isinstance(value, list):
            return [self._item(item, schema, i) for i, item in enumerate(value)]
        if isinstance(value, dict):
            return {key: self._item(item, schema, key) for key, item in value.items()}
        return value

    def _from_url(self, url: str, schema: Mapping[str, Any]) -> Any:
        for arm in self._arms(schema):
            for family in FAMILIES:
                if family.describes(arm) and _is_file(arm):
                    return family.from_blob(from_data_url(url), _place(self._directory, family))
        return url

    def _item(self, item: Any, schema: Mapping[str, Any], key: str | int) -> Any:
        for arm in self._arms(schema):
            if isinstance(inner := _schema_at(arm, key), dict):
                item = self.restored(item, inner)
        return item

    def _arms(self, schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        return [
            self._definitions.get(str(arm.get("$ref", "")).rpartition("/")[2], arm)
            for arm in arms(schema)
        ]


def _schema_at(schema: Mapping[str, Any], key: str | int) -> Any:
    """Return the schema of what lies at ``key``."""
    if isinstance(key, str):
        return schema.get("properties", {}).get(key, schema.get("additionalProperties"))
    prefix = schema.get("prefixItems", [])
    return prefix[key] if key < len(prefix) else schema.get("items")
