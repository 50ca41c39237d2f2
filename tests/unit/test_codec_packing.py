"""The frame that carries a document."""

from __future__ import annotations

import contextlib
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bentotask.codec import Blob, is_plain, pack, unpack

_names = st.none() | st.text(max_size=20)
_blobs = st.builds(Blob, st.binary(max_size=50), _names, _names)
_leaves = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | _blobs
_trees = st.recursive(
    _leaves | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)
_documents = st.dictionaries(st.text(max_size=9), _trees, max_size=5)

WHOLE = pack({"a": Blob(b"123", "x/y", "n"), "b": [Blob(b""), {"c": Blob(b"\xff")}], "d": 1})


def forged(tree: Any, index: Any, data: bytes = b"") -> bytes:
    texts = json.dumps(index).encode(), json.dumps(tree).encode()
    return struct.pack(">4sII", b"BTD1", *map(len, texts)) + b"".join(texts) + data


@given(_documents)
def test_round_trip(document: dict[str, Any]) -> None:
    """Whatever is packed comes back equal, blobs with their names and all."""
    assert unpack(pack(document)) == document


@given(st.binary(max_size=80) | st.binary(max_size=40).map(lambda b: WHOLE[:20] + b))
def test_random_bytes(frame: bytes) -> None:
    """Bytes from anywhere are either a document or a ValueError, never another error."""
    with contextlib.suppress(ValueError):
        assert isinstance(unpack(frame), dict)


@pytest.mark.parametrize("size", range(len(WHOLE)))
def test_truncated(size: int) -> None:
    """A frame cut anywhere is refused."""
    with pytest.raises(ValueError, match="not a packed document"):
        unpack(WHOLE[:size])


@pytest.mark.parametrize(
    "frame",
    [
        WHOLE + b"x",
        forged([], []),
        forged({}, [[["a"], None, None, 0]]),
        forged({"a": 1}, [[["a"], None, None, 0]]),
        forged({"a": None}, [[[], None, None, 0]]),
        forged({"a": None}, [[["a"], 5, None, 0]]),
        forged({"a": None}, [[["a"], None, None, -1]], b"x"),
        forged({"a": None}, [[["a"], None, None, 9]], b"x"),
        forged({"a": None}, [[["a", "b"], None, None, 0]]),
        forged({"a": None}, 7),
        struct.pack(">4sII", b"BTD1", 2**32 - 1, 2**32 - 1),
        struct.pack(">4sII", b"BTD1", 0, 200_000) + b"[" * 200_000,
    ],
)
def test_forged(frame: bytes) -> None:
    """A header that lies about paths, sizes or types is refused with the reason."""
    with pytest.raises(ValueError, match=r"not a packed document: .+"):
        unpack(frame)


def test_values_are_never_taken_for_blobs() -> None:
    """A user's value that looks like our notation stays a value."""
    document = {"a": {"$blob": 0}, "b": [["b"], None, None, 0], "c": None}
    assert unpack(pack(document)) == document
    assert is_plain(unpack(pack(document)))


def test_blobs_are_not_inflated() -> None:
    """A megabyte costs a megabyte: no base64."""
    assert len(pack({"a": Blob(bytes(1_000_000))})) < 1_000_200


@pytest.mark.parametrize("leaf", [object(), "\ud800", {1, 2}.__iter__])
def test_what_is_no_document(leaf: Any) -> None:
    """A leaf that is neither JSON nor a blob is refused."""
    with pytest.raises(ValueError, match="cannot be packed"):
        pack({"a": leaf})


def test_is_plain() -> None:
    """One blob however deep makes a document binary."""
    assert is_plain({"a": [{"b": (1, "x", None)}]})
    assert not is_plain({"a": [{"b": (1, Blob(b""))}]})
