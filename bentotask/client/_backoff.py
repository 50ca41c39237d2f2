"""How long to pause between two questions."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """Exponential backoff with jitter, so that many who wait do not ask in step."""

    #: the first pause, seconds
    initial: float = 0.1
    #: no pause is longer than this, seconds
    maximum: float = 5.0
    #: each pause is this many times the one before
    factor: float = 1.6
    #: the share of a pause that is left to chance, 0 to 1
    jitter: float = 0.5

    def __post_init__(self) -> None:
        if self.initial <= 0 or self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ValueError(f"initial > 0, factor >= 1 and 0 <= jitter <= 1 are needed: {self}")

    def pauses(self) -> Iterator[float]:
        """Yield pauses without end, seconds."""
        pause = self.initial
        while True:
            pause = min(pause, self.maximum)
            yield pause * (1 - self.jitter * random.random())  # noqa: S311 - spread, not secrecy
            pause *= self.factor
