"""Connections: reused while there is use for them, and never left open, block or no block."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from bentotask import errors
from bentotask.client import AsyncHTTPClient, SyncHTTPClient
from bentotask.client._async import Connection
from tests.unit.scripted import SCHEMA, TASK, Answer, Async, Driver, Server, Sync, status

KINDS = pytest.mark.parametrize("kind", [Sync, Async], ids=lambda kind: kind.name)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server().running() as server:
        server.on("POST", "/echo/submit", Answer(200, {"task_id": TASK, "status": "pending"}))
        server.on("GET", "/echo/status", status("pending"), status("success"))
        server.on("GET", "/echo/get", Answer(200, {"prompt": "hi"}))
        yield server


def python(server: Server, script: str) -> str:
    """Run a script whose every warning is an error, and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        env={**os.environ, "URL": server.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # A warning in a destructor cannot fail a process; it can only be seen.
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@KINDS
def test_connections_are_reused(kind: type[Driver], server: Server) -> None:
    """One after another, all requests share one connection."""
    with kind(server.url) as driver:
        for _ in range(3):
            driver.do(lambda client: client.echo.submit("hi"))
    assert len(server.seen) == 4
    assert server.connections == 1


@KINDS
def test_a_client_may_go_on_after_close(kind: type[Driver], server: Server) -> None:
    """Close lets the connections go; the next request makes new ones."""
    with kind(server.url) as driver:
        driver.endpoints()
        driver.do(lambda client: client.close())
        driver.do(lambda client: client.close())
        assert driver.do(lambda client: client.echo.submit("hi")).id == TASK
    assert server.connections == 2


def test_a_block_knows_the_endpoints(server: Server) -> None:
    """``async with`` asks the server at once, so a wrong name is told on access."""

    async def main() -> None:
        async with AsyncHTTPClient(server.url) as client:
            assert "echo" in dir(client)
            with pytest.raises(AttributeError, match="did you mean 'echo'"):
                _ = client.ecco

    asyncio.run(main())


def test_a_block_that_cannot_begin_leaves_nothing_open(server: Server) -> None:
    """When the server's schema cannot be had, ``async with`` raises and has closed."""
    server.on("GET", "/schema.json", Answer(401, {"error": "no token"}))

    async def main() -> None:
        with pytest.raises(errors.Unauthorized):
            async with AsyncHTTPClient(server.url):
                pytest.fail("the block must not begin")
        assert Connection.opened() == 0

    asyncio.run(main())


def test_a_second_event_loop(server: Server) -> None:
    """A client outlives its loop: the next one gets connections of its own."""
    client = AsyncHTTPClient(server.url)

    async def main() -> str:
        return (await client.echo.submit("hi")).id

    assert [asyncio.run(main()), asyncio.run(main())] == [TASK, TASK]
    assert server.connections == 2
    assert Connection.opened() == 0


def test_a_client_that_is_dropped_closes_while_its_loop_goes_on(server: Server) -> None:
    """Garbage keeps no connection open, however long the loop lives."""

    async def main() -> None:
        client = AsyncHTTPClient(server.url)
        await client.endpoints()
        assert Connection.opened() == 1
        del client
        gc.collect()
        async with asyncio.timeout(10):
            while Connection.opened():  # noqa: ASYNC110 - the garbage collector sets no event
                await asyncio.sleep(0)

    asyncio.run(main())


def test_clients_at_once_in_one_loop(server: Server) -> None:
    """Fifty submits at a time share one client's connections."""

    async def main() -> list[str]:
        async with AsyncHTTPClient(server.url) as client:
            tasks = await asyncio.gather(*(client.echo.submit("hi") for _ in range(50)))
        return [task.id for task in tasks]

    assert asyncio.run(main()) == [TASK] * 50


def test_the_blocking_client_needs_no_block(server: Server) -> None:
    """The documentation's own snippet, without close or block, leaves no warning behind."""
    script = """
        import os
        from bentotask.client import SyncHTTPClient
        def run():
            client = SyncHTTPClient(os.environ["URL"])
            task = client.echo.submit(prompt="hi")
            while task.get_status().value != "success":
                pass
            return task.get()
        print(run(), SyncHTTPClient(os.environ["URL"]).endpoints)
        client = SyncHTTPClient(os.environ["URL"])
        client.echo.submit(prompt="hi")
    """
    assert python(server, script).startswith("{'prompt': 'hi'}")


@pytest.mark.parametrize("scope", ["inside", "outside"])
def test_the_asynchronous_client_needs_no_block(server: Server, scope: str) -> None:
    """The documentation's own snippet leaves no warning, wherever the client was made."""
    script = f"""
        import asyncio, os
        from bentotask.client import AsyncHTTPClient
        outside = AsyncHTTPClient(os.environ["URL"])
        async def main():
            client = AsyncHTTPClient(os.environ["URL"]) if {scope == "inside"} else outside
            tasks = []
            for i in range(3):
                task_id = await client.echo.submit(prompt=f"Image {{i}}")
                tasks.append(task_id)
            results = []
            for task_id in tasks:
                while True:
                    status = await client.echo.get_status(task_id)
                    if status == "SUCCESS":
                        results.append(await client.echo.get(task_id))
                        break
                    await asyncio.sleep(0)
            return results
        print(asyncio.run(main()))
        print(asyncio.run(main()))
    """
    assert python(server, script) == f"{[{'prompt': 'hi'}] * 3}\n" * 2


def test_a_loop_that_fails_leaves_nothing_open(server: Server) -> None:
    """An error out of ``asyncio.run`` takes no connection with it."""
    script = """
        import asyncio, os
        from bentotask.client import AsyncHTTPClient
        async def main():
            client = AsyncHTTPClient(os.environ["URL"])
            await asyncio.gather(client.echo.nonsense(), client.ecco.submit())
        try:
            asyncio.run(main())
        except AttributeError as exc:
            print(exc)
    """
    assert "nonsense" in python(server, script)


def test_both_sides_of_a_fork(server: Server) -> None:
    """Parent and child never write to one connection, so each reads its own answers."""
    with SyncHTTPClient(server.url) as client:
        assert "echo" in client.endpoints
        script = """
            import os
            from bentotask.client import SyncHTTPClient
            client = SyncHTTPClient(os.environ["URL"])
            task = client.echo.submit("hi")
            pid = os.fork()
            if not pid:
                os._exit(0 if task.get() == {"prompt": "hi"} else 1)
            code = os.waitpid(pid, 0)[1]
            print(code, task.get(), len(client.endpoints))
        """
        assert python(server, script) == "0 {'prompt': 'hi'} 3\n"
    assert server.connections == 3


@KINDS
def test_readiness_is_waited_for_once(kind: type[Driver], server: Server) -> None:
    """With ``server_ready_timeout`` the first use waits until /readyz answers 200."""
    server.on("GET", "/readyz", Answer(503, {"error": "starting"}), Answer(200, b""))
    with kind(server.url, server_ready_timeout=10) as driver:
        driver.do(lambda client: client.echo.submit("hi"))
        driver.do(lambda client: client.echo.submit("hi"))
    assert [seen.path for seen in server.seen] == [
        "/readyz", "/readyz", "/schema.json", "/echo/submit", "/echo/submit",
    ]  # fmt: skip


@KINDS
def test_a_server_that_never_gets_ready(kind: type[Driver], server: Server) -> None:
    """The wait ends with the server's own last word."""
    server.on("GET", "/readyz", Answer(503, {"error": "no broker"}))
    server.on("GET", "/schema.json", Answer(200, SCHEMA))
    with (
        kind(server.url, server_ready_timeout=0.05) as driver,
        pytest.raises(errors.ServerUnreachable, match=r"not ready within 0\.05 s: no broker"),
    ):
        driver.do(lambda client: client.echo.submit("hi"))
