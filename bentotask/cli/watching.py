"""A task's progress on stderr: a bar on a terminal, a line for each step elsewhere."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from typing import Any

import click

from bentotask.record import Progress


def show_progress(steps: Iterable[Progress]) -> None:
    """Show each step as it comes, until there are no more."""
    remaining = iter(steps)
    for progress in remaining:
        if progress.total and sys.stderr.isatty():
            _bar(progress, remaining)
        else:
            click.echo(_line(progress), err=True)


def _bar(first: Progress, steps: Iterator[Progress]) -> None:
    """Draw a bar of percents, since a task may correct its total on the way."""
    options: dict[str, Any] = {"item_show_func": lambda step: step and step.message}
    with click.progressbar(length=100, file=sys.stderr, **options) as bar:
        done = 0
        for progress in itertools.chain([first], steps):
            done = _advance(bar, done, progress)


def _advance(bar: Any, done: int, progress: Progress) -> int:
    percent = min(100, int(100 * progress.current / progress.total)) if progress.total else done
    bar.update(percent - done, progress)
    return percent


def _line(progress: Progress) -> str:
    total = "" if progress.total is None else f"/{progress.total:g}"
    return f"{progress.current:g}{total} {progress.message}".rstrip()
