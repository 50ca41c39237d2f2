"""Multipart bodies, written once for both clients."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from bentotask.codec import Blob

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bentotask.codec import Body


def wire_body(body: Body) -> tuple[str, bytes]:
    """Return the content type and the bytes that ``body`` is sent as."""
    if not body.fields:
        return body.media_type, body.data
    # 128 random bits: no part can hold the line by accident (RFC 2046, 5.1.1).
    boundary = secrets.token_hex(16)
    return f"multipart/form-data; boundary={boundary}", _joined(body.fields, boundary)


def _joined(fields: Iterable[tuple[str, str | Blob]], boundary: str) -> bytes:
    lines: list[bytes] = []
    for name, value in fields:
        lines += [f"--{boundary}".encode(), *_part(name, value)]
    return b"\r\n".join([*lines, f"--{boundary}--".encode(), b""])


def _part(name: str, value: str | Blob) -> list[bytes]:
    disposition = f'Content-Disposition: form-data; name="{_quoted(name)}"'
    if isinstance(value, str):
        return [disposition.encode(), b"", value.encode()]
    # Without a file name, servers take a part for text.
    disposition += f'; filename="{_quoted(value.filename or name)}"'
    media_type = value.media_type or "application/octet-stream"
    return [disposition.encode(), f"Content-Type: {media_type}".encode(), b"", value.data]


def _quoted(text: str) -> str:
    """Quote as browsers do (WHATWG HTML, multipart form data): three escapes, else UTF-8."""
    return text.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
