"""The routes of a service."""

from __future__ import annotations

import hmac
import logging
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from flask import Blueprint, Flask, Response, request
from werkzeug.exceptions import HTTPException

from bentotask.config import Settings
from bentotask.context import Context, RequestInfo
from bentotask.declaration import ServiceSpec
from bentotask.dialect import cancelled_body, status_body, status_words, submitted
from bentotask.dispatch import Dispatcher
from bentotask.endpoint import Endpoint
from bentotask.errors import Unauthorized, Unavailable
from bentotask.invocation import invoke
from bentotask.web import adapter
from bentotask.web.describe import openapi, schema

logger = logging.getLogger(__name__)

#: What a load balancer may ask without a token.
_OPEN = frozenset({"livez", "readyz", "healthz"})


class ServiceRuntime(Protocol):
    """What the web needs of a service; all of it made when it is first asked for."""

    @property
    def spec(self) -> ServiceSpec:
        """The declaration."""

    @property
    def settings(self) -> Settings:
        """The deployment's settings."""

    @property
    def dispatcher(self) -> Dispatcher:
        """The verbs."""

    def api_instance(self) -> Any:
        """The instance on which ``@api`` methods of this process run."""


def create_blueprint(service: ServiceRuntime) -> Blueprint:
    """Return the blueprint of ``service``, for any Flask application."""
    blueprint = Blueprint(service.spec.name, __name__)
    blueprint.before_request(partial(_admit, service))
    blueprint.register_error_handler(Exception, adapter.error_response)
    _add_descriptions(blueprint, service)
    _add_health(blueprint, service)
    for endpoint in service.spec.endpoints.values():
        if endpoint.is_task:
            _add_task(blueprint, TaskDoor(service, endpoint))
        else:
            _route(blueprint, endpoint.route, partial(_call_api, service, endpoint), "POST")
    return blueprint


def create_wsgi(blueprint: Blueprint) -> Flask:
    """Return a Flask application that is ``blueprint`` and nothing else."""
    app = Flask(blueprint.name, static_folder=None)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    app.register_blueprint(blueprint)
    # A path that no route has never reaches the blueprint's own handlers.
    app.register_error_handler(HTTPException, adapter.error_response)
    return app


def _route(blueprint: Blueprint, rule: str, view: Callable[[], Response], *methods: str) -> None:
    name = rule.replace(".", "%2E")  # Flask takes a dot for a blueprint's
    blueprint.add_url_rule(rule, name, lambda: view(), methods=methods)  # noqa: PLW0108 - Flask wants a function with a name of its own


def _admit(service: ServiceRuntime) -> None:
    """Let in who may come in, and nothing that is too large."""
    settings = service.settings
    adapter.limit_body(settings.max_body)
    if settings.token is None or (request.endpoint or "").rpartition(".")[2] in _OPEN:
        return
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    # Constant time: a comparison that stops early would tell how much of a guess was right.
    right = hmac.compare_digest(given.strip().encode(), settings.token.encode())
    if scheme.lower() != "bearer" or not right:
        raise Unauthorized("a valid token is required: send Authorization: Bearer TOKEN")


class TaskDoor:
    """The five verbs of one task endpoint, and the direct call."""

    def __init__(self, service: ServiceRuntime, endpoint: Endpoint) -> None:
        self._service = service
        self.endpoint = endpoint

    @property
    def _verbs(self) -> Dispatcher:
        return self._service.dispatcher

    @property
    def _words(self) -> Any:
        return status_words(request.headers.get("User-Agent"))

    def submit(self) -> Response:
        """POST {route}/submit."""
        document = self.endpoint.input.read(adapter.body())
        record = self._verbs.submit(self.endpoint, document, headers=dict(request.headers))
        return self._accepted(submitted(record, self._words), record.id)

    def status(self) -> Response:
        """GET {route}/status."""
        record = self._verbs.status(self.endpoint, adapter.task_id(), wait=adapter.wait())
        return adapter.json_response(status_body(record, self._words))

    def get(self) -> Response:
        """GET {route}/get."""
        payload = self._verbs.result(self.endpoint, adapter.task_id(), wait=adapter.wait())
        return adapter.payload_response(payload)

    def cancel(self) -> Response:
        """POST or PUT {route}/cancel."""
        record = self._verbs.cancel(self.endpoint, adapter.task_id(), force=adapter.force())
        return adapter.json_response(cancelled_body(record, self._words))

    def retry(self) -> Response:
        """PUT or POST {route}/retry."""
        record = self._verbs.retry(self.endpoint, adapter.task_id())
        return self._accepted(submitted(record, self._words), record.id)

    def call(self) -> Response:
        """POST {route}."""
        document = self.endpoint.input.read(adapter.body())
        timeout = self._service.spec.traffic.timeout
        payload = self._verbs.call(self.endpoint, document, timeout, headers=dict(request.headers))
        return adapter.payload_response(payload)

    def _accepted(self, content: dict[str, Any], task_id: str) -> Response:
        # request.path ends in the verb; what is before it includes any prefix of the blueprint.
        base = request.path.rpartition("/")[0]
        location = f"{request.script_root}{base}/status?task_id={task_id}"
        return adapter.json_response(content, headers={"Location": location})


def _add_task(blueprint: Blueprint, door: TaskDoor) -> None:
    route = door.endpoint.route
    _route(blueprint, route, door.call, "POST")
    _route(blueprint, f"{route}/submit", door.submit, "POST")
    _route(blueprint, f"{route}/status", door.status, "GET")
    _route(blueprint, f"{route}/get", door.get, "GET")
    # The documentation and the clients of BentoML disagree on these two, so both methods work.
    _route(blueprint, f"{route}/cancel", door.cancel, "POST", "PUT")
    _route(blueprint, f"{route}/retry", door.retry, "PUT", "POST")


def _call_api(service: ServiceRuntime, endpoint: Endpoint) -> Response:
    document = endpoint.input.read(adapter.body())
    headers = {k.lower(): v for k, v in request.headers.items()}
    context = Context(request=RequestInfo(headers=headers))
    with tempfile.TemporaryDirectory(prefix="bentotask-") as workdir:
        payload = invoke(endpoint, service.api_instance(), document, context, Path(workdir))
    return adapter.payload_response(payload)


def _add_descriptions(blueprint: Blueprint, service: ServiceRuntime) -> None:
    spec = service.spec
    _route(blueprint, "/schema.json", lambda: adapter.json_response(schema(spec)), "GET")
    _route(
        blueprint,
        "/docs.json",
        lambda: adapter.json_response(openapi(spec, protected=service.settings.token is not None)),
        "GET",
    )


def _add_health(blueprint: Blueprint, service: ServiceRuntime) -> None:
    def alive() -> Response:
        return Response("\n", mimetype="text/plain")

    def ready() -> Response:
        try:
            service.dispatcher.ping()
        except Unavailable as error:
            return adapter.error_response(error)
        return alive()

    for rule, view in (("/livez", alive), ("/readyz", ready), ("/healthz", ready)):
        blueprint.add_url_rule(rule, rule.strip("/"), view)
