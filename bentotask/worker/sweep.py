"""Every worker removes what has expired, so that no beat process is needed."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable
from typing import Any, Final

from celery import bootsteps

from bentotask.errors import Unavailable
from bentotask.store import Store

logger = logging.getLogger(__name__)

#: Seconds between two sweeps of one worker, on average; jitter keeps workers apart.
INTERVAL: Final = 3600.0


class Sweeper:
    """Sweeps a store in a thread of its own: a long sweep must not hold up the consumer."""

    def __init__(self, store: Store, interval: float = INTERVAL) -> None:
        self._store = store
        self._interval = interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bentotask-sweep", daemon=True)

    def start(self) -> None:
        """Begin, with a pause first."""
        self._thread.start()

    def stop(self) -> None:
        """End after the sweep that may be under way."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval * random.uniform(0.5, 1.5)):  # noqa: S311 - spreads workers, guards nothing
            self.sweep()

    def sweep(self) -> None:
        """Remove what has expired; trouble of any kind puts it off to the next time."""
        try:
            removed = self._store.sweep()
        except Unavailable as error:
            logger.warning("the sweep is put off: %s", error)
        except Exception:
            logger.exception("the sweep of %s is put off", self._store.shown)
        else:
            logger.info("swept %d expired tasks from %s", removed, self._store.shown)


def sweep_step(store: Callable[[], Store]) -> type:
    """Return the step by which Celery's worker starts and stops a sweeper of ``store``."""

    class SweepStep(bootsteps.StartStopStep):
        """Sweeps while the worker runs."""

        requires = ("celery.worker.components:Timer",)

        def include_if(self, _worker: Any) -> bool:
            return not store().expires_by_itself

        def start(self, _worker: Any) -> None:
            self._sweeper = Sweeper(store())
            self._sweeper.start()

        def stop(self, _worker: Any) -> None:
            self._sweeper.stop()

        terminate = stop

    SweepStep.name = f"bentotask.sweep.{id(store)}"
    return SweepStep
