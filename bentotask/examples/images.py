"""An image service: thumbnails, filters and contact sheets of real photographs.

Serve it, web and worker in one command (images need ``pip install 'bentotask[images]'``)::

    bentotask serve bentotask.examples.images:ImageService

and call it from a second terminal; ``submit`` prints the task's id, here ``ID``::

    bentotask submit http://localhost:3000 thumbnail image=@photo.jpg width=200
    bentotask get http://localhost:3000 thumbnail ID -o out.png

or from Python::

    import bentotask
    from pathlib import Path

    client = bentotask.SyncHTTPClient("http://localhost:3000")
    task = client.apply_filter.submit(image=Path("photo.jpg"), name="sepia")
    task.wait()
    task.get().save("sepia.png")

In production, with BENTOTASK_BROKER_URL and BENTOTASK_RESULT_BACKEND set, web and worker are two
commands::

    gunicorn bentotask.examples.images:wsgi --bind :3000 --threads 8
    celery -A bentotask.examples.images worker
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, get_args

import PIL
from PIL import ImageDraw, ImageFilter, ImageOps
from PIL.Image import Image
from PIL.Image import new as new_image
from pydantic import Field

import bentotask as bentoml

Filter = Literal["blur", "sharpen", "emboss", "grayscale", "sepia"]
Side = Annotated[int, Field(ge=1, le=8192)]

#: How much of red, green and blue makes each of the three: old photographs fade to brown.
_SEPIA: Final = (
    *(0.393, 0.769, 0.189, 0.0),
    *(0.349, 0.686, 0.168, 0.0),
    *(0.272, 0.534, 0.131, 0.0),
)

#: Contact sheets: pixels between two pictures, and for the line beneath each.
_GAP: Final = 8
_CAPTION: Final = 14


@bentoml.service(traffic={"timeout": 60})
class ImageService:
    """Works on photographs."""

    @bentoml.task
    def thumbnail(self, image: Image, width: Side = 256, height: Side = 256) -> Image:
        """Shrink an image to fit into width x height; its proportions stay."""
        small = upright(image)
        small.thumbnail((width, height))
        return small

    @bentoml.task(timeout=60)
    def apply_filter(
        self,
        image: Image,
        name: Filter = "sepia",
        radius: Annotated[float, Field(ge=0, le=100)] = 2.0,
    ) -> Image:
        """Apply one filter; the radius is that of blur and sharpen, in pixels."""
        picture = upright(image).convert("RGB")
        match name:
            case "blur":
                return picture.filter(ImageFilter.GaussianBlur(radius))
            case "sharpen":
                return picture.filter(ImageFilter.UnsharpMask(radius))
            case "emboss":
                return picture.filter(ImageFilter.EMBOSS)
            case "grayscale":
                return ImageOps.grayscale(picture)
            case "sepia":
                return picture.convert("RGB", _SEPIA)

    @bentoml.task(timeout=300)
    def contact_sheet(
        self,
        images: Annotated[list[Image], Field(min_length=1, max_length=100)],
        columns: Annotated[int, Field(ge=1, le=20)] = 4,
        side: Annotated[int, Field(ge=16, le=1024)] = 200,
    ) -> Image:
        """Lay images out in a grid, numbered, each in a square of ``side`` pixels."""
        columns = min(columns, len(images))
        rows = -(-len(images) // columns)
        across, down = side + _GAP, side + _GAP + _CAPTION
        sheet = new_image("RGB", (_GAP + columns * across, _GAP + rows * down), "white")
        draw = ImageDraw.Draw(sheet)
        for number, image in enumerate(images):
            row, column = divmod(number, columns)
            x, y = _GAP + column * across, _GAP + row * down
            square = ImageOps.pad(upright(image).convert("RGB"), (side, side), color="white")
            sheet.paste(square, (x, y))
            draw.text((x, y + side), f"{number + 1}", fill="black")
            bentoml.progress(number + 1, len(images), f"placed {image.width} x {image.height}")
        return sheet

    @bentoml.api
    def info(self) -> dict[str, Any]:
        """Tell what this service can do; answered at once, without a queue."""
        return {"pillow": PIL.__version__, "filters": list(get_args(Filter))}


def upright(image: Image) -> Image:
    """Return a copy as people see it: cameras note the rotation beside the pixels."""
    return ImageOps.exif_transpose(image)


# mypy does not follow class decorators; pyright does, and needs no comment.
wsgi = ImageService.wsgi  # type: ignore[attr-defined]
celery = ImageService.celery  # type: ignore[attr-defined]
