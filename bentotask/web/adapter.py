"""Flask's objects and our values: what comes in as a body, what goes out as a response."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

from flask import Response, current_app, request
from werkzeug.datastructures import FileStorage
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from bentotask.codec import Blob, Body, Payload
from bentotask.dialect import error_body, error_headers, payload_headers
from bentotask.dispatch import MAX_WAIT
from bentotask.errors import BadRequest, ConfigurationError, HTTPError, Unavailable

logger = logging.getLogger(__name__)

_FORMS: Final = frozenset({"multipart/form-data", "application/x-www-form-urlencoded"})
_TRUE: Final = frozenset({"true", "1", "yes", "on"})


def body() -> Body:
    """Return the request's body as a value.

    Raises:
        RequestEntityTooLarge: it is over the limit, whether or not it said its length.
    """
    stream = request.stream
    if request.mimetype in _FORMS:
        texts = request.form.items(multi=True)
        files = ((name, _blob(file)) for name, file in request.files.items(multi=True))
        read = Body(request.mimetype, fields=[*texts, *files])
    else:
        read = Body(request.mimetype, request.get_data(cache=False))
    # A chunked body ends in silence where werkzeug's limit is; only a read beyond it raises.
    stream.read(1)
    return read


def limit_body(size: int) -> None:
    """Refuse a body of more than ``size`` bytes, or parts of one.

    One byte more for a body that does not say its length, so that one of exactly ``size`` passes.
    """
    request.max_content_length = size if request.content_length is not None else size + 1
    request.max_form_memory_size = size


def _blob(file: FileStorage) -> Blob:
    return Blob(file.stream.read(), file.mimetype or None, file.filename or None)


def task_id() -> str:
    """Return the request's ``task_id``.

    Raises:
        BadRequest: it has none.
    """
    given = request.args.get("task_id", "")
    if not given:
        raise BadRequest("task_id is required")
    return given


def wait() -> float:
    """Return how many seconds the caller lets us hold the answer, 0 to 60.

    Raises:
        BadRequest: ``wait`` is no number of seconds.
    """
    given = request.args.get("wait", "0")
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise BadRequest(f"wait={given[:40]!r} is not a number of seconds from 0 to {MAX_WAIT:g}")
    return min(seconds, MAX_WAIT)


def force() -> bool:
    """Return whether the caller insists."""
    return request.args.get("force", "").lower() in _TRUE


def json_response(
    content: Any, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return ``content`` as JSON."""
    body = current_app.json.dumps(content)
    return Response(body, status=status, headers=headers, mimetype="application/json")


def payload_response(payload: Payload) -> Response:
    """Return a result exactly as it was encoded."""
    return Response(payload.body, status=payload.status, headers=dict(payload_headers(payload)))


def error_response(error: Exception) -> Response:
    """Return what a caller may know of ``error``: never a traceback."""
    known = _known(error)
    headers = error_headers(known)
    if isinstance(error, MethodNotAllowed):
        # RFC 9110, 15.5.6: a 405 must say which methods there are.
        headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return json_response(error_body(known), known.status, headers)


def _known(error: Exception) -> HTTPError:
    if isinstance(error, HTTPError):
        return error
    if isinstance(error, HTTPException):  # Flask's and werkzeug's own
        return HTTPError(error.description or error.name, status=error.code or 500)
    if isinstance(error, ConfigurationError):
        logger.error("%s", error)
        return Unavailable(str(error))
    logger.error("an unexpected error in %s %s", request.method, request.path, exc_info=error)
    return HTTPError(f"{type(error).__name__}: {error}")
