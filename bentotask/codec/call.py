"""A client's call as a request's body, from nothing but the server's JSON schema."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic_core import PydanticSerializationError, to_json

from bentotask.codec.binary import Bytes
from bentotask.codec.names import OCTETS, from_data_url, is_data_url, to_data_url
from bentotask.codec.plain import Loc, to_blob, to_plain
from bentotask.codec.problems import invalid, problem
from bentotask.codec.registry import family_described
from bentotask.codec.text import JSON
from bentotask.codec.values import Blob, Body, is_plain

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORM: Final = "multipart/form-data"


def encode_call(arguments: Mapping[str, Any], input_schema: Mapping[str, Any]) -> Body:
    """Encode a call: JSON where everything is plain, a form where something is binary.

    Where the schema speaks of a file or an image, these are one: a ``Path``, an open binary
    file, ``bytes``, a ``PIL`` image, a base64 ``data:`` URL, and a ``str`` that names a file.
    Elsewhere a ``str`` is always text and a ``Path`` its text. Binaries deeper than a list
    travel inside of the JSON, as ``data:`` URLs.

    Args:
        arguments: by parameter name; for a root input one entry under any name.
        input_schema: the endpoint's ``input`` in ``/schema.json``.

    Raises:
        InvalidInput: a file is not there, or a value cannot be sent.
    """
    if input_schema.get("root_input"):
        return _root_body(*arguments.items(), schema=input_schema)
    properties = input_schema.get("properties", {})
    values = {
        name: _converted(value, properties.get(name, {}), (name,))
        for name, value in arguments.items()
    }
    if not any(map(_is_parts, values.values())):
        return Body(JSON, _json(values))
    return Body(_FORM, fields=[part for name in values for part in _parts(name, values[name])])


def _root_body(*arguments: tuple[str, Any], schema: Mapping[str, Any]) -> Body:
    if len(arguments) != 1:
        message = f"The endpoint takes one value, which is its whole input; {len(arguments)} given"
        raise invalid(problem("arguments", [], message))
    ((name, value),) = arguments
    plain = _converted(value, schema, ())
    if isinstance(plain, Blob):
        return Body(plain.media_type or OCTETS, plain.data)
    if _is_parts(plain):
        return Body(_FORM, fields=_parts(name or "file", plain))
    return Body(JSON, _json(plain))


def _converted(value: Any, schema: Mapping[str, Any], loc: Loc) -> Any:
    family = family_described(schema)
    if family is None:
        return to_plain(value, loc, files=False)
    if isinstance(value, list | tuple):
        return [_converted(item, schema, (*loc, i)) for i, item in enumerate(value)]
    if isinstance(value, str):
        return _text_as_blob(value, loc, is_text=isinstance(family, Bytes))
    return to_plain(value, loc, files=True)


def _text_as_blob(text: str, loc: Loc, *, is_text: bool) -> Blob | None:
    if is_text:
        return Blob(text.encode())
    if not is_data_url(text):
        return to_blob(Path(text), loc)
    try:
        return from_data_url(text)
    except ValueError as error:
        raise invalid(problem("data_url", loc, f"The data: URL is damaged: {error}")) from error


def _is_parts(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, Blob) for item in value)
    return isinstance(value, Blob)


def _parts(name: str, value: Any) -> list[tuple[str, str | Blob]]:
    if not _is_parts(value):
        # As JSON, so that the text "3" stays a text and the number 3 a number.
        return [(name, _json(value).decode())]
    blobs = value if isinstance(value, list) else [value]
    return [(name, _named(blob, name)) for blob in blobs]


def _named(blob: Blob, name: str) -> Blob:
    # A part without a file name is a text field to every form parser there is.
    return Blob(blob.data, blob.media_type or OCTETS, blob.filename or name)


def _json(value: Any) -> bytes:
    try:
        return to_json(value if is_plain({"": value}) else _inline(value))
    except (PydanticSerializationError, UnicodeError) as error:
        raise invalid(problem("not_sendable", [], f"The value cannot be sent: {error}")) from error


def _inline(node: Any) -> Any:
    """Write blobs as text: bare bytes as the UTF-8 that they must be, all else as URLs."""
    if isinstance(node, dict):
        return {key: _inline(item) for key, item in node.items()}
    if isinstance(node, list):
        return [_inline(item) for item in node]
    if not isinstance(node, Blob):
        return node
    return node.data.decode() if node.media_type is None else to_data_url(node)
