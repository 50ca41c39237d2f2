"""Both clients against a real server that says what each test scripts."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bentotask import errors
from bentotask.client import Backoff, SyncHTTPClient
from bentotask.record import Progress, TaskError, TaskStatus
from tests.unit.scripted import (
    OTHER,
    SCHEMA,
    TASK,
    Answer,
    Async,
    Driver,
    Seen,
    Server,
    Sync,
    endpoint,
    status,
)

QUICK = Backoff(initial=0.001, maximum=0.001)
SUBMITTED = Answer(200, {"task_id": TASK, "status": "pending"})


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as server:
        yield server


@pytest.fixture(params=[Sync, Async], ids=lambda kind: kind.name)
def driver(request: pytest.FixtureRequest, server: Server) -> Iterator[Driver]:
    with request.param(server.url, token="s3cret") as driver:  # noqa: S106 - of a test
        yield driver


@pytest.fixture
def task(driver: Driver, server: Server) -> Any:
    server.on("POST", "/echo/submit", SUBMITTED)
    return driver.do(lambda client: client.echo.submit("hi"))


# Finding endpoints


def test_the_schema_is_fetched_once(driver: Driver, server: Server) -> None:
    """The first use asks the server what it has; no later one does."""
    assert server.seen == []
    server.on("POST", "/echo/submit", SUBMITTED)
    driver.do(lambda client: client.echo.submit("a"))
    driver.do(lambda client: client.echo.submit("b"))
    assert driver.endpoints() == ["echo", "quick_info", "close"]
    assert len(server.asked("/schema.json")) == 1


def test_an_unknown_endpoint_is_told_with_the_nearest(driver: Driver) -> None:
    """A slip of the pen is an AttributeError that names what was meant."""
    with pytest.raises(AttributeError, match="no endpoint 'ecco'; did you mean 'echo'"):
        driver.do(lambda client: client.ecco.submit("hi"))


def test_python_s_own_names_ask_no_server(driver: Driver, server: Server) -> None:
    """Looking for private names (copy, pickle, notebooks) costs no request."""
    assert not hasattr(driver.client, "_repr_html_")
    assert server.seen == []


def test_names_complete_and_show(driver: Driver, server: Server) -> None:
    """Once known, endpoints complete by tab; reprs tell what and where, and no token."""
    driver.endpoints()
    assert {"echo", "quick_info"} <= set(dir(driver.client))
    assert server.url in repr(driver.client)
    assert "echo" in repr(driver.client)
    assert repr(driver.client.echo) == f"<task echo(prompt, steps) at {server.url}>"
    assert "s3cret" not in repr(vars(driver.client))


def test_any_name_is_reached_by_item(driver: Driver, server: Server) -> None:
    """An endpoint called like an attribute of the client is still there."""
    server.on("POST", "/close/submit", SUBMITTED)
    assert driver.do(lambda client: client["close"].submit()).id == TASK
    with pytest.raises(KeyError, match="did you mean 'close'"):
        driver.do(lambda client: client["clos"])


def test_another_kind_of_server_is_told(driver: Driver, server: Server) -> None:
    """A URL that answers, but not as a service, gives a typed error with its answer."""
    server.on("GET", "/schema.json", Answer(200, b"<html>", {"Content-Type": "text/html"}))
    with pytest.raises(errors.HTTPError, match="is this the URL of the service") as caught:
        driver.do(lambda client: client.echo.submit("hi"))
    assert (caught.value.status, caught.value.body) == (200, "<html>")


def test_a_prefix_is_kept(driver: Driver, server: Server) -> None:
    """A service mounted below a path is reached by the URL of that path."""
    server.on("GET", "/images/schema.json", Answer(200, SCHEMA))
    server.on("POST", "/images/echo/submit", SUBMITTED)
    with type(driver)(f"{server.url}/images/") as mounted:
        assert mounted.do(lambda client: client.echo.submit("hi")).id == TASK


# Calling


def test_a_call_runs_and_waits(driver: Driver, server: Server) -> None:
    """Calling an endpoint posts to its route and decodes the answer."""
    server.on("POST", "/echo", Answer(200, {"prompt": "hi"}))
    assert driver.do(lambda client: client.echo("hi", steps=3)) == {"prompt": "hi"}
    (seen,) = server.asked("/echo")
    assert json.loads(seen.body) == {"prompt": "hi", "steps": 3}
    assert seen.headers["content-type"] == "application/json"


def test_every_request_says_who_asks(driver: Driver, server: Server) -> None:
    """The token and the client's name and version go with each request."""
    server.on("POST", "/quick_info", Answer(200, {}))
    driver.do(lambda client: client.quick_info())
    assert {seen.headers["authorization"] for seen in server.seen} == {"Bearer s3cret"}
    assert all(seen.headers["user-agent"].startswith("bentotask/") for seen in server.seen)


def test_a_password_in_the_url_is_basic_authentication(driver: Driver, server: Server) -> None:
    """``user:password@`` is sent as RFC 7617 has it, and shown masked."""
    url = server.url.replace("://", "://ann:p%40ss@")
    server.on("POST", "/quick_info", Answer(200, {}))
    with type(driver)(url) as named:
        named.do(lambda client: client.quick_info())
        assert "ann:***@" in repr(named.client)
    assert server.seen[-1].headers["authorization"] == "Basic YW5uOnBAc3M="


def test_a_netrc_does_not_replace_the_token(
    driver: Driver, server: Server, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever ~/.netrc says of this host, the token that the client was given is sent."""
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    driver.endpoints()
    assert server.seen[-1].headers["authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(
    ("args", "kwargs", "told"),
    [
        ((), {}, "needs the argument 'prompt'"),
        ((), {"promt": "x"}, "no argument 'promt'; did you mean 'prompt'"),
        (("x",), {"prompt": "y"}, "got 'prompt' by position and by name"),
        (("x", 1, 2), {}, "takes 2 arguments and got 3"),
    ],
)
def test_arguments_that_do_not_fit_are_told_before_asking(
    driver: Driver, server: Server, args: tuple[Any, ...], kwargs: dict[str, Any], told: str
) -> None:
    """A call that the signature does not take sends nothing."""
    with pytest.raises(errors.InvalidInput, match=told) as caught:
        driver.do(lambda client: client.echo.submit(*args, **kwargs))
    assert caught.value.detail[0]["msg"] == caught.value.message
    with pytest.raises(errors.InvalidInput, match=told):
        driver.do(lambda client: client.echo(*args, **kwargs))
    assert [seen.path for seen in server.seen] == ["/schema.json"]


def test_an_api_endpoint_has_no_tasks(driver: Driver, server: Server) -> None:
    """The verbs of a task are refused on an @api endpoint, with what to do instead."""
    with pytest.raises(AttributeError, match=r"call quick_info\(...\).*have submit\(\)"):
        driver.do(lambda client: client.quick_info.submit())
    assert [seen.path for seen in server.seen] == ["/schema.json"]


def test_a_file_goes_as_a_form_and_comes_as_its_type(
    driver: Driver, server: Server, tmp_path: Any
) -> None:
    """A path is sent as a part with its name; a file in the answer is a path again."""
    binary = {"type": "file", "format": "binary"}
    route = endpoint("flip", f=binary) | {"output": binary}
    named = {
        "Content-Type": "application/pdf",
        "Content-Disposition": 'attachment; filename="b.pdf"',
    }
    server.on("GET", "/schema.json", Answer(200, {"routes": [route]}))
    server.on("POST", "/flip", Answer(200, b"%PDF", named))
    source = tmp_path / 'a "1".bin'
    source.write_bytes(b"one\r\n--two\x00")
    result = driver.do(lambda client: client.flip(source))
    assert (result.name, result.read_bytes()) == ("b.pdf", b"%PDF")
    (seen,) = server.asked("/flip")
    assert seen.headers["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="f"; filename="a %221%22.bin"' in seen.body
    assert b"\r\n\r\none\r\n--two\x00\r\n--" in seen.body


# One task


def test_submit_gives_a_handle(driver: Driver, server: Server, task: Any) -> None:
    """The handle is the task's id as text, and equal to every handle of that id."""
    assert (task.id, str(task), f"{task}") == (TASK, TASK, TASK)
    again = driver.do(lambda client: client.echo.submit("hi"))
    assert task == again
    assert len({task, again}) == 1
    assert task != TASK
    assert TASK in repr(task)
    assert json.loads(server.asked("/echo/submit")[0].body) == {"prompt": "hi"}


def test_status_in_every_dialect(driver: Driver, server: Server, task: Any) -> None:
    """Both comparisons of BentoML's documentation hold, whatever words the server uses."""
    server.on("GET", "/echo/status", status("success"), status("completed"))
    for _ in range(2):
        found = driver.do(lambda _: task.get_status())
        assert found.value == "success"
        assert found in ["SUCCESS", "FAILURE"]


def test_status_tells_everything(driver: Driver, server: Server, task: Any) -> None:
    """Times are seconds since the epoch; attempts, progress and error come along."""
    facts = {
        "executed_at": "2026-01-02T03:04:06+00:00",
        "attempts": 2,
        "progress": {"current": 1, "total": None, "message": "one"},
        "error": "ValueError: boom",
    }
    server.on("GET", "/echo/status", status("in_progress", **facts))
    record = driver.do(lambda client: client.echo.status(task.id))
    assert (record.id, record.status) == (TASK, TaskStatus.IN_PROGRESS)
    assert (record.created_at, record.executed_at) == (1767323045.0, 1767323046.0)
    assert (record.attempts, record.progress) == (2, Progress(current=1, message="one"))
    assert record.error == TaskError(type="ValueError", message="boom")


def test_every_verb_takes_a_handle_or_an_id(driver: Driver, server: Server, task: Any) -> None:
    """What a handle does, its endpoint does by id or by handle."""
    server.on("GET", "/echo/get", Answer(200, {"n": 1}))
    assert driver.do(lambda client: client.echo.get(task)) == {"n": 1}
    assert driver.do(lambda client: client.echo.get(TASK)) == {"n": 1}
    assert driver.do(lambda _: task.get()) == {"n": 1}
    assert [seen.query for seen in server.asked("/echo/get")] == [{"task_id": TASK}] * 3


def test_cancel_says_what_became_of_it(driver: Driver, server: Server, task: Any) -> None:
    """Cancel returns the status after it; ``force`` is only said when it is meant."""
    server.on("PUT", "/echo/cancel", Answer(200, {"task_id": TASK, "status": "canceled"}))
    assert driver.do(lambda _: task.cancel()) is TaskStatus.CANCELLED
    driver.do(lambda client: client.echo.cancel(TASK, force=True))
    assert [seen.query for seen in server.asked("/echo/cancel")] == [
        {"task_id": TASK},
        {"task_id": TASK, "force": "true"},
    ]


def test_a_task_that_cannot_be_cancelled_is_a_conflict(
    driver: Driver, server: Server, task: Any
) -> None:
    """The error carries the status, the body and the id."""
    body = {"error": "it has begun", "task_id": TASK}
    server.on("PUT", "/echo/cancel", Answer(409, body))
    with pytest.raises(errors.Conflict, match="it has begun") as caught:
        driver.do(lambda _: task.cancel())
    assert (caught.value.status, caught.value.body, caught.value.task_id) == (409, body, TASK)


def test_retry_gives_a_new_task(driver: Driver, server: Server, task: Any) -> None:
    """The new handle is of the same kind and has the new id."""
    server.on("POST", "/echo/retry", Answer(200, {"task_id": OTHER, "status": "pending"}))
    again = driver.do(lambda _: task.retry())
    assert (type(again), again.id) == (type(task), OTHER)
    assert driver.do(lambda client: client.echo.retry(task)) == again


def test_get_before_the_end(driver: Driver, server: Server, task: Any) -> None:
    """An unfinished task has no result yet, and one request finds out."""
    server.on("GET", "/echo/get", Answer(400, {"error": f"task {TASK} is not completed yet"}))
    with pytest.raises(errors.NotCompleted):
        driver.do(lambda _: task.get())
    assert server.asked("/echo/status") == []


@pytest.mark.parametrize("code", [500, 400, 404, 409, 429, 503, 418])
def test_a_failed_task_is_told_from_a_failed_request(
    driver: Driver, server: Server, task: Any, code: int
) -> None:
    """Whatever status a task chose to fail with, ``get`` raises TaskFailed, and says it."""
    server.on("GET", "/echo/get", Answer(code, {"error": "ValueError: boom", "detail": 1}))
    server.on("GET", "/echo/status", status("failed"))
    with pytest.raises(errors.TaskFailed, match=r"^ValueError: boom$") as caught:
        driver.do(lambda _: task.get())
    assert (caught.value.status, caught.value.detail, caught.value.task_id) == (code, 1, TASK)


@pytest.mark.parametrize(
    ("code", "kind"),
    [(500, errors.HTTPError), (503, errors.Unavailable), (401, errors.Unauthorized)],
)
@pytest.mark.parametrize("known", [status("success"), Answer(503, {"error": "down"})])
def test_a_failed_request_is_told_from_a_failed_task(  # noqa: PLR0917 - fixtures are arguments
    driver: Driver, server: Server, task: Any, code: int, kind: type, known: Answer
) -> None:
    """When the task did not fail, or nobody can say, the answer means what its status means."""
    server.on("GET", "/echo/get", Answer(code, {"error": "broker"}))
    server.on("GET", "/echo/status", known)
    with pytest.raises(errors.HTTPError, match="broker") as caught:
        driver.do(lambda _: task.get())
    assert isinstance(caught.value, kind)


def test_get_of_a_cancelled_task(driver: Driver, server: Server, task: Any) -> None:
    """A cancelled task has no result and says so."""
    server.on("GET", "/echo/get", Answer(409, {"error": "cancelled", "task_id": TASK}))
    server.on("GET", "/echo/status", status("cancelled"))
    with pytest.raises(errors.TaskCancelled):
        driver.do(lambda _: task.get())


@pytest.mark.parametrize(
    ("method", "verb"), [("GET", "status"), ("GET", "get"), ("PUT", "cancel"), ("POST", "retry")]
)
def test_an_unknown_task(driver: Driver, server: Server, method: str, verb: str) -> None:
    """An id of nobody is TaskNotFound for every verb."""
    server.on(method, f"/echo/{verb}", Answer(404, {"error": "task_id not found"}))
    with pytest.raises(errors.TaskNotFound) as caught:
        driver.do(lambda client: getattr(client.echo, verb)("zz"))
    assert caught.value.task_id == "zz"


def test_a_direct_call_that_outlasts_the_server(driver: Driver, server: Server) -> None:
    """Nothing is lost: the error knows the task that goes on."""
    server.on("POST", "/echo", Answer(504, {"error": "goes on", "task_id": TASK}))
    with pytest.raises(errors.TaskNotDone) as caught:
        driver.do(lambda client: client.echo("hi"))
    assert caught.value.task_id == TASK


def test_a_direct_call_of_a_task_that_fails(driver: Driver, server: Server) -> None:
    """A task's own error is TaskFailed here too, whatever its status."""
    server.on("POST", "/echo", Answer(409, {"error": "Taken: by another", "task_id": TASK}))
    server.on("GET", "/echo/status", status("failure"))
    with pytest.raises(errors.TaskFailed, match="Taken: by another") as caught:
        driver.do(lambda client: client.echo("hi"))
    assert (caught.value.status, caught.value.task_id) == (409, TASK)


def test_a_full_queue_says_when_to_return(driver: Driver, server: Server) -> None:
    """A submit is never repeated on its own; the error says when to."""
    server.on("POST", "/echo/submit", Answer(429, {"error": "full"}, {"Retry-After": "7"}))
    with pytest.raises(errors.TooManyRequests) as caught:
        driver.do(lambda client: client.echo.submit("hi"))
    assert caught.value.retry_after == 7
    assert len(server.asked("/echo/submit")) == 1


def test_a_damaged_result_is_a_typed_error(driver: Driver, server: Server, task: Any) -> None:
    """Bytes that are not what they say give the status and the body, not a codec's error."""
    server.on("GET", "/echo/get", Answer(200, b"{", {"Content-Type": "application/json"}))
    with pytest.raises(errors.HTTPError, match="expected a result of echo") as caught:
        driver.do(lambda _: task.get())
    assert (caught.value.status, caught.value.body) == (200, "{")


@pytest.mark.parametrize(
    ("output", "media_type", "body"),
    [
        ({}, "text/plain", b"\xff"),
        ({"type": "file", "format": "image"}, "image/png", b"\x89PNG"),
        (
            {"items": {"type": "file", "format": "binary"}},
            "application/json",
            b'["data:;base64,A"]',
        ),
        ({}, "application/json", b"[" * 100_000),
        # The schema came from the server too.
        (None, "application/json", b"{}"),
        ({"anyOf": 1}, "application/json", b"[1]"),
    ],
)
def test_nothing_that_a_server_sends_breaks_the_codec(
    server: Server, output: Any, media_type: str, body: bytes
) -> None:
    """Whatever cannot be read is an HTTPError with the endpoint's name and the answer."""
    server.on(
        "GET", "/schema.json", Answer(200, {"routes": [endpoint("echo") | {"output": output}]})
    )
    server.on("POST", "/echo", Answer(200, body, {"Content-Type": media_type}))
    with Sync(server.url) as driver, pytest.raises(errors.HTTPError) as caught:
        driver.do(lambda client: client.echo())
    assert str(caught.value) == f"expected a result of echo (got 200 {media_type})"
    assert caught.value.body == body.decode("utf-8", "replace")


@pytest.mark.parametrize("ask", [lambda task: task.status(), lambda task: task.retry()])
def test_an_answer_that_is_nested_without_end_is_a_typed_error(
    driver: Driver, server: Server, task: Any, ask: Any
) -> None:
    """What exhausts the JSON parser is as unreadable as what is no JSON."""
    endless = Answer(200, b"[" * 100_000, {"Content-Type": "application/json"})
    server.on("GET", "/echo/status", endless)
    server.on("POST", "/echo/retry", endless)
    with pytest.raises(errors.HTTPError, match=r"expected (the status of )?a task \(got 200"):
        driver.do(lambda _: ask(task))


# Waiting


def test_wait_returns_how_it_ended(driver: Driver, server: Server, task: Any) -> None:
    """The server holds the question; where it answers early, short pauses bridge the time."""
    server.on("GET", "/echo/status", status("pending"), status("in_progress"), status("failure"))
    assert driver.do(lambda _: task.wait(poll=QUICK)) is TaskStatus.FAILURE
    queries = [seen.query for seen in server.asked("/echo/status")]
    assert queries == [{"task_id": TASK, "wait": "25.000"}] * 3


def test_wait_ends_in_time(driver: Driver, server: Server, task: Any) -> None:
    """No question is held for longer than the caller waits; then the task simply goes on."""
    server.on("GET", "/echo/status", status("in_progress"))
    with pytest.raises(errors.WaitTimeout, match=rf"task {TASK} has not ended within 0\.05 s"):
        driver.do(lambda client: client.echo.wait(TASK, timeout=0.05, poll=QUICK))
    assert all(float(seen.query["wait"]) <= 0.05 for seen in server.asked("/echo/status")[:-1])


def test_a_wait_survives_a_server_that_is_away_for_a_moment(
    driver: Driver, server: Server, task: Any
) -> None:
    """One restart or one broker outage is no reason to lose sight of a task."""
    away = Answer(503, {"error": "broker"})
    server.on("GET", "/echo/status", away, away, status("success"))
    assert driver.do(lambda _: task.wait(poll=QUICK)) is TaskStatus.SUCCESS


def test_a_held_question_outlives_the_timeout(driver: Driver, server: Server) -> None:
    """The client's own limit starts where the server was asked to stop holding."""
    asked = threading.Event()
    hold = threading.Event()

    def held(seen: Seen) -> Answer:
        asked.set()
        hold.wait(0.5)  # never set: the server holds the question
        return status("success")

    server.on("GET", "/echo/status", held)
    with type(driver)(server.url, timeout=0.2) as short:
        assert short.do(lambda client: client.echo.wait(TASK)) is TaskStatus.SUCCESS


def test_progress_comes_as_it_changes(driver: Driver, server: Server, task: Any) -> None:
    """Each change is yielded once, the last one even when the task has ended by then."""
    steps = [{"current": n, "total": 2, "message": ""} for n in (1, 1, 2)]
    server.on(
        "GET",
        "/echo/status",
        status("pending", progress=None),
        *(status("in_progress", progress=step) for step in steps[:2]),
        status("success", progress=steps[2]),
    )
    iterate = iter if driver.name == "sync" else aiter
    seen = driver.do(lambda _: iterate(task))
    assert seen == [Progress(current=1, total=2), Progress(current=2, total=2)]


# Many tasks


@pytest.fixture
def worker(server: Server) -> dict[str, str]:
    """Answer submits with ids that are their prompts, and gets with those."""
    tasks: dict[str, str] = {}

    def submit(seen: Seen) -> Answer:
        prompt = json.loads(seen.body)["prompt"]
        tasks[prompt] = "success"
        return Answer(200, {"task_id": prompt, "status": "pending"})

    def ask(seen: Seen) -> Answer:
        return status(tasks[seen.query["task_id"]], task_id=seen.query["task_id"])

    server.on("POST", "/echo/submit", submit)
    server.on("GET", "/echo/status", ask)
    server.on("GET", "/echo/get", lambda seen: Answer(200, {"of": seen.query["task_id"]}))
    return tasks


def test_map_keeps_the_order(driver: Driver, worker: dict[str, str]) -> None:
    """Items by name, by position or alone; results in the items' order."""
    items: list[Any] = [{"prompt": "a"}, ("b",), ("c", 3), *"defghij"]
    results = driver.do(lambda client: client.echo.map(items, concurrency=3))
    assert results == [{"of": prompt} for prompt in "abcdefghij"]


def test_map_begins_no_more_than_it_may(driver: Driver, server: Server) -> None:
    """At most ``concurrency`` items are under way at any moment."""
    lock = threading.Lock()
    both = threading.Barrier(2)
    running, most = 0, 0

    def answer(seen: Seen) -> Answer:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait(10)  # two must be here at once, or the barrier breaks
        with lock:
            running -= 1
        return Answer(200, {})

    server.on("POST", "/quick_info", answer)
    results = driver.do(lambda client: client.quick_info.map([{}] * 6, concurrency=2))
    assert (results, most) == ([{}] * 6, 2)


def test_map_raises_an_item_s_error_in_its_place(
    driver: Driver, server: Server, worker: dict[str, str]
) -> None:
    """What came before is yielded, what comes after is not begun."""

    def get(seen: Seen) -> Answer:
        prompt = seen.query["task_id"]
        return Answer(200, {}) if prompt == "a" else Answer(500, {"error": "ValueError: boom"})

    server.on("GET", "/echo/get", get)
    server.on("GET", "/echo/status", status("success"), status("failure"))
    with pytest.raises(errors.TaskFailed):
        driver.do(lambda client: client.echo.map("abcdefgh", concurrency=1))
    assert sorted(worker) == ["a", "b"]


def test_map_waits_for_a_full_queue(driver: Driver, server: Server, worker: dict[str, str]) -> None:
    """A 429 says that nothing was accepted, so the item is submitted again later."""
    submit = server.script("POST", "/echo/submit")
    server.on("POST", "/echo/submit", Answer(429, {"error": "full"}, {"Retry-After": "0"}), *submit)
    assert driver.do(lambda client: client.echo.map("a", poll=QUICK)) == [{"of": "a"}]


def test_map_may_be_left_early(driver: Driver, server: Server, worker: dict[str, str]) -> None:
    """Whoever has seen enough may stop; an endless source is read only as far as needed."""
    endless = iter(lambda: {"prompt": "a"}, None)

    def first(client: Any) -> Any:
        if driver.name == "sync":
            results = client.echo.map(endless, concurrency=2)
            try:
                return next(results)
            finally:
                results.close()

        async def take() -> Any:
            results = client.echo.map(endless, concurrency=2)
            try:
                return await anext(results)
            finally:
                await results.aclose()

        return take()

    assert driver.do(first) == {"of": "a"}


@pytest.mark.parametrize("leave", [StopIteration, KeyError], ids=["break", "error"])
def test_map_is_left_without_waiting(server: Server, leave: type[Exception]) -> None:
    """A ``break`` or an error in the loop takes effect while other items are still running."""
    begun, release = threading.Event(), threading.Event()
    released: list[bool] = []

    def answer(seen: Seen) -> Answer:
        if json.loads(seen.body)["prompt"] != "first":
            begun.set()
            released.append(release.wait(5))
        return Answer(200, {})

    def take(client: SyncHTTPClient) -> None:
        for _ in client.echo.map(["first", "second", "third"], concurrency=2):
            assert begun.wait(5)
            if leave is StopIteration:
                break
            raise leave

    server.on("POST", "/echo", answer)
    api = {"routes": [endpoint("echo", is_task=False, prompt={"type": "string"})]}
    server.on("GET", "/schema.json", Answer(200, api))
    with SyncHTTPClient(server.url) as client:
        with contextlib.nullcontext() if leave is StopIteration else pytest.raises(leave):
            take(client)
        assert released == []
        release.set()
        for thread in threading.enumerate():
            if thread.name.startswith("bentotask-map"):
                thread.join(5)
    assert released == [True]
    assert "third" not in {json.loads(seen.body)["prompt"] for seen in server.asked("/echo")}


def test_map_refuses_no_concurrency(driver: Driver) -> None:
    """Zero at a time would never end."""
    with pytest.raises(ValueError, match=r"workers|concurrency"):
        driver.do(lambda client: client.echo.map("a", concurrency=0))
