"""Bodies become documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL.Image import Image

from bentotask.codec import Blob, Body
from bentotask.errors import InvalidInput, UnsupportedMediaType
from tests.unit.codec_samples import Svc, input_of, png

JSON = "application/json"
FORM = "multipart/form-data"


class Forms:
    def mixed(
        self, s: str, i: int = 0, o: int | None = None, d: dict[str, int] | None = None
    ) -> None: ...
    def lists(self, tags: list[str], ns: list[int] | None = None) -> None: ...
    def images(self, images: list[Image]) -> None: ...
    def maybe(self, image: Image | None = None, label: str = "") -> None: ...
    def blob(self, b: bytes | None) -> None: ...
    def anything(self, a, b=None) -> None: ...  # type: ignore[no-untyped-def] # noqa: ANN001
    def two(self, f: Path, g: Path) -> None: ...
    def image(self, image: Image, /) -> None: ...
    def either(self, x: int | list[int]) -> None: ...


def form(function: Any, *fields: tuple[str, str | Blob]) -> dict[str, Any]:
    return input_of(function).read(Body(FORM, fields=fields))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"nojson", "Invalid JSON: expected ident at line 1 column 2"),
        (b'{"prompt": ', "Invalid JSON: EOF"),
        ('{"prompt": "x"}'.encode("utf-16"), "Invalid JSON"),
        (b'{"prompt": "\xff"}', "Invalid JSON"),
        (b'{"prompt": "\\ud800"}', "Invalid JSON"),
        (b"[" * 100_000, "recursion limit"),
        (b'{"a":' * 100_000, "recursion limit"),
        (b'{"steps": ' + b"9" * 5000 + b"}", "Invalid JSON"),
    ],
)
def test_bad_json(data: bytes, message: str) -> None:
    """What is no JSON is told in the peer's words, however hostile."""
    with pytest.raises(InvalidInput, match=r"^1 validation error for Input$") as caught:
        input_of(Svc.echo).read(Body(JSON, data))
    (found,) = caught.value.detail
    assert (found["type"], found["loc"]) == ("json_invalid", [])
    assert message in found["msg"]


@pytest.mark.parametrize(
    "number", [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"9e400", b"9" * 400 + b".0"]
)
def test_numbers_that_json_lacks(number: bytes) -> None:
    """NaN and infinity are refused by the name of their field."""
    with pytest.raises(InvalidInput) as caught:
        input_of(Svc.echo).read(Body(JSON, b'{"prompt": [1, {"x": ' + number + b"}]}"))
    assert caught.value.detail[0]["loc"] == ["prompt", 1, "x"]


@pytest.mark.parametrize("data", [b"[]", b"3", b'"x"', b"null"])
def test_json_must_be_an_object(data: bytes) -> None:
    """Only a root input takes other JSON than an object."""
    with pytest.raises(InvalidInput) as caught:
        input_of(Svc.echo).read(Body(JSON, data))
    assert "prompt, steps" in caught.value.detail[0]["msg"]
    assert input_of(Svc.rootlist).read(Body(JSON, data))["it"] != {}


@pytest.mark.parametrize("media_type", ["", JSON, FORM, "text/plain"])
def test_empty_body(media_type: str) -> None:
    """No body at all is no input, whatever it is labelled."""
    assert input_of(Svc.none).read(Body(media_type)) == {}


def test_json_is_read_without_a_label() -> None:
    """A body without media type, or with a +json one, is JSON."""
    for media_type in ("", JSON, "Application/JSON", "application/ld+json"):
        assert input_of(Svc.custom).read(Body(media_type, b'{"x": 1}')) == {"x": 1}


def test_unsupported_media_type() -> None:
    """Other media types are refused, and the ones that work are named."""
    with pytest.raises(UnsupportedMediaType, match="application/json") as caught:
        input_of(Svc.quick_info).read(Body("application/vnd.bentoml+pickle", b"x"))
    assert "image/*" not in str(caught.value)
    with pytest.raises(UnsupportedMediaType, match=r"image/\*"):
        input_of(Svc.img_in).read(Body("text/plain", b"x"))


def test_json_sent_as_a_form() -> None:
    """The slip that curl -d invites is told as what it is."""
    body = Body("application/x-www-form-urlencoded", fields=[('{"prompt": "x"}', "")])
    with pytest.raises(UnsupportedMediaType, match="application/json"):
        input_of(Svc.echo).read(body)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("s", "b", "b"),
        ("s", '"b"', "b"),
        ("s", "3", "3"),
        ("s", "null", "null"),
        ("s", "[1]", "[1]"),
        ("i", "3", 3),
        ("i", '"3"', "3"),
        ("i", "x", "x"),
        ("i", "NaN", "NaN"),
        ("o", "null", None),
        ("d", '{"a": 1}', {"a": 1}),
        ("d", '{"a":', '{"a":'),
        ("d", "[" * 100_000, "[" * 100_000),
        ("s", "\ud800", "\ud800"),
    ],
)
def test_form_text(name: str, text: str, value: Any) -> None:
    """A text field is JSON where that fits its parameter, and plain text otherwise."""
    assert form(Forms.mixed, (name, text)) == {name: value}


def test_repeated_fields_make_lists() -> None:
    """A list parameter takes repeated fields, one field, or one JSON list."""
    assert form(Forms.lists, ("tags", "a"), ("tags", "3"), ("ns", "1"), ("ns", "2")) == {
        "tags": ["a", "3"],
        "ns": [1, 2],
    }
    assert form(Forms.lists, ("tags", "a"), ("ns", "[1, 2]")) == {"tags": ["a"], "ns": [1, 2]}
    assert form(Forms.either, ("x", "3")) == {"x": 3}


def test_duplicate_field() -> None:
    """A field that is sent twice for one value is refused by its name."""
    with pytest.raises(InvalidInput) as caught:
        form(Forms.mixed, ("s", "a"), ("s", "b"))
    assert caught.value.detail[0]["loc"] == ["s"]


def test_files_of_a_form() -> None:
    """Files stay blobs for binary parameters, one or many."""
    blob = Blob(b"x", "image/png", "i.png")
    assert form(Svc.img_in, ("image", blob), ("label", '"b"')) == {"image": blob, "label": "b"}
    assert form(Forms.images, ("images", blob), ("images", blob)) == {"images": [blob, blob]}
    assert form(Forms.images, ("images", blob)) == {"images": [blob]}
    assert form(Forms.images, ("images", "[]")) == {"images": []}
    assert form(Forms.maybe, ("image", "null")) == {"image": None}


def test_text_for_bytes_is_exact() -> None:
    """A text field for bytes is those bytes, even if it could be JSON."""
    assert form(Svc.raw, ("b", '"abc"')) == {"b": '"abc"'}
    assert form(Forms.blob, ("b", "null")) == {"b": None}


def test_text_sent_as_a_file() -> None:
    """With curl, -F prompt=@prompt.txt works for a text parameter."""
    assert form(Svc.echo, ("prompt", Blob(b"hi")), ("steps", Blob(b"3"))) == {
        "prompt": "hi",
        "steps": 3,
    }
    assert form(Svc.echo, ("prompt", Blob(b"\xff"))) == {"prompt": Blob(b"\xff")}


def test_parameters_without_annotation() -> None:
    """They take JSON, text, repeated fields and files as these come."""
    blob = Blob(b"\xff")
    assert form(Forms.anything, ("a", "3"), ("a", "x"), ("b", blob)) == {"a": [3, "x"], "b": blob}


def test_raw_body() -> None:
    """A single binary parameter takes the body itself, if nothing else is required."""
    data = png()
    assert input_of(Svc.img_in).read(Body("image/png", data)) == {"image": Blob(data, "image/png")}
    octets = Body("application/octet-stream", b"")
    assert input_of(Svc.raw).read(octets)["b"].data == b""
    assert input_of(Svc.file_in).read(Body("text/csv", b"a,b"))["f"].media_type == "text/csv"
    with pytest.raises(UnsupportedMediaType):
        input_of(Forms.two).read(Body("text/csv", b"a,b"))


def test_root_forms() -> None:
    """A form is a root object's members, or the root itself under its own name."""
    assert form(Svc.root, ("name", "z"), ("n", "4")) == {"it": {"name": "z", "n": "4"}}
    assert form(Svc.root, ("it", '{"name": "z"}')) == {"it": {"name": "z"}}
    assert form(Svc.rootlist, ("it", "1"), ("it", "2")) == {"it": [1, 2]}
    blob = Blob(b"x")
    assert form(Forms.image, ("whatever", blob)) == {"image": blob}
