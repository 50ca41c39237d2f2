"""A Python call becomes a document."""

from __future__ import annotations

import io
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import PIL.Image
import pytest
from pydantic import BaseModel, Field, computed_field

from bentotask.codec import Blob, pack
from bentotask.errors import InvalidInput
from tests.unit.codec_samples import Item, Svc, input_of, png


@dataclass
class Point:
    x: int


class Aliased(BaseModel, extra="forbid"):
    size: int = Field(alias="Size")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return self.size * 2


class Calls:
    def any(self, a: Any = None) -> None: ...
    def aliased(self, a: Aliased) -> None: ...
    def files(self, f: list[Path], d: dict[str, Path] | None = None) -> None: ...
    def star(self, a: int, *args: int, **kwargs: int) -> None: ...


def bound(function: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    return input_of(function).bind(args, kwargs)


def test_positions_and_names() -> None:
    """Arguments go by position or name; what is left out stays out."""
    assert bound(Svc.echo, "x") == {"prompt": "x"}
    assert bound(Svc.echo, prompt="x", steps=3) == {"prompt": "x", "steps": 3}
    assert bound(Svc.ctx, "x") == {"s": "x"}
    assert bound(Calls.star, 1, 2, 3, k=4) == {"a": 1, "args": [2, 3], "k": 4}


def test_values_are_dumped() -> None:
    """Models, dataclasses, dates, sets and odd keys become JSON-able."""
    now = datetime(2026, 1, 2, tzinfo=UTC)
    value = OrderedDict({1: Point(2), "d": now, "u": UUID(int=0), "s": (Item(name="z"),)})
    assert bound(Calls.any, value)["a"] == {
        "1": {"x": 2},
        "d": "2026-01-02T00:00:00Z",
        "u": str(UUID(int=0)),
        "s": [{"name": "z", "n": 3}],
    }


def test_a_model_comes_back() -> None:
    """Aliases and computed fields do not keep a model from being read again."""
    schema = input_of(Calls.aliased)
    model = Aliased(Size=2)
    assert schema.validate(schema.bind((model,), {})).kwargs == {"a": model}


def test_binaries_become_blobs(tmp_path: Path) -> None:
    """Bytes, paths, open files and images are carried by what they hold."""
    path = tmp_path / "a.png"
    path.write_bytes(png())
    expected = Blob(png(), "image/png", "a.png")
    assert bound(Svc.raw, bytearray(b"x")) == {"b": Blob(b"x")}
    assert bound(Svc.file_in, path) == {"f": expected}
    assert bound(Calls.files, [path], {"k": path}) == {"f": [expected], "d": {"k": expected}}
    with path.open("rb") as stream:
        assert bound(Svc.file_in, stream) == {"f": expected}
    assert bound(Svc.file_in, io.BytesIO(b"x")) == {"f": Blob(b"x")}


@pytest.mark.parametrize(
    ("mode", "format_", "media_type"),
    [
        ("RGB", None, "image/png"),
        ("RGB", "JPEG", "image/jpeg"),
        ("RGBA", "JPEG", "image/png"),
        ("CMYK", None, "image/tiff"),
        ("F", None, "image/tiff"),
    ],
)
def test_image_formats(mode: str, format_: str | None, media_type: str) -> None:
    """An image travels in its own format, or in one that can hold it."""
    image = PIL.Image.new(mode, (2, 2))
    image.format = format_
    blob = bound(Svc.img_in, image)["image"]
    assert blob.media_type == media_type
    assert input_of(Svc.img_in).validate({"image": blob}).kwargs["image"].mode == mode


def test_a_path_is_text_where_no_file_is_wanted(tmp_path: Path) -> None:
    """A path for anything but a file is only its text."""
    assert bound(Svc.text, tmp_path / "x") == {"s": str(tmp_path / "x")}


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "missing a required argument: 'prompt'"),
        (("x", 1, 2), {}, "too many positional arguments"),
        ((), {"promt": "x"}, "unexpected argument 'promt'; did you mean 'prompt'?"),
        (("x",), {"zzz": 1}, "unexpected argument 'zzz'; there is 'prompt', 'steps'"),
        (("x",), {"prompt": "y"}, "multiple values for argument 'prompt'"),
    ],
)
def test_misfits(args: tuple[Any, ...], kwargs: dict[str, Any], message: str) -> None:
    """Arguments that do not fit are told with the method and the name that was meant."""
    with pytest.raises(InvalidInput) as caught:
        bound(Svc.echo, *args, **kwargs)
    assert caught.value.message.startswith("Svc.echo() ")
    assert caught.value.message.endswith(message)
    assert caught.value.detail


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        [{"x": float("inf")}],
        object(),
        lambda: None,
        io.StringIO("text"),
        {object(): 1},
        Point(float("nan")),  # type: ignore[arg-type]
    ],
)
def test_unsendable(value: Any) -> None:
    """What cannot be JSON is refused by its place, before anything is enqueued."""
    with pytest.raises(InvalidInput, match=r"^a.* cannot be sent: ") as caught:
        bound(Calls.any, value)
    assert caught.value.detail[0]["loc"][0] == "a"


def test_missing_file(tmp_path: Path) -> None:
    """A file that is not there is told by its path; so is a directory."""
    with pytest.raises(InvalidInput, match=r"f cannot be sent: there is no file '.*gone'"):
        bound(Svc.file_in, tmp_path / "gone")
    with pytest.raises(InvalidInput, match=r"f cannot be sent: .*directory"):
        bound(Svc.file_in, tmp_path)


def test_circular_and_deep() -> None:
    """A structure that never ends is refused, not followed."""
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(InvalidInput, match="nested deeper than"):
        bound(Calls.any, circle)


def test_what_is_bound_can_be_packed() -> None:
    """The deepest value that is accepted fits into a message."""
    node: Any = 1
    for _ in range(199):
        node = [node]
    assert pack(bound(Calls.any, node))
