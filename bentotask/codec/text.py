"""JSON and text: strict on what comes in, strict on what goes out."""

from __future__ import annotations

import math
import re
from typing import Any, Final

from pydantic_core import from_json

from bentotask.codec.problems import Problem, invalid, problem
from bentotask.codec.values import Payload

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"

# What a number too large for a float looks like: three digits of exponent, or a long run of
# digits. Two plain searches cost a tenth of the one expression that says both.
_HUGE_EXPONENT = re.compile(rb"[eE]\+?\d{3}")
_HUGE_RUN = b"0" * 309
_AS_ZEROS = bytes.maketrans(b"123456789", b"000000000")


def is_json(media_type: str) -> bool:
    """Tell whether a body of this bare media type is JSON; none at all counts as JSON."""
    return media_type in {"", JSON} or media_type.endswith("+json")


def parse_json(data: bytes | str) -> Any:
    """Parse strict JSON.

    Raises:
        InvalidInput: it is not JSON, is nested deeper than 200 levels, or holds NaN or a number
            beyond a float's range; the last two are named by their field.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    try:
        value = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise invalid(_not_a_number(raw) or _not_json(error)) from error
    if _may_overflow(raw) and (found := non_finite(value)) is not None:
        raise invalid(found)
    return value


def non_finite(value: Any) -> Problem | None:
    """Return the first NaN or infinity in ``value`` as a problem that names its place."""
    stack: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while stack:
        loc, node = stack.pop()
        if isinstance(node, float) and not math.isfinite(node):
            return problem("finite_number", loc, "NaN and infinity are not JSON; send null")
        if isinstance(node, dict):
            stack.extend(((*loc, key), item) for key, item in node.items())
        elif isinstance(node, list):
            stack.extend(((*loc, i), item) for i, item in enumerate(node))
    return None


def text_payload(text: str) -> Payload:
    """Encode a string result: bare text, not a JSON string, as the peer answers."""
    # A lone surrogate has no UTF-8; "?" in its place beats losing the whole result.
    return Payload(text.encode("utf-8", "replace"), TEXT)


def _may_overflow(raw: bytes) -> bool:
    return _HUGE_EXPONENT.search(raw) is not None or _HUGE_RUN in raw.translate(_AS_ZEROS)


def _not_a_number(raw: bytes) -> Problem | None:
    """Find the NaN that the strict parser stopped at, if that is why it stopped."""
    try:
        return non_finite(from_json(raw))
    except ValueError:
        return None


def _not_json(error: ValueError) -> Problem:
    return problem("json_invalid", [], f"Invalid JSON: {error}")
