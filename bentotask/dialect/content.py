"""A payload's headers: written by the server, read by a client."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

from bentotask.codec import Payload

if TYPE_CHECKING:
    from bentotask.dialect.http import Response

#: What frames a message belongs to the web server and never to a task.
_FRAMING: Final = frozenset(
    {"connection", "content-length", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)

#: RFC 5987's attr-char beyond letters and digits: what needs no percent sign.
_ATTR_CHARS: Final = "!#$&+-.^_`|~"

_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_EXTENDED: Final = re.compile(
    r"filename\*\s*=\s*([\w!#$%&+^`{}~-]+)'[^']*'([^;\s]+)", re.IGNORECASE
)
_QUOTED: Final = re.compile(r'filename\s*=\s*"((?:\\.|[^"\\])*)"', re.IGNORECASE)
_TOKEN: Final = re.compile(r"filename\s*=\s*([^\s;\"]+)", re.IGNORECASE)


def payload_headers(payload: Payload) -> dict[str, str]:
    """Return the headers that a result travels with.

    The task's own headers come with it and win, but for those that frame the message.
    """
    headers = {"Content-Type": payload.media_type}
    if payload.filename:
        headers["Content-Disposition"] = _disposition(payload.filename)
    extra = {
        _title(name): _header_value(value)
        for name, value in payload.headers.items()
        if name.lower() not in _FRAMING
    }
    return headers | extra


def payload_from(response: Response) -> Payload:
    """Read a result: its bytes, its type, and the name of the file where it is one."""
    return Payload(
        body=response.body,
        media_type=response.headers.get("content-type") or "application/octet-stream",
        filename=_filename(response.headers.get("content-disposition", "")),
        status=response.status,
    )


def _header_value(value: object) -> str:
    """Make anything that a task set as a header's value one that may be sent."""
    # WSGI (PEP 3333) takes Latin-1 only, and a line break would begin another header.
    return _CONTROL.sub(" ", str(value)).encode("latin-1", "replace").decode("latin-1")


def _title(name: str) -> str:
    """Write a header's name one way, so that one header is one key."""
    return "-".join(part.capitalize() for part in name.split("-"))


def _disposition(filename: str) -> str:
    """Name a file as RFC 6266 has it, with a plain name beside one that is not ASCII."""
    name = _base_name(filename) or "file"
    plain = "".join(letter if letter.isascii() else "_" for letter in name)
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    disposition = f'attachment; filename="{quoted}"'
    if name.isascii():
        return disposition
    return f"{disposition}; filename*=UTF-8''{quote(name, _ATTR_CHARS, errors='replace')}"


def _filename(disposition: str) -> str | None:
    """Read a file's name; RFC 6266, 4.3: the extended form wins."""
    if extended := _EXTENDED.search(disposition):
        try:
            return _base_name(unquote(extended[2], extended[1], "strict"))
        except (LookupError, UnicodeDecodeError):
            pass  # an unknown charset: the plain name is there for that
    if quoted := _QUOTED.search(disposition):
        return _base_name(re.sub(r"\\(.)", r"\1", quoted[1]))
    token = _TOKEN.search(disposition)
    return _base_name(token[1]) if token else None


def _base_name(name: str) -> str | None:
    """Keep only what names a file: nobody on the other side chooses a directory here."""
    name = _CONTROL.sub("", name).replace("\\", "/").rpartition("/")[2].strip()
    return None if name in {"", ".", ".."} else name
