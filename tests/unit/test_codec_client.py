"""What a client makes of a call and of an answer, knowing JSON schemas only."""

from __future__ import annotations

import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from PIL.Image import Image

from bentotask.codec import Blob, Body, Payload, decode_payload, encode_call
from bentotask.errors import ConfigurationError, InvalidInput
from tests.unit.codec_samples import Item, Svc, input_of, output_of, png


class Calls:
    def images(self, images: list[Image], note: str = "") -> None: ...
    def maybe(self, image: Image | None = None, b: bytes | None = None) -> None: ...
    def nested(self, d: dict[str, Image]) -> None: ...
    def root_image(self, image: Image, /) -> None: ...
    def root_files(self, files: list[Path], /) -> None: ...
    def root_bytes(self, b: bytes, /) -> None: ...


def sent(function: Any, **arguments: Any) -> Body:
    return encode_call(arguments, input_of(function).json_schema())


def received(function: Any, **arguments: Any) -> Any:
    """Return what the method is called with after the whole way."""
    schema = input_of(function)
    call = schema.validate(schema.read(sent(function, **arguments)))
    return call.kwargs or call.args


def test_plain_calls_are_json() -> None:
    """Models, dates and defaults left out are a JSON body."""
    body = sent(Svc.item, it=Item(name="z"))
    assert (body.media_type, json.loads(body.data)) == (
        "application/json",
        {"it": {"name": "z", "n": 3}},
    )
    assert sent(Svc.text, s=date(2026, 1, 2)).data == b'{"s":"2026-01-02"}'
    assert sent(Svc.none).data == b"{}"


@pytest.mark.parametrize("text", ["b", "3", '"b"', "null", "", "ä", "[1]"])
def test_text_beside_a_file(text: str) -> None:
    """Any text comes through a form unchanged."""
    assert received(Svc.img_in, image=png(), label=text)["label"] == text


def test_every_way_to_give_a_file(tmp_path: Path) -> None:
    """A path, its text, an open file, bytes and a data: URL are all the same file."""
    path = tmp_path / "a.png"
    path.write_bytes(png())
    url = "data:image/png;base64,iVBORw0KGgo="
    for value in (path, str(path)):
        ((name, part),) = sent(Svc.file_in, f=value).fields
        assert (name, part) == ("f", Blob(png(), "image/png", "a.png"))
    with path.open("rb") as stream:
        assert sent(Svc.file_in, f=stream).fields == [("f", Blob(png(), "image/png", "a.png"))]
    for raw in (b"x", io.BytesIO(b"x")):
        expected = Blob(b"x", "application/octet-stream", "f")
        assert sent(Svc.file_in, f=raw).fields == [("f", expected)]
    assert sent(Svc.file_in, f=url).fields == [("f", Blob(b"\x89PNG\r\n\x1a\n", "image/png", "f"))]


def test_images_and_lists() -> None:
    """PIL images and lists of them arrive as images."""
    image = PIL.Image.new("RGB", (3, 2))
    assert received(Svc.img_in, image=image)["image"].size == (3, 2)
    arrived = received(Calls.images, images=[image, png()], note="3")
    assert [each.size for each in arrived["images"]] == [(3, 2), (4, 4)]
    assert received(Calls.images, images=[])["images"] == []
    assert received(Calls.images, images=[image])["images"][0].size == (3, 2)


def test_bytes() -> None:
    """Bytes and text for bytes come through exactly."""
    assert received(Svc.raw, b=b"\x00\xff") == {"b": b"\x00\xff"}
    assert received(Svc.raw, b='"abc"') == {"b": b'"abc"'}


def test_none_for_a_file() -> None:
    """None is None, alone and beside a file."""
    assert received(Calls.maybe, image=None) == {"image": None, "b": None}
    assert received(Calls.maybe, image=None, b=b"x") == {"image": None, "b": b"x"}
    assert received(Calls.maybe, image=png(), b=None)["b"] is None


def test_binaries_deep_inside() -> None:
    """A file deeper than a list travels inside of the JSON."""
    image = PIL.Image.new("RGB", (3, 2))
    assert received(Calls.nested, d={"k": image})["d"]["k"].size == (3, 2)


def test_root() -> None:
    """A root input is the body: JSON, a raw file, or a form of files."""
    assert sent(Svc.rootlist, it=[1, 2]).data == b"[1,2]"
    assert received(Svc.root, whatever=Item(name="z")) == (Item(name="z"),)
    assert sent(Calls.root_image, x=PIL.Image.new("L", (1, 1))).media_type == "image/png"
    assert received(Calls.root_image, x=png())[0].size == (4, 4)
    assert len(received(Calls.root_files, x=[b"a", b"b"])[0]) == 2
    assert received(Calls.root_bytes, x=b"\xff") == (b"\xff",)
    with pytest.raises(InvalidInput):
        sent(Svc.root, a=1, b=2)


def test_what_cannot_be_sent(tmp_path: Path) -> None:
    """A missing file, damage and NaN are told before anything is sent."""
    for value in (tmp_path / "gone.png", str(tmp_path / "gone.png"), "no/such"):
        with pytest.raises(InvalidInput, match=r"^image cannot be sent: there is no file"):
            sent(Svc.img_in, image=value)
    with pytest.raises(InvalidInput):
        sent(Svc.img_in, image="data:image/png;base64,%")
    for bad in (float("nan"), object(), "\ud800", {"a": b"\xff"}):
        with pytest.raises(InvalidInput):
            sent(Svc.boom, x=bad)
    with pytest.raises(InvalidInput):
        sent(Svc.file_in, f="a\x00b")


def test_text_is_never_a_file_elsewhere(tmp_path: Path) -> None:
    """A text parameter that names a file is sent as that text; a path is its text."""
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    assert received(Svc.text, s=str(path)) == received(Svc.text, s=path) == {"s": str(path)}


@pytest.mark.parametrize(
    ("payload", "schema", "value"),
    [
        (Payload(b'{"a":1}', "application/json"), {"type": "object"}, {"a": 1}),
        (Payload(b"NaN", "application/json"), {"type": "number"}, "nan"),
        (Payload(b"3", "text/plain; charset=utf-8"), {"type": "string"}, "3"),
        (Payload(b"\xff", "text/plain"), {"type": "string", "format": "binary"}, b"\xff"),
        (Payload(b"\xff", "application/octet-stream"), {}, b"\xff"),
        (Payload(b"null", "application/json"), {"anyOf": [{"type": "file"}]}, None),
    ],
)
def test_decode(payload: Payload, schema: dict[str, Any], value: Any) -> None:
    """An answer is read by its type, and by its schema where that says binary."""
    result = decode_payload(payload, schema)
    assert ("nan" if result != result else result) == value  # noqa: PLR0124 - NaN


def test_decode_file(tmp_path: Path) -> None:
    """A file is written where asked, under a harmless name, and never over another."""
    schema = output_of(Svc.file_in).json_schema()
    payload = Payload(b"x", "application/json", filename="../../a.json")
    first, second = (decode_payload(payload, schema, tmp_path) for _ in range(2))
    assert first == tmp_path / "a.json"
    assert second.is_relative_to(tmp_path)
    assert first.read_bytes() == second.read_bytes() == b"x"
    assert decode_payload(Payload(b"x", "a/b"), schema).read_bytes() == b"x"


def test_decode_image(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image is one with Pillow, and without it the message says what to install."""
    schema = output_of(Svc.gen).json_schema()
    payload = Payload(png(), "image/png")
    assert decode_payload(payload, schema).format == "PNG"
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'bentotask\[images\]'"):
        decode_payload(payload, schema)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="no image"):
        decode_payload(Payload(b"x", "image/png"), schema)
