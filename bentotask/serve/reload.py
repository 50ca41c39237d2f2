"""Hears of changed Python files, for ``serve --reload``."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bentotask.errors import ConfigurationError
from bentotask.process import Bell

try:
    import watchfiles
except ImportError:
    watchfiles = None  # type: ignore[assignment]  # an extra, told when it is asked for

#: What the bell is rung with; no signal has the number.
CHANGED: Final = 0


def require_watchfiles() -> None:
    """Make sure that changes can be heard of.

    Raises:
        ConfigurationError: the package for it is not installed.
    """
    if watchfiles is None:
        raise ConfigurationError(
            "--reload needs watchfiles, which is not installed: pip install 'bentotask[serve]'"
        )


@contextlib.contextmanager
def reloading(project: Path, bell: Bell) -> Iterator[None]:
    """Ring ``bell`` whenever a Python file below ``project`` has changed."""
    stopped = threading.Event()

    def listen() -> None:
        changes = watchfiles.watch(
            project,
            watch_filter=watchfiles.PythonFilter(),
            stop_event=stopped,
            raise_interrupt=False,
        )
        for _ in changes:
            bell.ring(CHANGED)

    thread = threading.Thread(target=listen, name="bentotask-reload", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
