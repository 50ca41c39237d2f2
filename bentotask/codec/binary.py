"""``bytes``: taken as they are, and as UTF-8 text where JSON brings text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import core_schema

from bentotask.codec.family import Family, Place
from bentotask.codec.names import OCTETS
from bentotask.codec.text import TEXT
from bentotask.codec.values import Blob, Payload

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler


class Bytes(Family):
    """The family of ``bytes``."""

    noun = "bytes"
    json_schema = {"type": "string", "format": "binary"}  # noqa: RUF012 - never written to

    def owns(self, annotation: Any) -> bool:
        """Only ``bytes`` itself: a subclass is somebody's own type."""
        return annotation is bytes

    def is_value(self, value: Any) -> bool:
        """Anything that is a run of bytes in memory."""
        return isinstance(value, bytes | bytearray | memoryview)

    def to_blob(self, value: Any) -> Blob:
        """Copy what is not immutable."""
        return Blob(bytes(value))

    def from_blob(self, blob: Blob, place: Place) -> bytes:  # noqa: ARG002 - needs no place
        """Return the bytes."""
        return blob.data

    def hook(self) -> Any:
        """Keep pydantic's own ``bytes``, so that ``Annotated`` limits work."""
        return _FromBlob()

    def to_payload(self, value: Any) -> Payload:
        """Answer as the peer does (``text/plain``) where that is true of the bytes.

        Bytes that are no UTF-8 would be mangled by whoever believed that label.
        """
        data = bytes(value)
        return Payload(data, TEXT if _is_utf8(data) else OCTETS)


@dataclass(frozen=True)
class _FromBlob:
    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_before_validator_function(_data_of, handler(source))


def _data_of(value: Any) -> Any:
    return value.data if isinstance(value, Blob) else value


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
