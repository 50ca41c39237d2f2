"""A method's signature, read once when its class is declared."""

from __future__ import annotations

import inspect
import types
import typing
from dataclasses import dataclass
from inspect import Parameter as Raw
from typing import TYPE_CHECKING, Any, Final

from bentotask.codec.registry import rewritten, union_arms
from bentotask.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_CONTEXT_NAMES: Final = frozenset({"ctx", "context"})
_READABLE: Final = (
    "a scalar, list, dict, TypedDict, dataclass, enum, datetime, pydantic model, bytes, "
    "pathlib.Path or PIL.Image.Image"
)


@dataclass(frozen=True)
class Parameter:
    """One parameter that comes from the request."""

    name: str
    kind: inspect._ParameterKind
    #: rewritten for pydantic; ``Any`` when there is none
    annotation: Any
    #: ``Parameter.empty`` when there is none
    default: Any

    @property
    def is_root(self) -> bool:
        """Whether the request's body itself is the value."""
        return self.kind is Raw.POSITIONAL_ONLY


@dataclass(frozen=True)
class Method:
    """A method as its request sees it: ``self`` and the context are left out."""

    #: ``Service.method``
    name: str
    parameters: tuple[Parameter, ...]
    #: the name of the parameter that takes the context
    context_parameter: str | None
    #: for binding a Python call
    signature: inspect.Signature

    @property
    def is_root(self) -> bool:
        """Whether the one parameter is positional-only."""
        return any(parameter.is_root for parameter in self.parameters)


def read_method(
    function: Callable[..., Any],
    name: str,
    context_type: type | None,
    namespace: Mapping[str, Any] | None,
) -> Method:
    """Read the signature of a method.

    Raises:
        DeclarationError: an annotation that cannot be resolved, or parameters that no request
            can fill; names the method, the parameter and what to write.
    """
    raw = list(inspect.signature(function).parameters.values())[1:]
    hints = {p.name: resolved(function, name, p.name, p.annotation, namespace) for p in raw}
    contexts = [p for p in raw if _is_context(p, hints[p.name], context_type)]
    rest = [p for p in raw if p not in contexts]
    _check_kinds(name, rest, contexts)
    parameters = tuple(
        Parameter(p.name, p.kind, _annotation(name, p, hints[p.name]), p.default) for p in rest
    )
    context = contexts[0].name if contexts else None
    signature = inspect.Signature([p.replace(annotation=Raw.empty) for p in rest])
    return Method(name, parameters, context, signature)


def resolved(
    function: Callable[..., Any],
    name: str,
    parameter: str,
    annotation: Any,
    namespace: Mapping[str, Any] | None,
) -> Any:
    """Evaluate one annotation, with ``Annotated`` kept.

    An unresolvable name that can only mean the context is returned as the text that it is.

    Raises:
        DeclarationError: it names something that is not there.
    """
    if annotation is Raw.empty:
        return annotation
    holder = types.SimpleNamespace(__annotations__={parameter: annotation})
    names = getattr(function, "__globals__", {})
    local = None if namespace is None else dict(namespace)
    try:
        return typing.get_type_hints(holder, names, local, include_extras=True)[parameter]
    except (NameError, AttributeError, SyntaxError, TypeError) as error:
        if parameter in _CONTEXT_NAMES and str(annotation).endswith("Context"):
            return annotation
        raise DeclarationError(_unresolved(name, parameter, annotation, error)) from error


def rewritten_or_refused(name: str, parameter: str, annotation: Any) -> Any:
    """Return the annotation rewritten for pydantic; a module in its place is the usual slip."""
    if isinstance(annotation, types.ModuleType):
        inside = annotation.__name__
        raise DeclarationError(
            f"{name}: {_place(parameter)} is annotated with the module {inside}; write the class "
            f"in it, such as {inside}.{inside.rpartition('.')[2]}"
        )
    return rewritten(annotation)


def unreadable(name: str, parameter: str, annotation: Any, reason: Exception) -> DeclarationError:
    """Make the error for a type that cannot cross the wire."""
    first_line = str(reason).partition("\n")[0]
    return DeclarationError(
        f"{name}: {_place(parameter)} is annotated {shown(annotation)}, which cannot be sent "
        f"over HTTP ({first_line}); write {_READABLE}"
    )


def shown(annotation: Any) -> str:
    """Write an annotation for people."""
    return annotation.__name__ if inspect.isclass(annotation) else str(annotation)


def _place(parameter: str) -> str:
    return "the result" if parameter == "return" else f"parameter {parameter!r}"


def _unresolved(name: str, parameter: str, annotation: Any, error: Exception) -> str:
    return (
        f"{name}: the annotation {annotation!r} of {_place(parameter)} cannot be resolved "
        f"({error}); import its name at the top of the module, outside of `if TYPE_CHECKING:`"
    )


def _annotation(name: str, parameter: Raw, hint: Any) -> Any:
    inner: Any = Any if hint is Raw.empty else rewritten_or_refused(name, parameter.name, hint)
    if parameter.kind is Raw.VAR_POSITIONAL:
        return types.GenericAlias(list, (inner,))
    if parameter.kind is Raw.VAR_KEYWORD:
        return types.GenericAlias(dict, (str, inner))
    return inner


def _is_context(parameter: Raw, hint: Any, context_type: type | None) -> bool:
    if context_type is None or parameter.kind in {Raw.VAR_POSITIONAL, Raw.VAR_KEYWORD}:
        return False
    if hint is Raw.empty or isinstance(hint, str):
        return parameter.name in _CONTEXT_NAMES
    return any(isinstance(arm, type) and issubclass(arm, context_type) for arm in union_arms(hint))


def _check_kinds(name: str, parameters: list[Raw], contexts: list[Raw]) -> None:
    if len(contexts) > 1:
        raise DeclarationError(f"{name}: only one parameter can take the context")
    kinds = [parameter.kind for parameter in parameters]
    if Raw.POSITIONAL_ONLY in kinds and len(kinds) > 1:
        raise DeclarationError(
            f"{name}: a positional-only parameter is the whole body of the request, so it must "
            f"be the only one; remove the '/' or the other parameters"
        )
    if any(c.kind is Raw.POSITIONAL_ONLY for c in contexts):
        raise DeclarationError(f"{name}: the context is given by name; write it after the '/'")
    early = any(c.kind is not Raw.KEYWORD_ONLY for c in contexts)
    if Raw.VAR_POSITIONAL in kinds and early:
        raise DeclarationError(f"{name}: write the context after the starred parameter")
