"""``PIL.Image.Image``: an image in its own format. Pillow is imported only when one is there."""

from __future__ import annotations

import importlib
import inspect
import io
from typing import TYPE_CHECKING, Any

from bentotask.codec.family import Family, Place
from bentotask.codec.names import OCTETS
from bentotask.codec.values import Blob
from bentotask.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

# Opening PostScript starts Ghostscript, on bytes that a stranger sent.
_REFUSED = frozenset({"EPS"})
# Tried in turn when an image has no format, or one that cannot hold its mode (RGBA in JPEG).
_FALLBACKS = ("PNG", "TIFF")
# Pillow's default of 75 is visible after a chain of two or three tasks.
_OPTIONS: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}}
# The web process decodes an image completely only up to this size; a larger one is checked by
# its header and checksums, because a few kilobytes can unfold into hundreds of megabytes.
_DECODED_WHEN_CHECKING = 16_000_000


class Image(Family):
    """The family of ``PIL.Image.Image``."""

    noun = "an image"
    json_schema = {"type": "file", "format": "image", "pil": True}  # noqa: RUF012 - never written to

    def owns(self, annotation: Any) -> bool:
        """Recognise the class by its name: comparing with it would import Pillow."""
        return inspect.isclass(annotation) and any(map(_is_image_class, annotation.__mro__))

    def is_value(self, value: Any) -> bool:
        """An image of any subclass, such as ``PngImageFile``."""
        return any(map(_is_image_class, type(value).__mro__))

    def describes(self, schema: Mapping[str, Any]) -> bool:
        """A file whose format is image; the peer leaves ``pil`` out in some versions."""
        return (schema.get("type"), schema.get("format")) == ("file", "image")

    def reads(self, media_type: str) -> bool:
        """A raw body must say that it is an image, or nothing."""
        return media_type.startswith("image/") or media_type == OCTETS

    def to_blob(self, value: Any) -> Blob:
        """Write the image in its own format, PNG when it has none.

        Raises:
            ValueError: no format can hold it; tells why.
        """
        reason = ""
        for format_ in dict.fromkeys((value.format or "PNG", *_FALLBACKS)):
            try:
                return Blob(_saved(value, format_), _media_type(format_))
            except (OSError, ValueError, KeyError) as error:
                reason = f"{format_}: {error}"
        raise ValueError(f"this image (mode {value.mode}) cannot be written: {reason}")

    def from_blob(self, blob: Blob, place: Place) -> Any:
        """Open the image, whose ``format`` stays that of the bytes.

        Raises:
            ValueError: it is damaged, of an unknown format, or unfolds beyond Pillow's limit.
        """
        pillow = _pillow()
        # Pillow's decoders answer damaged bytes with nearly every exception there is.
        try:
            return _opened(pillow, blob.data, checking=place.directory is None)
        except pillow.UnidentifiedImageError as error:
            raise ValueError("no image format that is known here") from error
        except Exception as error:
            raise ValueError(f"damaged or too large: {error}") from error


def _is_image_class(cls: type) -> bool:
    return cls.__module__ == "PIL.Image" and cls.__name__ == "Image"


def _pillow() -> ModuleType:
    try:
        return importlib.import_module("PIL.Image")
    except ImportError as error:
        raise ConfigurationError(
            "images need Pillow, which is not installed: pip install 'bentotask[images]'"
        ) from error


def _opened(pillow: ModuleType, data: bytes, *, checking: bool) -> Any:
    pillow.init()
    formats = [name for name in pillow.ID if name not in _REFUSED]
    with pillow.open(io.BytesIO(data), formats=formats) as probe:
        pixels = probe.width * probe.height
        # Pillow itself only warns at its limit, and refuses at twice that.
        if pillow.MAX_IMAGE_PIXELS is not None and pixels > pillow.MAX_IMAGE_PIXELS:
            raise ValueError(f"{pixels} pixels are more than {pillow.MAX_IMAGE_PIXELS}")
        probe.verify()
    # verify() leaves an image that cannot be used any more.
    image = pillow.open(io.BytesIO(data), formats=formats)
    if not checking or pixels <= _DECODED_WHEN_CHECKING:
        image.load()
    return image


def _saved(image: Any, format_: str) -> bytes:
    buffer = io.BytesIO()
    animated = getattr(image, "n_frames", 1) > 1
    options = _OPTIONS.get(format_, {}) | ({"save_all": True} if animated else {})
    image.save(buffer, format=format_, **options)
    return buffer.getvalue()


def _media_type(format_: str) -> str:
    media_type: str = _pillow().MIME.get(format_.upper(), f"image/{format_.lower()}")
    return media_type
