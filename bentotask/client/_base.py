"""What both clients share: how an endpoint is found and spoken to, and what a handle is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Concatenate, Final, Generic, ParamSpec, Self, TypeVar

from bentotask.client._endpoints import EndpointSchema
from bentotask.client._link import BaseLink
from bentotask.dialect import Flow

T = TypeVar("T")
P = ParamSpec("P")
LinkT = TypeVar("LinkT", bound=BaseLink)


class BaseClient(Generic[LinkT]):
    """A namespace of endpoints: nearly every public name belongs to the service."""

    def __init__(self, link: LinkT) -> None:
        self._link = link

    def __repr__(self) -> str:
        schema = self._link.schema
        known = "" if schema is None else f" with {', '.join(schema)}"
        return f"<{type(self).__name__} {self._link.shown}{known}>"

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *(self._link.schema or ())]


class BaseEndpoint(Generic[LinkT]):
    """One endpoint of the service, by name; what it is, the server tells at its first use."""

    def __init__(self, link: LinkT, name: str, *, typed: bool = True) -> None:
        self._link = link
        self._name = name
        self._typed = typed

    def __repr__(self) -> str:
        schema = (self._link.schema or {}).get(self._name)
        if schema is None:
            return f"<endpoint {self._name} at {self._link.shown}>"
        arguments = ", ".join(schema.input.get("properties", ()))
        kind = "task" if schema.is_task else "api"
        return f"<{kind} {self._name}({arguments}) at {self._link.shown}>"

    def untyped(self) -> Self:
        """Return the same endpoint with results as they came, whatever type the server tells."""
        return type(self)(self._link, self._name, typed=False)

    def _found(self) -> Flow[EndpointSchema]:
        schema = yield from self._link.found(self._name)
        return schema if self._typed else replace(schema, output={})

    def _any(
        self,
        verb: Callable[Concatenate[EndpointSchema, P], Flow[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Flow[T]:
        """Speak ``verb`` to the endpoint."""
        schema = yield from self._found()
        return (yield from verb(schema, *args, **kwargs))

    def _task(
        self,
        verb: Callable[Concatenate[EndpointSchema, P], Flow[T]],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Flow[T]:
        """Speak ``verb``, which only tasks know.

        Raises:
            AttributeError: the endpoint is no task.
        """
        schema = yield from self._found()
        if not schema.is_task:
            raise AttributeError(
                f"{self._name} is an @api endpoint, which answers at once: call "
                f"{self._name}(...); only @task endpoints have {verb.__name__}()"
            )
        return (yield from verb(schema, *args, **kwargs))


class BaseHandle:
    """One submitted task: its id, and who to ask about it. Equal to every handle of the same id."""

    def __init__(self, endpoint: BaseEndpoint[Any], task_id: str) -> None:
        self._endpoint = endpoint
        #: the id to keep, for whoever wants the result later
        self.id: Final = task_id

    def __str__(self) -> str:
        return self.id

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of {self._endpoint!r}>"

    def __eq__(self, other: object) -> bool:
        return self.id == other.id if isinstance(other, BaseHandle) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.id)
