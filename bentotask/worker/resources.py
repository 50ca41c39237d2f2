"""What one worker process may use of the machine: a GPU of its own, its share of the threads."""

from __future__ import annotations

import fcntl
import logging
import os
import tempfile
from pathlib import Path
from typing import Final

from threadpoolctl import threadpool_limits

from bentotask.config import export_environ, visible_gpus
from bentotask.declaration import ServiceSpec
from bentotask.errors import ConfigurationError

logger = logging.getLogger(__name__)

#: What the numeric libraries read when they start; the last is for what is loaded already.
_THREAD_VARIABLES: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


def take_threads(spec: ServiceSpec) -> None:
    """Give the numeric libraries this process's share of ``resources.cpu``."""
    threads = spec.threads_per_slot
    if threads is not None:
        export_environ(dict.fromkeys(_THREAD_VARIABLES, str(threads)))
        threadpool_limits(threads)


def take_gpu(count: int, family: int) -> str | None:
    """Make one of ``count`` GPUs the only one that this process sees, and return its number.

    Must run before anything asks CUDA for its devices. Each process of a worker holds a lock on
    its GPU's file for as long as it lives, so a process that replaces a dead one finds exactly
    the GPU that became free, and nobody has to count.

    Args:
        count: how many GPUs the worker has; 0 changes nothing.
        family: the process id of the worker, which names the locks.
    """
    if count == 0:
        return None
    devices = (visible_gpus() or [str(n) for n in range(count)])[:count]
    for device in devices:
        if _lock(Path(tempfile.gettempdir()) / f"bentotask-{family}-gpu-{device}.lock"):
            export_environ({"CUDA_VISIBLE_DEVICES": device, "CUDA_DEVICE_ORDER": "PCI_BUS_ID"})
            logger.info("process %d uses GPU %s", os.getpid(), device)
            return device
    raise ConfigurationError(
        f"all {len(devices)} GPUs of this worker are taken: start it with --concurrency "
        f"{len(devices)} or raise resources={{'gpu': ...}}"
    )


#: Held until the process ends.
_held: Final[list[int]] = []


def _lock(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return False
    _held.append(descriptor)
    return True
