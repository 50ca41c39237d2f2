"""Settings: the only reader (and writer) of the process's environment.

Each field of :class:`Settings` says its environment variables and its help once; the command
line, the README's table and the error messages are made from the same words.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

from bentotask.errors import ConfigurationError

#: Body size that a web process accepts by default, bytes.
DEFAULT_MAX_BODY: Final = 256 * 1024 * 1024

QUEUE_TYPES: Final = ("classic", "quorum")

#: Result backends that live in one process.
_PRIVATE = re.compile(r"memory:|cache\+memory:|disabled|db\+sqlite:(//)?/?(:memory:)?(\?.*)?$")

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?i?)B?", re.IGNORECASE)
_UNITS: Final = {
    "": 1,
    **{u: 1000 ** (i + 1) for i, u in enumerate("kmgt")},
    **{u + "i": 1024 ** (i + 1) for i, u in enumerate("kmgt")},
}


def parse_size(text: str | int) -> int:
    """Return a size in bytes from ``4Gi``, ``512Mi``, ``2GB`` or a plain number.

    The units are Kubernetes' (and so BentoML's): ``Ki`` is 1024, ``K`` is 1000.

    Raises:
        ValueError: when the text is none of these.
    """
    match = _SIZE.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size; write for example 512Mi or 4Gi")
    return int(float(match[1]) * _UNITS[match[2].lower()])


def mask_url(url: str) -> str:
    """Return ``url`` with its password replaced, fit for logs and errors."""
    return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", url)


S = TypeVar("S", bound="Settings")


def _read(*names: str, default: Any = None, help: str) -> Any:  # noqa: A002 - the field's own word
    return field(default=default, metadata={"env": names, "help": help})


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Where the broker and the results are, and the limits of this deployment."""

    broker_url: str | None = _read(
        "BENTOTASK_BROKER_URL",
        "CELERY_BROKER_URL",
        "CLOUDAMQP_URL",
        "RABBITMQ_URL",
        "REDIS_URL",
        help="the broker, e.g. amqp://user:password@rabbitmq:5672/vhost",
    )
    result_backend: str | None = _read(
        "BENTOTASK_RESULT_BACKEND",
        "CELERY_RESULT_BACKEND",
        "REDIS_URL",
        help="where records and results rest, e.g. redis://redis:6379/0, "
        "db+postgresql+psycopg://user:password@db/tasks, db+sqlite:////var/lib/app/tasks.db "
        "or file:///var/lib/app/tasks",
    )
    queue_type: str = _read(
        "BENTOTASK_QUEUE_TYPE",
        default="classic",
        help="the RabbitMQ queue type, classic or quorum",
    )
    token: str | None = _read(
        "BENTOTASK_TOKEN",
        help="when set, every request must carry it as Authorization: Bearer TOKEN",
    )
    max_body: int = _read(
        "BENTOTASK_MAX_BODY",
        default=DEFAULT_MAX_BODY,
        help="the largest request body, bytes or with a unit (256Mi)",
    )
    data_dir: Path = _read(
        "BENTOTASK_DATA_DIR",
        default=Path(".bentotask"),
        help="where `bentotask serve` keeps the embedded server's data",
    )
    #: which variable each field was read from, for the log
    sources: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_environ(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read the settings from ``environ`` (the process's own by default).

        Raises:
            ConfigurationError: a value cannot be used; names the variable.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        sources: dict[str, str] = {}
        for setting in fields(cls):
            for name in setting.metadata.get("env", ()):
                if text := environ.get(name, "").strip():
                    values[setting.name] = _checked(setting.name, name, text)
                    sources[setting.name] = name
                    break
        return _results_beside_broker(cls(**values, sources=sources))

    def override(self, source: str, **values: Any) -> Self:
        """Return settings in which ``values`` win, told in the log as from ``source``.

        Values that are ``None`` change nothing.
        """
        known = {name: value for name, value in values.items() if value is not None}
        settings = replace(self, **known, sources={**self.sources, **dict.fromkeys(known, source)})
        return _results_beside_broker(settings)

    def require_broker(self) -> str:
        """Return the broker's URL.

        Raises:
            ConfigurationError: none is configured.
        """
        if self.broker_url is None:
            raise ConfigurationError(_missing("broker_url", "no message broker is configured"))
        return _checked_url("broker_url", self.sources.get("broker_url", "code"), self.broker_url)

    def require_result_backend(self) -> str:
        """Return the result backend's URL.

        Raises:
            ConfigurationError: none is configured, or it is one that cannot work.
        """
        if self.result_backend is None:
            raise ConfigurationError(_missing("result_backend", "no result backend is configured"))
        source = self.sources.get("result_backend", "code")
        url = _checked_url("result_backend", source, self.result_backend)
        if url.startswith(("rpc", "amqp")):
            raise ConfigurationError(
                f"result_backend {mask_url(url)} (from {source}) cannot serve tasks: an rpc:// "
                "result is a message for the one process that submitted, so every other web "
                "process would see the task as pending for ever. With only RabbitMQ use "
                "db+sqlite:////path/tasks.db on one host, or any SQL server across hosts."
            )
        if _PRIVATE.match(url):
            raise ConfigurationError(
                f"result_backend {mask_url(url)} (from {source}) cannot serve tasks: each process "
                "has one of its own, so no web process would ever see what a worker did. On one "
                "host use db+sqlite:////path/tasks.db or file:///path/tasks."
            )
        return url

    def told(self) -> list[str]:
        """Return a line a setting for the log: value with passwords masked, and its source."""
        return [
            f"{name}: {mask_url(str(getattr(self, name)))} (from {source})"
            for name, source in self.sources.items()
            if name != "token"
        ]

    def as_environ(self) -> dict[str, str]:
        """Return the variables that make :meth:`from_environ` of a child give these settings."""
        given = {}
        for setting in fields(self):
            value = getattr(self, setting.name)
            if setting.metadata.get("env") and value is not None:
                given[setting.metadata["env"][0]] = str(value)
        return given


def _results_beside_broker(settings: S) -> S:
    """Keep results in the broker's Redis when no backend is named: it is one server."""
    if settings.result_backend is None and (settings.broker_url or "").startswith("redis"):
        source = f"the broker's own, {settings.sources.get('broker_url', 'broker_url')}"
        return replace(
            settings,
            result_backend=settings.broker_url,
            sources={**settings.sources, "result_backend": source},
        )
    return settings


def _missing(name: str, what: str) -> str:
    setting = next(f for f in fields(Settings) if f.name == name)
    variables = " or ".join(setting.metadata["env"][:2])
    return (
        f"{what}: set {variables} ({setting.metadata['help']}), "
        "or try it without any server: bentotask serve MODULE:SERVICE"
    )


def _checked(name: str, source: str, text: str) -> Any:
    if name == "max_body":
        try:
            return parse_size(text)
        except ValueError as error:
            raise ConfigurationError(f"{source}: {error}") from None
    if name == "data_dir":
        return Path(text)
    if name == "queue_type" and text not in QUEUE_TYPES:
        raise ConfigurationError(f"{source}={text}: write one of {', '.join(QUEUE_TYPES)}")
    return text


def _checked_url(name: str, source: str, url: str) -> str:
    """Catch the typos that would otherwise surface as a timeout or a traceback much later."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ConfigurationError(f"{name} {mask_url(url)} (from {source}): {error}") from None
    if not parts.scheme or ":" not in url:
        raise ConfigurationError(
            f"{name} {mask_url(url)!r} (from {source}) is not a URL; "
            "write for example amqp://user:password@host:5672/vhost or redis://host:6379/0"
        )
    return url


def export_environ(values: Mapping[str, str]) -> None:
    """Set variables for this process and the children it starts.

    For what libraries read only from the environment: CUDA's visible devices, the thread counts
    of numeric libraries.
    """
    os.environ.update(values)


def visible_gpus() -> list[str] | None:
    """Return the GPUs that ``CUDA_VISIBLE_DEVICES`` already narrows this process to."""
    names = os.environ.get("CUDA_VISIBLE_DEVICES")
    return None if names is None else [name.strip() for name in names.split(",") if name.strip()]


def child_environ(values: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment with ``values`` on top, for a child process."""
    return {**os.environ, **values}
