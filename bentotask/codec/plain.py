"""Python values made JSON-able, with a blob for each binary: the way into a document."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import PurePath
from typing import Any, Final

from pydantic_core import PydanticSerializationError, to_jsonable_python

from bentotask.codec.file import blob_of_open_file, is_open_file
from bentotask.codec.problems import invalid, problem
from bentotask.codec.registry import family_of
from bentotask.codec.text import non_finite
from bentotask.codec.values import Blob
from bentotask.errors import InvalidInput

_SCALARS: Final = (str, int, bool, type(None))
# What a JSON parser reads back; see parse_json.
_DEEPEST: Final = 200

Loc = tuple[str | int, ...]


def to_plain(value: Any, loc: Loc, *, files: bool, depth: int = 0) -> Any:
    """Return ``value`` as JSON-able values and blobs.

    Args:
        value: what a caller gave.
        loc: where, for messages.
        files: whether a path means the file that it names; elsewhere it is text.
        depth: how deep ``value`` lies already.

    Raises:
        InvalidInput: it cannot be sent; names the place and the reason.
    """
    if type(value) in _SCALARS or (type(value) is float and math.isfinite(value)):
        return value
    if depth >= _DEEPEST:
        raise _unsendable(loc, f"it is nested deeper than {_DEEPEST} levels")
    if isinstance(value, Mapping):
        return {
            _key(key, loc): to_plain(item, (*loc, str(key)), files=files, depth=depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, list | tuple | AbstractSet):
        return [
            to_plain(item, (*loc, i), files=files, depth=depth + 1) for i, item in enumerate(value)
        ]
    return _leaf(value, loc, files=files)


def to_blob(value: Any, loc: Loc) -> Blob | None:
    """Return the blob of a binary value, ``None`` for any other value.

    Raises:
        InvalidInput: the file cannot be read, or the image cannot be written.
    """
    if isinstance(value, Blob):
        return value
    try:
        if (family := family_of(value)) is not None:
            return family.to_blob(value)
        return blob_of_open_file(value) if is_open_file(value) else None
    except FileNotFoundError as error:
        raise _unsendable(loc, f"there is no file {str(value)!r}") from error
    except (OSError, ValueError) as error:
        raise _unsendable(loc, str(error)) from error


def _leaf(value: Any, loc: Loc, *, files: bool) -> Any:
    if isinstance(value, PurePath) and not files:
        return str(value)
    if (blob := to_blob(value, loc)) is not None:
        return blob
    try:
        # round_trip leaves computed fields out, which a validating model may forbid.
        plain = to_jsonable_python(value, by_alias=True, round_trip=True)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise _unsendable(loc, str(error)) from error
    if non_finite(plain) is not None:
        raise _unsendable(loc, "NaN and infinity are not JSON")
    return plain


def _key(key: Any, loc: Loc) -> str:
    if isinstance(key, str):
        return str(key)
    try:
        (plain,) = to_jsonable_python({key: None})
    except (PydanticSerializationError, ValueError) as error:
        raise _unsendable(loc, f"the key {key!r} is no text") from error
    return str(plain)


def _unsendable(loc: Loc, reason: str) -> InvalidInput:
    where = ".".join(map(str, loc))
    error = invalid(problem("not_sendable", loc, f"The value cannot be sent: {reason}"))
    error.message = f"{where} cannot be sent: {reason}"
    error.args = (error.message,)
    return error
