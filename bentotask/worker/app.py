"""The Celery application of a service, made new or lent by its user."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final

import click
import kombu
from celery import Celery, signals
from celery.concurrency import get_implementation

from bentotask.config import Settings
from bentotask.declaration import ServiceSpec
from bentotask.endpoint import Endpoint
from bentotask.errors import ConfigurationError, Unavailable
from bentotask.loader import load
from bentotask.queue import Queue, supported_broker
from bentotask.store import open_store
from bentotask.store.backend import ResultBackend
from bentotask.worker.guard import GRACE, Guard, kill_this_process
from bentotask.worker.instance import Instance, forget_failure
from bentotask.worker.resources import take_gpu, take_threads
from bentotask.worker.sweep import sweep_step
from bentotask.worker.task import EndpointTask, task_class

logger = logging.getLogger(__name__)

#: Seconds that a replaced pool process may take to load its model; Celery's own 4 s would kill
#: and replace it for ever.
MODEL_LOAD: Final = 3600.0
#: Redis gives an unacknowledged message to another worker after this many seconds, so it must be
#: longer than any task; it grows with the longest ``timeout=``.
VISIBILITY: Final = 6 * 3600.0

PREFORK: Final = "prefork"
_GREEN: Final = frozenset({"gevent", "eventlet"})


class SettingsError(ConfigurationError, click.ClickException):
    """A setting that cannot work; click, and so Celery's command line, tells it in one line."""


@contextmanager
def _told_by_celery() -> Iterator[None]:
    try:
        yield
    except ConfigurationError as error:
        raise SettingsError(str(error)) from None


class App(Celery):
    """A service's own Celery application: everything of Celery's, with settings that lose nothing.

    Nothing is read or connected before it is used, so that a module may say
    ``celery = Service.celery`` and still be imported where no broker is configured.

    A spawned pool process rebuilds it by importing the service anew, rather than from a copy of
    its configuration: the service's module declares the tasks on *its* application, and an
    environment such as the GPU's must be set before that import.

    Args:
        spec: the service.
        settings: gives the settings when they are needed.
        queues: gives the declarations of the service's queues, by name.
    """

    #: whether this process began with a fresh import instead of a fork
    spawned = False

    def __init__(
        self,
        spec: ServiceSpec,
        settings: Callable[[], Settings],
        queues: Callable[[], Mapping[str, kombu.Queue]],
    ) -> None:
        super().__init__(spec.name, set_as_current=False)
        self._spec = spec
        self._settings = settings
        self._queues = queues
        # Defaults, not settings: what a user sets with celery.conf.update() wins.
        self.add_defaults(self._configuration)

    @property
    def backend_cls(self) -> str:
        """The result backend, as Celery's loader takes it.

        Not the setting ``result_backend``: CELERY_RESULT_BACKEND in the environment would win
        over it in silence.
        """
        name = f"{ResultBackend.__module__}:{ResultBackend.__qualname__}"
        with _told_by_celery():
            return f"{name}+{self._settings().require_result_backend()}"

    # CELERY_BROKER_URL in the environment would win over the setting in silence, and a worker would
    # then listen where no web process publishes. So the URL is passed outright.

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        """Return a connection for consuming, to the broker that the settings chose."""
        return super().connection_for_read(url or self.conf["broker_url"], **options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        """Return a connection for publishing, to the broker that the settings chose."""
        return super().connection_for_write(url or self.conf["broker_url"], **options)

    def _configuration(self) -> dict[str, Any]:
        settings = self._settings()
        with _told_by_celery():
            # Opened here to find out whether it can be: what is raised later, as Celery registers
            # the tasks, Celery would swallow.
            open_store(settings.require_result_backend()).close()
            return _configuration(self._spec, settings, self._queues())

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return _imported_anew, (self._spec.origin, self._spec.gpus, os.getpid())


def _imported_anew(origin: str, gpus: int, family: int) -> Celery:
    """Return the application of ``origin`` in a spawned process of the worker ``family``."""
    take_gpu(gpus, family)
    app: App = load(origin).celery
    app.spawned = True
    return app


def _configuration(
    spec: ServiceSpec, settings: Settings, queues: Mapping[str, kombu.Queue]
) -> dict[str, Any]:
    return {
        "accept_content": ["json"],
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": _transport_options(spec),
        "broker_url": supported_broker(settings.require_broker()),
        # RabbitMQ 4.3 refuses the transient queues that Celery makes without these
        # (https://github.com/celery/celery/issues/10287).
        "control_queue_exclusive": True,
        "event_queue_exclusive": True,
        "task_queues": list(queues.values()),
        "task_default_queue": next(iter(queues), spec.name),
        "worker_concurrency": spec.slots,
        "worker_max_memory_per_child": _kibibytes(spec.memory_limit),
        "worker_pool_start_method": "spawn" if spec.gpus else "fork",
        "worker_prefetch_multiplier": 1,
        "worker_proc_alive_timeout": MODEL_LOAD,
    }


def _kibibytes(size: int | None) -> int | None:
    return None if size is None else max(1, size // 1024)


def _transport_options(spec: ServiceSpec) -> dict[str, Any]:
    longest = max((e.options.timeout or 0.0 for e in spec.tasks), default=0.0)
    return {"visibility_timeout": max(VISIBILITY, 2 * longest), "confirm_publish": True}


class Worker:
    """What a worker process of one service holds; made with the application, idle in the web.

    Args:
        app: the application, ours or the user's.
        spec: the service.
        backend: gives where the tasks' outcomes go, whatever the application's own backend is.
        queue: gives where retries go.
        queues: gives the declarations of the service's queues, by name.
        build: makes an instance of the service.
    """

    def __init__(  # noqa: PLR0913 - one collaborator an argument
        self,
        app: Celery,
        spec: ServiceSpec,
        *,
        backend: Callable[[], ResultBackend],
        queue: Callable[[], Queue],
        queues: Callable[[], Mapping[str, kombu.Queue]],
        build: Callable[[], Any],
    ) -> None:
        self._app = app
        self._spec = spec
        self._backend = backend
        self._queue = queue
        self._queues = queues
        self._instance = Instance(spec.name, build)
        self._tasks: list[EndpointTask] = []
        #: whether the Celery worker of this process runs this service
        self._active = False
        self._pool = PREFORK

    def attach(self) -> None:
        """Have the application run the service's tasks; nothing is read or connected yet."""
        if self._app.finalized:
            self._register()
        else:
            self._app.on_after_finalize.connect(self._register, weak=False)
        self._app.steps["worker"].add(sweep_step(lambda: self._backend().store))
        signals.celeryd_init.connect(self._on_celeryd_init, weak=False)
        signals.worker_init.connect(self._on_worker_init, weak=False)
        signals.celeryd_after_setup.connect(self._on_celeryd_after_setup, weak=False)
        signals.worker_process_init.connect(self._on_worker_process_init, weak=False)

    @property
    def _owned(self) -> bool:
        """Whether the application is ours; a user's own settings are left alone."""
        return isinstance(self._app, App)

    @cached_property
    def _guard(self) -> Guard:
        return Guard(self._backend().store, interrupts=self._pool not in _GREEN)

    def _register(self, **_: Any) -> None:
        for endpoint in self._spec.tasks:
            task = task_class(endpoint)(
                instance=self._instance.get,
                queue=self._queue,
                guard=lambda: self._guard,
                backend=self._backend(),
            )
            self._tasks.append(self._app.register_task(task))

    def _on_celeryd_init(self, instance: Any, **_: Any) -> None:
        """Let the worker consume our queues, also where the application is not ours."""
        if instance.app is self._app:
            for queue in self._queues().values():
                self._app.amqp.queues.select_add(queue)
            if not self._owned:
                self._app.conf.worker_proc_alive_timeout = MODEL_LOAD

    def _on_worker_init(self, sender: Any, **_: Any) -> None:
        """Learn that a worker of ours starts here, and which pool it will have."""
        if sender.app is not self._app:
            return
        self._active = True
        self._pool = get_implementation(sender.pool_cls).__module__.rpartition(".")[2]
        forget_failure(os.getpid())

    def _on_celeryd_after_setup(self, instance: Any, **_: Any) -> None:
        """Say what there is to say once there is a log, and prepare a pool of one process."""
        if instance.app is not self._app:
            return
        self._tell(instance)
        if self._pool != PREFORK:
            take_threads(self._spec)
            self._instance.build_or_exit(os.getpid())

    def _on_worker_process_init(self, **_: Any) -> None:
        """Prepare one process of the pool. Solo's is the main one, which is ready already."""
        spawned = getattr(self._app, "spawned", False)
        if self._pool != PREFORK or not (self._active or spawned):
            return
        for task in self._tasks:
            task.kill = kill_this_process
        if not spawned:
            self._take_gpu()
        take_threads(self._spec)
        self._instance.build_or_exit(os.getppid())

    def _take_gpu(self) -> None:
        """Take this process's GPU, or end it: Celery would swallow the error and serve on."""
        try:
            take_gpu(self._spec.gpus, os.getppid())
        except ConfigurationError as error:
            logger.critical("the worker stops: %s", error)
            os._exit(1)

    def _quorum(self, endpoint: Endpoint) -> bool:
        arguments = self._queues()[endpoint.queue].queue_arguments or {}
        return arguments.get("x-queue-type") == "quorum"

    def _tell(self, worker: Any) -> None:
        """Say what this worker serves, and what this pool or backend cannot do."""
        logger.info(
            "%s: %d slots (%s), results in %s",
            self._spec.name,
            worker.concurrency,
            self._pool,
            self._backend().store.shown,
        )
        if not self._owned and (self._spec.workers or self._spec.memory_limit or self._spec.gpus):
            logger.warning(
                "workers= and resources= of %s change nothing here: the Celery application is your "
                "own, so set worker_concurrency, worker_max_memory_per_child and "
                "worker_pool_start_method on it",
                self._spec.name,
            )
        try:
            self._backend().store.ping()
        except Unavailable as error:
            logger.error("%s; tasks wait in the queue until it answers", error)  # noqa: TRY400 - no traceback for an outage
        if not self._backend().store.atomic:
            logger.warning(
                "%s cannot compare and write in one step: cancel is best effort there, and a task "
                "that starts at that moment may run although it was reported as cancelled",
                self._backend().store.shown,
            )
        unordered = [e.name for e in self._spec.tasks if e.options.priority and self._quorum(e)]
        if unordered:
            logger.warning(
                "priority= of %s has no effect: quorum queues run in order; use "
                "BENTOTASK_QUEUE_TYPE=classic where priorities matter",
                ", ".join(unordered),
            )
        limited = [e.name for e in self._spec.tasks if e.options.timeout is not None]
        if limited and self._pool != PREFORK:
            logger.warning("%s", _told_limits(self._pool, limited))
        if self._spec.gpus and self._pool != PREFORK:
            logger.warning(
                "the %s pool is one process, so all its tasks share every GPU; prefork gives each "
                "its own",
                self._pool,
            )


def _told_limits(pool: str, names: list[str]) -> str:
    tasks = ", ".join(names)
    if pool in _GREEN:
        return (
            f"the {pool} pool cannot interrupt a task at timeout= ({tasks}): it ends as failure "
            f"{GRACE:g} s later, while its greenlet goes on until it returns; prefork kills it"
        )
    if pool == "solo":
        return (
            f"the solo pool interrupts Python code and sleeps at timeout= ({tasks}), never C code"
        )
    return (
        f"the {pool} pool interrupts Python code at timeout= ({tasks}), but not a blocking call: "
        "such a task ends as failure and keeps its slot until the call returns; prefork kills it"
    )
