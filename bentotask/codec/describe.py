"""JSON schemas in the peer's shape, so that its clients find what they look for."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from bentotask.codec.registry import family_described

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import TypeAdapter
    from pydantic_core import core_schema

Schema = dict[str, Any]
_REF = "#/$defs/"


class Generator(GenerateJsonSchema):
    """Pydantic's generator, silent about what JSON schema cannot say: that is left out."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - pydantic declares it so

    def handle_invalid_for_json_schema(
        self, schema: core_schema.CoreSchema, error_info: str
    ) -> Schema:
        """Describe as "anything" what cannot be described."""
        del schema, error_info
        return {}


def describe(
    adapter: TypeAdapter[Any], annotation: Any, mode: Literal["validation", "serialization"]
) -> Schema:
    """Describe a value that stands alone: a result, or a root input."""
    schema = adapter.json_schema(schema_generator=Generator, mode=mode)
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        # The peer wraps a model in a class of its own and shows that name.
        schema["title"] = f"{annotation.__name__}IODescriptor"
    return flattened(schema)


def flattened(schema: Schema) -> Schema:
    """Write an object's definitions where they are used, as the peer does.

    Definitions that refer to themselves stay, and so do those of anything but an object.
    """
    if not schema.get("properties"):
        return schema
    definitions = schema.pop("$defs", {})
    flat: Schema = _inlined(schema, definitions, frozenset())
    if _REF in json.dumps(flat):
        flat["$defs"] = definitions
    return flat


def _inlined(node: Any, definitions: Mapping[str, Any], within: frozenset[str]) -> Any:
    if isinstance(node, list):
        return [_inlined(item, definitions, within) for item in node]
    if not isinstance(node, dict):
        return node
    name = str(node.get("$ref", "")).removeprefix(_REF)
    if name in definitions and name not in within:
        rest = {key: value for key, value in node.items() if key != "$ref"}
        return _inlined(definitions[name], definitions, within | {name}) | rest
    flat = {key: _inlined(value, definitions, within) for key, value in node.items()}
    return _one_file(flat)


def _one_file(node: Schema) -> Schema:
    """Show an optional file as a file: the peer's clients look no deeper for one."""
    arms = node.get("anyOf")
    if not isinstance(arms, list):
        return node
    solid = [arm for arm in arms if arm != {"type": "null"}]
    if len(solid) != 1 or family_described(solid[0]) is None:
        return node
    return {**solid[0], **{key: value for key, value in node.items() if key != "anyOf"}}
