"""One document as one string of bytes.

The frame: four bytes of magic, the lengths of two JSON texts, the index, the tree, then every
blob's bytes one after the other. The tree holds ``null`` where a blob belongs and the index says
where that is, so no value of a user's can ever be mistaken for a blob, and nothing is base64.
"""

from __future__ import annotations

import json
import struct
from typing import Any

from pydantic_core import PydanticSerializationError, to_json

from bentotask.codec.values import Blob, Document, is_plain

_MAGIC = b"BTD1"
_HEAD = struct.Struct(">4sII")


def pack(document: Document) -> bytes:
    """Encode ``document``; :func:`unpack` gives an equal one back.

    Raises:
        ValueError: a leaf is neither JSON nor a :class:`Blob`.
    """
    blobs: list[tuple[list[str | int], Blob]] = []
    try:
        # Most documents have no blob, and copying a large one costs more than encoding it.
        plain = is_plain(document)
        tree = to_json(document if plain else _without_blobs(document, [], blobs))
        index = to_json([(path, b.media_type, b.filename, len(b.data)) for path, b in blobs])
    except (PydanticSerializationError, RecursionError) as error:
        raise ValueError(f"a document that cannot be packed: {error}") from error
    head = _HEAD.pack(_MAGIC, len(index), len(tree))
    return b"".join([head, index, tree, *(blob.data for _, blob in blobs)])


def unpack(frame: bytes) -> Document:
    """Decode what :func:`pack` made.

    Raises:
        ValueError: anything else, be it cut short, damaged or forged.
    """
    try:
        return _unpacked(memoryview(frame))
    except (ValueError, TypeError, LookupError, struct.error, RecursionError) as error:
        raise ValueError(f"not a packed document: {error}") from error


def _without_blobs(node: Any, path: list[str | int], blobs: list[Any]) -> Any:
    """Copy ``node`` with ``None`` for each blob, which goes to ``blobs`` with its path."""
    if isinstance(node, Blob):
        blobs.append((path, node))
        return None
    if isinstance(node, dict):
        return {key: _without_blobs(item, [*path, key], blobs) for key, item in node.items()}
    if isinstance(node, list | tuple):
        return [_without_blobs(item, [*path, i], blobs) for i, item in enumerate(node)]
    return node


def _unpacked(frame: memoryview) -> Document:
    magic, index_size, tree_size = _HEAD.unpack_from(frame)
    if magic != _MAGIC:
        raise ValueError("it does not begin with the magic bytes")
    tree_at = _HEAD.size + index_size
    data_at = tree_at + tree_size
    if data_at > len(frame):
        raise ValueError("its header is cut short")
    document = json.loads(bytes(frame[tree_at:data_at]))
    if not isinstance(document, dict):
        raise ValueError("its tree is no object")  # noqa: TRY004 - one error for hostile bytes
    index = json.loads(bytes(frame[_HEAD.size : tree_at]))
    _put_back(document, index, frame[data_at:])
    return document


def _put_back(document: Document, index: Any, data: memoryview) -> None:
    for path, media_type, filename, size in index:
        if not (isinstance(size, int) and 0 <= size <= len(data)):
            raise ValueError("its blobs are cut short")
        _check_names(media_type, filename)
        _put(document, path, Blob(bytes(data[:size]), media_type, filename))
        data = data[size:]
    if data:
        raise ValueError("bytes are left over at its end")


def _check_names(*names: Any) -> None:
    if not all(name is None or isinstance(name, str) for name in names):
        raise ValueError("a blob's media type or file name is no text")


def _put(document: Document, path: list[Any], blob: Blob) -> None:
    """Set the leaf at ``path``, which the tree must hold as ``null``."""
    node: Any = document
    for key in path[:-1]:
        node = node[key]
    if node[path[-1]] is not None:
        raise ValueError("a blob's place is taken")
    node[path[-1]] = blob
