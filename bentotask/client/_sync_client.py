"""The blocking client: what a user of it sees. Sending is ``_sync``'s."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Self

from bentotask.client import _flows
from bentotask.client._backoff import Backoff
from bentotask.client._base import BaseClient, BaseEndpoint, BaseHandle
from bentotask.client._sync import SyncLink

if TYPE_CHECKING:
    from bentotask.client._endpoints import EndpointSchema
    from bentotask.record import Progress, TaskRecord, TaskStatus

_POLL: Final = Backoff()


class SyncHTTPClient(BaseClient[SyncLink]):
    """A blocking client; lives until ``close()``, the end of its ``with`` block, or its last use.

    ``client.NAME`` is the service's endpoint NAME, and so is ``client["NAME"]``, for names that
    are no attribute. It may be shared by threads, and used on both sides of a fork.

    Args:
        url: where the service is, e.g. ``http://localhost:3000``; a path is a prefix of every
            route, and ``user:password@`` is sent as basic authentication.
        token: sent as ``Authorization: Bearer ...``; shown nowhere.
        timeout: seconds without an answer before a request is given up; ``None`` for no limit.
        server_ready_timeout: before the first request, wait until the server says it is ready,
            at most so many seconds; ``None`` does not wait.

    Raises:
        ConfigurationError: the URL or the token cannot be used.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        timeout: float | None = 30,
        server_ready_timeout: float | None = None,
    ) -> None:
        super().__init__(SyncLink(url, token, timeout, server_ready_timeout))

    @property
    def endpoints(self) -> list[str]:
        """The names of the service's endpoints."""
        return list(self._link.run(self._link.described()))

    def __getattr__(self, name: str) -> SyncEndpoint:
        if name.startswith("_"):
            # Python itself looks for such names; no server need be asked.
            raise AttributeError(name)
        self._link.run(self._link.found(name))
        return SyncEndpoint(self._link, name)

    def __getitem__(self, name: str) -> SyncEndpoint:
        try:
            self._link.run(self._link.found(name))
        except AttributeError as exc:
            raise KeyError(str(exc)) from None
        return SyncEndpoint(self._link, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later request opens new ones."""
        self._link.close()


class SyncEndpoint(BaseEndpoint[SyncLink]):
    """One endpoint: call it for its result, or ``submit()`` and ask later. Lives as its client."""

    @property
    def schema(self) -> EndpointSchema:
        """What the server tells of it: its input, its output, and whether it is a task."""
        return self._link.run(self._link.found(self._name))

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run it, wait, and return its result.

        Raises:
            InvalidInput: the arguments do not fit; told before anything is sent where possible.
            TaskFailed: it ended without a result.
            TaskNotDone: the server waited long enough; the task goes on under ``.task_id``.
            HTTPError: the result is damaged; ``.body`` is what came.
        """
        return self._link.run(self._any(_flows.call, args, kwargs))

    def submit(self, /, *args: Any, **kwargs: Any) -> TaskHandle:
        """Queue a task; the arguments are those of the service's method.

        Raises:
            InvalidInput: the arguments do not fit; told before anything is sent where possible.
            TooManyRequests: the queue is full; ``.retry_after`` says when to return.
            Unavailable: the server cannot reach its broker; nothing was accepted.
        """
        task_id = self._link.run(self._task(_flows.submit, args, kwargs))
        return TaskHandle(self, task_id)

    def get_status(self, task: TaskHandle | str) -> TaskStatus:
        """Return a task's status.

        Raises:
            TaskNotFound: the id is unknown or expired.
        """
        return self.status(task).status

    def status(self, task: TaskHandle | str) -> TaskRecord:
        """Return all that the server tells of a task: status, times, attempts, progress, error.

        Raises:
            TaskNotFound: the id is unknown or expired.
        """
        return self._link.run(self._task(_flows.status, str(task)))

    def get(self, task: TaskHandle | str) -> Any:
        """Return a task's result.

        Raises:
            NotCompleted: it has not ended.
            TaskFailed: it ended without a result; ``.status`` is its error's own.
            TaskCancelled: it was cancelled.
            TaskNotFound: the id is unknown or expired.
            HTTPError: the result is damaged; ``.body`` is what came.
        """
        return self._link.run(self._task(_flows.get, str(task)))

    def cancel(self, task: TaskHandle | str, *, force: bool = False) -> TaskStatus:
        """Cancel a task and return its status after that.

        Args:
            task: the task or its id.
            force: stop it even if it has begun.

        Raises:
            Conflict: it ended, or it has begun and ``force`` is not set.
            TaskNotFound: the id is unknown or expired.
        """
        return self._link.run(self._task(_flows.cancel, str(task), force=force))

    def retry(self, task: TaskHandle | str) -> TaskHandle:
        """Queue a finished task's input once more and return the new task.

        Raises:
            NotCompleted: it has not ended.
            TaskNotFound: the id is unknown or expired.
        """
        return TaskHandle(self, self._link.run(self._task(_flows.retry, str(task))))

    def wait(
        self, task: TaskHandle | str, timeout: float | None = None, poll: Backoff = _POLL
    ) -> TaskStatus:
        """Wait until a task ends and return its status.

        Args:
            task: the task or its id.
            timeout: at most so many seconds; ``None`` waits as long as it takes.
            poll: the pauses between two questions where the server does not hold them.

        Raises:
            WaitTimeout: it has not ended in time; it goes on.
            TaskNotFound: the id is unknown or expired.
        """
        return self._link.run(self._task(_flows.wait, str(task), timeout, poll))

    def progress(self, task: TaskHandle | str, poll: Backoff = _POLL) -> Iterator[Progress]:
        """Yield a task's progress each time it has changed, until the task ends.

        A server that is away for a moment is forgiven, as ``wait()`` does.
        """
        seen: Progress | None = None
        while True:
            seen = self._link.run(self._task(_flows.next_progress, str(task), seen, poll))
            if seen is None:
                return
            yield seen

    def map(
        self, items: Iterable[Any], *, concurrency: int = 16, poll: Backoff = _POLL
    ) -> Iterator[Any]:
        """Run the endpoint on every item and yield the results in the items' order.

        A full queue (429) is waited for. When one item fails, its error is raised in its place and
        no further item begins; what is already submitted goes on at the server, also when the
        loop is left early, which waits for nothing.

        Args:
            items: a mapping gives the arguments by name, a tuple by position, anything else is
                the only argument. Read as far as needed, so it may be endless.
            concurrency: at most so many items at a time.
            poll: the pauses between two questions where the server does not hold them.

        Raises:
            HTTPError: whatever ``submit()`` and ``get()`` raise.
        """
        halt = threading.Event()

        def run(item: Any) -> Any:
            return self._link.run(self._any(_flows.run_item, item, poll), halt)

        # Not in a `with` block, whose end would wait for the answers that nobody wants any more.
        pool = ThreadPoolExecutor(concurrency, thread_name_prefix="bentotask-map")
        try:
            yield from _in_order(lambda item: pool.submit(run, item), items, concurrency)
        finally:
            halt.set()
            pool.shutdown(wait=False, cancel_futures=True)


def _in_order(
    begin: Callable[[Any], Future[Any]], items: Iterable[Any], concurrency: int
) -> Iterator[Any]:
    """Keep ``concurrency`` items begun, and yield their results in order."""
    begun: deque[Future[Any]] = deque()
    for item in items:
        if len(begun) >= concurrency:
            yield begun.popleft().result()
        begun.append(begin(item))
    while begun:
        yield begun.popleft().result()


class TaskHandle(BaseHandle):
    """One submitted task, and its verbs; :class:`SyncEndpoint` tells more of each."""

    _endpoint: SyncEndpoint

    def get_status(self) -> TaskStatus:
        """Return its status."""
        return self._endpoint.get_status(self)

    def status(self) -> TaskRecord:
        """Return all that the server tells of it: status, times, attempts, progress, error."""
        return self._endpoint.status(self)

    def get(self) -> Any:
        """Return its result; raise ``NotCompleted``, ``TaskFailed`` or ``TaskCancelled``."""
        return self._endpoint.get(self)

    def cancel(self, *, force: bool = False) -> TaskStatus:
        """Cancel it, with ``force`` even if it has begun, and return its status after that."""
        return self._endpoint.cancel(self, force=force)

    def retry(self) -> TaskHandle:
        """Queue its input once more and return the new task; it must have ended."""
        return self._endpoint.retry(self)

    def wait(self, timeout: float | None = None, poll: Backoff = _POLL) -> TaskStatus:
        """Wait until it ends, at most ``timeout`` seconds, and return its status."""
        return self._endpoint.wait(self, timeout, poll)

    def __iter__(self) -> Iterator[Progress]:
        """Yield its progress each time it has changed, until it ends."""
        return self._endpoint.progress(self)
