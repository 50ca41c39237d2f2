"""Records in Redis or Valkey: one hash a task, one script a step."""

from __future__ import annotations

import re
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

import redis

from bentotask.store.base import Change, Row, Store

#: Replace the state if the version is the expected one: the atomic step behind every claim.
#: A script runs alone (https://redis.io/docs/latest/develop/programmability/eval-intro/).
_SWAP: Final = """
local found = redis.call('HMGET', KEYS[1], 'version', 'submission')
if not found[1] then return {0} end
if found[1] ~= ARGV[1] then
  return {0, found[1], found[2], unpack(redis.call('HMGET', KEYS[1], 'state', 'progress'))}
end
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'state', ARGV[3])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'progress', ARGV[4]) end
if ARGV[5] ~= '' then redis.call('HSET', KEYS[1], 'result', ARGV[5]) end
if ARGV[6] ~= '' then redis.call('PEXPIRE', KEYS[1], ARGV[6]) end
return {1, ARGV[2], found[2], ARGV[3], unpack(redis.call('HMGET', KEYS[1], 'progress', 'input'))}
"""

#: Write only beside a record that exists: a late report must not bring back an expired task.
_ANNOTATE: Final = """
local state = redis.call('HGET', KEYS[1], 'state')
if state and ARGV[1] ~= '' then redis.call('HSET', KEYS[1], 'progress', ARGV[1]) end
return state
"""

_INSERT: Final = """
if redis.call('HSETNX', KEYS[1], 'version', ARGV[1]) == 1 then
  redis.call('HSET', KEYS[1], 'submission', ARGV[2], 'state', ARGV[3], 'input', ARGV[4])
end
"""


class RedisStore(Store):
    """Records in Redis or Valkey, which expires them by itself.

    Args:
        url: ``redis://``, ``rediss://``, or a unix socket as ``redis+socket:///path?virtual_host=0``
            (Celery's form) or ``unix:///path?db=0``.
        timeout: seconds to connect and to wait for an answer.
    """

    expires_by_itself: ClassVar[bool] = True
    _foreign_errors: ClassVar[tuple[type[BaseException], ...]] = (redis.RedisError, OSError)

    def __init__(self, url: str, timeout: float = 5.0) -> None:
        super().__init__(url)
        self._client = redis.Redis.from_url(
            _redis_url(url), socket_timeout=timeout, socket_connect_timeout=timeout
        )
        self._insert_script = self._client.register_script(_INSERT)
        self._swap_script = self._client.register_script(_SWAP)
        self._annotate_script = self._client.register_script(_ANNOTATE)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    @staticmethod
    def _key(task_id: str) -> str:
        return f"bentotask:{task_id}"

    def _insert(self, task_id: str, row: Row) -> None:
        self._insert_script(
            keys=[self._key(task_id)],
            args=[row.version, row.submission, row.state, row.input or b""],
        )

    def _load(self, task_id: str, *blobs: str) -> Row | None:
        names = ("version", "submission", "state", "progress", *blobs)
        values: list[Any] = self._client.hmget(self._key(task_id), names)
        return None if values[0] is None else _row(dict(zip(names, values, strict=True)))

    def _swap(self, task_id: str, change: Change) -> tuple[bool, Row | None]:
        keep_ms = "" if change.keep_for is None else max(1, round(change.keep_for * 1000))
        won, *values = self._swap_script(
            keys=[self._key(task_id)],
            args=[
                change.expected,
                change.version,
                change.state,
                change.progress or "",
                change.result or b"",
                keep_ms,
            ],
        )
        names = ("version", "submission", "state", "progress", "input")
        return bool(won), _row(dict(zip(names, values, strict=False))) if values else None

    def _annotate(self, task_id: str, progress: str | None) -> str | None:
        state = self._annotate_script(keys=[self._key(task_id)], args=[progress or ""])
        return None if state is None else state.decode()

    def _remove_expired(self, now: float) -> int:  # noqa: ARG002 - Redis does it by the clock of its own
        return 0

    def _ping(self) -> None:
        self._client.ping()


def _row(values: dict[str, bytes | None]) -> Row:
    def text(name: str) -> str | None:
        value = values.get(name)
        return None if value is None else value.decode()

    return Row(
        version=int(values["version"] or 0),
        submission=text("submission") or "{}",
        state=text("state") or "{}",
        progress=text("progress"),
        input=values.get("input"),
        result=values.get("result"),
    )


def _redis_url(url: str) -> str:
    """Translate Celery's spelling of a URL to redis-py's."""
    # kombu and Celery write the ssl module's names here.
    url = re.sub(r"(ssl_cert_reqs=)CERT_(\w+)", lambda m: m[1] + m[2].lower(), url)
    parts = urlsplit(url)
    if parts.scheme not in {"redis+socket", "socket"}:
        return url
    query = {"db" if k == "virtual_host" else k: v for k, v in parse_qsl(parts.query)}
    # Not urlunsplit(): some versions of Python leave out the // of a scheme that they do not know.
    return f"unix://{parts.netloc}{parts.path}?{urlencode(query)}"
