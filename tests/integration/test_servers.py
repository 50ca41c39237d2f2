"""The servers that the other tests stand on do what is asked of them, faults included."""

from __future__ import annotations

import functools
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import amqp
import psutil
import psycopg
import pytest
import redis as redis_client
from kombu.connection import Connection

from tests import plugin
from tests.servers import packages
from tests.servers.faultproxy import FaultProxy
from tests.servers.process import NeverHappenedError, Process, free_port, leftovers, wait_until
from tests.servers.rabbitmq import Messages
from tests.servers.redis import Redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers import Server
    from tests.servers.postgres import PostgreSQL
    from tests.servers.rabbitmq import RabbitMQ


#: A connection that waits for the broker's confirmation of what it publishes.
broker: Callable[..., Any] = functools.partial(
    Connection, transport_options={"confirm_publish": True}
)


def publish(url: str, queue: str, body: str = "x") -> None:
    """Put one durable message into a durable queue and wait for the broker's confirmation."""
    with broker(url) as connection, connection.SimpleQueue(queue) as simple:
        simple.put(body)


def connect(url: str) -> psycopg.Connection:
    """Connect to the database of a SQLAlchemy URL."""
    return psycopg.connect(url.replace("+psycopg", ""), autocommit=True)


# Processes


def test_a_process_tells_its_end_and_what_it_said(tmp_path: Path) -> None:
    """A process that dies ends the wait for it, and the error shows its last words."""
    process = Process(["sh", "-c", "echo last words; exit 3"], tmp_path / "log").start()
    with pytest.raises(NeverHappenedError, match=r"ended with 3\n(.|\n)*last words"):
        wait_until(lambda: False, 20, "nothing", process=process)


def test_a_log_begins_anew_with_every_start(tmp_path: Path) -> None:
    """What a process said before its restart is not taken for what it says after."""
    process = Process(["sh", "-c", f"cat {tmp_path}/words"], tmp_path / "log")
    for words in ("first", "second"):
        (tmp_path / "words").write_text(words)
        process.start().wait()
        assert process.log() == words


def test_a_stubborn_process_is_forced_and_tells(tmp_path: Path) -> None:
    """A process that ignores SIGTERM is killed, and its status says so."""
    stubborn = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 60; done"]
    with Process(stubborn, tmp_path / "log") as process:
        wait_until(lambda: "up" in process.log(), 5, "the trap is set", process=process)
        assert process.stop(timeout=0.2) == -signal.SIGKILL
    assert process.pid not in leftovers()


def test_a_process_dies_with_pytest(tmp_path: Path) -> None:
    """Even a SIGKILL of the parent leaves no process behind."""
    parent = Process(
        [sys.executable, "-c", _PARENT, tmp_path / "child.log"],
        tmp_path / "log",
        cwd=Path(__file__).parents[2],
    )
    with parent:
        said = wait_until(parent.log, 10, "the parent tells the child's pid", process=parent)
        child = psutil.Process(int(said))
        parent.kill()
        wait_until(lambda: not child.is_running() or _is_zombie(child), 5, "the child is dead")


_PARENT = """
import signal, sys
from pathlib import Path
from tests.servers.process import Process
print(Process(["sleep", "60"], Path(sys.argv[1])).start().pid, flush=True)
signal.pause()
"""


def test_a_thread_may_start_a_process_that_outlives_it(tmp_path: Path) -> None:
    """The kernel counts the death of the starting thread as the parent's; it is not asked to."""
    process = Process(["sleep", "60"], tmp_path / "log")
    thread = threading.Thread(target=process.start)
    thread.start()
    thread.join()
    with pytest.raises(NeverHappenedError):
        process.wait(0.2)
    process.kill_group()


def test_a_daemon_that_left_its_session_is_found(tmp_path: Path) -> None:
    """A process that hides by a session of its own is still known as ours."""
    with Process(["setsid", "--fork", "sleep", "61"], tmp_path / "log") as process:
        process.wait()
        (pid,) = wait_until(
            lambda: [pid for pid, command in leftovers().items() if command == "sleep 61"],
            5,
            "the daemon is found",
        )
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: pid not in leftovers(), 5, "the daemon is gone")


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


# Packages


@pytest.mark.parametrize(
    ("ci", "outcome"),
    [("", pytest.skip.Exception), ("true", pytest.fail.Exception)],
)
def test_a_missing_server_skips_here_and_fails_in_ci(
    ci: str,
    outcome: type[BaseException],
    pytestconfig: pytest.Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A developer may lack a server; a CI that skips what it should check would stay green."""
    monkeypatch.setenv("CI", ci)
    monkeypatch.setitem(packages._PRESENT, "wrk", lambda: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    packages.provide.cache_clear()
    with pytest.raises(outcome, match="not installed: wrk"):
        plugin.need(pytestconfig, "wrk")


# All servers


@pytest.mark.parametrize("name", ["rabbitmq", "redis", "postgres"])
def test_a_killed_server_is_dead_and_comes_back(name: str, request: pytest.FixtureRequest) -> None:
    """SIGKILL ends a server, its port refuses, and ``revive`` brings it back to the same port."""
    server: RabbitMQ | Redis | PostgreSQL = request.getfixturevalue(name)
    first = server.process.pid
    server.kill()
    assert server.process.returncode == -signal.SIGKILL
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), 1)
    assert server.revive().ready()
    assert server.process.pid != first


@pytest.mark.parametrize("name", ["rabbitmq", "redis", "postgres"])
def test_a_paused_server_is_silent_until_resumed(name: str, request: pytest.FixtureRequest) -> None:
    """A frozen server keeps its sockets and answers nobody; afterwards it goes on."""
    server: Server = request.getfixturevalue(name)
    answers: list[bool] = []
    asking = threading.Thread(target=lambda: answers.append(wait_until(server.ready, 20, "up")))
    server.pause()
    asking.start()
    asking.join(0.3)
    assert not answers
    server.resume()
    asking.join()
    assert answers == [True]


# RabbitMQ


def test_a_confirmed_message_survives_a_kill(rabbitmq: RabbitMQ, rabbitmq_url: str) -> None:
    """What the broker confirmed is there after SIGKILL and restart."""
    publish(rabbitmq_url, "q")
    rabbitmq.restart()
    assert rabbitmq.messages(rabbitmq_url, "q") == Messages(ready=1, unacked=0)


def test_vhosts_isolate(rabbitmq: RabbitMQ, rabbitmq_url: str) -> None:
    """A queue of one test is neither seen by another nor left when the test ends."""
    other = rabbitmq.add_vhost()
    publish(rabbitmq_url, "q")
    assert rabbitmq.queues(rabbitmq_url) == {"q"}
    assert rabbitmq.queues(other) == set()
    assert rabbitmq.messages(other, "q").total == 0
    rabbitmq.delete_vhost(other)
    with pytest.raises(amqp.exceptions.NotAllowed), broker(other) as connection:
        connection.connect()


def test_an_unacknowledged_message_is_counted(rabbitmq: RabbitMQ, rabbitmq_url: str) -> None:
    """A message in a consumer's hands is told apart from one that waits."""
    publish(rabbitmq_url, "q")
    with broker(rabbitmq_url) as connection, connection.SimpleQueue("q") as queue:
        message = queue.get(timeout=5)
        assert rabbitmq.messages(rabbitmq_url, "q") == Messages(ready=0, unacked=1)
        message.ack()
        wait_until(lambda: rabbitmq.messages(rabbitmq_url, "q") == (0, 0), 5, "acknowledged")


def test_the_memory_alarm_blocks_publishers(rabbitmq: RabbitMQ, rabbitmq_url: str) -> None:
    """A node out of memory takes no message until the alarm is cleared."""
    rabbitmq.set_memory_alarm(on=True)
    publishing = threading.Thread(target=publish, args=(rabbitmq_url, "q"))
    publishing.start()
    wait_until(lambda: rabbitmq.connections(rabbitmq_url), 5, "the publisher is connected")
    publishing.join(0.5)
    assert publishing.is_alive()
    assert rabbitmq.messages(rabbitmq_url, "q").total == 0
    rabbitmq.set_memory_alarm(on=False)
    publishing.join()
    assert rabbitmq.messages(rabbitmq_url, "q").ready == 1


def test_revive_clears_what_a_test_left(rabbitmq: RabbitMQ, rabbitmq_url: str) -> None:
    """A stopped application and a raised alarm do not reach the next test."""
    rabbitmq.set_memory_alarm(on=True)
    rabbitmq.stop_app()
    with pytest.raises(ConnectionRefusedError):
        rabbitmq.ready()
    rabbitmq.revive()
    publish(rabbitmq_url, "q")


def test_connections_are_closed_with_a_reason(rabbitmq: RabbitMQ, rabbitmq_url: str) -> None:
    """An operator's close reaches the connections of this vhost and tells them why."""
    with broker(rabbitmq_url) as connection:
        connection.connect()
        assert rabbitmq.close_connections(rabbitmq_url) == 1
        with pytest.raises(amqp.exceptions.ConnectionForced, match="closed by a test"):
            connection.drain_events(timeout=5)


# Redis


def test_redis_databases_are_exclusive_and_clean(redis: Redis, redis_url: str) -> None:
    """No two tests hold one database, and none finds the keys of an earlier one."""
    other = redis.take_database()
    assert redis.url(other) != redis_url
    with redis.connect(other) as connection:
        connection.set("key", "value")
    redis.release_database(other)
    assert redis.take_database() == other
    with redis.connect(other) as connection:
        assert connection.keys() == []
    redis.release_database(other)


@pytest.mark.parametrize(("appendonly", "kept"), [(True, "value"), (False, None)])
def test_redis_keeps_its_keys_only_if_asked(redis: Redis, appendonly: bool, kept: str) -> None:
    """With an append-only file a killed Redis comes back with its keys, without one empty."""
    with Redis(appendonly=appendonly) as server:
        with server.connect() as connection:
            connection.set("key", "value")
        server.restart()
        with redis_client.Redis(unix_socket_path=str(server.socket), decode_responses=True) as c:
            assert c.get("key") == kept


# PostgreSQL


def test_postgres_databases_isolate(postgres: PostgreSQL, postgres_url: str) -> None:
    """A table of one test is not seen by another; dropping evicts whoever is connected."""
    other = postgres.create_database()
    with connect(postgres_url) as mine, connect(other) as theirs:
        mine.execute("CREATE TABLE t (x int)")
        with pytest.raises(psycopg.errors.UndefinedTable):
            theirs.execute("SELECT * FROM t")
        postgres.drop_database(other)
        with pytest.raises(psycopg.OperationalError):
            theirs.execute("SELECT 1")


def test_a_committed_row_survives_a_kill(postgres: PostgreSQL, postgres_url: str) -> None:
    """What PostgreSQL committed is there after SIGKILL and restart."""
    with connect(postgres_url) as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS x")
    postgres.restart()
    with connect(postgres_url) as connection:
        assert connection.execute("SELECT x FROM t").fetchone() == (7,)


# The fault proxy


@pytest.fixture
def proxy() -> Iterator[FaultProxy]:
    """A proxy before a server that returns what it is sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        echo = threading.Thread(target=_echo, args=(server,))
        echo.start()
        with FaultProxy(server.getsockname()[1]) as proxy:
            yield proxy
        server.shutdown(socket.SHUT_RDWR)
        echo.join()


def _echo(server: socket.socket) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=_echo_one, args=(connection,)).start()


def _echo_one(connection: socket.socket) -> None:
    with connection:
        try:
            while data := connection.recv(100):
                connection.sendall(data)
        except ConnectionError:
            return


def dial(proxy: FaultProxy) -> socket.socket:
    """Connect through the proxy and see that it passes."""
    client = socket.create_connection(("127.0.0.1", proxy.port), 5)
    assert ask(client, b"hello") == b"hello"
    return client


def ask(client: socket.socket, words: bytes, patience: float = 5) -> bytes:
    client.settimeout(patience)
    client.sendall(words)
    return client.recv(100)


def test_the_proxy_resets_and_accepts_again(proxy: FaultProxy) -> None:
    """A reset ends every open connection at once, and only those."""
    with dial(proxy) as client:
        proxy.reset_all()
        with pytest.raises(ConnectionResetError):
            client.recv(100)
    wait_until(lambda: proxy.connections() == 0, 5, "the connection is forgotten")
    dial(proxy).close()


def test_the_proxy_blackholes_and_delivers_late(proxy: FaultProxy) -> None:
    """Behind a black hole nothing comes back; what was sent arrives when it heals."""
    with dial(proxy) as client:
        proxy.blackhole()
        with pytest.raises(TimeoutError):
            ask(client, b"late", 0.2)
        proxy.heal()
        client.settimeout(5)
        assert client.recv(100) == b"late"


def test_the_proxy_refuses_and_accepts_again(proxy: FaultProxy) -> None:
    """A refused port takes nobody new, while open connections live on."""
    with dial(proxy) as client:
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            dial(proxy)
        assert ask(client, b"still") == b"still"
    proxy.heal()
    dial(proxy).close()


def test_the_proxy_cuts_after_bytes(proxy: FaultProxy) -> None:
    """The bytes before the cut arrive, none after it, and the next connection is whole."""
    with dial(proxy) as client:
        proxy.cut_after(3, "down")
        assert ask(client, b"abcdef") == b"abc"
        assert client.recv(100) == b""
    dial(proxy).close()


def test_the_proxy_delays(proxy: FaultProxy) -> None:
    """An answer takes as long as asked, and no longer after healing."""
    with dial(proxy) as client:
        proxy.delay(0.3)
        with pytest.raises(TimeoutError):
            ask(client, b"slow", 0.5)  # each way takes its 0.3 s
        client.settimeout(5)
        assert client.recv(100) == b"slow"


def test_a_lost_confirmation_leaves_the_message(rabbitmq: RabbitMQ, rabbitmq_url: str) -> None:
    """Cutting the answers of a broker loses the confirmation and not the message."""
    with FaultProxy(rabbitmq.port) as proxy, broker(proxy.through(rabbitmq_url)) as connection:
        queue = connection.SimpleQueue("q")
        queue.put("heard of")
        proxy.cut_after(0, "down")
        with pytest.raises(OSError, match=r"closed|reset"):
            queue.put("not heard of")
    assert rabbitmq.messages(rabbitmq_url, "q").ready == 2


def test_free_ports_are_none_of_the_kernels(tmp_path: Path) -> None:
    """A port that outgoing connections may be given could be lost while its server is down."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(free_port() < first for _ in range(50))
