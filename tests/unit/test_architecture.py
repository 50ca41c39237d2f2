"""The laws of the house, held against the code's own imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import bentotask

PACKAGE = Path(bentotask.__file__).parent

#: The rooms from the ground up; a room may use those before it. A word may stand for a folder.
FLOORS = (
    ("errors", "record", "config"),
    ("codec", "schema", "dialect", "context"),
    ("endpoint", "declaration", "loader", "invocation"),
    ("store", "queue", "worker"),
    ("dispatch",),
    ("testing", "web"),
    ("assembly",),
    ("process", "embedded", "serve", "cli"),
    ("__main__", "examples"),
)
ORDER = [room for floor in FLOORS for room in floor]
FLOOR = {room: n for n, floor in enumerate(FLOORS) for room in floor}

#: Which rooms may import which library.
ONLY = {
    "celery": {"store", "queue", "worker", "assembly"},
    "kombu": {"store", "queue", "worker", "assembly"},
    "flask": {"web", "assembly"},
    "requests": {"client/_sync"},
    "httpx": {"client/_async"},
    # Celery's command line is click's, and so are the errors that it tells without a traceback.
    "click": {"cli", "worker"},
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Each module's path below the package, without its ending, and its syntax tree."""
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).with_suffix("").as_posix()
        if name != "__init__":
            yield name.removesuffix("/__init__"), ast.parse(path.read_text())


def imports(tree: ast.AST) -> Iterator[str]:
    """The modules that a tree imports, whole."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize(("name", "tree"), list(modules()), ids=lambda v: str(v)[:40])
def test_imports_go_downward(name: str, tree: ast.Module) -> None:
    """A room uses rooms below it or earlier on its own floor; the client stands on floors 0-1."""
    room = name.partition("/")[0]
    for target in imports(tree):
        if not target.startswith("bentotask."):
            continue
        other = target.split(".")[1]
        if room == "client":
            assert other == "client" or FLOOR[other] <= 1, f"{name} imports {target}"
        elif other != room:
            assert other != "client" or room == "cli", f"{name} imports {target}"
            assert other == "client" or ORDER.index(other) < ORDER.index(room), (
                f"{name} imports {target}, which stands above it"
            )


@pytest.mark.parametrize(("name", "tree"), list(modules()), ids=lambda v: str(v)[:40])
def test_libraries_stay_in_their_rooms(name: str, tree: ast.Module) -> None:
    """Each foreign library is known to the rooms that exist for it, and to no other."""
    for target in imports(tree):
        allowed = ONLY.get(target.partition(".")[0])
        if allowed is not None:
            assert name in allowed or name.partition("/")[0] in allowed, f"{name} imports {target}"


@pytest.mark.parametrize(("name", "tree"), list(modules()), ids=lambda v: str(v)[:40])
def test_the_environment_is_read_in_one_place(name: str, tree: ast.Module) -> None:
    """Only config touches os.environ."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "putenv"}:
            assert name == "config", f"{name}:{node.lineno} touches the environment"


@pytest.mark.parametrize(("name", "tree"), list(modules()), ids=lambda v: str(v)[:40])
def test_imports_stand_at_module_level(name: str, tree: ast.Module) -> None:
    """No function hides an import; Pillow, which is an extra, is looked up by name instead."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert not list(imports(node)), f"{name}:{node.lineno} imports inside {node.name}"


def test_every_room_has_a_floor() -> None:
    """A new room is placed on purpose."""
    rooms = {name.partition("/")[0] for name, _ in modules()} - {"client"}
    assert rooms <= set(ORDER), rooms - set(ORDER)


def test_no_file_is_long() -> None:
    """A file that outgrows a reader's memory is two files."""
    long = {p.name: n for p in PACKAGE.rglob("*.py") if (n := len(p.read_text().split("\n"))) > 400}
    assert not long


def test_nothing_is_pickled() -> None:
    """No module of ours imports pickle or what pickles for others."""
    for name, tree in modules():
        assert not {"pickle", "cloudpickle", "dill", "shelve"} & set(imports(tree)), name


def test_no_room_bears_a_public_name() -> None:
    """A module named like a public name would replace it on the package once it is imported."""
    rooms = {name.partition("/")[0] for name, _ in modules()}
    assert not rooms & set(bentotask.__all__)
