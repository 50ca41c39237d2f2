"""Two priorities: urgent work overtakes the work that waits in the queue.

``priority=`` is 0 to 9, and 9 goes first. It orders what waits; a task that runs is not
interrupted. One worker slot (``workers=1``) makes the order easy to see.

Serve it, web and worker in one command::

    bentotask serve bentotask.examples.priority:PriorityService

and call it from Python::

    import bentotask

    client = bentotask.SyncHTTPClient("http://localhost:3000")
    batch = [client.factor_later.submit(number=10**15 + n) for n in range(20)]
    urgent = client.factor_now.submit(number=360)
    urgent.wait()
    print(urgent.get())  # [2, 2, 2, 3, 3, 5]
    print(sum(task.get_status() == "SUCCESS" for task in batch), "of the batch were before it")

In production: ``gunicorn bentotask.examples.priority:wsgi`` and
``celery -A bentotask.examples.priority worker``.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

import bentotask as bentoml

Number = Annotated[int, Field(ge=2, lt=2**63)]


@bentoml.service(workers=1)
class PriorityService:
    """Takes numbers apart, some of them sooner."""

    @bentoml.task(priority=9)
    def factor_now(self, number: Number) -> list[int]:
        """Return the prime factors of a number somebody waits for."""
        return prime_factors(number)

    @bentoml.task(priority=0)
    def factor_later(self, number: Number) -> list[int]:
        """Return the prime factors of one number of a batch."""
        return prime_factors(number)


def prime_factors(number: int) -> list[int]:
    """Return the prime factors of a number, smallest first, by trial division."""
    factors = []
    divisor = 2
    while divisor * divisor <= number:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return [*factors, number] if number > 1 else factors


# mypy does not follow class decorators; pyright does, and needs no comment.
wsgi = PriorityService.wsgi  # type: ignore[attr-defined]
celery = PriorityService.celery  # type: ignore[attr-defined]
