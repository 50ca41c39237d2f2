"""``@api`` and ``@task``: one method of a service, and what it promises.

The decorators give a thin object that is still callable. Mistakes are told at once, naming the
class, the method and what to write instead.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, ParamSpec, Protocol, TypeVar, overload

from bentotask.context import Context
from bentotask.errors import DeclarationError, NotInTaskError
from bentotask.schema import InputSchema, OutputSchema

P = ParamSpec("P")
R = TypeVar("R")
E = TypeVar("E")

#: Lowest and highest priority of a task; higher runs first.
PRIORITIES: Final = range(10)

_ROUTE = re.compile(r"/[A-Za-z0-9_.~/-]*")

#: What a service answers, or will, by itself; an endpoint may not take these routes.
RESERVED_ROUTES: Final = frozenset(
    {"/", "/livez", "/readyz", "/healthz", "/metrics", "/schema.json", "/docs.json"}
)
#: The verbs beneath a task's route.
VERBS: Final = ("submit", "status", "get", "cancel", "retry")


@dataclass(frozen=True, kw_only=True)
class ApiOptions:
    """The options of ``@api``."""

    #: the HTTP path; ``/`` and the method's name by default
    route: str | None = None
    #: the endpoint's name for clients; the method's name by default
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class TaskOptions(ApiOptions):
    """The options of ``@task``."""

    #: automatic retries after an attempt that failed, with exponential backoff and jitter
    retry: int = 0
    #: seconds after which a running attempt is stopped; ``None`` lets it run
    timeout: float | None = None
    #: the queue's name; the service's own queue by default
    queue: str | None = None
    #: 0 to 9; higher overtakes lower among the tasks that wait
    priority: int = 0
    #: seconds that the outcome is kept after completion; the service's by default
    retention: float | None = None


class Handle(Protocol):
    """What submitting inside of a service gives: the task's id and its verbs."""

    @property
    def id(self) -> str:
        """The task's id."""


class Submitter(Protocol):
    """Puts a call of one of the service's own tasks on the queue."""

    def __call__(self, method: str, args: tuple[Any, ...], kwargs: Mapping[str, Any], /) -> Handle:
        """Submit and return the task's handle."""


#: Where an instance keeps its submitter; set before ``__init__``, so that even that may submit.
SUBMITTER: Final = "__bentotask_submitter__"


class Method(Generic[P, R]):
    """A decorated method: callable like the function, and bound to its instance on access."""

    def __init__(self, function: Callable[P, R], options: ApiOptions) -> None:
        self.function = function
        self.options = options
        functools.update_wrapper(self, function)

    @property
    def is_task(self) -> bool:
        """Whether it is queued (``@task``) or answered at once (``@api``)."""
        return isinstance(self.options, TaskOptions)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function itself, ``self`` first."""
        return self.function(*args, **kwargs)

    def __get__(self, instance: object | None, owner: type | None = None) -> Any:
        return self if instance is None else BoundMethod(self, instance)

    def __repr__(self) -> str:
        return f"<{'task' if self.is_task else 'api'} {self.function.__qualname__}>"


class BoundMethod:
    """A method of one instance: call it to run it here, ``.submit()`` to put it on the queue."""

    def __init__(self, method: Method[..., Any], instance: object) -> None:
        self._method = method
        self._instance = instance
        functools.update_wrapper(self, method.function)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the method here and now."""
        return self._method.function(self._instance, *args, **kwargs)

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Queue this call as a task of its own and return its handle.

        Raises:
            AttributeError: the method is no task.
            NotInTaskError: the instance belongs to no service that could queue it.
            InvalidInput: the arguments do not fit.
        """
        name = self._method.function.__qualname__
        if not self._method.is_task:
            raise AttributeError(
                f"{name} is an @api, which runs at once: call it, or make it @task"
            )
        submitter: Submitter | None = getattr(self._instance, SUBMITTER, None)
        if submitter is None:
            raise NotInTaskError(
                f"{name}.submit() needs an instance that its @service made: decorate the class "
                "with @service and call the decorated class"
            )
        return submitter(self._method.function.__name__, args, kwargs)

    def __repr__(self) -> str:
        return f"<bound {self._method!r}>"


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One ``@api`` or ``@task`` method of a service, resolved: nothing is optional any more."""

    service: str
    name: str
    #: the method's name on the class
    method: str
    function: Callable[..., Any] = field(repr=False)
    route: str
    is_task: bool
    options: TaskOptions
    input: InputSchema = field(repr=False)
    output: OutputSchema = field(repr=False)
    retention: float
    queue: str

    @property
    def full_name(self) -> str:
        """``Service.name``: the Celery task's name, and the endpoint of a record."""
        return f"{self.service}.{self.name}"

    @property
    def doc(self) -> str:
        """The method's docstring, dedented; empty when it has none."""
        return inspect.getdoc(self.function) or ""


@overload
def api(function: Callable[P, R], /) -> Method[P, R]: ...
@overload
def api(**options: Any) -> Callable[[Callable[P, R]], Method[P, R]]: ...
def api(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a method an endpoint that is answered at once, in the web process.

    Args:
        function: the method, when the decorator stands bare.
        options: see :class:`ApiOptions`.

    Raises:
        DeclarationError: the method or an option cannot be.
    """
    return _decorator("api", ApiOptions, function, options)


@overload
def task(function: Callable[P, R], /) -> Method[P, R]: ...
@overload
def task(**options: Any) -> Callable[[Callable[P, R]], Method[P, R]]: ...
def task(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a method a task endpoint: submitted, queued, run by a worker, asked for later.

    Args:
        function: the method, when the decorator stands bare.
        options: see :class:`TaskOptions`.

    Raises:
        DeclarationError: the method or an option cannot be.
    """
    return _decorator("task", TaskOptions, function, options)


def _decorator(
    word: str,
    options_type: type[ApiOptions],
    function: Callable[..., Any] | None,
    options: dict[str, Any],
) -> Any:
    def decorate(method: Callable[..., Any]) -> Method[..., Any]:
        name = _checked_function(word, method)
        return Method(method, checked_options(f"@{word} {name}", options_type, options))

    return decorate if function is None else decorate(function)


def _checked_function(word: str, function: Any) -> str:
    if isinstance(function, Method):
        raise DeclarationError(f"{function!r} is decorated twice: keep one of @api and @task")
    if isinstance(function, staticmethod | classmethod):
        raise DeclarationError(f"@{word} on {function!r}: an endpoint is a method that takes self")
    if not inspect.isfunction(function):
        raise DeclarationError(f"@{word} decorates a method of a @service class, not {function!r}")
    name = function.__qualname__
    if function.__name__.startswith("__"):
        raise DeclarationError(
            f"@{word} {name}: a name that begins with __ is Python's own and cannot be a route; "
            f"call it {function.__name__.strip('_') or 'run'}"
        )
    if word == "task" and (
        inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    ):
        raise DeclarationError(
            f"@task {name} is a generator, but a task has one result, stored when it ends: return "
            "the whole (a list, say) and report steps with bentotask.progress()"
        )
    if not inspect.signature(function).parameters:
        raise DeclarationError(
            f"@{word} {name} takes no self: write def {function.__name__}(self, ...)"
        )
    return name


def checked_options(
    where: str,
    options_type: type[E],
    options: Mapping[str, Any],
    check: Collection[str] | None = None,
) -> E:
    """Return the options as an ``options_type``, the values of those in ``check`` (all) checked.

    Raises:
        DeclarationError: an option is unknown or has a value that cannot be.
    """
    known = set(inspect.signature(options_type).parameters)
    for name in options:
        if name not in known:
            raise DeclarationError(f"{where}: unknown option {name}=; {_nearest(name, known)}")
    checked = options_type(**options)
    for name, value in options.items():
        if check is not None and name not in check:
            continue
        if problem := _problem(name, value):
            raise DeclarationError(f"{where}: {name}={value!r}: {problem}")
    return checked


def _nearest(name: str, known: set[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {near[0]}=?"
    return "write one of " + ", ".join(sorted(known))


def _problem(name: str, value: Any) -> str | None:
    """Say what is wrong with an option's value, or nothing."""
    if value is None:
        return None
    number = isinstance(value, int | float) and not isinstance(value, bool)
    whole = number and isinstance(value, int)
    checks: dict[str, tuple[bool, str]] = {
        "retry": (whole and value >= 0, "write how often to retry, 0 or more"),
        "timeout": (number and value > 0, "write seconds, more than 0"),
        "retention": (number and value > 0, "write seconds, more than 0"),
        "priority": (whole and value in PRIORITIES, "write a whole number from 0 to 9, 9 first"),
        "queue": (isinstance(value, str) and value != "", "write the queue's name"),
        "name": (isinstance(value, str) and value.isidentifier(), "write an identifier"),
        "route": (
            isinstance(value, str)
            and _ROUTE.fullmatch(value) is not None
            and value.rstrip("/") not in RESERVED_ROUTES
            and value != "/",
            "write a path such as /v1/generate, not one that the service answers itself ("
            + ", ".join(sorted(RESERVED_ROUTES))
            + ")",
        ),
    }
    fine, advice = checks[name]
    return None if fine else advice


def resolved(  # noqa: PLR0913 - one keyword a fact that the service knows
    method: Method[..., Any],
    *,
    service: str,
    attribute: str,
    queue: str,
    retention: float,
    namespace: Mapping[str, Any],
) -> Endpoint:
    """Return the endpoint that ``method`` is on the class of ``service``.

    Raises:
        DeclarationError: the signature cannot be served.
    """
    options = method.options
    if not isinstance(options, TaskOptions):
        options = TaskOptions(route=options.route, name=options.name)
    name = options.name or attribute
    full_name = f"{service}.{attribute}"
    route = (options.route or f"/{name}").rstrip("/")
    if route in RESERVED_ROUTES:
        raise DeclarationError(
            f"{full_name}: {route} is a route that the service answers itself; give it another "
            "route= or name="
        )
    return Endpoint(
        service=service,
        name=name,
        method=attribute,
        function=method.function,
        route=route,
        is_task=method.is_task,
        options=options,
        input=InputSchema.from_function(
            method.function, name=full_name, context_type=Context, namespace=namespace
        ),
        output=OutputSchema.from_function(method.function, name=full_name, namespace=namespace),
        retention=options.retention or retention,
        queue=options.queue or queue,
    )
