"""The pydantic model of a method's parameters, compiled once."""

from __future__ import annotations

from inspect import Parameter as Raw
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import (
    BaseModel,
    Field,
    PydanticSchemaGenerationError,
    PydanticUserError,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticSerializationError, to_json

from bentotask.codec.describe import Generator, Schema, describe, flattened
from bentotask.codec.parameters import Method, Parameter, unreadable
from bentotask.codec.problems import Problem, did_you_mean, invalid, problem, problems_of
from bentotask.codec.values import Document, is_plain
from bentotask.errors import DeclarationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bentotask.codec.family import Place

#: What pydantic raises for a type that it cannot validate.
UNREADABLE: Final = (PydanticUserError, PydanticSchemaGenerationError, TypeError, NameError)


class InputModel:
    """Documents in, checked values out.

    Raises:
        DeclarationError: names the parameter whose type cannot be read.
    """

    def __init__(self, method: Method) -> None:
        self._method = method
        self._parameters = method.parameters
        # Numbered fields: parameters called "json" or "_x" would not do as names.
        self._fields = {p.name: f"p{i}" for i, p in enumerate(method.parameters)}
        self._extra = next((p.name for p in method.parameters if p.kind is Raw.VAR_KEYWORD), None)
        self._model = self._compiled()

    @property
    def extra(self) -> str | None:
        """The name of the ``**kwargs`` parameter, which takes every unknown name."""
        return self._extra

    def values(self, document: Document, place: Place) -> dict[str, Any]:
        """Return the value of every parameter, defaults included.

        Raises:
            InvalidInput: ``detail`` lists every fault.
        """
        problems = self.unknown(document)
        try:
            model = self._validated(self._gathered(document), place)
        except ValidationError as error:
            raise invalid(*problems, *map(self._relocated, problems_of(error))) from error
        if problems:
            raise invalid(*problems)
        return {name: getattr(model, field) for name, field in self._fields.items()}

    def unknown(self, names: Iterable[str]) -> list[Problem]:
        """Return a problem for each name that is no parameter's."""
        if self._extra is not None:
            return []
        return [
            problem("extra_forbidden", [name], f"Unknown field{did_you_mean(name, self._fields)}")
            for name in names
            if name not in self._fields
        ]

    def json_schema(self) -> Schema:
        """Describe the input in the peer's shape."""
        if self._method.is_root:
            annotation = self._parameters[0].annotation
            schema = describe(TypeAdapter(annotation), annotation, "validation")
            return schema | {"root_input": True}
        schema = flattened(self._model.model_json_schema(schema_generator=Generator))
        if self._extra is not None:
            members = schema["properties"].pop(self._extra)
            schema["additionalProperties"] = members.get("additionalProperties", True)
        return schema

    def _compiled(self) -> type[BaseModel]:
        fields: dict[str, Any] = {
            self._fields[p.name]: (Annotated[p.annotation, Field(alias=p.name)], _default(p))
            for p in self._parameters
        }
        try:
            model: type[BaseModel] = create_model("Input", **fields)
            model.model_rebuild(raise_errors=True)
        except UNREADABLE as error:
            raise self._culprit(error) from error
        return model

    def _culprit(self, error: Exception) -> DeclarationError:
        for parameter in self._parameters:
            try:
                TypeAdapter(parameter.annotation).rebuild(raise_errors=True)
            except UNREADABLE as reason:
                name = self._method.name
                return unreadable(name, parameter.name, parameter.annotation, reason)
        return DeclarationError(f"{self._method.name}: {error}")

    def _gathered(self, document: Document) -> Document:
        """Put what belongs to ``**kwargs`` under that parameter's own name."""
        named = self._fields.keys() - {self._extra}
        known = {name: value for name, value in document.items() if name in named}
        if self._extra is not None:
            known[self._extra] = {k: v for k, v in document.items() if k not in named}
        return known

    def _validated(self, document: Document, place: Place) -> BaseModel:
        # JSON and Python differ to pydantic: a date as text is strict in the one, and not in
        # the other. Blobs cannot be JSON, so documents with blobs get the Python rules.
        if not is_plain(document):
            return self._model.model_validate(document, context=place)
        try:
            text = to_json(document)
        except PydanticSerializationError as error:
            raise invalid(problem("json_invalid", [], f"Not JSON: {error}")) from error
        return self._model.model_validate_json(text, context=place)

    def _relocated(self, found: Problem) -> Problem:
        """Tell the place as the caller sees it, who knows no root and no ``kwargs``."""
        loc = found["loc"]
        inner = bool(loc) and (self._method.is_root or loc[0] == self._extra)
        return {**found, "loc": loc[1:]} if inner else found


def is_required(parameter: Parameter) -> bool:
    """Tell whether a request must name this parameter."""
    default = _default(parameter)
    return default is ... or (isinstance(default, FieldInfo) and default.is_required())


def _default(parameter: Parameter) -> Any:
    if parameter.kind is Raw.VAR_POSITIONAL:
        return Field(default_factory=list)
    if parameter.kind is Raw.VAR_KEYWORD:
        return Field(default_factory=dict)
    return ... if parameter.default is Raw.empty else parameter.default
