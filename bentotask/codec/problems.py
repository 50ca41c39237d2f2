"""How an unfit input is told: the peer's words, one entry for each fault."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from bentotask.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pydantic import ValidationError

#: ``{"type", "loc", "msg"}`` as pydantic words it, JSON-able.
Problem = dict[str, Any]


def problem(kind: str, loc: Sequence[str | int], message: str) -> Problem:
    """Make one entry of ``detail``: what sort of fault, where, and a sentence."""
    return {"type": kind, "loc": list(loc), "msg": message}


def invalid(*problems: Problem) -> InvalidInput:
    """Make the error that tells all ``problems``; the message is worded as the peer's is."""
    return InvalidInput(f"{len(problems)} validation error for Input", detail=list(problems))


def problems_of(error: ValidationError) -> list[Problem]:
    """Return pydantic's own entries, with each ``loc`` a list."""
    found = error.errors(include_context=False, include_input=False)
    return [{**entry, "loc": list(entry["loc"])} for entry in found]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest known name, else the names there are."""
    names = list(known)
    near = get_close_matches(name, names, n=1)
    if near:
        return f"; did you mean {near[0]!r}?"
    return f"; there is {', '.join(map(repr, names))}" if names else "; it takes no parameters"
