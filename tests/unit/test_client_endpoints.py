"""How a call's arguments fit an endpoint that is only known by its schema."""

from __future__ import annotations

from typing import Any

import pytest

from bentotask.client._endpoints import EndpointSchema
from bentotask.errors import InvalidInput


def described(**schema: Any) -> EndpointSchema:
    return EndpointSchema.described(
        {"name": "echo", "route": "/echo", "input": schema, "output": {}, "is_task": True}
    )


def test_positions_follow_the_schema() -> None:
    """The order of the properties is the order of the method's parameters."""
    endpoint = described(properties={"z": {}, "a": {}, "m": {}}, required=["z"])
    assert endpoint.bound((1, 2), {"m": 3}) == {"z": 1, "a": 2, "m": 3}
    assert endpoint.bound((1,), {}) == {"z": 1}


def test_open_endpoints_take_any_name() -> None:
    """A method with ``**kwargs`` says so in its schema."""
    endpoint = described(properties={"a": {}}, additionalProperties=True)
    assert endpoint.bound((1,), {"b": 2}) == {"a": 1, "b": 2}


@pytest.mark.parametrize("value", [{"name": "z"}, [1, 2], 3, None])
def test_a_root_input_is_one_value(value: Any) -> None:
    """The one argument is the whole input, whatever it is called on the other side."""
    endpoint = described(root_input=True, type="object")
    assert list(endpoint.bound((value,), {}).values()) == [value]


def test_a_root_input_may_be_given_by_its_fields() -> None:
    """An object may be written as keywords, as BentoML's client allows."""
    endpoint = described(root_input=True, type="object")
    assert list(endpoint.bound((), {"name": "z", "n": 3}).values()) == [{"name": "z", "n": 3}]


@pytest.mark.parametrize(("args", "kwargs"), [((), {}), ((1, 2), {}), ((1,), {"n": 2})])
def test_a_root_input_is_only_one(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """None and several are both refused, with the number that came."""
    with pytest.raises(InvalidInput, match=f"takes one argument and got {len(args) + len(kwargs)}"):
        described(root_input=True).bound(args, kwargs)


def test_what_is_no_endpoint_is_refused() -> None:
    """A schema that lacks what a client needs is no schema."""
    with pytest.raises(KeyError):
        EndpointSchema.described({"name": "echo"})
