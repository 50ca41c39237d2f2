"""What ``serve`` needs to know of a service, without importing it into its own process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Self

from bentotask.errors import BentotaskError
from bentotask.loader import load_service
from bentotask.serve.children import python


class ServiceRefused(BentotaskError):
    """The service cannot be imported or served; the process that tried has told why."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """A service as another process saw it, which ended after telling.

    So the libraries that the service imports fill no memory in ``serve``.
    """

    name: str
    #: where the broker and the results are, as the service itself sees it
    broker_url: str | None
    result_backend: str | None
    #: where these were read
    sources: Mapping[str, str]
    #: seconds that a direct call may take
    call_timeout: float
    #: the directory of its Python files
    project: str

    @classmethod
    def of(cls, target: str) -> Self:
        """Import ``target`` into this process.

        Raises:
            ConfigurationError: it is no service, or its settings cannot be used.
        """
        service = load_service(target)
        settings = service.settings
        return cls(
            name=service.spec.name,
            broker_url=settings.broker_url and settings.require_broker(),
            result_backend=settings.result_backend and settings.require_result_backend(),
            sources=dict(settings.sources),
            call_timeout=service.spec.traffic.timeout,
            project=str(_project(sys.modules[service.__module__.partition(".")[0]])),
        )

    @classmethod
    def told_by(cls, target: str) -> Self:
        """Import ``target`` into another process.

        Raises:
            ServiceRefused: it cannot be served.
        """
        command = [*python(), "bentotask", "facts", target]
        told = subprocess.run(command, stdout=subprocess.PIPE, check=False)  # noqa: S603 - our own words
        if told.returncode:
            raise ServiceRefused
        # Whatever the user's own module prints comes before.
        return cls(**json.loads(told.stdout.splitlines()[-1]))

    def told(self) -> str:
        """Return the line that :meth:`told_by` reads."""
        return json.dumps(asdict(self))


def _project(top: ModuleType) -> Path:
    """Return the working directory if the module is in it, else where its top package is."""
    file = Path(top.__file__ or ".").resolve()
    here = Path.cwd()
    return here if file.is_relative_to(here) else file.parent
