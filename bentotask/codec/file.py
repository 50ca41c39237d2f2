"""``pathlib.Path``: a file, carried by its bytes and its name."""

from __future__ import annotations

import inspect
from pathlib import Path, PurePath
from typing import Any

from bentotask.codec.family import Family, Place
from bentotask.codec.names import guess_media_type, safe_filename
from bentotask.codec.values import Blob


class File(Family):
    """The family of ``pathlib.Path``."""

    noun = "a file"
    json_schema = {"type": "file", "format": "binary"}  # noqa: RUF012 - never written to

    def owns(self, annotation: Any) -> bool:
        """Every class of pathlib's."""
        return inspect.isclass(annotation) and issubclass(annotation, PurePath)

    def is_value(self, value: Any) -> bool:
        """A path; an open file is one only for a caller, see :func:`is_open_file`."""
        return isinstance(value, PurePath)

    def to_blob(self, value: Any) -> Blob:
        """Read the whole file; raises ``OSError`` with the path when it cannot be read."""
        path = Path(value)
        return Blob(path.read_bytes(), guess_media_type(path.name), path.name)

    def from_blob(self, blob: Blob, place: Place) -> Path:
        """Write the file where the task runs."""
        return place.put(blob)


def is_open_file(value: Any) -> bool:
    """Tell whether ``value`` is an open file, or acts as one."""
    return callable(getattr(value, "read", None))


def blob_of_open_file(stream: Any) -> Blob:
    """Read what is left of an open binary file.

    Raises:
        ValueError: it gives text.
    """
    data = stream.read()
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ValueError('the file gives text; open it with mode "rb"')  # noqa: TRY004 - told to callers as one
    name = getattr(stream, "name", None)
    if not isinstance(name, str):
        return Blob(bytes(data))
    return Blob(bytes(data), guess_media_type(name), safe_filename(name))
