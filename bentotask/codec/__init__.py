"""Python values ⇄ media types and ⇄ what a message carries. Never pickle, no I/O of its own.

One module for each family of types: :mod:`.text`, :mod:`.binary`, :mod:`.file`, :mod:`.image`,
found through :mod:`.registry`.
"""

from bentotask.codec.call import encode_call
from bentotask.codec.packing import pack, unpack
from bentotask.codec.result import decode_payload
from bentotask.codec.values import Blob, Body, Document, Payload, is_plain

__all__ = [
    "Blob",
    "Body",
    "Document",
    "Payload",
    "decode_payload",
    "encode_call",
    "is_plain",
    "pack",
    "unpack",
]
