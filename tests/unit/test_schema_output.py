"""Results become payloads, and values again."""

# Only the signatures of these classes matter.
# mypy: disable-error-code="empty-body, type-arg"
from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Any, TypedDict

import PIL.Image
import pytest
from PIL.Image import Image
from pydantic import BaseModel, Field

from bentotask.codec import Payload, decode_payload
from tests.unit.codec_samples import Item, Svc, output_of, png


class Colour(str, Enum):  # noqa: UP042 - the older spelling is the point
    RED = "red"


@dataclass
class Point:
    x: float


class Members(TypedDict):
    image: Image | None


class Aliased(BaseModel):
    size: int = Field(alias="Size")


class Gives:
    def untyped(self): ...  # type: ignore[no-untyped-def] # noqa: ANN201
    def maybe_image(self) -> Image | None: ...
    def images(self) -> list[Image]: ...
    def files(self) -> dict[str, Path]: ...
    def colour(self) -> Colour: ...
    def day(self) -> date: ...
    def number(self) -> float: ...
    def point(self) -> Point: ...
    def aliased(self) -> Aliased: ...
    def maybe_text(self) -> str | None: ...
    def texts(self) -> list[str]: ...
    def blobs(self) -> list[bytes]: ...


def encoded(function: Any, value: Any) -> tuple[bytes, str]:
    payload = output_of(function).encode(value)
    return payload.body, payload.media_type


JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


@pytest.mark.parametrize(
    ("function", "value", "body", "media_type"),
    [
        (Svc.echo, {"prompt": "hi", "steps": 20}, b'{"prompt":"hi","steps":20}', JSON),
        (Svc.text, "ABC", b"ABC", TEXT),
        (Svc.text, "", b"", TEXT),
        (Svc.text, "\ud800", b"?", TEXT),
        (Svc.none, None, b"null", JSON),
        (Svc.slow, 3, b"3", JSON),
        (Svc.item, Item(name="z"), b'{"name":"z","n":3}', JSON),
        (Svc.item, {"name": "z"}, b'{"name":"z","n":3}', JSON),
        (Svc.lst, [Item(name="ä")], '[{"name":"ä","n":3}]'.encode(), JSON),
        (Svc.raw, b"abc", b"abc", TEXT),
        (Svc.raw, b"\xff", b"\xff", "application/octet-stream"),
        (Gives.colour, Colour.RED, b"red", TEXT),
        (Gives.day, date(2026, 1, 2), b'"2026-01-02"', JSON),
        (Gives.number, float("nan"), b"null", JSON),
        (Gives.point, Point(float("inf")), b'{"x":null}', JSON),
        (Gives.aliased, Aliased(Size=1), b'{"Size":1}', JSON),
        (Gives.maybe_text, None, b"null", JSON),
        (Gives.untyped, {"a": [1, float("nan")]}, b'{"a":[1,null]}', JSON),
        (Gives.untyped, "x", b"x", TEXT),
    ],
)
def test_encode(function: Any, value: Any, body: bytes, media_type: str) -> None:
    """A value is sent by what it is, in strict and compact JSON where it is no binary."""
    assert encoded(function, value) == (body, media_type)


@pytest.mark.parametrize(
    ("function", "value"),
    [
        (Svc.text, "abc"),
        (Svc.item, Item(name="z")),
        (Svc.lst, [Item(name="z")]),
        (Svc.raw, b"\x00\xff"),
        (Svc.none, None),
        (Gives.colour, Colour.RED),
        (Gives.day, date(2026, 1, 2)),
        (Gives.point, Point(1.5)),
        (Gives.aliased, Aliased(Size=1)),
        (Gives.maybe_text, None),
        (Gives.maybe_text, "null"),
        (Gives.blobs, [b"a"]),
        (Gives.untyped, {"a": [1]}),
    ],
)
def test_round_trip(function: Any, value: Any) -> None:
    """What a method returned is what an in-process handle gives back."""
    schema = output_of(function)
    assert schema.decode(schema.encode(value)) == value


@pytest.mark.parametrize(
    ("function", "value", "words"),
    [
        (Svc.text, 3, ["str", "int"]),
        (Svc.slow, "x", ["int", "str"]),
        (Svc.gen, None, ["image", "NoneType"]),
        (Svc.gen, b"x", ["image", "bytes"]),
        (Svc.file_in, "out.bin", ["file", "str"]),
        (Svc.none, 1, ["None", "int"]),
        (Svc.item, {"n": 1}, ["Item", "dict", "name"]),
        (Gives.texts, ["a", 1], ["list[str]", "1: "]),
        (Gives.untyped, object(), ["object", "cannot be sent"]),
        (Gives.untyped, {"a": object()}, ["dict", "cannot be sent"]),
        (Gives.blobs, [b"\xff"], ["list", "cannot be sent", "utf-8"]),
    ],
)
def test_broken_promise(function: Any, value: Any, words: list[str]) -> None:
    """A result that is not what was promised says what was, and what came."""
    with pytest.raises(TypeError) as caught:
        output_of(function).encode(value)
    assert all(word in str(caught.value) for word in [f"Svc.{function.__name__}", *words])


def test_mutated_model() -> None:
    """A model made unfit after its validation is found out before it is sent."""
    item = Item(name="z")
    item.n = "x"  # type: ignore[assignment]
    with pytest.raises(TypeError, match="cannot be sent"):
        output_of(Svc.item).encode(item)


@pytest.mark.parametrize("function", [Svc.gen, Gives.maybe_image, Gives.untyped])
@pytest.mark.parametrize(("format_", "type_"), [(None, "png"), ("JPEG", "jpeg"), ("GIF", "gif")])
def test_image(function: Any, format_: str | None, type_: str) -> None:
    """An image is sent in its own format, PNG when it has none."""
    image = PIL.Image.new("RGB", (4, 4))
    image.format = format_
    payload = output_of(function).encode(image)
    assert (payload.media_type, payload.filename) == (f"image/{type_}", None)
    assert isinstance(output_of(Svc.gen).decode(payload), Image)


def test_peer_image() -> None:
    """The recorded image: a new RGB image answers as image/png."""
    payload = output_of(Svc.gen).encode(PIL.Image.new("RGB", (8, 8), (255, 0, 0)))
    assert payload.media_type == "image/png"
    assert payload.body.startswith(b"\x89PNG")


def test_file(tmp_path: Path) -> None:
    """A path is sent as the file's bytes, name and type, and comes back as a file."""
    source = tmp_path / "data.json"
    source.write_bytes(b'{"a": 1}')
    payload = output_of(Svc.file_in).encode(source)
    assert payload == Payload(b'{"a": 1}', "application/json", filename="data.json")
    back = output_of(Svc.file_in).decode(payload, tmp_path)
    assert back != source
    assert (back.name, back.read_bytes()) == ("data.json", b'{"a": 1}')


def test_missing_file(tmp_path: Path) -> None:
    """A promised file that is not there is named."""
    with pytest.raises(FileNotFoundError, match="gone"):
        output_of(Svc.file_in).encode(tmp_path / "gone")


def test_binaries_inside(tmp_path: Path) -> None:
    """Inside of JSON a binary is a data: URL, and is one thing again on the other side."""
    schema = output_of(Gives.images)
    payload = schema.encode([PIL.Image.new("RGB", (2, 2))])
    assert payload.media_type == JSON
    assert payload.body.startswith(b'["data:image/png;base64,')
    assert schema.decode(payload)[0].size == (2, 2)
    assert decode_payload(payload, schema.json_schema())[0].size == (2, 2)
    (tmp_path / "a.bin").write_bytes(png())
    files = output_of(Gives.files)
    back = files.decode(files.encode({"k": tmp_path / "a.bin"}))
    assert back["k"].read_bytes() == png()
    assert b"data:image" in output_of(Gives.untyped).encode([PIL.Image.new("L", (1, 1))]).body


def test_nan_comes_back_as_none() -> None:
    """Where JSON has no NaN, a float's reader is given None instead of an error."""
    schema = output_of(Gives.number)
    assert schema.decode(schema.encode(float("nan"))) is None


def test_status_and_headers_are_kept_apart() -> None:
    """A payload's bare type leaves the parameters out."""
    assert Payload(b"", "Text/Plain; charset=utf-8").bare_type == "text/plain"
