"""A chain: the first task submits the second, and nobody waits in between.

Serve it, web and worker in one command::

    bentotask serve bentotask.examples.chained:ChainedService

and call it from Python::

    import bentotask

    client = bentotask.SyncHTTPClient("http://localhost:3000")
    tidied = client.step_one(text="  the  quick brown   fox ")
    client.step_two.wait(tidied["step_two"])
    print(client.step_two.get(tidied["step_two"]))  # {'title': 'The Quick Brown Fox', 'words': 4}

In production: ``gunicorn bentotask.examples.chained:wsgi`` and
``celery -A bentotask.examples.chained worker``.
"""

from __future__ import annotations

from typing import Any

import bentotask as bentoml


@bentoml.service
class ChainedService:
    """Tidies a text, then describes it."""

    @bentoml.task
    def step_one(self, text: str) -> dict[str, str]:
        """Tidy a text, hand it on, and tell the id of the task that goes on with it."""
        tidy = " ".join(text.split())
        next_task = self.step_two.submit(tidy)
        return {"text": tidy, "step_two": next_task.id}

    @bentoml.task
    def step_two(self, text: str) -> dict[str, Any]:
        """Describe a tidy text."""
        return {"title": text.title(), "words": len(text.split())}


# mypy does not follow class decorators; pyright does, and needs no comment.
wsgi = ChainedService.wsgi  # type: ignore[attr-defined]
celery = ChainedService.celery  # type: ignore[attr-defined]
