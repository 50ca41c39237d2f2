"""The service under contract: pytest-celery gives this file to the worker, the tests import it."""

from pathlib import Path

import bentotask


@bentotask.service(workers=1)
class Contract:
    """One slot: a task that holds it keeps the next one waiting."""

    @bentotask.task
    def add(self, a: int, b: int) -> int:
        """Return the sum."""
        return a + b

    @bentotask.task
    def refuse(self, why: str) -> None:
        """Fail."""
        raise ValueError(why)

    @bentotask.task
    def mark(self, name: str) -> str:
        """Leave a line: the proof that it ran."""
        with Path("ran").open("a") as file:
            file.write(f"{name}\n")
        return name

    @bentotask.task
    def hold(self, gate: str) -> str:
        """Keep the slot until somebody opens the gate, a named pipe, and closes it again."""
        return Path(gate).read_text()


app = Contract.celery  # type: ignore[attr-defined]  # mypy takes the class for what it was
