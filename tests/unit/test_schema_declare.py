"""Signatures are read when a class is declared, and mistakes are told then."""

# Only the signatures of these classes matter.
# mypy: disable-error-code="empty-body, type-arg"
from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import PIL.Image
import pytest
from PIL.Image import Image
from pydantic import BaseModel, Field

from bentotask.errors import DeclarationError
from tests.unit.codec_samples import Context, Item, Svc, input_of, output_of

if TYPE_CHECKING:
    from decimal import Decimal

    import somewhere  # type: ignore[import-not-found]

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "peer-schema.json").read_text())
ROUTES = {route["name"]: route for route in RECORDED["routes"]}
SUPPORTED = sorted(set(ROUTES) - {"arr", "df"})


class Node(BaseModel):
    name: str
    children: list[Node] = []


class Unknown:
    """A type that nothing can read."""


class Bad:
    def hidden(self, x: Decimal) -> None: ...
    def missing(self, x: nowhere.Thing) -> None: ...  # type: ignore[name-defined] # noqa: F821
    def module(self, x: PIL.Image) -> None: ...  # type: ignore[valid-type]
    def unknown(self, a: int, x: Unknown) -> None: ...
    def nested(self, x: dict[str, list[Unknown]]) -> None: ...
    def returns(self) -> Unknown: ...
    def hidden_result(self) -> Decimal: ...
    def two_positional(self, a: int, x: int, /) -> None: ...
    def mixed(self, x: int, /, a: int) -> None: ...
    def early_context(self, ctx: Context, *x: int) -> None: ...
    def positional_context(self, ctx: Context, /) -> None: ...
    def two_contexts(self, ctx: Context, context: Context) -> None: ...


class Good:
    def contexts(self, a: int, *, running: Context | None = None) -> None: ...
    def bare_ctx(self, a, ctx) -> None: ...  # type: ignore[no-untyped-def] # noqa: ANN001
    def unseen(self, a: int, ctx: somewhere.Context) -> None: ...
    def named(self, ctx: str) -> None: ...
    def root(self, it: Item, /, ctx: Context) -> None: ...
    def optional(
        self,
        image: Image | None = None,
        files: Optional[list[Path]] = None,  # noqa: UP045 - both spellings work
        item: Annotated[Item, Field(description="d")] = Item(name="x"),  # noqa: B008
    ) -> tuple[Image | None, dict[str, Path]]: ...
    def tree(self, node: Node) -> Node: ...


@pytest.mark.parametrize("name", SUPPORTED)
def test_peer_schema(name: str) -> None:
    """Input and output are described exactly as the peer describes the same class."""
    function = getattr(Svc, name)
    assert input_of(function).json_schema() == ROUTES[name]["input"]
    assert output_of(function).json_schema() == ROUTES[name]["output"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("hidden", ["'x'", "Decimal", "import", "TYPE_CHECKING"]),
        ("missing", ["'x'", "nowhere"]),
        ("module", ["'x'", "module PIL.Image", "PIL.Image.Image"]),
        ("unknown", ["'x'", "Unknown", "pydantic model"]),
        ("nested", ["'x'", "Unknown"]),
        ("two_positional", ["positional-only", "'/'"]),
        ("mixed", ["positional-only", "'/'"]),
        ("early_context", ["context"]),
        ("positional_context", ["context", "'/'"]),
        ("two_contexts", ["context"]),
    ],
)
def test_mistakes(name: str, says: list[str]) -> None:
    """A signature that cannot be served names the method, the parameter and the cure."""
    with pytest.raises(DeclarationError) as caught:
        input_of(getattr(Bad, name))
    assert all(word in str(caught.value) for word in [f"Svc.{name}", *says])


@pytest.mark.parametrize(("name", "says"), [("returns", "Unknown"), ("hidden_result", "Decimal")])
def test_mistakes_in_results(name: str, says: str) -> None:
    """The same holds for what a method returns."""
    with pytest.raises(DeclarationError, match=f"Svc.{name}: .*{says}"):
        output_of(getattr(Bad, name))


def test_local_names() -> None:
    """Names of the function around a class resolve when they are handed over."""

    class Local(BaseModel):
        x: int

    def method(self: object, x: Local) -> Local: ...

    with pytest.raises(DeclarationError):
        input_of(method)
    assert input_of(method, namespace=locals()).parameter_names == ("x",)
    assert output_of(method, namespace=locals()).json_schema()["title"] == "LocalIODescriptor"


@pytest.mark.parametrize(
    ("name", "context", "parameters"),
    [
        ("contexts", "running", ("a",)),
        ("bare_ctx", "ctx", ("a",)),
        ("unseen", "ctx", ("a",)),
        ("named", None, ("ctx",)),
        ("root", "ctx", ("it",)),
    ],
)
def test_context(name: str, context: str | None, parameters: tuple[str, ...]) -> None:
    """The context is known by its type, or by its name where nothing else is said."""
    schema = input_of(getattr(Good, name))
    assert (schema.context_parameter, schema.parameter_names) == (context, parameters)
    assert schema.root is (name == "root")


def test_optional_files() -> None:
    """Optional files and lists of files are shown where the peer's clients look."""
    shown = input_of(Good.optional).json_schema()["properties"]
    assert shown["image"]["type"] == "file"
    assert shown["image"]["default"] is None
    assert shown["files"]["items"] == {"type": "file", "format": "binary"}
    assert shown["item"]["default"] == {"name": "x", "n": 3}


def test_recursive_models() -> None:
    """A model that holds itself keeps its definition instead of unfolding for ever."""
    schema = input_of(Good.tree).json_schema()
    assert "$defs" in schema
    assert output_of(Good.tree).json_schema()


def test_schemas_are_copies() -> None:
    """Whoever gets a schema may change it."""
    schema = input_of(Svc.echo)
    schema.json_schema()["properties"].clear()
    assert schema.json_schema() == ROUTES["echo"]["input"]


def test_pillow_is_not_imported() -> None:
    """Neither the import nor a service without images loads Pillow."""
    code = (
        "import sys, bentotask.schema, bentotask.codec\n"
        "def f(self, a: int) -> bytes: ...\n"
        "s = bentotask.schema.InputSchema.from_function(f, name='S.f')\n"
        "s.validate(s.bind((1,), {}))\n"
        "bentotask.schema.OutputSchema.from_function(f, name='S.f').encode(b'')\n"
        "assert not any(m.partition('.')[0] in {'PIL', 'numpy', 'pandas'} for m in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
