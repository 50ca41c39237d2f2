"""Commands whose help is their docstring, with its indented examples left as they are."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any

import click

#: click's mark of a paragraph that must not be wrapped.
_AS_IT_IS = "\b"


class Teaching(click.Command):
    """A command that keeps the line breaks of examples in its help."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        paragraphs = inspect.cleandoc(self.help or "").split("\n\n")
        self.help = "\n\n".join(map(_kept, paragraphs))

    def get_short_help_str(self, limit: int = 200) -> str:
        """Return the first sentence, all of it."""
        return super().get_short_help_str(max(limit, 200))


def _kept(paragraph: str) -> str:
    # A docstring that ends in its example has lost the indentation by now.
    if not paragraph.startswith((" ", "bentotask ")):
        return paragraph
    return f"{_AS_IT_IS}\n{textwrap.indent(textwrap.dedent(paragraph), '    ')}"


def command(**options: Any) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function a command that teaches."""
    return click.command(cls=Teaching, **options)
