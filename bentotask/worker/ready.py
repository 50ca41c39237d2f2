"""How a worker tells the process that started it how far it has come."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Final

from celery import signals

#: The worker takes messages.
CONSUMING: Final = b"c"
#: A process of its pool has built its instance.
BUILT: Final = b"b"
#: All that must have been said before the first task can run.
READY: Final = frozenset(CONSUMING + BUILT)


def announce(descriptor: int) -> None:
    """Write each step to a pipe. Call it after the service's application is made.

    Signals come in the order in which they were connected, and a process that cannot build its
    instance ends at once: so what is told here is true.
    """

    def tell(step: bytes) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            os.write(descriptor, step)

    def built(**_: Any) -> None:
        tell(BUILT)

    def consuming(sender: Any, **_: Any) -> None:
        tell(CONSUMING)
        if not _forks(sender):
            # One process has built its instance before this; a spawned one cannot tell.
            tell(BUILT)

    signals.worker_process_init.connect(built, weak=False)
    signals.worker_ready.connect(consuming, weak=False)


def _forks(consumer: Any) -> bool:
    method = consumer.app.conf.worker_pool_start_method
    return "prefork" in type(consumer.pool).__module__ and method != "spawn"
