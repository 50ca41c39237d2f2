"""The wall: nothing of requests or httpx comes through, and every message helps."""

from __future__ import annotations

import inspect
import socket
import threading
from collections.abc import Iterator
from types import ModuleType

import httpx
import pytest
import requests

from bentotask import errors
from bentotask.client import _async, _sync
from bentotask.client._link import mapped
from tests.unit.scripted import SCHEMA, Answer, Async, Driver, Hangup, Seen, Server, Sync

KINDS = pytest.mark.parametrize("kind", [Sync, Async], ids=lambda kind: kind.name)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as server:
        yield server


def exceptions(module: ModuleType, *roots: type[BaseException]) -> list[type[BaseException]]:
    classes = [one for one in vars(module).values() if inspect.isclass(one)]
    return [one for one in classes if issubclass(one, roots)]


REQUESTS = exceptions(requests.exceptions, requests.exceptions.RequestException)
HTTPX = exceptions(httpx, Exception)


@pytest.mark.parametrize("error", REQUESTS, ids=lambda error: error.__name__)
def test_every_error_of_requests_is_mapped(error: type[BaseException]) -> None:
    """A new version of requests cannot bring a kind of failure that nobody has thought of."""
    known = set(_sync.WALL) - {requests.exceptions.RequestException}
    assert error is requests.exceptions.RequestException or known & set(error.__mro__)


@pytest.mark.parametrize("error", HTTPX, ids=lambda error: error.__name__)
def test_every_error_of_httpx_is_mapped(error: type[BaseException]) -> None:
    """A new version of httpx cannot bring a kind of failure that nobody has thought of."""
    known = set(_async.WALL) - {httpx.HTTPError}
    bases = {httpx.HTTPError, httpx.RequestError, httpx.TransportError, httpx.ProtocolError}
    assert error in bases or known & set(error.__mro__)
    assert issubclass(error, tuple(_async.WALL))


@pytest.mark.parametrize(
    ("wall", "error", "kind"),
    [
        (_sync.WALL, requests.ConnectTimeout(), errors.ServerUnreachable),
        (_sync.WALL, requests.ReadTimeout(), errors.RequestTimeout),
        (_sync.WALL, requests.exceptions.SSLError(), errors.ServerUnreachable),
        (_sync.WALL, requests.exceptions.ChunkedEncodingError(), errors.TransportError),
        (_async.WALL, httpx.ConnectTimeout(""), errors.ServerUnreachable),
        (_async.WALL, httpx.ReadTimeout(""), errors.RequestTimeout),
        (_async.WALL, httpx.WriteError(""), errors.TransportError),
        (_async.WALL, httpx.RemoteProtocolError(""), errors.TransportError),
    ],
)
def test_the_nearest_class_decides(
    wall: dict[type[BaseException], type[errors.TransportError]],
    error: Exception,
    kind: type[errors.TransportError],
) -> None:
    """A timeout while connecting is no connection; one after that is no answer."""
    assert mapped(wall, error) is kind


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@KINDS
def test_nobody_listens(kind: type[Driver]) -> None:
    """The URL, the system's own reason and the next step are told; no secret is."""
    url = f"http://ann:hush@127.0.0.1:{free_port()}"
    with (
        kind(url, token="s3cret") as driver,  # noqa: S106 - of a test
        pytest.raises(errors.ServerUnreachable) as caught,
    ):
        driver.do(lambda client: client.echo("hi"))
    message = str(caught.value)
    assert "ann:***@127.0.0.1" in message
    assert "Connection refused" in message
    assert "is the server running" in message
    assert "hush" not in message
    assert "s3cret" not in message


@KINDS
def test_no_such_host(kind: type[Driver]) -> None:
    """A name that does not resolve is a server that cannot be reached."""
    with (
        kind("http://nowhere.invalid") as driver,
        pytest.raises(errors.ServerUnreachable, match=r"nowhere\.invalid"),
    ):
        driver.do(lambda client: client.echo("hi"))


@KINDS
def test_no_answer_in_time(kind: type[Driver], server: Server) -> None:
    """Connected but silent is RequestTimeout, a TimeoutError too, and names both ways out."""
    done = threading.Event()

    def silent(seen: Seen) -> Answer:
        done.wait(10)
        return Answer(200, {})

    server.on("POST", "/echo", silent)
    with kind(server.url, timeout=0.1) as driver:
        with pytest.raises(TimeoutError, match=r"within 0.1 s.*timeout=.*submit\(\)") as caught:
            driver.do(lambda client: client.echo("hi"))
        done.set()
    assert isinstance(caught.value, errors.RequestTimeout)


@KINDS
def test_an_answer_that_stops_halfway(kind: type[Driver], server: Server) -> None:
    """A body shorter than promised is no result."""
    short = Answer(200, b"{", {"Content-Length": "100", "Connection": "close"})
    server.on("POST", "/echo", short)
    with (
        kind(server.url, timeout=5) as driver,
        pytest.raises(errors.TransportError, match="broke off"),
    ):
        driver.do(lambda client: client.echo("hi"))


@KINDS
def test_a_submit_that_breaks_is_not_repeated(kind: type[Driver], server: Server) -> None:
    """The message says that nobody knows what became of it; the server saw it once."""
    server.on("POST", "/echo/submit", Hangup())
    with (
        kind(server.url) as driver,
        pytest.raises(errors.TransportError, match="whether the server acted") as caught,
    ):
        driver.do(lambda client: client.echo.submit("hi"))
    assert type(caught.value) is errors.TransportError
    assert len(server.asked("/echo/submit")) == 1


@KINDS
def test_a_question_that_breaks_is_repeated(kind: type[Driver], server: Server) -> None:
    """A broken GET is asked again without the caller's noticing."""
    server.on("GET", "/schema.json", Hangup(), Answer(200, SCHEMA))
    with kind(server.url) as driver:
        assert "echo" in driver.endpoints()
    assert len(server.asked("/schema.json")) == 2


@KINDS
def test_a_redirect_is_told_not_followed(kind: type[Driver], server: Server) -> None:
    """Followed, a POST may come out as a GET, and the token at a stranger's."""
    server.on("GET", "/schema.json", Answer(301, b"", {"Location": "https://example.org/x"}))
    with (
        kind(server.url) as driver,
        pytest.raises(errors.HTTPError, match=r"https://example\.org/x") as caught,
    ):
        driver.do(lambda client: client.echo("hi"))
    assert caught.value.status == 301


@KINDS
@pytest.mark.parametrize(
    "url",
    ["localhost:3000", "ftp://x", "http://", "/only/a/path", "", "http://x:port", "http://[::1"],
)
def test_a_url_that_cannot_work_is_told_at_once(kind: type[Driver], url: str) -> None:
    """Before any request, with an example of one that can."""
    with pytest.raises(errors.ConfigurationError, match="looks like http://localhost:3000"):
        kind(url)


@KINDS
def test_a_broken_url_keeps_its_secret(kind: type[Driver]) -> None:
    """What stands before an @ is never shown."""
    with pytest.raises(errors.ConfigurationError) as caught:
        kind("htp://ann:hush@host")
    assert "hush" not in str(caught.value)


@KINDS
@pytest.mark.parametrize("token", ["", " \n", "a\nb: c", "schlüssel"])
def test_a_token_that_cannot_work_is_told_at_once(kind: type[Driver], token: str) -> None:
    """Before any request, and without showing it."""
    with pytest.raises(errors.ConfigurationError, match=r"^the token is empty, or holds"):
        kind("http://localhost:3000", token=token)


@KINDS
def test_a_token_from_a_file_may_end_in_a_line_break(kind: type[Driver], server: Server) -> None:
    """It is not part of the token."""
    with kind(server.url, token="s3cret\n") as driver:  # noqa: S106 - of a test
        driver.endpoints()
    assert server.seen[-1].headers["authorization"] == "Bearer s3cret"
