"""What every family of binary types has in common.

A family says how one sort of Python value (a file, an image...) is declared, described, carried
and restored. To add one, write a module beside this and name it in :mod:`.registry`.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic_core import PydanticCustomError, core_schema

from bentotask.codec.names import OCTETS, from_data_url, safe_filename, to_data_url
from bentotask.codec.values import Blob, Payload

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler


@dataclass(frozen=True)
class Place:
    """Where values that need a file are put; pydantic's validation context.

    Validating with no place at all means checking a result, where only real values count.
    """

    #: ``None``: check only, write nothing
    directory: Path | None = None

    def put(self, blob: Blob) -> Path:
        """Write ``blob`` under its own name; a second of that name gets a directory of its own."""
        path = (self.directory or Path()) / safe_filename(blob.filename)
        if self.directory is None:
            return path
        try:
            return _written(path, blob.data)
        except FileExistsError:
            return _written(Path(tempfile.mkdtemp(dir=self.directory)) / path.name, blob.data)


def _written(path: Path, data: bytes) -> Path:
    # "x" never follows a link and never replaces what is there.
    with path.open("xb") as stream:
        stream.write(data)
    return path


class Family:
    """The base of all families: binary values that travel as a :class:`Blob`."""

    #: in messages: "expected ..."
    noun: ClassVar[str]
    #: how the peer describes one such value
    json_schema: ClassVar[Mapping[str, Any]]

    def owns(self, annotation: Any) -> bool:
        """Tell whether a parameter annotated so is of this family."""
        raise NotImplementedError

    def is_value(self, value: Any) -> bool:
        """Tell whether ``value`` is what a method of a service gets or returns."""
        raise NotImplementedError

    def to_blob(self, value: Any) -> Blob:
        """Encode a value; raises ``ValueError`` or ``OSError`` with the reason."""
        raise NotImplementedError

    def from_blob(self, blob: Blob, place: Place) -> Any:
        """Restore a value; raises ``ValueError`` with the reason."""
        raise NotImplementedError

    def reads(self, media_type: str) -> bool:
        """Tell whether a raw body of this type can be one such value."""
        return bool(media_type)

    def hook(self) -> Any:
        """Return what, in ``Annotated``, teaches pydantic this family."""
        return Leaf(self)

    def describes(self, schema: Mapping[str, Any]) -> bool:
        """Tell whether a JSON schema speaks of this family."""
        return all(schema.get(key) == word for key, word in self.json_schema.items())

    def to_payload(self, value: Any) -> Payload:
        """Encode a result."""
        blob = self.to_blob(value)
        return Payload(blob.data, blob.media_type or OCTETS, filename=blob.filename)

    def from_payload(self, payload: Payload, place: Place) -> Any:
        """Restore a result."""
        return self.from_blob(Blob(payload.body, payload.bare_type, payload.filename), place)


@dataclass(frozen=True)
class Leaf:
    """Teaches pydantic to take a blob, or a base64 ``data:`` URL, for a family's value."""

    family: Family

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        """Validate by the family alone: pydantic need not know the type."""
        return core_schema.with_info_plain_validator_function(
            self._validated,
            serialization=core_schema.plain_serializer_function_ser_schema(
                self._as_text, when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe it in the peer's words."""
        return dict(self.family.json_schema)

    def _validated(self, value: Any, info: core_schema.ValidationInfo[Place | None]) -> Any:
        if self.family.is_value(value):
            return value
        if info.context is None or not isinstance(value, Blob | str):
            raise self._unfit(f"{type(value).__name__} given")
        try:
            blob = from_data_url(value) if isinstance(value, str) else value
            return self.family.from_blob(blob, info.context)
        except ValueError as error:
            raise self._unfit(str(error)) from error

    def _as_text(self, value: Any) -> str:
        return to_data_url(self.family.to_blob(value))

    def _unfit(self, reason: str) -> PydanticCustomError:
        return PydanticCustomError(
            "file_type",
            "Input should be {noun}, sent as a part of a multipart form or as a base64 "
            "data: URL ({reason})",
            {"noun": self.family.noun, "reason": reason},
        )
