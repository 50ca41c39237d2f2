"""The text of the service modules that the fault tests deploy."""

from __future__ import annotations

from typing import Final

#: Tasks that write down that they ran, hang, kill their process, or stop in C.
FRAGILE: Final = '''
import ctypes
import hashlib
import os
import signal
import sys
import time
from pathlib import Path

import bentotask


@bentotask.service(workers=2)
class Fragile:
    @bentotask.task
    def mark(self, n: int) -> int:
        """Leave a line: the proof that it ran."""
        time.sleep(0.01)
        with Path("ran").open("a") as file:
            file.write(f"{n}\\n")
        return n

    @bentotask.task
    def die(self, always: bool = True) -> str:
        """Kill the pool process, the first time or every time."""
        if always or not Path("died").exists():
            Path("died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return "lived"

    @bentotask.task
    def leave(self) -> None:
        """End the process in the polite way."""
        sys.exit(3)

    @bentotask.task(timeout=1)
    def sleep(self, seconds: float) -> float:
        """Sleep, and answer an exception with a friendly result."""
        try:
            time.sleep(seconds)
        except Exception as error:
            return -1.0
        return seconds

    @bentotask.task(timeout=1)
    def hash(self, rounds: int) -> str:
        """Work in C, where no signal is seen."""
        return hashlib.pbkdf2_hmac("sha256", b"x", b"y", rounds).hex()

    @bentotask.task
    def long(self, seconds: float) -> float:
        """Run for long without a limit."""
        time.sleep(seconds)
        return seconds


wsgi = Fragile.wsgi
celery = Fragile.celery
'''

#: Tasks that wait in a coroutine, and one that always fails.
ASYNC: Final = """
import asyncio
from pathlib import Path

import bentotask


@bentotask.service(workers=1)
class Waiting:
    @bentotask.task(timeout=1)
    async def wait(self, seconds: float) -> float:
        await asyncio.sleep(seconds)
        Path("went_on").touch()
        return seconds

    @bentotask.task(retry=5)
    def fail(self) -> None:
        raise RuntimeError("always")


wsgi = Waiting.wsgi
celery = Waiting.celery
"""
