"""The same state machine without any server, for unit tests: yours and ours.

``Service()`` uses it already: ``.submit()`` inside of a plain instance runs the task at once, in
this process, through the same claims and the same codec as in production.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bentotask.codec import unpack
from bentotask.context import Context, RequestInfo
from bentotask.declaration import ServiceSpec
from bentotask.dispatch import Dispatcher, TaskHandle
from bentotask.endpoint import Endpoint
from bentotask.errors import HTTPError, NotInTaskError
from bentotask.invocation import invoke
from bentotask.record import Progress, TaskError, TaskRecord
from bentotask.store import Store
from bentotask.store.memory import MemoryStore

__all__ = ["InlineQueue", "MemoryStore", "inline_dispatcher", "plain_instance"]


class InlineQueue:
    """A queue that runs each task as it is published.

    Args:
        store: where the records are.
        instance: what the tasks run on.
    """

    def __init__(self, store: Store, instance: Any) -> None:
        self._store = store
        self._instance = instance

    def publish(self, endpoint: Endpoint, task_id: str, *, retries: int = 0, **_: Any) -> None:
        """Run the task, with its automatic retries at once."""
        claim = self._store.begin(task_id, retries=retries)
        if not claim.won or claim.record is None:
            return
        try:
            payload = self._attempt(endpoint, claim.record, claim.input or b"")
        except Exception as error:  # noqa: BLE001 - the wall around user code, as in a worker
            if retries < endpoint.options.retry:
                self.publish(endpoint, task_id, retries=retries + 1)
            else:
                self._store.fail(task_id, _task_error(error), known=claim.record)
        else:
            self._store.succeed(task_id, payload)

    def _attempt(self, endpoint: Endpoint, record: TaskRecord, packed_input: bytes) -> Any:
        def report(progress: Progress) -> None:
            self._store.report(record.id, progress)

        context = Context(
            task_id=record.id,
            attempt=record.attempts,
            request=RequestInfo(headers=record.headers),
            on_progress=report,
        )
        with tempfile.TemporaryDirectory(prefix="bentotask-") as workdir:
            document = unpack(packed_input)
            return invoke(endpoint, self._instance, document, context, Path(workdir))

    def revoke(self, task_id: str) -> None:
        """Drop nothing: what was published has run."""

    def ping(self) -> None:
        """Answer."""


def _task_error(error: Exception) -> TaskError:
    status = error.status if isinstance(error, HTTPError) else 500
    return TaskError(type=type(error).__name__, message=str(error), status=status)


def inline_dispatcher(instance: Any) -> Dispatcher:
    """Return the verbs of the contract over ``instance``, without any server."""
    store = MemoryStore()
    return Dispatcher(store, InlineQueue(store, instance))


class InlineSubmitter:
    """Makes ``.submit()`` of a plain instance run at once, on that instance."""

    def __init__(self, spec: ServiceSpec) -> None:
        self._endpoints = {endpoint.method: endpoint for endpoint in spec.tasks}
        self.dispatcher: Dispatcher | None = None

    def __call__(
        self, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], /
    ) -> TaskHandle:
        """Run the task and return its handle."""
        if self.dispatcher is None:
            raise NotInTaskError(f"{method}.submit() in __init__: the instance does not exist yet")
        endpoint = self._endpoints[method]
        record = self.dispatcher.submit(endpoint, endpoint.input.bind(args, dict(kwargs)))
        return TaskHandle(self.dispatcher, endpoint, record.id)


def plain_instance(spec: ServiceSpec, *args: Any, **kwargs: Any) -> Any:
    """Return an instance whose methods, and whose submitted tasks, run in this process."""
    submitter = InlineSubmitter(spec)
    instance = spec.build(submitter, *args, **kwargs)
    submitter.dispatcher = inline_dispatcher(instance)
    return instance
