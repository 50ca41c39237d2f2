"""``module:attribute`` on a command line becomes the object it names."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from bentotask.errors import ConfigurationError


def load(target: str) -> Any:
    """Import ``module:attribute`` (dots in the attribute descend) and return the object.

    The working directory is importable, as with ``celery -A`` and ``gunicorn``. Errors raised by
    the module itself are not hidden: only a name that does not exist is a typo.

    Raises:
        ConfigurationError: the target is not of that form, or names nothing.
    """
    module_name, colon, attribute = target.partition(":")
    if not (module_name and colon and attribute):
        raise ConfigurationError(f"{target!r} names no service: write MODULE:SERVICE")
    found: Any = _module(module_name)
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise ConfigurationError(
                f"{module_name!r} has no {attribute!r}; it has {_services(found)}"
            )
        found = getattr(found, name)
    return found


def _module(name: str) -> ModuleType:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(
            f"no module named {error.name!r} (looked in {here} and the installed packages); "
            "run this where the module is"
        ) from None


def _services(module: Any) -> str:
    names = [n for n, value in vars(module).items() if type(value).__name__ == "Service"]
    return ", ".join(names) or "no service"
