"""A private RabbitMQ node."""

from __future__ import annotations

import os
import re
import secrets
import socket
import subprocess
import uuid
from pathlib import Path
from typing import NamedTuple, Self

from tests.servers import Server
from tests.servers.process import Process, free_port, wait_until

#: Not /usr/sbin: what lies there changes to the user ``rabbitmq`` and the node of the machine.
PROGRAMS = Path("/usr/lib/rabbitmq/bin")

#: Two schedulers that sleep when idle, and no port of Erlang's open to the network.
_ERLANG = "+S 2:2 +SDcpu 1:1 +SDio 2 +sbwt none +sbwtdcpu none +sbwtdio none"
_ERLANG += " -kernel inet_dist_use_interface {127,0,0,1}"

_WATERMARK = 0.4
_CONFIG = f"""
log.console = true
log.console.level = warning
log.file = false
vm_memory_high_watermark.relative = {_WATERMARK}
"""


class Messages(NamedTuple):
    """What a queue holds. One that does not exist holds nothing."""

    ready: int
    unacked: int

    @property
    def total(self) -> int:
        """All messages that are not acknowledged."""
        return self.ready + self.unacked


class RabbitMQ(Server):
    """A node with its own ports, files, cookie and port mapper.

    The port mapper (``epmd``) is started first: a node that finds none starts one as a daemon,
    which would outlive the tests. A node is slow to start (seconds), so tests share one and each
    takes a vhost; wherever a vhost is asked for, its URL will do.
    """

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self.node = f"test{self.port}@localhost"
        epmd_port = str(free_port())
        self._write(".erlang.cookie", secrets.token_hex(16)).chmod(0o400)
        settings: dict[str, object] = {
            "NODENAME": self.node,
            "NODE_IP_ADDRESS": "127.0.0.1",
            "NODE_PORT": self.port,
            "DIST_PORT": free_port(),
            "BASE": self.base,
            "MNESIA_BASE": self.base / "mnesia",
            "LOG_BASE": self.base / "log",
            "PID_FILE": self.base / "pid",
            "ENABLED_PLUGINS_FILE": self._write("plugins", "[].\n"),
            "CONFIG_FILE": self._write("rabbitmq.conf", _CONFIG),
            "ADVANCED_CONFIG_FILE": self.base / "advanced.config",
            "GENERATED_CONFIG_DIR": self.base / "generated",
            "CONF_ENV_FILE": "/dev/null",  # else that of the machine's node is read
            "SERVER_ADDITIONAL_ERL_ARGS": _ERLANG,
        }
        self._env = {
            "PATH": os.environ["PATH"],
            "LC_ALL": "C.UTF-8",
            "HOME": str(self.base),  # where Erlang looks for the cookie
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": epmd_port,
            "RUNNING_UNDER_SYSTEMD": "true",  # makes the script exec: the pid is the node's
            **{f"RABBITMQ_{name}": str(value) for name, value in settings.items()},
        }
        self._epmd = Process(
            ["epmd", "-port", epmd_port, "-address", "127.0.0.1"],
            self.base / "epmd.log",
            env=self._env,
            cwd=self.base,
        )
        self.process = Process(
            [PROGRAMS / "rabbitmq-server"],
            self.base / "rabbitmq.log",
            env=self._env,
            cwd=self.base,
        )

    def start(self) -> Self:
        """Start it and return when it answers."""
        if not self._epmd.alive():
            self._epmd.start()
            port = int(self._env["ERL_EPMD_PORT"])
            wait_until(lambda: _accepts(port), 10, "epmd answers", process=self._epmd)
        return super().start()

    def ready(self) -> bool:
        """Whether it speaks AMQP: it listens a little before it does."""
        with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            return connection.recv(1) == b"\x01"

    def revive(self) -> Self:
        """Return it in good health, whatever the previous test did to it."""
        super().revive()
        if self.erl("rabbit:is_running() andalso rabbit_alarm:get_alarms() == []") != "true":
            self.start_app()
            self.set_memory_alarm(on=False)
        return self

    def close(self) -> None:
        """End the node and its port mapper and delete their files."""
        if self._epmd.alive():
            self._epmd.kill_group()
        super().close()

    def erl(self, expression: str) -> str:
        """Evaluate Erlang in the node and return the result as text.

        It takes 5 ms where ``rabbitmqctl``, which starts an Erlang of its own, takes 300.
        """
        done = subprocess.run(
            ["erl_call", "-sname", self.node, "-e"],
            input=f"{expression}.\n",
            env=self._env,
            cwd=self.base,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        said = f"{done.stdout}{done.stderr}".strip()
        if done.stdout.startswith("{ok, "):
            return done.stdout.strip()[5:-1]
        if done.stdout.startswith("{error"):
            raise ValueError(f"{expression}: {said}")
        raise ConnectionError(f"{self.node} does not answer: {said}")

    def add_vhost(self) -> str:
        """Add a vhost that ``guest`` may use and return its URL."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        vhost, any_, by = _binary(name), _binary(".*"), _binary("tests")
        self.erl(
            f"ok = rabbit_vhost:add({vhost}, {by}), ok = rabbit_auth_backend_internal:"
            f"set_permissions({_binary('guest')}, {vhost}, {any_}, {any_}, {any_}, {by})"
        )
        return f"amqp://guest:guest@127.0.0.1:{self.port}/{name}"

    def delete_vhost(self, vhost: str) -> None:
        """Delete it with its queues, and close the connections that still use it."""
        self.erl(f"rabbit_vhost:delete({_vhost(vhost)}, {_binary('tests')})")

    def queues(self, vhost: str) -> set[str]:
        """Return the names of its queues."""
        names = self.erl(
            f"[{{element(4, amqqueue:get_name(Q))}} || Q <- rabbit_amqqueue:list({_vhost(vhost)})]"
        )
        return {
            bytes(map(int, codes.split(","))).decode()
            for codes in re.findall(r"#Bin<(.+?)>", names)  # how erl_call prints a binary
        }

    def messages(self, vhost: str, queue: str) -> Messages:
        """Return what a queue holds now: the queue itself is asked, not the lagging statistics."""
        answer = self.erl(
            f"case rabbit_amqqueue:lookup(rabbit_misc:r({_vhost(vhost)}, queue, {_binary(queue)}))"
            " of {ok, Q} -> [{_, R}, {_, U}] ="
            " rabbit_amqqueue:info(Q, [messages_ready, messages_unacknowledged]), {R, U};"
            " {error, not_found} -> {0, 0} end"
        )
        ready, unacked = re.findall(r"\d+", answer)
        return Messages(int(ready), int(unacked))

    def connections(self, vhost: str) -> int:
        """Return how many connections use it."""
        return int(self.erl(f"length({_connections(vhost)})"))

    def close_connections(self, vhost: str) -> int:
        """Close them as an operator does: the client is told why. Return how many there were."""
        return int(
            self.erl(
                f"Pids = {_connections(vhost)}, "
                '[rabbit_networking:close_connection(P, "closed by a test") || P <- Pids], '
                "length(Pids)"
            )
        )

    def set_memory_alarm(self, *, on: bool) -> None:
        """Raise or clear the alarm of a node that is out of memory: it stops reading publishers."""
        self.erl(f"vm_memory_monitor:set_vm_memory_high_watermark({0 if on else _WATERMARK})")
        wait_until(
            lambda: (self.erl("rabbit_alarm:get_alarms()") != "[]") == on,
            20,
            "the memory alarm is raised" if on else "the memory alarm is cleared",
            process=self.process,
        )

    def stop_app(self) -> None:
        """Stop RabbitMQ and leave its Erlang running: connections end and new ones are refused."""
        self.erl("rabbit:stop()")

    def start_app(self) -> None:
        """Undo :meth:`stop_app`; return when it answers."""
        self.erl("rabbit:start()")
        wait_until(self.ready, self.patience, f"{self} answers", process=self.process)

    def _write(self, name: str, text: str) -> Path:
        path = self.base / name
        path.write_text(text)
        return path


def _accepts(port: int) -> bool:
    socket.create_connection(("127.0.0.1", port), 1).close()
    return True


def _binary(text: str) -> str:
    """Return text as an Erlang binary."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'<<"{escaped}"/utf8>>'


def _vhost(name_or_url: str) -> str:
    """Return the vhost of a URL as an Erlang binary."""
    return _binary(name_or_url.rpartition("/")[2])


def _connections(vhost: str) -> str:
    return (
        "[P || P <- rabbit_networking:connections(), "
        f"rabbit_networking:connection_info(P, [vhost]) =:= [{{vhost, {_vhost(vhost)}}}]]"
    )
