"""The one instance of a service's class in this process."""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


class Instance:
    """Builds the instance once, before the first task, and ends a worker that cannot have it.

    Args:
        name: the service's name.
        build: makes the instance; may take as long as a model takes to load.
    """

    def __init__(self, name: str, build: Callable[[], Any]) -> None:
        self._name = name
        self._build = build
        self._lock = threading.Lock()
        self._built: tuple[int, Any] | None = None

    def get(self) -> Any:
        """Return this process's instance; one that a fork inherited is not its own."""
        with self._lock:
            if self._built is None or self._built[0] != os.getpid():
                self._built = os.getpid(), self._build()
            return self._built[1]

    def build_or_exit(self, family: int) -> None:
        """Build the instance now; a failure ends this process, and with it the worker.

        Celery swallows what a signal's handler raises, and would serve tasks without a model.

        Args:
            family: the worker's process id; of its many processes only the first tells.
        """
        try:
            self.get()
        except Exception:
            if _first_to_tell(family):
                logger.critical(
                    "the worker stops: %s.__init__ failed, so no task of it can run",
                    self._name,
                    exc_info=True,
                )
            os._exit(1)


def _first_to_tell(family: int) -> bool:
    marker = Path(tempfile.gettempdir()) / f"bentotask-{family}-failed"
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def forget_failure(family: int) -> None:
    """Remove the mark of an earlier process that had the same id."""
    (Path(tempfile.gettempdir()) / f"bentotask-{family}-failed").unlink(missing_ok=True)
