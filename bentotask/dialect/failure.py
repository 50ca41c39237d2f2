"""Errors on the wire: written by the server, told apart again by a client."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from bentotask import errors

if TYPE_CHECKING:
    from bentotask.dialect.http import Response

#: The classes whose status alone tells them.
_BY_STATUS: Final = {
    kind.default_status: kind
    for kind in (
        errors.BadRequest,
        errors.Unauthorized,
        errors.NotFound,
        errors.MethodNotAllowed,
        errors.Conflict,
        errors.TooLarge,
        errors.UnsupportedMediaType,
        errors.TooManyRequests,
        errors.Unavailable,
    )
}

#: Longer than any sentence for people; a proxy's page of text is cut here.
_LONGEST_MESSAGE: Final = 500

_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)


def error_body(error: errors.HTTPError) -> dict[str, Any]:
    """Write ``error`` for the wire: what went wrong, and where it helps also where and whose."""
    body: dict[str, Any] = {"error": error.message or _phrase(error.status)}
    if error.detail is not None:
        body["detail"] = error.detail
    if error.task_id is not None:
        body["task_id"] = error.task_id
    return body


def error_headers(error: errors.HTTPError) -> dict[str, str]:
    """Return the headers that go with ``error``."""
    headers = {}
    if error.retry_after is not None:
        # RFC 9110, 10.2.3: whole seconds. Rounded up, so that nobody comes too early.
        headers["Retry-After"] = str(max(0, math.ceil(error.retry_after)))
    if error.status == 401:
        # RFC 9110, 15.5.2: a 401 must say how to authenticate.
        headers["WWW-Authenticate"] = "Bearer"
    return headers


def error_from(response: Response, verb: str = "", task_id: str | None = None) -> errors.HTTPError:
    """Tell which error an answer is.

    Args:
        response: the answer; its status is not one of success.
        verb: what was asked: ``submit``, ``status``, ``get``, ``cancel``, ``retry``, ``call`` (of a
            task) or nothing; some statuses mean different things to different verbs.
        task_id: the task that was asked about, for answers that do not repeat it.
    """
    body = _decoded(response)
    facts = body if isinstance(body, Mapping) else {}
    message = _message(response, body)
    task_id = facts.get("task_id") or task_id
    kind = _kind(response.status, verb, message, facts)
    return kind(
        message,
        status=response.status,
        detail=facts.get("detail"),
        task_id=task_id,
        retry_after=_retry_after(response.headers.get("retry-after")),
        body=body,
    )


def _kind(status: int, verb: str, message: str, facts: Mapping[str, Any]) -> type[errors.HTTPError]:
    kind = _BY_STATUS.get(status, errors.HTTPError)
    match status:
        case 400 if message.endswith("is not completed yet"):
            kind = errors.NotCompleted
        case 400 if "detail" in facts:
            kind = errors.InvalidInput
        case 404 if message == "task_id not found":
            kind = errors.TaskNotFound
        case 409 if verb == "get":
            kind = errors.TaskCancelled
        case 500 if verb in {"get", "call"}:
            kind = errors.TaskFailed
        case 504 if "task_id" in facts:
            # Without an id it is a proxy between here and there that lost patience.
            kind = errors.TaskNotDone
    return kind


def _decoded(response: Response) -> Any:
    """Return the body from JSON where it is JSON, else as text."""
    try:
        return response.json()
    except ValueError:
        return response.body.decode("utf-8", "replace")


def _message(response: Response, body: Any) -> str:
    if isinstance(body, list) and body:
        # BentoML's server wraps some errors into a list.
        body = body[0]
    if isinstance(body, Mapping) and isinstance(body.get("error"), str):
        return str(body["error"])
    if 300 <= response.status < 400:
        return _redirect_message(response)
    text = _plain(body) if isinstance(body, str) else ""
    phrase = _phrase(response.status)
    return f"{phrase}: {text}" if text and text != phrase else phrase


def _redirect_message(response: Response) -> str:
    target = response.headers.get("location", "somewhere else")
    return f"the server redirects to {target}; give the client the URL that answers itself"


def _plain(text: str) -> str:
    """Make one short line of a body that was not written for a program."""
    if "<" in text and (title := _TITLE.search(text)):
        text = title[1]
    elif text.lstrip().startswith("<"):
        return ""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[:_LONGEST_MESSAGE]}..."


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return f"{status} status"


def _retry_after(text: str | None) -> float | None:
    """Read both forms of RFC 9110, 10.2.3: seconds, or a date. Seconds from now."""
    if text is None:
        return None
    if text.strip().isdecimal():
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (when - datetime.now(when.tzinfo or UTC)).total_seconds())
