"""Where tasks leave: a record becomes a Celery message on the broker, confirmed.

:meth:`Queue.publish` is the one way out, for submits, for retries and for tasks submitted by
tasks. The message carries no input: that rests with the record, in one copy, and comes back with
the worker's claim. So messages stay small (RabbitMQ 4 refuses more than 16 MiB) and a photograph
that is retried three times exists once.
"""

from __future__ import annotations

import logging
import math
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import kombu
from amqp.exceptions import MessageNacked, PreconditionFailed
from celery import Celery
from kombu.exceptions import OperationalError
from kombu.pools import ProducerPool
from kombu.transport.native_delayed_delivery import calculate_routing_key

from bentotask.config import mask_url
from bentotask.endpoint import PRIORITIES, Endpoint
from bentotask.errors import ConfigurationError, TooManyRequests, Unavailable

logger = logging.getLogger(__name__)

#: Seconds that connecting, and each read and write, may take on a publishing connection. Together
#: with the one repetition they keep a submit's answer within two seconds. Only this connection
#: has them: a worker's consumer must be allowed to wait.
PATIENCE: Final = 0.8
#: What a client should wait before it submits again when the broker is away, seconds.
RETRY_AFTER: Final = 5.0
#: Publishing connections of one process; further threads wait for one.
CONNECTIONS: Final = 8

#: The message header that tells our tasks from a foreign producer's ``send_task``.
HEADER: Final = "bentotask"

#: Celery's name of the exchange that delays messages for quorum queues
#: (https://docs.celeryq.dev/en/stable/getting-started/backends-and-brokers/rabbitmq.html).
_DELAYED: Final = kombu.Exchange("celery_delayed_27", type="topic")


def declared_queue(name: str, queue_type: str) -> kombu.Queue:
    """Return the queue ``name`` as every process of a service must declare it.

    Classic queues order by priority. Quorum queues before RabbitMQ 4 refuse ``x-max-priority``,
    and delay a retry through a topic exchange; in its routing keys a dot separates words, so
    that of the name is escaped.
    """
    if queue_type == "quorum":
        return kombu.Queue(
            name,
            kombu.Exchange("bentotask.delayable", type="topic"),
            routing_key=name.replace(".", "%2E"),
            queue_arguments={"x-queue-type": "quorum"},
        )
    return kombu.Queue(
        name,
        kombu.Exchange("bentotask", type="direct"),
        routing_key=name,
        queue_arguments={"x-max-priority": PRIORITIES[-1]},
    )


def supported_broker(url: str) -> str:
    """Return ``url`` if it names a broker that kombu knows; nothing is connected.

    Raises:
        ConfigurationError: it does not, or the package for it is missing.
    """
    try:
        _ = kombu.Connection(url).transport
    except (KeyError, ImportError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"the broker URL {mask_url(url)} cannot be used: {error.args[0]}; "
            "write for example amqp://user:password@host:5672/vhost or redis://host:6379/0"
        ) from None
    return url


class Queue:
    """The broker's side of a service; it lives as long as the service.

    Args:
        app: the Celery application that builds the messages, and names the broker: so what is
            published goes where its workers listen, whatever a user has set on it.
        queues: the declarations of the queues that may be published to, by name.
    """

    def __init__(self, app: Celery, queues: Mapping[str, kombu.Queue]) -> None:
        self._app = app
        self._queues = queues
        self._pools: dict[int, ProducerPool] = {}

    def publish(  # noqa: PLR0913 - one keyword a fact of the message
        self,
        endpoint: Endpoint,
        task_id: str,
        *,
        shown_input: str = "",
        retries: int = 0,
        countdown: float | None = None,
        parent_id: str | None = None,
    ) -> None:
        """Put a task on its queue and return once the broker has confirmed it.

        Args:
            endpoint: what shall run.
            task_id: its id; the record must be stored already.
            shown_input: the input for people who look at events, abbreviated.
            retries: how many attempts failed before.
            countdown: seconds to wait before it may run.
            parent_id: the task that submitted it.

        Raises:
            TooManyRequests: the queue is full.
            Unavailable: it was not confirmed; it may still arrive, so the caller must claim it.
        """
        queue = self._queues[endpoint.queue]
        message = self._app.amqp.create_task_message(
            task_id,
            endpoint.full_name,
            kwargsrepr=shown_input,
            argsrepr="",
            retries=retries,
            countdown=countdown,
            parent_id=parent_id,
            create_sent_event=self._app.conf.task_send_sent_event,
        )
        options = {
            "queue": queue,
            "headers": {HEADER: "1"},
            "retry": False,
            "priority": self._priority(endpoint),
            **_delayed(queue, countdown),
        }
        self._send(endpoint.full_name, message, options)

    def revoke(self, task_id: str) -> None:
        """Tell workers that hold the message to drop it; saves them a look at the record.

        Only an optimisation: the claim has decided already, so a broker that is away is logged.
        """
        arguments = {"task_id": task_id, "terminate": False, "signal": None}
        try:
            with self._producer() as producer:
                # The message of Celery's app.control.revoke(). That one would publish through a
                # connection without our limits and retry without end, with the caller waiting.
                producer.publish(
                    {"method": "revoke", "arguments": arguments, "destination": None},
                    exchange=self._app.control.mailbox.exchange.name,
                    declare=[self._app.control.mailbox.exchange],
                    headers={"clock": self._app.clock.forward(), "expires": 0},
                    serializer="json",
                    retry=False,
                )
        except Unavailable as error:
            logger.warning("task %s: its revoke was not sent: %s", task_id, error)

    def ping(self) -> None:
        """Make sure that the broker takes messages.

        An answer alone is not enough: RabbitMQ under a memory alarm answers everything but a
        publish. So this publishes, to a routing key that no queue has: it is confirmed and gone.
        Twice, for RabbitMQ blocks a connection only after its first publish.

        Raises:
            Unavailable: it does not.
        """
        with self._producer() as producer:
            for queue in self._queues.values():
                queue(producer.channel).declare()
            if producer.connection.transport.driver_type == "amqp":
                for _ in range(2):
                    producer.publish("", exchange="", routing_key="bentotask.ping", retry=False)

    def _send(self, name: str, message: Any, options: dict[str, Any]) -> None:
        """Publish, once more under the same id when the pooled connection had gone stale.

        Two copies of one id do no harm: the second finds the task begun and is dropped.
        """
        for last in (False, True):
            try:
                with self._producer() as producer:
                    self._app.amqp.send_task_message(producer, name, message, **options)
            except Unavailable as error:
                if last or isinstance(error.__cause__, TimeoutError):
                    raise
            else:
                return

    @contextmanager
    def _producer(self) -> Iterator[kombu.Producer]:
        """Lend a producer, and turn the broker's errors into ours."""
        try:
            with self._pool.acquire(block=True, timeout=PATIENCE) as producer:
                try:
                    yield producer
                except Exception:
                    # A connection that failed once is not lent again. Its socket is closed
                    # without the protocol's good-bye, for which a stopped broker lets us wait.
                    _drop(producer)
                    raise
        except kombu.exceptions.LimitExceeded as error:
            raise Unavailable(
                f"all {CONNECTIONS} connections to the broker are busy", retry_after=1
            ) from error
        except MessageNacked as error:
            raise TooManyRequests("the queue is full; try again later", retry_after=1) from error
        except PreconditionFailed as error:
            logger.error("%s", error)  # noqa: TRY400 - the broker's own words say all
            raise Unavailable(
                "the queue exists on the broker with other arguments than this service declares; "
                "delete it there once it is empty, or name another with queue=",
                retry_after=RETRY_AFTER,
            ) from error
        except self._foreign_errors as error:
            # Where the broker is, is for the log; a caller cannot use it and need not know.
            logger.warning("the broker %s cannot be used: %r", self._shown, error)
            raise Unavailable(
                "the message broker cannot be reached, so nothing was accepted; try again later",
                retry_after=RETRY_AFTER,
            ) from error

    @property
    def _shown(self) -> str:
        return str(self._connection().as_uri())

    @property
    def _foreign_errors(self) -> tuple[type[BaseException], ...]:
        connection = self._connection()
        return (
            OperationalError,
            OSError,
            *connection.connection_errors,
            *connection.channel_errors,
        )

    @property
    def _pool(self) -> ProducerPool:
        """The producers of this process; a connection must not cross a fork."""
        pool = self._pools.get(os.getpid())
        if pool is None:
            pool = ProducerPool(self._connection().Pool(limit=CONNECTIONS), limit=CONNECTIONS)
            self._pools = {os.getpid(): pool}
        return pool

    def _connection(self) -> kombu.Connection:
        options = {
            **(self._app.conf.broker_transport_options or {}),
            # AMQP: the broker answers each publish, and nothing may hang.
            "confirm_publish": True,
            "read_timeout": PATIENCE,
            "write_timeout": PATIENCE,
            # Redis: the same.
            "socket_timeout": PATIENCE,
            "socket_connect_timeout": PATIENCE,
            # All: one attempt to connect; the caller repeats once.
            "max_retries": 1,
            "interval_start": 0,
            "connect_retries_timeout": PATIENCE,
        }
        return self._app.connection_for_write(
            connect_timeout=PATIENCE,
            heartbeat=0,
            transport_options=options,
        )

    def _priority(self, endpoint: Endpoint) -> int:
        """Return the broker's own number; Redis takes the lowest first, AMQP the highest."""
        priority = endpoint.options.priority
        driver = self._connection().transport.driver_type
        return PRIORITIES[-1] - priority if driver == "redis" else priority


def check_broker(url: str) -> None:
    """Make sure that a broker is there, before a process is started that needs it.

    Raises:
        ConfigurationError: the URL names no broker that kombu knows.
        Unavailable: it does not answer; tells why, for whoever starts the process.
    """
    connection = kombu.Connection(
        supported_broker(url),
        connect_timeout=PATIENCE,
        transport_options={"socket_timeout": PATIENCE, "socket_connect_timeout": PATIENCE},
    )
    known = connection.recoverable_connection_errors
    try:
        connection.ensure_connection(max_retries=1, timeout=PATIENCE)
    except (OperationalError, OSError, *known) as error:
        raise Unavailable(f"the broker {mask_url(url)} cannot be reached: {error}") from None
    finally:
        connection.collect()


def restore_unacknowledged(url: str) -> None:
    """Queue again all that was fetched from a Redis broker and never acknowledged, at once.

    kombu itself gives back what is older than the visibility timeout, hours later: it cannot know
    whether the worker still lives. So this is only for a broker that no worker uses at the moment.
    """
    options = {
        # Whatever was fetched, even "in the future" where the clock was set back since.
        "visibility_timeout": -math.inf,
        # A worker that was killed as it restored has left its lock behind, for five minutes.
        "unacked_mutex_key": f"bentotask.restore.{uuid.uuid4().hex}",
    }
    with kombu.Connection(url, transport_options=options) as connection:
        connection.default_channel.qos.restore_visible(num=None, interval=1)


def _drop(producer: kombu.Producer) -> None:
    connection = producer.__connection__
    if connection is not None:
        connection.collect()


def _delayed(queue: kombu.Queue, countdown: float | None) -> dict[str, Any]:
    """Return how a delayed message travels to a quorum queue; a worker's timer holds the others.

    A quorum queue has no prefetch of a whole channel, so a message that a worker holds back would
    block the ones behind it.
    """
    if countdown is None or queue.exchange.type != "topic":
        return {}
    return {
        "queue": None,
        "exchange": _DELAYED,
        "routing_key": calculate_routing_key(max(1, round(countdown)), queue.routing_key),
        "declare": [queue],
    }
