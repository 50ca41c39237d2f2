"""A task's result: on a terminal, in a pipe or in a file."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import click

from bentotask.errors import BentotaskError


@dataclass(frozen=True)
class Result:
    """A result as bytes."""

    data: bytes
    #: whether a terminal can show it
    is_text: bool
    #: its own name, when it is a file
    filename: str | None = None

    @classmethod
    def of(cls, value: Any) -> Self:
        """Take what the client gave; a file of its is moved out of the temporary directory."""
        if isinstance(value, Path):
            data = value.read_bytes()
            shutil.rmtree(value.parent, ignore_errors=True)  # the client's own, fresh for it
            return cls(data, is_text=False, filename=value.name)
        if isinstance(value, bytes):
            return cls(value, is_text=False)
        if isinstance(value, str):
            return cls(value.encode(), is_text=True)
        return cls(json.dumps(value, indent=2, ensure_ascii=False).encode(), is_text=True)


def deliver(result: Result, output: Path | None) -> None:
    """Write a result to ``output``, or to the standard output when that is ``None``.

    Raises:
        BentotaskError: it is binary and nobody said where to; or it cannot be written.
    """
    if output is None or output == Path("-"):
        _show(result, forced=output is not None)
        return
    try:
        path = _target(result, output)
        _write(result.data, path)
    except OSError as error:
        raise BentotaskError(f"cannot write {output}: {error.strerror}") from None
    click.echo(f"{path}: {len(result.data)} bytes", err=True)


def _show(result: Result, *, forced: bool) -> None:
    if result.is_text:
        click.echo(result.data)
    elif forced or not sys.stdout.isatty():
        click.echo(result.data, nl=False)
    else:
        raise BentotaskError(
            f"the result is {len(result.data)} bytes that are no text: write them to a file with "
            "-o FILE, or send them through a pipe"
        )


def _target(result: Result, output: Path) -> Path:
    if not output.is_dir():
        return output
    if result.filename is None:
        raise BentotaskError(f"{output} is a directory, and the result has no name: add one")
    return output / result.filename


def _write(data: bytes, path: Path) -> None:
    """Put the whole file in place, or nothing of it."""
    if path.exists() and not path.is_file():  # a device, such as /dev/null
        path.write_bytes(data)
        return
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_bytes(data)
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
