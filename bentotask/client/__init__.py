"""Clients of a service: one blocking, one for asyncio, with the same words.

::

    client = SyncHTTPClient("http://localhost:3000")
    task = client.generate_image.submit(prompt="a sunset")
    task.wait()
    image = task.get()
"""

from bentotask.client._async_client import AsyncHTTPClient, AsyncTaskHandle
from bentotask.client._backoff import Backoff
from bentotask.client._sync_client import SyncHTTPClient, TaskHandle

__all__ = ["AsyncHTTPClient", "AsyncTaskHandle", "Backoff", "SyncHTTPClient", "TaskHandle"]
