"""``module:attribute`` on a command line becomes the object it names."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from bentotask.codec.problems import did_you_mean
from bentotask.declaration import ServiceSpec
from bentotask.errors import ConfigurationError


def load_service(target: str) -> Any:
    """Import ``module:Service`` and return the service.

    Raises:
        ConfigurationError: the target is not of that form, or names no service.
    """
    found = load(target)
    if not _is_service(found):
        module, _, attribute = target.partition(":")
        raise ConfigurationError(
            f"{attribute!r} of {module!r} is no service but {_kind(found)}; a service is a class "
            f"decorated with @bentotask.service{_hint('', sys.modules[module])}"
        )
    return found


def load(target: str) -> Any:
    """Import ``module:attribute`` (dots in the attribute descend) and return the object.

    The working directory is importable, as with ``celery -A`` and ``gunicorn``. Errors raised by
    the module itself are not hidden: only a name that does not exist is a typo.

    Raises:
        ConfigurationError: the target is not of that form, or names nothing.
    """
    module_name, colon, attribute = target.partition(":")
    if not (module_name and colon and attribute):
        raise ConfigurationError(
            f"{target!r} names no service: write MODULE:SERVICE, for example main:ImageService"
        )
    module = found = _module(module_name)
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise ConfigurationError(
                f"{module_name!r} has no {attribute!r}{_hint(attribute, module)}"
            )
        found = getattr(found, name)
    return found


def _module(name: str) -> Any:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    if not all(name.split(".")) or "/" in name:
        raise ConfigurationError(f"{name!r} is no module{_nearest_module(name, here)}")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(
            f"no module named {error.name!r} (looked in {here} and the installed packages)"
            f"{_nearest_module(name, here)}"
        ) from None


def _nearest_module(name: str, here: str) -> str:
    """Tell what was probably meant: a file, or a module with nearly that name."""
    if name.endswith(".py") or "/" in name:
        return f"; write it as in an import: {Path(name).stem}, in the directory where it is"
    near = get_close_matches(name, [module.name for module in pkgutil.iter_modules([here])], n=1)
    return f"; did you mean {near[0]!r}?" if near else "; run this where the module is"


def _is_service(value: Any) -> bool:
    # Not by its class: that knows all the machinery, which stands above this room.
    # Statically: a module may hold proxies that answer every question with an error.
    return isinstance(inspect.getattr_static(value, "spec", None), ServiceSpec)


def _hint(name: str, module: Any) -> str:
    names = [n for n, value in vars(module).items() if _is_service(value)]
    return did_you_mean(name, names) if names else "; it has no service at all"


def _kind(value: Any) -> str:
    plain = isinstance(value, type)
    return f"the class {value.__name__}" if plain else f"of type {type(value).__name__}"
