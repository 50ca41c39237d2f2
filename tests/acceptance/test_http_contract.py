"""The contract on the wire, row by row, against real processes; plain HTTP, no client of ours."""

from __future__ import annotations

import io
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest
import requests
from PIL import Image

from tests.servers.process import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.acceptance.stack import Site, Stack

TARGET: Final = "tests.acceptance.contract_service:ContractService"
UNKNOWN: Final = "00000000000000000000000000000000"
VERBS: Final = ("GET status", "GET get", "POST cancel", "PUT cancel", "PUT retry", "POST retry")
OCTETS: Final = {"Content-Type": "application/octet-stream"}
#: What the status of any task has, in this order.
FIELDS: Final = ["task_id", "status", "created_at", "executed_at", "completed_at", "attempts"]
FIELDS_TOO: Final = ["progress", "error"]


class Door:
    """The service's HTTP, one line a request."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()

    def ask(self, method: str, path: str, **options: Any) -> requests.Response:
        return self.session.request(method, f"{self.url}{path}", timeout=30, **options)

    def verb(self, words: str, endpoint: str, task_id: str, **query: str) -> requests.Response:
        """Ask for example ``PUT cancel`` of a task."""
        method, verb = words.split()
        return self.ask(method, f"/{endpoint}/{verb}", params={"task_id": task_id, **query})

    def submit(self, endpoint: str, **arguments: Any) -> str:
        answer = self.ask("POST", f"/{endpoint}/submit", json=arguments)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["task_id"])

    def status(self, endpoint: str, task_id: str, **query: str) -> dict[str, Any]:
        answer = self.verb("GET status", endpoint, task_id, **query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def finish(self, endpoint: str, **arguments: Any) -> str:
        """Submit, wait for the end, and return the id."""
        task_id = self.submit(endpoint, **arguments)
        assert self.status(endpoint, task_id, wait="20")["completed_at"]
        return task_id

    def get(self, endpoint: str, task_id: str) -> requests.Response:
        return self.verb("GET get", endpoint, task_id, wait="20")


@pytest.fixture(scope="module")
def site(stack: Stack) -> Site:
    return stack.serve(TARGET)


@pytest.fixture(scope="module")
def door(site: Site) -> Iterator[Door]:
    door = Door(site.url)
    with door.session:
        yield door


@contextmanager
def held(door: Door, journal: Path) -> Iterator[str]:
    """Run a task in the worker's only slot for as long as the body runs."""
    task_id = door.submit("hold", journal=str(journal))
    wait_until(journal.exists, 20, "the slot is taken")
    try:
        yield task_id
    finally:
        journal.with_name(f"{journal.name}.go").touch()
        door.status("hold", task_id, wait="20")


def refused(answer: requests.Response, status: int, error: str) -> dict[str, Any]:
    """Check that an answer is this error, told as all errors are; return its body."""
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/json")
    assert error in answer.json()["error"]
    return dict(answer.json())


# submit


def test_submit_answers_with_the_id_and_where_to_ask(door: Door) -> None:
    """A submit is answered at once, with the id and the Location of its status."""
    answer = door.ask("POST", "/echo/submit", json={"text": "hi"})
    body = answer.json()
    assert (answer.status_code, sorted(body), body["status"]) == (
        200,
        ["status", "task_id"],
        "pending",
    )
    assert answer.headers["Location"] == f"/echo/status?task_id={body['task_id']}"
    assert door.ask("GET", answer.headers["Location"]).json()["task_id"] == body["task_id"]


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"times": 2}, ["text"]),
        ({"text": "hi", "times": "many"}, ["times"]),
        ({"text": "hi", "tims": 2}, ["tims"]),
    ],
    ids=["missing", "wrong type", "unknown"],
)
@pytest.mark.parametrize("path", ["/echo", "/echo/submit"])
def test_input_that_does_not_fit_is_told_at_once(
    door: Door, path: str, body: dict[str, Any], where: list[str]
) -> None:
    """An input that does not fit is 400, with the place and the reason, and no task exists."""
    told = refused(door.ask("POST", path, json=body), 400, "")
    assert [fault["loc"] for fault in told["detail"]] == [where]
    assert "task_id" not in told


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff\xfe", b'"text"'])
def test_a_body_that_is_no_json_object_is_400(door: Door, body: bytes) -> None:
    """A body that cannot be read as what it says it is, is the caller's mistake."""
    headers = {"Content-Type": "application/json"}
    refused(door.ask("POST", "/echo/submit", data=body, headers=headers), 400, "")


def test_a_media_type_that_nothing_reads_is_415(door: Door) -> None:
    """A wrong content type is told as such, and names what is read."""
    headers = {"Content-Type": "application/xml"}
    answer = door.ask("POST", "/echo/submit", data=b"<text/>", headers=headers)
    refused(answer, 415, "application/json")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/echo/submit", {"POST"}),
        ("POST", "/echo/status", {"GET"}),
        ("POST", "/echo/get", {"GET"}),
        ("GET", "/echo/cancel", {"POST", "PUT"}),
        ("DELETE", "/echo/retry", {"POST", "PUT"}),
        ("GET", "/double", {"POST"}),
    ],
)
def test_a_wrong_method_is_405(door: Door, method: str, path: str, allowed: set[str]) -> None:
    """A method that a route does not know is told, with those that it does."""
    answer = door.ask(method, path)
    refused(answer, 405, "")
    assert {m.strip() for m in answer.headers["Allow"].split(",")} >= allowed


@pytest.mark.parametrize("path", ["/nothing", "/nothing/submit", "/double/submit"])
def test_an_unknown_route_is_404(door: Door, path: str) -> None:
    """A route that nobody declared is not found, in the form of every other error."""
    refused(door.ask("POST", path, json={"number": 1}), 404, "")


# status


def test_status_tells_the_times_in_utc(door: Door) -> None:
    """A finished task has its three times, in order, in ISO 8601 and UTC, and its attempts."""
    body = door.status("echo", door.finish("echo", text="hi"))
    assert list(body) == [*FIELDS, *FIELDS_TOO]
    times = [datetime.fromisoformat(body[name]) for name in FIELDS[2:5]]
    assert times == sorted(times)
    assert {time.utcoffset() for time in times} == {timedelta(0)}
    assert (body["status"], body["attempts"], body["error"]) == ("success", 1, None)


def test_status_of_a_waiting_and_of_a_running_task(door: Door, tmp_path: Path) -> None:
    """What is not known yet is null: a waiting task has not begun, a running one not ended."""
    with held(door, tmp_path / "hold") as running:
        waiting = door.status("echo", door.submit("echo", text="hi"))
        body = door.status("hold", running)
    assert (waiting["status"], waiting["executed_at"], waiting["attempts"]) == ("pending", None, 0)
    assert (body["status"], body["completed_at"], body["attempts"]) == ("in_progress", None, 1)
    assert body["executed_at"]


def test_status_of_a_failed_task_tells_the_error(door: Door) -> None:
    """A failure's reason stands in its status, as one line."""
    body = door.status("fail", door.finish("fail", message="no such number"))
    assert (body["status"], body["error"]) == ("failure", "ValueError: no such number")


def test_wait_answers_as_soon_as_the_task_ends(door: Door, tmp_path: Path) -> None:
    """``wait=`` holds the answer, but no longer than the task runs."""
    with held(door, tmp_path / "hold") as task_id:
        (tmp_path / "hold.go").touch()
        answer = door.verb("GET status", "hold", task_id, wait="60")
    assert answer.json()["status"] == "success"
    assert answer.elapsed < timedelta(seconds=5)


@pytest.mark.parametrize("verb", ["GET status", "GET get"])
def test_wait_answers_with_what_is_known_when_it_is_over(
    door: Door, tmp_path: Path, verb: str
) -> None:
    """A wait that runs out answers as one without it would."""
    with held(door, tmp_path / "hold") as task_id:
        answer = door.verb(verb, "hold", task_id, wait="0.4")
    assert timedelta(seconds=0.4) <= answer.elapsed < timedelta(seconds=3)
    assert answer.status_code == (200 if verb == "GET status" else 400)


@pytest.mark.parametrize("seconds", ["soon", "-1", "nan", "inf"])
def test_a_wait_that_is_no_time_is_400(door: Door, seconds: str) -> None:
    """A ``wait`` that says no number of seconds is told, not guessed at."""
    refused(door.verb("GET status", "echo", UNKNOWN, wait=seconds), 400, "wait")


# get


def png(size: tuple[int, int] = (6, 4)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "teal").save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("endpoint", "request_", "media_type", "result"),
    [
        ("echo", {"json": {"text": "é"}}, "application/json", '{"text":"é","times":1}'.encode()),
        ("spell", {"json": {"word": "abc"}}, "text/plain; charset=utf-8", b"a-b-c"),
        ("turn", {"files": {"data": b"\0\xff"}}, "application/octet-stream", b"\xff\0"),
        ("mirror", {"files": {"image": ("a.png", png(), "image/png")}}, "image/png", png()),
        ("shout", {"files": {"letter": ("a.txt", b"hey", "text/plain")}}, "text/plain", b"HEY"),
    ],
    ids=["json", "text", "bytes", "image", "file"],
)
def test_get_is_a_direct_call_later(
    door: Door, endpoint: str, request_: dict[str, Any], media_type: str, result: bytes
) -> None:
    """A result comes as its own media type; ``get`` and a direct call give the same bytes."""
    direct = door.ask("POST", f"/{endpoint}", **request_)
    task_id = door.ask("POST", f"/{endpoint}/submit", **request_).json()["task_id"]
    later = door.get(endpoint, task_id)
    assert direct.status_code == later.status_code == 200
    assert direct.content == later.content == result
    assert direct.headers["Content-Type"] == later.headers["Content-Type"] == media_type


def test_a_file_comes_with_its_name(door: Door) -> None:
    """A file's name travels both ways, and nothing of its directory."""
    files = {"letter": ("../../etc/greeting.txt", b"hey", "text/plain")}
    answer = door.ask("POST", "/shout", files=files)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="loud-greeting.txt"'


@pytest.mark.parametrize(
    ("endpoint", "media_type", "body"),
    [("turn", "application/octet-stream", b"\xff\0"), ("mirror", "image/png", png())],
)
def test_a_single_file_may_be_the_body(
    door: Door, endpoint: str, media_type: str, body: bytes
) -> None:
    """An endpoint of one file takes it as the bare body, as ``curl --data-binary`` sends it."""
    answer = door.ask("POST", f"/{endpoint}", data=body, headers={"Content-Type": media_type})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, media_type)


@pytest.mark.parametrize("content", [b"", b"no image", png()[:-20]])
def test_an_image_that_is_none_is_400(door: Door, content: bytes) -> None:
    """A broken upload is told when it is submitted, not when the task has failed."""
    files = {"image": ("a.png", content, "image/png")}
    told = refused(door.ask("POST", "/mirror/submit", files=files), 400, "")
    assert told["detail"][0]["loc"] == ["image"]


def test_get_of_a_failure_has_no_traceback(door: Door) -> None:
    """A failure is 500 with the error's class and words, and no line of code."""
    answer = door.get("fail", door.finish("fail", message="no such number"))
    assert refused(answer, 500, "")["error"] == "ValueError: no such number"
    assert "Traceback" not in answer.text


def test_a_task_chooses_the_status_it_fails_with(door: Door) -> None:
    """A failure that is an error with a status answers with that, later and directly."""
    task_id = door.finish("refuse", message="a teapot")
    refused(door.get("refuse", task_id), 418, "a teapot")
    told = refused(door.ask("POST", "/refuse", json={"message": "a teapot"}), 418, "a teapot")
    assert told["task_id"]


def test_get_and_retry_of_an_unfinished_task_are_400(door: Door, tmp_path: Path) -> None:
    """Neither a result nor a rerun exists before the end."""
    with held(door, tmp_path / "hold") as running:
        waiting = door.submit("note", journal=str(tmp_path / "note"))
        for verb in ("GET get", "PUT retry", "POST retry"):
            for endpoint, task_id in (("hold", running), ("note", waiting)):
                told = refused(
                    door.verb(verb, endpoint, task_id), 400, f"task {task_id} is not completed yet"
                )
                assert told["task_id"] == task_id


# cancel


@pytest.mark.parametrize("verb", ["POST cancel", "PUT cancel"])
def test_a_cancelled_task_never_runs(door: Door, tmp_path: Path, verb: str) -> None:
    """What has not begun is cancelled for good; a second cancel says so again, ``get`` is 409."""
    journal = tmp_path / "note"
    with held(door, tmp_path / "hold"):
        task_id = door.submit("note", journal=str(journal))
        for _ in range(2):
            answer = door.verb(verb, "note", task_id)
            assert (answer.status_code, answer.json()) == (
                200,
                {"task_id": task_id, "status": "cancelled"},
            )
    door.finish("echo", text="whatever waited before this has had its turn")
    assert not journal.exists()
    assert door.status("note", task_id)["executed_at"] is None
    refused(door.get("note", task_id), 409, "cancelled")


@pytest.mark.parametrize("verb", ["POST cancel", "PUT cancel"])
def test_what_has_begun_is_cancelled_by_force_alone(door: Door, tmp_path: Path, verb: str) -> None:
    """A running task is 409 and goes on; with ``force=true`` it is stopped where it is."""
    with held(door, tmp_path / "hold") as task_id:
        refused(door.verb(verb, "hold", task_id), 409, "force=true")
        assert door.status("hold", task_id)["status"] == "in_progress"
        answer = door.verb(verb, "hold", task_id, force="true")
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert door.status("hold", task_id)["status"] == "cancelled"
    assert door.ask("POST", "/echo", json={"text": "the slot is free"}).status_code == 200


@pytest.mark.parametrize("force", ["false", "true"])
@pytest.mark.parametrize("endpoint", ["echo", "fail"])
def test_what_has_ended_stays_ended(door: Door, endpoint: str, force: str) -> None:
    """No cancel changes a success or a failure."""
    arguments = {"text": "hi"} if endpoint == "echo" else {"message": "no"}
    task_id = door.finish(endpoint, **arguments)
    before = door.status(endpoint, task_id)
    refused(door.verb("POST cancel", endpoint, task_id, force=force), 409, "already")
    assert door.status(endpoint, task_id) == before


# retry


def without_id(answer: requests.Response) -> tuple[int, dict[str, Any]]:
    return answer.status_code, {k: v for k, v in answer.json().items() if k != "task_id"}


@pytest.mark.parametrize("verb", ["PUT retry", "POST retry"])
@pytest.mark.parametrize(
    ("endpoint", "arguments"), [("echo", {"text": "again"}), ("fail", {"message": "again"})]
)
def test_retry_runs_the_same_input_under_a_new_id(
    door: Door, verb: str, endpoint: str, arguments: dict[str, str]
) -> None:
    """A finished task can be run again; the first keeps its own outcome."""
    first = door.finish(endpoint, **arguments)
    before = door.status(endpoint, first)
    answer = door.verb(verb, endpoint, first)
    second = answer.json()["task_id"]
    assert (answer.status_code, answer.json()["status"], second != first) == (200, "pending", True)
    assert answer.headers["Location"] == f"/{endpoint}/status?task_id={second}"
    answers = [without_id(door.get(endpoint, task_id)) for task_id in (first, second)]
    assert answers[0] == answers[1]
    assert door.status(endpoint, first) == before


@pytest.mark.parametrize("verb", ["PUT retry", "POST retry"])
def test_retry_runs_what_was_cancelled(door: Door, tmp_path: Path, verb: str) -> None:
    """A cancelled task's input is retained; its retry runs, and it stays cancelled itself."""
    journal = tmp_path / "note"
    with held(door, tmp_path / "hold"):
        first = door.submit("note", journal=str(journal))
        door.verb("POST cancel", "note", first)
    second = door.verb(verb, "note", first).json()["task_id"]
    assert door.status("note", second, wait="20")["status"] == "success"
    assert journal.read_text() == "ran\n"
    assert door.status("note", first)["status"] == "cancelled"


def test_retry_keeps_a_file_of_the_input(door: Door) -> None:
    """An upload is retained with the task, for as long as the task."""
    submitted = door.ask("POST", "/turn/submit", files={"data": b"abc"}).json()
    assert door.get("turn", submitted["task_id"]).content == b"cba"
    again = door.verb("PUT retry", "turn", submitted["task_id"]).json()
    assert door.get("turn", again["task_id"]).content == b"cba"


# direct calls


def test_a_direct_call_that_lasts_too_long_is_not_lost(door: Door, tmp_path: Path) -> None:
    """A call that outlasts ``traffic.timeout`` is 504 with an id, under which the task goes on."""
    journal = tmp_path / "hold"
    answer = door.ask("POST", "/hold", json={"journal": str(journal)})
    task_id = refused(answer, 504, "is not completed")["task_id"]
    assert door.status("hold", task_id)["status"] == "in_progress"
    (tmp_path / "hold.go").touch()
    assert door.get("hold", task_id).text == "went on"


def test_a_direct_call_that_fails_tells_why(door: Door) -> None:
    """A direct call's failure is the failure's own answer, with the id of its task."""
    told = refused(door.ask("POST", "/fail", json={"message": "no"}), 500, "ValueError: no")
    assert door.status("fail", told["task_id"])["status"] == "failure"


def test_an_api_answers_at_once(door: Door) -> None:
    """An ``@api`` method needs no worker and has no task."""
    assert door.ask("POST", "/double", json={"number": 21}).json() == 42


# ids


@pytest.mark.parametrize("verb", VERBS)
def test_a_task_id_is_required(door: Door, verb: str) -> None:
    """A verb without an id is told what it lacks."""
    method, word = verb.split()
    for query in ("", "?task_id="):
        refused(door.ask(method, f"/echo/{word}{query}"), 400, "task_id is required")


@pytest.mark.parametrize(
    "task_id",
    [UNKNOWN, "../../x", "x" * 3000, "a\0b", "\0", "*", "é", " ", "task_id", f"{UNKNOWN}\n"],
    ids=["unknown", "path", "long", "NUL in it", "NUL", "star", "accent", "blank", "word", "line"],
)
@pytest.mark.parametrize("verb", VERBS)
def test_an_id_that_is_none_is_404(door: Door, verb: str, task_id: str) -> None:
    """Unknown and malformed ids are not found, whatever is asked of them."""
    assert refused(door.verb(verb, "echo", task_id), 404, "")["error"] == "task_id not found"


@pytest.mark.parametrize("verb", VERBS)
def test_another_endpoints_task_is_404(door: Door, verb: str) -> None:
    """An id opens nothing at another endpoint, and is not touched by what is asked there."""
    task_id = door.finish("echo", text="mine")
    before = door.status("echo", task_id)
    refused(door.verb(verb, "spell", task_id, force="true"), 404, "task_id not found")
    assert door.status("echo", task_id) == before


def test_an_id_too_long_for_the_web_server_is_refused_by_it(door: Door) -> None:
    """10 kB of id are over gunicorn's own limit for a request's first line; nobody else sees it."""
    assert door.verb("GET status", "echo", "x" * 10_000).status_code in {400, 404, 414}
    assert door.ask("GET", "/readyz").status_code == 200


def test_malformed_ids_never_reach_the_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """An id that is none, 10 kB of one too, is 404 while the backend is down."""
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    monkeypatch.setenv("BENTOTASK_BROKER_URL", nobody)
    monkeypatch.setenv("BENTOTASK_RESULT_BACKEND", nobody)
    from tests.acceptance.contract_service import ContractService  # noqa: PLC0415 - reads the environment once

    client = ContractService.wsgi.test_client()  # type: ignore[attr-defined]  # mypy follows no class decorator
    for verb in VERBS:
        method, word = verb.split()
        for task_id in ("x" * 10_000, "../../x", "\0"):
            answer = client.open(f"/echo/{word}", method=method, query_string={"task_id": task_id})
            assert (answer.status_code, answer.json) == (404, {"error": "task_id not found"})


# limits of a deployment


@dataclass
class Chunked:
    """A body whose length is not told before it is sent."""

    chunk: bytes
    number: int

    def __iter__(self) -> Iterator[bytes]:
        return iter([self.chunk] * self.number)


@pytest.fixture(scope="module")
def guarded(stack: Stack) -> Iterator[Door]:
    """A deployment with a token and a small limit."""
    settings = {"BENTOTASK_TOKEN": "s3cret", "BENTOTASK_MAX_BODY": "1Ki"}
    door = Door(stack.serve(TARGET, environ=settings).url)
    door.session.headers["Authorization"] = "Bearer s3cret"
    with door.session:
        yield door


@pytest.mark.parametrize("given", [None, "Bearer wrong", "Basic s3cret", "Bearer", "s3cret"])
@pytest.mark.parametrize(
    "request_", ["POST /echo/submit", "GET /echo/status", "POST /double", "GET /schema.json"]
)
def test_without_the_token_nothing_is_told(guarded: Door, request_: str, given: str | None) -> None:
    """No token, or a wrong one, is 401 everywhere, and says how to authenticate."""
    answer = guarded.ask(*request_.split(), headers={"Authorization": given})
    refused(answer, 401, "Bearer")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_with_the_token_everything_works(guarded: Door) -> None:
    """The token opens the door; what a load balancer asks needs none."""
    assert guarded.get("echo", guarded.submit("echo", text="hi")).json()["text"] == "hi"
    for path in ("/livez", "/readyz", "/healthz"):
        assert requests.get(f"{guarded.url}{path}", timeout=10).status_code == 200


@pytest.mark.parametrize(
    ("endpoint", "body"),
    [
        ("echo", {"json": {"text": "x" * 2000}}),
        ("turn", {"data": b"x" * 2000, "headers": OCTETS}),
        ("turn", {"files": {"data": b"x" * 2000}}),
        ("turn", {"data": Chunked(b"x" * 1000, 2), "headers": OCTETS}),
    ],
    ids=["json", "raw", "multipart", "chunked"],
)
def test_a_body_over_the_limit_is_413(guarded: Door, endpoint: str, body: dict[str, Any]) -> None:
    """An oversized body is told as such, however it is sent; one within the limit is fine."""
    refused(guarded.ask("POST", f"/{endpoint}/submit", **body), 413, "")
    assert guarded.submit("echo", text="x" * 500)
