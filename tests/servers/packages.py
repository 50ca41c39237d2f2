"""The Debian packages behind the servers, installed when they may be."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.servers.postgres import programs
from tests.servers.rabbitmq import PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: How to see that a package is there: by the program that the tests run.
_PRESENT: Final[dict[str, Callable[[], bool]]] = {
    "rabbitmq-server": (PROGRAMS / "rabbitmq-server").exists,
    "erlang-base": lambda: shutil.which("erl_call") is not None,
    "redis-server": lambda: shutil.which("redis-server") is not None,
    "postgresql": lambda: programs() is not None,
    "wrk": lambda: shutil.which("wrk") is not None,
}

_LOCK = Path("/run/bentotask-tests-packages.lock")

#: Debian asks this program before it starts a service; 101 means "you may not".
_POLICY = Path("/usr/sbin/policy-rc.d")
_NO_SERVICES = "#!/bin/sh\n# here only while bentotask's tests install their packages\nexit 101\n"


class MissingPackagesError(Exception):
    """Programs that a test needs are not installed, and could not be."""


def missing(*packages: str) -> list[str]:
    """Return those of the packages whose program is not there."""
    return [package for package in packages if not _PRESENT[package]()]


@functools.cache  # a failed attempt takes long and would fail again
def provide(*packages: str) -> None:
    """Install what is missing, or raise :class:`MissingPackagesError` that says why not."""
    if not (absent := missing(*packages)):
        return
    names = " ".join(absent)
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise MissingPackagesError(f"not installed: {names} (try: sudo apt-get install {names})")
    with _one_at_a_time():
        if absent := missing(*packages):  # else another run installed them while we waited
            sys.stderr.write(f"\ntests: apt-get install {names}\n")
            _install(absent)
    if absent := missing(*packages):
        raise MissingPackagesError(f"installed, but without their programs: {' '.join(absent)}")


def _install(packages: list[str]) -> None:
    with _no_services_started():
        # A source that fails must not stop us: the packages may lie in another, or be known.
        _apt_get("update")
        done = _apt_get("install", "--yes", "--no-install-recommends", *packages)
    if done.returncode:
        raise MissingPackagesError(f"apt-get install {' '.join(packages)}:\n{done.stdout[-2000:]}")


def _apt_get(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LC_ALL": "C.UTF-8",
        "DEBIAN_FRONTEND": "noninteractive",
        "RUNLEVEL": "1",
        **{name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")},
    }
    return subprocess.run(
        ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold a lock that ends with the process, however that ends."""
    with _LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _no_services_started() -> Iterator[None]:
    """Keep the packages' own services down: the tests start private ones.

    A policy that the machine already has is left alone, for it knows better.
    """
    if _POLICY.exists() and _POLICY.read_text() != _NO_SERVICES:
        yield
        return
    _POLICY.write_text(_NO_SERVICES)
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink()
