"""Where tasks run: the Celery application and what one worker process holds."""

from bentotask.worker.app import App, Worker
from bentotask.worker.instance import Instance

__all__ = ["App", "Instance", "Worker"]
