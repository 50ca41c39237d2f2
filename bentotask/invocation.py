"""Calling a service's method: a document in, a payload out. The same in a worker and in the web."""

from __future__ import annotations

import asyncio
import inspect
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from bentotask.codec import Document, Payload
from bentotask.context import Context
from bentotask.endpoint import Endpoint


def invoke(
    endpoint: Endpoint, instance: Any, document: Document, context: Context, workdir: Path
) -> Payload:
    """Call the endpoint's method with a checked input and return its encoded result.

    Args:
        endpoint: the endpoint.
        instance: the service's instance.
        document: the input; checked here, also when it was checked before: it may come from
            before a deployment.
        context: what the method may see and set.
        workdir: where files of the input are put.

    Raises:
        InvalidInput: the input does not fit.
        TypeError: the result is not what the method promises.
    """
    arguments = endpoint.input.validate(document, workdir=workdir)
    kwargs = dict(arguments.kwargs)
    if endpoint.input.context_parameter is not None:
        kwargs[endpoint.input.context_parameter] = context
    with context:
        value = endpoint.function(instance, *arguments.args, **kwargs)
        if inspect.isawaitable(value):
            value = _run(value, context)
    payload = endpoint.output.encode(value)
    response = context.response
    return replace(payload, status=response.status_code, headers=dict(response.headers))


_loops: Final = threading.local()


def _runner() -> asyncio.Runner:
    """Return this thread's event loop, kept so that a service may keep async clients on self."""
    runner: asyncio.Runner | None = getattr(_loops, "runner", None)
    if runner is None:
        runner = _loops.runner = asyncio.Runner()
    return runner


def _run(awaitable: Any, context: Context) -> Any:
    """Run what an ``async def`` method returned to its end.

    What stops a task may leave other coroutines in the loop. None of them must go on with the
    next task, so the loop is ended, which cancels all that is in it.
    """
    try:
        return _runner().run(_awaited(awaitable, context))
    except Exception:
        raise
    except BaseException:
        runner, _loops.runner = _runner(), None
        runner.close()
        raise


async def _awaited(value: Any, context: Context) -> Any:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None:
        # The one way to stop a coroutine: an exception raised from outside may hit the loop itself,
        # which would swallow it.
        context.on_coroutine(partial(loop.call_soon_threadsafe, task.cancel))
    return await value
