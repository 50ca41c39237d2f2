"""What a client knows of the server's endpoints, and how a call's arguments fit one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from bentotask.codec.problems import did_you_mean, problem
from bentotask.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class EndpointSchema:
    """One ``@api`` or ``@task`` method as ``/schema.json`` describes it."""

    name: str
    #: the path of a direct call, with a leading slash
    route: str
    input: Mapping[str, Any]
    output: Mapping[str, Any]
    is_task: bool

    @classmethod
    def described(cls, route: Mapping[str, Any]) -> Self:
        """Read one of the ``routes`` of ``/schema.json``.

        Raises:
            KeyError: it does not describe an endpoint.
        """
        return cls(
            name=route["name"],
            route=route["route"],
            input=route["input"],
            output=route["output"],
            is_task=bool(route.get("is_task")),
        )

    def bound(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Give every argument its name, as the method's own signature would.

        Raises:
            InvalidInput: one is missing, given twice, or unknown.
        """
        if self.input.get("root_input"):
            return self._root(args, kwargs)
        arguments = self._positional(args)
        for name, value in kwargs.items():
            self._admit(name, arguments)
            arguments[name] = value
        self._require(arguments)
        return arguments

    def _positional(self, args: tuple[Any, ...]) -> dict[str, Any]:
        # The schema lists the properties in the order of the method's signature.
        names = list(self.input.get("properties", {}))
        if len(args) > len(names):
            raise self._misfit(
                "arguments", "", f"takes {len(names)} arguments and got {len(args)} by position"
            )
        return dict(zip(names, args, strict=False))

    def _admit(self, name: str, arguments: Mapping[str, Any]) -> None:
        known = self.input.get("properties", {})
        if name in arguments:
            raise self._misfit("arguments", name, f"got {name!r} by position and by name")
        if name not in known and not self.input.get("additionalProperties"):
            hint = did_you_mean(name, known)
            raise self._misfit("extra_forbidden", name, f"has no argument {name!r}{hint}")

    def _root(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Bind the one argument that is the whole body; its name is not known on this side."""
        if len(args) == 1 and not kwargs:
            return {"root": args[0]}
        if kwargs and not args:
            # The fields of the object that it must be, given one by one.
            return {"root": dict(kwargs)}
        raise self._misfit("missing", "", f"takes one argument and got {len(args) + len(kwargs)}")

    def _require(self, arguments: Mapping[str, Any]) -> None:
        for name in self.input.get("required", ()):
            if name not in arguments:
                raise self._misfit("missing", name, f"needs the argument {name!r}")

    def _misfit(self, kind: str, name: str, what: str) -> InvalidInput:
        """Tell what does not fit, with the detail that the server's own check would give."""
        message = f"{self.name}() {what}"
        return InvalidInput(message, detail=[problem(kind, [name] if name else [], message)])
