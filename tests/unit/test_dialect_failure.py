"""Errors on the wire."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from bentotask import errors
from bentotask.dialect import Response, error_body, error_from, error_headers

TASK = "4594760f580045beb8963510f50f0d8d"


def answer(status: int, body: Any, **headers: str) -> Response:
    return Response(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


def test_a_body_says_what_there_is_to_say() -> None:
    """The sentence always, the detail and the task's id where there are any."""
    assert error_body(errors.TaskNotFound()) == {"error": "task_id not found"}
    detail = [{"loc": ["x"], "msg": "Field required"}]
    assert error_body(errors.InvalidInput("bad", detail=detail, task_id=TASK)) == {
        "error": "bad",
        "detail": detail,
        "task_id": TASK,
    }


def test_a_body_is_never_silent() -> None:
    """An error that was raised without a message is told by its status."""
    assert error_body(errors.Unavailable()) == {"error": "503 Service Unavailable"}
    assert error_body(errors.HTTPError(status=799)) == {"error": "799 status"}


def test_headers_say_when_and_how_to_come_back() -> None:
    """Retry-After in whole seconds, never too early; a 401 names its scheme."""
    assert error_headers(errors.TooManyRequests("full", retry_after=1.2)) == {"Retry-After": "2"}
    assert error_headers(errors.Unauthorized("no")) == {"WWW-Authenticate": "Bearer"}
    assert error_headers(errors.BadRequest("no")) == {}


@pytest.mark.parametrize(
    ("status", "body", "verb", "kind"),
    [
        (400, {"error": f"task {TASK} is not completed yet"}, "get", errors.NotCompleted),
        (400, {"error": f"task {TASK} is not completed yet"}, "retry", errors.NotCompleted),
        (400, {"error": "bad", "detail": []}, "submit", errors.InvalidInput),
        (400, {"error": "task_id is required"}, "status", errors.BadRequest),
        (401, {"error": "no token"}, "submit", errors.Unauthorized),
        (404, {"error": "task_id not found"}, "status", errors.TaskNotFound),
        (404, {"error": "no such route"}, "status", errors.NotFound),
        (405, {"error": "POST only"}, "", errors.MethodNotAllowed),
        (409, {"error": "cancelled"}, "get", errors.TaskCancelled),
        (409, {"error": "has begun"}, "cancel", errors.Conflict),
        (413, {"error": "too large"}, "submit", errors.TooLarge),
        (415, {"error": "pickle"}, "submit", errors.UnsupportedMediaType),
        (429, {"error": "full"}, "submit", errors.TooManyRequests),
        (500, {"error": "ValueError: boom"}, "get", errors.TaskFailed),
        (500, {"error": "ValueError: boom"}, "call", errors.TaskFailed),
        (500, {"error": "oops"}, "status", errors.HTTPError),
        (503, {"error": "broker"}, "submit", errors.Unavailable),
        (504, {"error": "goes on", "task_id": TASK}, "call", errors.TaskNotDone),
        (504, b"<html>", "call", errors.HTTPError),
        (502, b"", "call", errors.HTTPError),
        (418, {"error": "teapot"}, "get", errors.HTTPError),
    ],
)
def test_each_answer_is_its_own_error(
    status: int, body: Any, verb: str, kind: type[errors.HTTPError]
) -> None:
    """A client raises the class that the status means to what was asked."""
    error = error_from(answer(status, body), verb)
    assert type(error) is kind
    assert error.status == status


@pytest.mark.parametrize(
    "error",
    [
        errors.InvalidInput("bad", detail=[1]),
        errors.TaskNotFound(),
        errors.TooManyRequests("full", retry_after=3.0),
        errors.Unavailable("broker", retry_after=5.0),
        errors.TaskNotDone("goes on", task_id=TASK),
        errors.UnsupportedMediaType("no"),
    ],
)
def test_an_error_survives_the_wire(error: errors.HTTPError) -> None:
    """What the server raised, the client raises, with all of its facts."""
    headers = {name.lower(): value for name, value in error_headers(error).items()}
    body = error_body(error)
    read = error_from(answer(error.status, body, **headers))
    assert type(read) is type(error)
    assert {**vars(read), "body": None} == vars(error)
    assert read.body == body


def test_the_task_asked_about_is_named() -> None:
    """An answer that does not repeat the id still gives an error that knows it."""
    error = error_from(answer(404, {"error": "task_id not found"}), "get", TASK)
    assert error.task_id == TASK


def test_a_bentoml_server_wraps_some_errors_in_a_list() -> None:
    """The sentence is found in there too."""
    assert error_from(answer(415, [{"error": "not allowed"}])).message == "not allowed"


def test_a_page_is_not_a_message() -> None:
    """A proxy's HTML becomes its title, a long text is cut; the body is kept whole."""
    page = b"<html><head><title>502 Bad\n Gateway</title></head><body>" + b"x" * 9000
    error = error_from(answer(502, page))
    assert error.message == "502 Bad Gateway"
    assert error.body == page.decode()
    assert error_from(answer(502, b"<!doctype html><body>x</body>")).message == "502 Bad Gateway"
    assert len(error_from(answer(500, b"y" * 9000)).message) < 600


def test_a_redirect_says_where_to() -> None:
    """Redirects are not followed, so the message must name the URL to give instead."""
    error = error_from(answer(301, b"", location="https://example.org/"))
    assert "https://example.org/" in error.message


@pytest.mark.parametrize("text", ["soon", "", "-1", "1e9x"])
def test_a_bad_retry_after_is_none(text: str) -> None:
    """What cannot be read is as if it were not said."""
    assert error_from(answer(503, {}, **{"retry-after": text})).retry_after is None


def test_retry_after_may_be_a_date() -> None:
    """RFC 9110 allows a date; it counts from now, and never backwards."""
    now = datetime.now(UTC)
    later = format_datetime(now + timedelta(seconds=60), usegmt=True)
    error = error_from(answer(503, {}, **{"retry-after": later}))
    assert error.retry_after == pytest.approx(60, abs=5)
    earlier = format_datetime(now - timedelta(seconds=60), usegmt=True)
    assert error_from(answer(503, {}, **{"retry-after": earlier})).retry_after == 0
