"""A method's signature as two models: what its input must be, and what its result is.

Both are compiled once, when the service is declared.
"""

from __future__ import annotations

import copy
import inspect
import tempfile
from dataclasses import dataclass, field
from functools import cached_property
from inspect import Parameter as Raw
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from bentotask.codec.describe import describe
from bentotask.codec.family import Place
from bentotask.codec.model import UNREADABLE, InputModel
from bentotask.codec.names import to_data_url
from bentotask.codec.parameters import (
    Method,
    read_method,
    resolved,
    rewritten_or_refused,
    shown,
    unreadable,
)
from bentotask.codec.plain import to_plain
from bentotask.codec.problems import Problem, did_you_mean, problem, problems_of
from bentotask.codec.reading import BodyReader
from bentotask.codec.registry import family_of, mentions_binary
from bentotask.codec.result import decode_payload, encode_value
from bentotask.codec.text import is_json
from bentotask.codec.values import Body, Document, Payload
from bentotask.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True)
class Arguments:
    """What to call a method with: ``method(*args, **kwargs)``."""

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


class InputSchema:
    """What a method's request must hold."""

    def __init__(self, method: Method) -> None:
        self._method = method
        self._model = InputModel(method)
        self._reader = BodyReader(method)
        self._annotations = {p.name: p.annotation for p in method.parameters}
        self._extra = self._model.extra

    @classmethod
    def from_function(
        cls,
        function: Callable[..., Any],
        *,
        name: str,
        context_type: type | None = None,
        namespace: Mapping[str, Any] | None = None,
    ) -> Self:
        """Read a method's signature; its first parameter is ``self`` and is skipped.

        Args:
            function: the method as it stands in the class.
            name: ``Service.method``, for messages.
            context_type: the parameter of this type is not part of the input; nor is one
                without annotation that is called ``ctx`` or ``context``.
            namespace: more names for annotations that are text, such as the locals around the
                class.

        Raises:
            DeclarationError: a signature that no request can fill; says what to write.
        """
        return cls(read_method(function, name, context_type, namespace))

    @property
    def root(self) -> bool:
        """Whether the body itself is the value of the one, positional-only parameter."""
        return self._method.is_root

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """The parameters that a request fills, in the order of the signature."""
        return tuple(self._annotations)

    @property
    def context_parameter(self) -> str | None:
        """The name of the parameter that takes the context."""
        return self._method.context_parameter

    def read(self, body: Body) -> Document:
        """Read a request's body; what it holds is not checked yet, see :meth:`validate`.

        Raises:
            InvalidInput: it cannot be read as its media type says.
            UnsupportedMediaType: nothing here reads such a body; names what is read.
        """
        return self._reader.read(body)

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Document:
        """Turn a Python call into a document; binaries become blobs.

        Raises:
            InvalidInput: the arguments do not fit the signature, or one cannot be sent.
        """
        self._refuse_unknown(kwargs)
        try:
            bound = self._method.signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            raise self._misfit(str(error)) from error
        document = {
            name: to_plain(value, (name,), files=mentions_binary(self._annotations[name]))
            for name, value in bound.items()
        }
        extra = document.pop(self._extra, {}) if self._extra else {}
        return document | extra

    def validate(self, document: Document, *, workdir: Path | None = None) -> Arguments:
        """Check a document and make the arguments of the call.

        Args:
            document: from :meth:`read` or :meth:`bind`, perhaps through a queue.
            workdir: where files are written. ``None`` checks only: nothing is written, and a
                file's path leads nowhere.

        Raises:
            InvalidInput: ``detail`` lists every fault.
        """
        return self._arguments(self._model.values(document, Place(workdir)))

    def json_schema(self) -> dict[str, Any]:
        """Describe the input as the peer does under ``input`` in ``/schema.json``."""
        return copy.deepcopy(self._json_schema)

    def _refuse_unknown(self, kwargs: Mapping[str, Any]) -> None:
        unknown = self._model.unknown(kwargs)
        if unknown:
            name = unknown[0]["loc"][0]
            hint = did_you_mean(name, self._annotations)
            raise self._misfit(f"got an unexpected argument {name!r}{hint}", unknown)

    def _misfit(self, reason: str, detail: list[Problem] | None = None) -> InvalidInput:
        detail = detail or [problem("arguments", [], reason)]
        return InvalidInput(f"{self._method.name}() {reason}", detail=detail)

    def _arguments(self, values: dict[str, Any]) -> Arguments:
        """By name where that works: after ``*args`` nothing before it can be."""
        starred = any(p.kind is Raw.VAR_POSITIONAL for p in self._method.parameters)
        args: list[Any] = []
        for parameter in self._method.parameters:
            if parameter.kind is Raw.VAR_POSITIONAL:
                args.extend(values.pop(parameter.name))
            elif parameter.is_root or (starred and parameter.kind is Raw.POSITIONAL_OR_KEYWORD):
                args.append(values.pop(parameter.name))
        extra = values.pop(self._extra) if self._extra else {}
        return Arguments(tuple(args), values | extra)

    @cached_property
    def _json_schema(self) -> dict[str, Any]:
        return self._model.json_schema()


class OutputSchema:
    """What a method's result is."""

    def __init__(self, name: str, promised: Any, annotation: Any) -> None:
        self._name = name
        self._promised = shown(promised)
        self._annotation = annotation
        self._adapter: TypeAdapter[Any] = TypeAdapter(annotation)

    @classmethod
    def from_function(
        cls,
        function: Callable[..., Any],
        *,
        name: str,
        namespace: Mapping[str, Any] | None = None,
    ) -> Self:
        """Read a method's return annotation; without one, a result is what it is.

        Raises:
            DeclarationError: the annotation cannot be resolved, or cannot be sent.
        """
        raw = inspect.signature(function).return_annotation
        hint = resolved(function, name, "return", raw, namespace)
        annotation = Any if hint is Raw.empty else rewritten_or_refused(name, "return", hint)
        try:
            return cls(name, hint, annotation)
        except UNREADABLE as error:
            raise unreadable(name, "return", hint, error) from error

    def encode(self, value: Any) -> Payload:
        """Check a result against the annotation and encode it.

        A binary is sent as its own media type, a ``str`` as text, everything else as compact
        JSON, in which NaN and infinity are ``null``: hours of work are not lost to one of them.

        Raises:
            TypeError: it is not what was promised, or cannot be sent.
            OSError: it is a path that cannot be read.
        """
        try:
            return encode_value(self._adapter.validate_python(value), self._dumped)
        except ValidationError as error:
            raise TypeError(self._broken_promise(value, problems_of(error)[0])) from error
        except (PydanticSerializationError, ValueError) as error:
            came = type(value).__name__
            raise TypeError(
                f"{self._name} returned {came}, which cannot be sent: {error}"
            ) from error

    def decode(self, payload: Payload, workdir: Path | None = None) -> Any:
        """Return the Python value that :meth:`encode` was given; files go to ``workdir``."""
        if not is_json(payload.bare_type) or payload.filename is not None:
            value = decode_payload(payload, self.json_schema(), workdir)
            return self._restored(value) if isinstance(value, str) else value
        if workdir is None and mentions_binary(self._annotation):
            workdir = Path(tempfile.mkdtemp(prefix="bentotask-"))
        try:
            return self._adapter.validate_json(payload.body, context=Place(workdir))
        except ValidationError:
            # A null where there was NaN fits no float: the bare value is the best there is.
            return decode_payload(payload, {}, workdir)

    def json_schema(self) -> dict[str, Any]:
        """Describe the result as the peer does under ``output`` in ``/schema.json``."""
        return copy.deepcopy(self._json_schema)

    def _restored(self, text: str) -> Any:
        try:
            return self._adapter.validate_python(text)
        except ValidationError:
            return text

    def _dumped(self, value: Any) -> bytes:
        return self._adapter.dump_json(
            value, by_alias=True, warnings="error", fallback=_as_data_url
        )

    def _broken_promise(self, value: Any, found: Problem) -> str:
        where = ".".join(map(str, found["loc"]))
        reason = f"{where}: {found['msg']}" if where else found["msg"]
        came = type(value).__name__
        return f"{self._name} promised {self._promised} but returned {came} ({reason})"

    @cached_property
    def _json_schema(self) -> dict[str, Any]:
        return describe(self._adapter, self._annotation, "serialization")


def _as_data_url(value: Any) -> str:
    family = family_of(value)
    if family is None:
        raise ValueError(f"{type(value).__name__} has no JSON form")
    return to_data_url(family.to_blob(value))
