"""What a service says of itself: BentoML's ``schema.json``, and OpenAPI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import bentotask
from bentotask.declaration import ServiceSpec
from bentotask.endpoint import Endpoint
from bentotask.record import TaskStatus

_TASK_ID: Final = {"type": "string", "description": "what submit answered"}
_ERROR: Final = {
    "type": "object",
    "properties": {
        "error": {"type": "string"},
        "detail": {"description": "where and why, for input that does not fit"},
        "task_id": {"type": "string"},
    },
    "required": ["error"],
}
_ACCEPTED: Final = {
    "type": "object",
    "properties": {
        "task_id": {"type": "string"},
        "status": {"type": "string", "enum": [s.value for s in TaskStatus]},
    },
    "required": ["task_id", "status"],
}
_NULLABLE_TIME: Final = {"type": ["string", "null"], "format": "date-time"}
_STATUS: Final = {
    "type": "object",
    "properties": {
        **_ACCEPTED["properties"],  # type: ignore[dict-item]  # a literal of mixed values
        "created_at": _NULLABLE_TIME,
        "executed_at": _NULLABLE_TIME,
        "completed_at": _NULLABLE_TIME,
        "attempts": {"type": "integer"},
        "progress": {"type": ["object", "null"]},
        "error": {"type": ["string", "null"]},
    },
    "required": ["task_id", "status"],
}


def schema(spec: ServiceSpec) -> dict[str, Any]:
    """Return the document in which BentoML's clients look up their endpoints."""
    return {
        "name": spec.name,
        "type": "service",
        "routes": [
            {
                "name": endpoint.name,
                "route": endpoint.route,
                "batchable": False,
                "input": endpoint.input.json_schema(),
                "output": endpoint.output.json_schema(),
                "is_task": endpoint.is_task,
                **({"doc": endpoint.doc} if endpoint.doc else {}),
            }
            for endpoint in spec.endpoints.values()
        ],
    }


def openapi(spec: ServiceSpec, *, protected: bool) -> dict[str, Any]:
    """Return the service as OpenAPI 3.1.

    Args:
        spec: the service.
        protected: whether a token is asked for.
    """
    paths: dict[str, Any] = {}
    for endpoint in spec.endpoints.values():
        paths |= _paths(endpoint)
    document: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": spec.name, "version": bentotask.__version__},
        "paths": paths,
        "components": {"schemas": {"Error": _ERROR, "Accepted": _ACCEPTED, "Status": _STATUS}},
    }
    if protected:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _paths(endpoint: Endpoint) -> dict[str, Any]:
    result = _answer("the result", endpoint.output.json_schema())
    direct = _operation(endpoint, "call", body=True, answer=result)
    if not endpoint.is_task:
        return {endpoint.route: {"post": direct}}
    route = endpoint.route
    accepted = _answer("accepted", _ref("Accepted"))
    return {
        route: {"post": direct},
        f"{route}/submit": {"post": _operation(endpoint, "submit", body=True, answer=accepted)},
        f"{route}/status": {
            "get": _operation(endpoint, "status", "wait", answer=_answer("known", _ref("Status")))
        },
        f"{route}/get": {"get": _operation(endpoint, "get", "wait", answer=result)},
        f"{route}/cancel": {
            "post": _operation(
                endpoint, "cancel", "force", answer=_answer("cancelled", _ref("Accepted"))
            )
        },
        f"{route}/retry": {"put": _operation(endpoint, "retry", answer=accepted)},
    }


_OPTIONS: Final[Mapping[str, Any]] = {
    "wait": {"type": "number", "minimum": 0, "maximum": 60, "default": 0},
    "force": {"type": "boolean", "default": False},
}


def _operation(
    endpoint: Endpoint, verb: str, *options: str, answer: Any, body: bool = False
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": f"{endpoint.name}_{verb}",
        "tags": [endpoint.name],
        "summary": endpoint.doc.partition("\n")[0] or f"{verb} {endpoint.name}",
        "responses": {"200": answer, "default": _answer("an error", _ref("Error"))},
    }
    if body:
        operation["requestBody"] = {"content": _contents(endpoint.input.json_schema())}
    else:
        given = {"task_id": _TASK_ID, **{name: _OPTIONS[name] for name in options}}
        operation["parameters"] = [
            {"name": name, "in": "query", "required": name == "task_id", "schema": of}
            for name, of in given.items()
        ]
    return operation


def _contents(schema: Mapping[str, Any]) -> dict[str, Any]:
    files = any(p.get("type") == "file" for p in schema.get("properties", {}).values())
    return {"multipart/form-data" if files else "application/json": {"schema": _standard(schema)}}


def _answer(description: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    media_type = "application/json"
    if schema.get("type") == "file":
        media_type = "image/*" if schema.get("format") == "image" else "application/octet-stream"
    elif schema.get("type") == "string":
        media_type = "text/plain"
    return {"description": description, "content": {media_type: {"schema": _standard(schema)}}}


def _standard(schema: Any) -> Any:
    """Return BentoML's own words (``file``) in JSON Schema's."""
    if isinstance(schema, Mapping):
        plain = {k: _standard(v) for k, v in schema.items() if k != "pil"}
        if plain.get("type") == "file":
            plain |= {"type": "string", "format": "binary"}
        return plain
    return [_standard(item) for item in schema] if isinstance(schema, list) else schema


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
