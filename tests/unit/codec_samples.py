"""Classes and bytes that several tests of codec and schema share."""

# Only the signatures of these classes matter.
# mypy: disable-error-code="empty-body, type-arg"
from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import PIL.Image
from PIL.Image import Image
from pydantic import BaseModel

from bentotask.schema import InputSchema, OutputSchema


class Context:
    """Stands for the context of a running task."""


class Item(BaseModel):
    name: str
    n: int = 3


class Svc:
    """The peer's recorded service, as far as its types are supported."""

    def gen(self, prompt: str, steps: int = 20) -> Image: ...
    def echo(self, prompt: str, steps: int = 20) -> dict: ...
    def boom(self, x: int) -> dict: ...
    def slow(self, x: int) -> int: ...
    def text(self, s: str) -> str: ...
    def img_in(self, image: Image, label: str = "a") -> dict: ...
    def file_in(self, f: Path) -> Path: ...
    def item(self, it: Item) -> Item: ...
    def lst(self, items: list[Item]) -> list[Item]: ...
    def root(self, it: Item, /) -> Item: ...
    def rootlist(self, it: list[int], /) -> int: ...
    def none(self) -> None: ...
    def raw(self, b: bytes) -> bytes: ...
    def ctx(self, s: str, ctx: Context) -> str: ...
    def quick_info(self) -> dict: ...
    def custom(self, x: int) -> int: ...


def input_of(function: Any, **options: Any) -> InputSchema:
    return InputSchema.from_function(
        function, name=f"Svc.{function.__name__}", context_type=Context, **options
    )


def output_of(function: Any, **options: Any) -> OutputSchema:
    return OutputSchema.from_function(function, name=f"Svc.{function.__name__}", **options)


def png(size: tuple[int, int] = (4, 4), format_: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    PIL.Image.new("RGB", size, (255, 0, 0)).save(buffer, format=format_)
    return buffer.getvalue()
