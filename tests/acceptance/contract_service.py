"""A service that shows every row of the contract; ``test_http_contract`` talks to it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from PIL import ImageOps
from PIL.Image import Image

import bentotask as bentoml
from bentotask.errors import HTTPError


@bentoml.service(workers=1, traffic={"timeout": 2})
class ContractService:
    """One worker slot, so that a test can hold it and let others wait."""

    @bentoml.task
    def echo(self, text: str, times: int = 1) -> dict[str, Any]:
        """Return the input."""
        return {"text": text, "times": times}

    @bentoml.task
    def note(self, journal: str) -> None:
        """Leave a trace that it ran."""
        write(journal, "ran")

    @bentoml.task
    def hold(self, journal: str) -> str:
        """Run until ``journal`` has a neighbour that ends in ``.go``."""
        write(journal, "began")
        while not Path(f"{journal}.go").exists():
            time.sleep(0.01)
        return "went on"

    @bentoml.task
    def fail(self, message: str) -> None:
        """Raise an error of Python's."""
        raise ValueError(message)

    @bentoml.task
    def refuse(self, message: str) -> None:
        """Raise an error with a status of its own."""
        raise HTTPError(message, status=418)

    @bentoml.task
    def spell(self, word: str) -> str:
        """Return text."""
        return "-".join(word)

    @bentoml.task
    def turn(self, data: bytes) -> bytes:
        """Return bytes."""
        return data[::-1]

    @bentoml.task
    def mirror(self, image: Image) -> Image:
        """Return an image in the format that it came in."""
        mirrored = ImageOps.mirror(image)
        mirrored.format = image.format
        return mirrored

    @bentoml.task
    def shout(self, letter: Path) -> Path:
        """Return a file of another name."""
        loud = letter.with_name(f"loud-{letter.name}")
        loud.write_text(letter.read_text().upper())
        return loud

    @bentoml.api
    def double(self, number: int) -> int:
        """Answer at once."""
        return 2 * number


def write(journal: str, line: str) -> None:
    """Add a line to a journal."""
    with Path(journal).open("a") as file:
        file.write(f"{line}\n")


wsgi = ContractService.wsgi  # type: ignore[attr-defined]
celery = ContractService.celery  # type: ignore[attr-defined]
