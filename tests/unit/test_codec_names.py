"""File names that strangers chose, media types, data: URLs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentotask.codec import Blob
from bentotask.codec.names import (
    from_data_url,
    guess_media_type,
    is_data_url,
    safe_filename,
    to_data_url,
)


@pytest.mark.parametrize(
    ("given_name", "safe"),
    [
        ("photo.png", "photo.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\temp\\x.txt", "x.txt"),
        ("a\x00b\n.png", "a_b_.png"),
        ("..", "file"),
        ("/", "file"),
        ("", "file"),
        (None, "file"),
        (" .hidden. ", "hidden"),
        ("übung.txt", "übung.txt"),
        ("\ud800.txt", "?.txt".replace("?", "_")),
    ],
)
def test_safe_filename(given_name: str | None, safe: str) -> None:
    """A name keeps what is harmless of it, and is never empty."""
    assert safe_filename(given_name) == safe


@given(st.text() | st.text(alphabet="./\\\x00a", max_size=400))
def test_any_name_is_one_component(name: str) -> None:
    """No text whatever leads out of its directory or is refused by the file system."""
    safe = safe_filename(name)
    assert safe not in {"", ".", ".."}
    assert not set(safe) & {"/", "\\", "\x00"}
    assert len(safe.encode()) <= 200


def test_long_names_keep_their_suffix() -> None:
    """Shortening does not turn an image into a file of no type."""
    safe = safe_filename("é" * 300 + ".jpeg")
    assert safe.endswith(".jpeg")
    assert len(safe.encode()) <= 200


def test_media_type_is_guessed() -> None:
    """The name decides, and compressed bytes are not what is inside of them."""
    assert guess_media_type("a.png") == "image/png"
    assert guess_media_type("a.csv.gz") == "application/octet-stream"
    assert guess_media_type("a") == "application/octet-stream"


@given(st.binary(max_size=50))
def test_data_url_round_trip(data: bytes) -> None:
    """A data: URL carries any bytes and their media type."""
    url = to_data_url(Blob(data, "image/png"))
    assert is_data_url(url)
    assert from_data_url(url) == Blob(data, "image/png")


@pytest.mark.parametrize("url", ["data:,x", "data:image/png;base64,%%", "http://x/", "x"])
def test_bad_data_url(url: str) -> None:
    """Only base64 is read, nothing is ever fetched, and damage is told."""
    with pytest.raises(ValueError, match="base64"):
        from_data_url(url)


def test_data_url_parameters() -> None:
    """Parameters before the base64 mark are allowed, as RFC 2397 has them."""
    assert from_data_url("data:text/plain;charset=utf-8;base64,aGk=").data == b"hi"
