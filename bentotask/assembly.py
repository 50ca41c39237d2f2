"""Where a declaration meets its parts: the object that ``@service`` gives.

The one place that knows all rooms. Everything here is made when it is first asked for, so that
importing a service's module needs no broker.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, overload

import kombu
from celery import Celery
from flask import Blueprint, Flask

from bentotask.config import Settings
from bentotask.context import current_task_id
from bentotask.declaration import ServiceSpec, declared
from bentotask.dispatch import Dispatcher, TaskHandle
from bentotask.endpoint import Submitter
from bentotask.errors import ConfigurationError
from bentotask.queue import Queue, declared_queue, supported_broker
from bentotask.store import open_store
from bentotask.store.backend import ResultBackend
from bentotask.testing import plain_instance
from bentotask.web import create_blueprint, create_wsgi
from bentotask.worker import App, Instance, Worker

logger = logging.getLogger(__name__)

#: Seconds that a web process waits for the result backend; with the broker's share an answer
#: comes within two.
WEB_PATIENCE = 1.0


class Service:
    """A declared service.

    Call it for a plain instance whose methods run in this process. In production give
    :attr:`wsgi` to gunicorn and :attr:`celery` to ``celery worker``, or register
    :attr:`blueprint` in a Flask application that you have.

    Args:
        spec: the declaration.
        celery: the user's own Celery application, if the service shall live in it.
    """

    def __init__(self, spec: ServiceSpec, celery: Celery | None) -> None:
        self.spec = spec
        self._given_celery = celery
        self.__doc__ = spec.inner.__doc__
        self.__module__ = spec.inner.__module__
        self.__name__ = spec.inner.__name__
        self.__qualname__ = spec.inner.__qualname__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return a plain instance; its ``.submit()`` runs the task at once, without a broker."""
        return plain_instance(self.spec, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.spec.inner, name)

    def __repr__(self) -> str:
        return f"<Service {self.spec.name} of {self.spec.origin}>"

    # -- doors ----------------------------------------------------------------------------------

    @cached_property
    def celery(self) -> Celery:
        """The Celery application whose workers run the tasks: ``celery -A module worker``."""
        app = self._given_celery or App(self.spec, lambda: self.settings, lambda: self._queues)
        Worker(
            app,
            self.spec,
            backend=lambda: self._result_backend,
            queue=lambda: self._queue,
            queues=lambda: self._queues,
            build=self._build,
        ).attach()
        return app

    @cached_property
    def blueprint(self) -> Blueprint:
        """The routes, for a Flask application that you have."""
        return create_blueprint(self)

    @cached_property
    def wsgi(self) -> Flask:
        """The service as a WSGI application: ``gunicorn module:wsgi``."""
        self._tell_settings()
        return create_wsgi(self.blueprint)

    # -- parts ----------------------------------------------------------------------------------

    @cached_property
    def settings(self) -> Settings:
        """What the environment says, and a lent Celery application where it says nothing.

        Raises:
            ConfigurationError: a value cannot be used.
        """
        settings = Settings.from_environ()
        for line in settings.told():
            logger.info("%s", line)
        if self._given_celery is None:
            return settings
        return _settings_of(self._given_celery, settings)

    def _tell_settings(self) -> None:
        """Say at start what cannot work; ``/readyz`` and every verb then answer 503 with it.

        Nothing is raised: a unit test, and Celery's command line, import the same module. One that
        names no broker at all may be such a test, so that is told with the first request.
        """
        try:
            if self.settings.broker_url is not None:
                supported_broker(self.settings.require_broker())
            if self.settings.result_backend is not None:
                self.settings.require_result_backend()
        except ConfigurationError as error:
            logger.error("%s cannot serve: %s", self.spec.name, error)  # noqa: TRY400 - the message says all

    @cached_property
    def dispatcher(self) -> Dispatcher:
        """The verbs of the contract, as this process may use them."""
        store = open_store(self.settings.require_result_backend(), WEB_PATIENCE)
        if not store.atomic:
            logger.warning("%s: cancel is best effort there", store.shown)
        return Dispatcher(store, self._queue)

    def api_instance(self) -> Any:
        """Return the instance on which ``@api`` methods run; made at the first call."""
        return self._api_instance.get()

    @cached_property
    def _api_instance(self) -> Instance:
        return Instance(self.spec.name, self._build)

    @cached_property
    def _queue(self) -> Queue:
        # Read now, so that settings that cannot work are told before a record is stored.
        _ = self.celery.conf["broker_url"]
        return Queue(self.celery, self._queues)

    @cached_property
    def _queues(self) -> dict[str, kombu.Queue]:
        names = sorted({endpoint.queue for endpoint in self.spec.tasks})
        given = self._given_celery
        existing = {} if given is None else {q.name: q for q in given.conf.task_queues or ()}
        return {n: existing.get(n) or declared_queue(n, self.settings.queue_type) for n in names}

    @cached_property
    def _result_backend(self) -> ResultBackend:
        if self._given_celery is None:
            backend: ResultBackend = self.celery.backend
            return backend
        return ResultBackend(self.celery, url=self.settings.require_result_backend())

    def _build(self) -> Any:
        return self.spec.build(self._submitter)

    @property
    def _submitter(self) -> Submitter:
        endpoints = {endpoint.method: endpoint for endpoint in self.spec.tasks}

        def submit(method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], /) -> TaskHandle:
            endpoint = endpoints[method]
            document = endpoint.input.bind(args, dict(kwargs))
            record = self.dispatcher.submit(endpoint, document, parent_id=current_task_id())
            return TaskHandle(self.dispatcher, endpoint, record.id)

        return submit


def _settings_of(app: Celery, settings: Settings) -> Settings:
    """Let the application's own broker and results stand, unless ours are named outright."""
    backend = settings.sources.get("result_backend", "")
    given = None if backend.startswith("BENTOTASK_") else app.conf.result_backend
    return settings.override(
        f"the Celery application {app.main}",
        broker_url=app.conf.broker_url,
        result_backend=given,
    )


@overload
def service(inner: type, /) -> Service: ...
@overload
def service(**options: Any) -> Callable[[type], Service]: ...
def service(inner: type | None = None, /, **options: Any) -> Any:
    """Make a class a service.

    Args:
        inner: the class, when the decorator stands bare.
        options: see :class:`bentotask.declaration.ServiceOptions`.

    Raises:
        DeclarationError: the class or an option cannot be served; says what to write instead.
    """
    frame = inspect.currentframe()
    # Annotations are text under `from __future__ import annotations`; those of a class inside of a
    # function, as in a test, name what only that function knows.
    namespace = frame.f_back.f_locals if frame is not None and frame.f_back is not None else {}
    declare = partial(_declare, options, dict(namespace))
    return declare if inner is None else declare(inner)


def _declare(options: Mapping[str, Any], namespace: Mapping[str, Any], inner: type) -> Service:
    spec, checked = declared(inner, options, namespace)
    made = Service(spec, checked.celery)
    if checked.celery is not None:
        _ = made.celery  # a lent application learns of the tasks now: its worker imports only us
    return made
