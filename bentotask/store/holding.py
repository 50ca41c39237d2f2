"""Holding on to a step while its server is away: what a worker has done is worth waiting for."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from typing import Final, TypeVar

from bentotask.errors import BentotaskError, TooManyRequests, Unavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: How long a worker holds a step for a server that is away, before it gives the task back to the
#: queue. Seconds.
HOLD: Final = 60.0


class StayedAway(BentotaskError):
    """A server was away for longer than :data:`HOLD`.

    Not an ``Unavailable``: a task's own code may raise that, of a service that it called.
    """


def hold(step: Callable[[], T], what: str) -> T:
    """Repeat ``step`` with growing pauses until its server answers.

    Args:
        step: what to do; repeating it must do no harm.
        what: what is held, for the log.

    Raises:
        StayedAway: for longer than :data:`HOLD` the server was away, or its queue full.
    """
    started, pause = time.monotonic(), 0.1
    while True:
        try:
            return step()
        except (Unavailable, TooManyRequests) as error:
            if time.monotonic() - started > HOLD:
                raise StayedAway(f"{what}: {error}") from error
            logger.warning("%s is held: %s", what, error)
        time.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - spreads workers, guards nothing
        pause = min(pause * 2, 5.0)
