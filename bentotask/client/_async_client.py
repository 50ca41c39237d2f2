"""The client for asyncio: what a user of it sees. Sending is ``_async``'s."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable
from typing import TYPE_CHECKING, Any, Final, Self

from bentotask.client import _flows
from bentotask.client._async import AsyncLink
from bentotask.client._backoff import Backoff
from bentotask.client._base import BaseClient, BaseEndpoint, BaseHandle

if TYPE_CHECKING:
    from bentotask.record import Progress, TaskRecord, TaskStatus

_POLL: Final = Backoff()


class AsyncHTTPClient(BaseClient[AsyncLink]):
    """A client for asyncio; lives until ``close()``, its ``async with`` ends, or its last use.

    ``client.NAME`` is the service's endpoint NAME, and so is ``client["NAME"]``, for names that
    are no attribute. The server is asked for its endpoints when one is first awaited, so an
    unknown name is told then (``async with`` asks at once). Several event loops may use it, one
    after another or at a time; each has connections of its own, which end with it.

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
        super().__init__(AsyncLink(url, token, timeout, server_ready_timeout))

    async def endpoints(self) -> list[str]:
        """Return the names of the service's endpoints."""
        return list(await self._link.run(self._link.described()))

    def __getattr__(self, name: str) -> AsyncEndpoint:
        if name.startswith("_"):
            # Python itself looks for such names; they are no endpoints.
            raise AttributeError(name)
        self._link.check(name)
        return AsyncEndpoint(self._link, name)

    def __getitem__(self, name: str) -> AsyncEndpoint:
        try:
            self._link.check(name)
        except AttributeError as exc:
            raise KeyError(str(exc)) from None
        return AsyncEndpoint(self._link, name)

    async def __aenter__(self) -> Self:
        try:
            await self._link.run(self._link.described())
        except BaseException:
            await self.close()  # __aexit__ will not be called
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close this loop's connections; a later request opens new ones."""
        await self._link.close()

    aclose = close


class AsyncEndpoint(BaseEndpoint[AsyncLink]):
    """One endpoint: await a call for its result, or ``submit()`` and ask later."""

    async def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Run it, wait, and return its result.

        Raises:
            AttributeError: the service has no endpoint of this name.
            InvalidInput: the arguments do not fit; told before anything is sent where possible.
            TaskFailed: it ended without a result.
            TaskNotDone: the server waited long enough; the task goes on under ``.task_id``.
            HTTPError: the result is damaged; ``.body`` is what came.
        """
        return await self._link.run(self._any(_flows.call, args, kwargs))

    async def submit(self, /, *args: Any, **kwargs: Any) -> AsyncTaskHandle:
        """Queue a task; the arguments are those of the service's method.

        Raises:
            AttributeError: the service has no task of this name.
            InvalidInput: the arguments do not fit; told before anything is sent where possible.
            TooManyRequests: the queue is full; ``.retry_after`` says when to return.
            Unavailable: the server cannot reach its broker; nothing was accepted.
        """
        task_id = await self._link.run(self._task(_flows.submit, args, kwargs))
        return AsyncTaskHandle(self, task_id)

    async def get_status(self, task: AsyncTaskHandle | str) -> TaskStatus:
        """Return a task's status.

        Raises:
            TaskNotFound: the id is unknown or expired.
        """
        return (await self.status(task)).status

    async def status(self, task: AsyncTaskHandle | str) -> TaskRecord:
        """Return all that the server tells of a task: status, times, attempts, progress, error.

        Raises:
            TaskNotFound: the id is unknown or expired.
        """
        return await self._link.run(self._task(_flows.status, str(task)))

    async def get(self, task: AsyncTaskHandle | str) -> Any:
        """Return a task's result.

        Raises:
            NotCompleted: it has not ended.
            TaskFailed: it ended without a result; ``.status`` is its error's own.
            TaskCancelled: it was cancelled.
            TaskNotFound: the id is unknown or expired.
            HTTPError: the result is damaged; ``.body`` is what came.
        """
        return await self._link.run(self._task(_flows.get, str(task)))

    async def cancel(self, task: AsyncTaskHandle | str, *, force: bool = False) -> TaskStatus:
        """Cancel a task and return its status after that.

        Args:
            task: the task or its id.
            force: stop it even if it has begun.

        Raises:
            Conflict: it ended, or it has begun and ``force`` is not set.
            TaskNotFound: the id is unknown or expired.
        """
        return await self._link.run(self._task(_flows.cancel, str(task), force=force))

    async def retry(self, task: AsyncTaskHandle | str) -> AsyncTaskHandle:
        """Queue a finished task's input once more and return the new task.

        Raises:
            NotCompleted: it has not ended.
            TaskNotFound: the id is unknown or expired.
        """
        task_id = await self._link.run(self._task(_flows.retry, str(task)))
        return AsyncTaskHandle(self, task_id)

    async def wait(
        self,
        task: AsyncTaskHandle | str,
        timeout: float | None = None,  # noqa: ASYNC109 - says that the task goes on; asyncio's would not
        poll: Backoff = _POLL,
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
        return await self._link.run(self._task(_flows.wait, str(task), timeout, poll))

    async def progress(
        self, task: AsyncTaskHandle | str, poll: Backoff = _POLL
    ) -> AsyncIterator[Progress]:
        """Yield a task's progress each time it has changed, until the task ends.

        A server that is away for a moment is forgiven, as ``wait()`` does.
        """
        seen: Progress | None = None
        while True:
            seen = await self._link.run(self._task(_flows.next_progress, str(task), seen, poll))
            if seen is None:
                return
            yield seen

    async def map(
        self, items: Iterable[Any], *, concurrency: int = 16, poll: Backoff = _POLL
    ) -> AsyncIterator[Any]:
        """Run the endpoint on every item and yield the results in the items' order.

        A full queue (429) is waited for. When one item fails, its error is raised in its place and
        no further item begins; what is already submitted goes on at the server.

        Args:
            items: a mapping gives the arguments by name, a tuple by position, anything else is
                the only argument. Read as far as needed, so it may be endless.
            concurrency: at most so many items at a time.
            poll: the pauses between two questions where the server does not hold them.

        Raises:
            HTTPError: whatever ``submit()`` and ``get()`` raise.
        """
        if concurrency < 1:
            raise ValueError("concurrency must be at least 1")
        begun: deque[asyncio.Task[Any]] = deque()
        try:
            for item in items:
                if len(begun) >= concurrency:
                    yield await begun.popleft()
                flow = self._any(_flows.run_item, item, poll)
                begun.append(asyncio.create_task(self._link.run(flow)))
            while begun:
                yield await begun.popleft()
        finally:
            for task in begun:
                task.cancel()
            await asyncio.gather(*begun, return_exceptions=True)


class AsyncTaskHandle(BaseHandle):
    """One submitted task, and its verbs; :class:`AsyncEndpoint` tells more of each."""

    _endpoint: AsyncEndpoint

    async def get_status(self) -> TaskStatus:
        """Return its status."""
        return await self._endpoint.get_status(self)

    async def status(self) -> TaskRecord:
        """Return all that the server tells of it: status, times, attempts, progress, error."""
        return await self._endpoint.status(self)

    async def get(self) -> Any:
        """Return its result; raise ``NotCompleted``, ``TaskFailed`` or ``TaskCancelled``."""
        return await self._endpoint.get(self)

    async def cancel(self, *, force: bool = False) -> TaskStatus:
        """Cancel it, with ``force`` even if it has begun, and return its status after that."""
        return await self._endpoint.cancel(self, force=force)

    async def retry(self) -> AsyncTaskHandle:
        """Queue its input once more and return the new task; it must have ended."""
        return await self._endpoint.retry(self)

    async def wait(
        self,
        timeout: float | None = None,  # noqa: ASYNC109 - as the endpoint's
        poll: Backoff = _POLL,
    ) -> TaskStatus:
        """Wait until it ends, at most ``timeout`` seconds, and return its status."""
        return await self._endpoint.wait(self, timeout, poll)

    def __aiter__(self) -> AsyncIterator[Progress]:
        """Yield its progress each time it has changed, until it ends."""
        return self._endpoint.progress(self)
