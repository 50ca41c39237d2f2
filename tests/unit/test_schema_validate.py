"""Documents become arguments."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from datetime import date
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Required, TypedDict

import PIL.Image
import pytest
from PIL.Image import Image
from pydantic import BaseModel, ConfigDict, Field, FilePath, Strict
from pydantic.version import version_short

from bentotask.codec import Blob
from bentotask.errors import ConfigurationError, InvalidInput
from bentotask.schema import Arguments
from tests.unit.codec_samples import Item, Svc, input_of, png


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int = 0


class Options(TypedDict):
    a: int


class Pictured(TypedDict, total=False):
    image: Required[Image]
    note: str


class Strictly(BaseModel):
    model_config = ConfigDict(strict=True)
    day: date


class Takes:
    def rich(self, c: Colour, p: Point, o: Options, m: Literal["a", "b"] = "a") -> None: ...
    def limited(
        self, n: Annotated[int, Field(gt=0)], b: Annotated[bytes, Field(max_length=2)] = b""
    ) -> None: ...
    def strict(self, s: Strictly, d: Annotated[date, Strict()]) -> None: ...
    def star(self, a: int, *args: int, k: int = 1, **kwargs: float) -> None: ...
    def odd_names(self, json: int, model_config: int, _x: int, copy: int = 3) -> None: ...
    def files(self, f: Path, g: Path, hs: list[Path], d: dict[str, Path]) -> None: ...
    def file_path(self, f: FilePath) -> None: ...
    def pictured(self, p: Pictured) -> None: ...
    def union(self, x: Image | str) -> None: ...
    def mutable(self, xs: list[int] = []) -> None: ...  # noqa: B006 - the very case
    def field_default(self, n: int = Field(default=4, gt=0)) -> None: ...


def refused(function: Any, document: dict[str, Any], **options: Any) -> list[dict[str, Any]]:
    with pytest.raises(InvalidInput) as caught:
        input_of(function).validate(document, **options)
    detail: list[dict[str, Any]] = caught.value.detail
    assert caught.value.message == f"{len(detail)} validation error for Input"
    return json.loads(json.dumps(detail))  # type: ignore[no-any-return]


def accepted(function: Any, document: dict[str, Any], **options: Any) -> Arguments:
    return input_of(function).validate(document, **options)


def test_peer_wording() -> None:
    """The recorded answer to a bad input, entry for entry."""
    assert refused(Svc.echo, {"prompt": 3, "steps": "q"}) == [
        {
            "type": "string_type",
            "loc": ["prompt"],
            "msg": "Input should be a valid string",
            "url": f"https://errors.pydantic.dev/{version_short()}/v/string_type",
        },
        {
            "type": "int_parsing",
            "loc": ["steps"],
            "msg": "Input should be a valid integer, unable to parse string as an integer",
            "url": f"https://errors.pydantic.dev/{version_short()}/v/int_parsing",
        },
    ]


def test_defaults_and_missing() -> None:
    """Defaults are filled in, a missing parameter is told by its name."""
    assert accepted(Svc.echo, {"prompt": "x"}) == Arguments((), {"prompt": "x", "steps": 20})
    assert [(e["type"], e["loc"]) for e in refused(Svc.echo, {})] == [("missing", ["prompt"])]


def test_unknown_field() -> None:
    """A misspelt field is told beside everything else, with the name that was meant."""
    missing, unknown = sorted(refused(Svc.echo, {"promt": "x"}), key=lambda e: str(e["loc"]))
    assert missing["loc"] == ["prompt"]
    assert unknown["loc"] == ["promt"]
    assert "did you mean 'prompt'?" in unknown["msg"]
    assert "it takes no parameters" in refused(Svc.none, {"x": 1})[0]["msg"]


def test_rich_types() -> None:
    """Enums, dataclasses, typed dictionaries and literals arrive as themselves."""
    document = {"c": "red", "p": {"x": 1}, "o": {"a": 1}}
    assert accepted(Takes.rich, document).kwargs == {
        "c": Colour.RED,
        "p": Point(1),
        "o": {"a": 1},
        "m": "a",
    }


def test_typed_dict_with_an_image() -> None:
    """The TypedDict of typing works before Python 3.12 too, with its optional keys."""
    image = PIL.Image.new("RGB", (2, 2))
    schema = input_of(Takes.pictured)
    values = schema.validate(schema.bind(({"image": image},), {})).kwargs["p"]
    assert isinstance(values["image"], Image)
    assert refused(Takes.pictured, {"p": {"note": "x"}})[0]["loc"] == ["p", "image"]


def test_annotated_limits() -> None:
    """Constraints hold for plain and for binary parameters."""
    document = {"n": 0, "b": Blob(b"abc")}
    assert [e["loc"] for e in refused(Takes.limited, document)] == [["n"], ["b"]]


def test_strict_types_take_json() -> None:
    """A strict date is text in JSON, as pydantic reads it there."""
    values = accepted(Takes.strict, {"s": {"day": "2026-01-02"}, "d": "2026-01-02"}).kwargs
    assert values["d"] == values["s"].day == date(2026, 1, 2)


def test_starred_parameters() -> None:
    """Starred parameters are a list and the members that nothing else claims."""
    arguments = accepted(Takes.star, {"a": 1, "args": [2, 3], "extra": 4})
    assert arguments == Arguments((1, 2, 3), {"k": 1, "extra": 4.0})
    assert refused(Takes.star, {"a": 1, "extra": "x"})[0]["loc"] == ["extra"]
    schema = input_of(Takes.star).json_schema()
    assert set(schema["properties"]) == {"a", "args", "k"}
    assert schema["additionalProperties"] == {"type": "number"}


def test_odd_names() -> None:
    """Parameters may be called what a pydantic model's members are called."""
    values = {"json": 1, "model_config": 2, "_x": 3}
    assert accepted(Takes.odd_names, values).kwargs == values | {"copy": 3}
    assert set(input_of(Takes.odd_names).json_schema()["properties"]) == {*values, "copy"}


def test_defaults_are_not_shared() -> None:
    """A mutable default of one call is not seen by the next, and Field() gives its own."""
    accepted(Takes.mutable, {}).kwargs["xs"].append(1)
    assert accepted(Takes.mutable, {}).kwargs == {"xs": []}
    assert accepted(Takes.field_default, {}).kwargs == {"n": 4}


def test_root() -> None:
    """A root value is the positional argument; places in errors are the body's own."""
    assert accepted(Svc.root, {"it": {"name": "z"}}) == Arguments((Item(name="z"),), {})
    assert refused(Svc.root, {"it": {}})[0]["loc"] == ["name"]
    assert refused(Svc.rootlist, {"it": [1, "x"]})[0]["loc"] == [1]


def test_bytes() -> None:
    """Bytes come from a blob, or from text as UTF-8."""
    assert accepted(Svc.raw, {"b": Blob(b"\xff")}).kwargs == {"b": b"\xff"}
    assert accepted(Svc.raw, {"b": "ä"}).kwargs == {"b": "ä".encode()}


def test_blob_where_text_belongs() -> None:
    """A file for a text parameter is refused by the parameter's name."""
    assert refused(Svc.echo, {"prompt": Blob(b"\xff")})[0]["loc"] == ["prompt"]


def test_nothing_is_written_when_checking() -> None:
    """Without a directory a file is accepted, and its path leads nowhere."""
    (path,) = accepted(Svc.file_in, {"f": Blob(b"x", None, "../a.txt")}).kwargs.values()
    assert path == Path("a.txt")
    assert not path.exists()
    assert accepted(Takes.file_path, {"f": Blob(b"x")})


def test_files_are_written(tmp_path: Path) -> None:
    """Each file is written under its own harmless name, and none replaces another."""
    blob = Blob(b"x", None, "../../a.txt")
    document = {"f": blob, "g": blob, "hs": [blob, Blob(b"y", None, "\x00")], "d": {"k": blob}}
    values = accepted(Takes.files, document, workdir=tmp_path).kwargs
    paths = [values["f"], values["g"], *values["hs"], values["d"]["k"]]
    assert len(set(paths)) == 5
    assert all(path.is_relative_to(tmp_path) for path in paths)
    assert [path.name for path in paths] == ["a.txt", "a.txt", "a.txt", "_", "a.txt"]
    assert values["hs"][1].read_bytes() == b"y"


@pytest.mark.parametrize("name", ["a" * 5000, "", ".", "..", "/etc/passwd", "\ud800"])
def test_hostile_file_names(name: str, tmp_path: Path) -> None:
    """No name whatever fails or escapes."""
    values = accepted(Svc.file_in, {"f": Blob(b"x", None, name)}, workdir=tmp_path).kwargs
    assert values["f"].parent == tmp_path
    assert values["f"].read_bytes() == b"x"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A link that waits under the file's name is neither followed nor replaced."""
    target = tmp_path / "target"
    target.write_bytes(b"kept")
    (tmp_path / "a.txt").symlink_to(target)
    accepted(Svc.file_in, {"f": Blob(b"x", None, "a.txt")}, workdir=tmp_path)
    assert target.read_bytes() == b"kept"


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_image(format_: str, tmp_path: Path) -> None:
    """An image arrives open, and knows its own format."""
    blob = Blob(png(format_=format_))
    for workdir in (None, tmp_path):
        image = accepted(Svc.img_in, {"image": blob}, workdir=workdir).kwargs["image"]
        assert isinstance(image, Image)
        assert (image.format, image.size) == (format_, (4, 4))


def bomb(side: int) -> bytes:
    """Write a PNG that promises more pixels than it has."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = zlib.compress(b"\x00" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no image",
        png()[:-10],
        png((64, 64))[:60],
        png((64, 64), "JPEG")[:400],
        bomb(10_000),
        bomb(30_000),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 4 4\n%%EndComments\n",
    ],
)
@pytest.mark.parametrize("checking", [True, False])
def test_bad_image(data: bytes, checking: bool, tmp_path: Path) -> None:
    """Damaged images, bombs and PostScript are refused by the parameter's name."""
    workdir = None if checking else tmp_path
    (found,) = refused(Svc.img_in, {"image": Blob(data)}, workdir=workdir)
    assert found["loc"] == ["image"]
    assert "an image" in found["msg"]


def test_image_from_json() -> None:
    """In JSON an image is a base64 data: URL; other text is told what to send."""
    url = "data:image/png;base64," + __import__("base64").b64encode(png()).decode()
    assert accepted(Svc.img_in, {"image": url}).kwargs["image"].format == "PNG"
    for text in ("cat.png", "http://localhost/cat.png", "data:image/png;base64,%"):
        (found,) = refused(Svc.img_in, {"image": text})
        assert "multipart form" in found["msg"]
    assert refused(Svc.file_in, {"f": "/etc/passwd"})[0]["loc"] == ["f"]


def test_union_of_image_and_text() -> None:
    """In a union each kind finds its own arm."""
    assert accepted(Takes.union, {"x": "hi"}).kwargs == {"x": "hi"}
    assert isinstance(accepted(Takes.union, {"x": Blob(png())}).kwargs["x"], Image)


def test_no_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where Pillow is missing, the message says what to install."""
    monkeypatch.setitem(__import__("sys").modules, "PIL.Image", None)
    with pytest.raises(ConfigurationError, match=r"bentotask\[images\]"):
        accepted(Svc.img_in, {"image": Blob(png())})


def test_hostile_depth() -> None:
    """A document too deep for JSON is refused, however it came to be."""
    node: Any = []
    for _ in range(100_000):
        node = [node]
    assert refused(Svc.boom, {"x": node})
    assert refused(Svc.text, {"s": "\ud800"})


def test_bombs_obey_pillows_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who raises Pillow's own limit is obeyed."""
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 8)
    assert refused(Svc.img_in, {"image": Blob(png())})
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", None)
    assert accepted(Svc.img_in, {"image": Blob(png())})
