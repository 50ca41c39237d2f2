"""File names and media types, and small binaries as ``data:`` URLs."""

from __future__ import annotations

import base64
import binascii
import mimetypes
import re
from typing import Final

from bentotask.codec.values import Blob

#: the media type of bytes that nothing is known about (RFC 2046, 4.5.1)
OCTETS: Final = "application/octet-stream"

# NAME_MAX is 255 bytes on every file system in use; the rest is left for a user's suffix.
_LONGEST = 200
_UNSAFE = re.compile(r"[\x00-\x1f\x7f<>:\"|?*]")
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(?:;[\w-]+=[^;,]*)*;base64,", re.IGNORECASE)


def safe_filename(name: str | None, default: str = "file") -> str:
    """Return ``name`` as one harmless path component.

    Directories, control characters, ``.`` and ``..`` are gone, the length is bounded with the
    suffix kept, and nothing left means ``default``.
    """
    last = re.split(r"[/\\]", name or "")[-1]
    # A lone surrogate cannot be encoded for the file system.
    clean = _UNSAFE.sub("_", last.encode("utf-8", "replace").decode())
    return _shortened(clean.strip(" .")) or default


def _shortened(name: str) -> str:
    if len(name.encode()) <= _LONGEST:
        return name
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix.encode()) > 20:
        stem, suffix = name, ""
    room = _LONGEST - len(suffix.encode()) - 1
    return (stem.encode()[:room].decode("utf-8", "ignore") + dot + suffix).strip(" .")


def guess_media_type(name: str) -> str:
    """Return the media type that ``name`` suggests, :data:`OCTETS` when it suggests none."""
    media_type, encoding = mimetypes.guess_type(name)
    # "x.csv.gz" guesses as text/csv; its bytes are gzip.
    return OCTETS if media_type is None or encoding is not None else media_type


def to_data_url(blob: Blob) -> str:
    """Write ``blob`` as text, for a binary deep inside of JSON."""
    return f"data:{blob.media_type or OCTETS};base64,{base64.b64encode(blob.data).decode()}"


def is_data_url(text: str) -> bool:
    """Tell whether ``text`` is what :func:`from_data_url` reads."""
    return _DATA_URL.match(text) is not None


def from_data_url(text: str) -> Blob:
    """Read a base64 ``data:`` URL (RFC 2397).

    Raises:
        ValueError: it is no such URL, or its base64 is damaged.
    """
    match = _DATA_URL.match(text)
    if match is None:
        raise ValueError("not a base64 data: URL")
    try:
        data = base64.b64decode(text[match.end() :], validate=True)
    except binascii.Error as error:
        raise ValueError(f"its base64 is damaged: {error}") from error
    return Blob(data, match.group(1))
