"""``key=value`` on a command line, read as the endpoint's schema wants it."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bentotask.cli.arguments import call_arguments
from bentotask.errors import InvalidInput

TEXT = {"type": "string"}
FILE = {"type": "file", "format": "binary"}
BYTES = {"type": "string", "format": "binary"}
COLOUR = {"$ref": "#/$defs/Colour"}
OPTIONAL = {"anyOf": [{"type": "integer"}, {"type": "null"}]}


def read(schema: dict[str, Any], *words: str) -> Any:
    """Return what the words say of one parameter ``x``."""
    described = {"properties": {"x": schema}, "$defs": {"Colour": {"enum": ["red", 3]}}}
    args, kwargs = call_arguments(words, described)
    assert not args
    return kwargs["x"]


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        (TEXT, "3", "3"),
        (TEXT, "null", "null"),
        (TEXT, '"quoted"', '"quoted"'),
        (TEXT, "a=b", "a=b"),
        (TEXT, "", ""),
        (TEXT, "@@home", "@home"),
        ({"type": "integer"}, "3", 3),
        ({"type": "integer"}, "three", "three"),
        ({"type": "number"}, "3", 3),
        ({"type": "number"}, "0.5", 0.5),
        ({"type": "number"}, "NaN", "NaN"),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "1", "1"),
        (OPTIONAL, "null", None),
        (OPTIONAL, "7", 7),
        (COLOUR, "red", "red"),
        (COLOUR, "3", 3),
        ({"type": "object"}, '{"a": 1}', {"a": 1}),
        ({"type": ["string", "null"]}, "null", None),
        ({}, "3", 3),
        ({}, "three", "three"),
        ({"anyOf": [{}, {"type": "null"}]}, "3", 3),
        (FILE, "photo.jpg", "photo.jpg"),
    ],
)
def test_text_is_json_where_that_fits(schema: dict[str, Any], text: str, value: Any) -> None:
    """JSON is read where the schema wants what it says; everything else stays text."""
    found = read(schema, f"x={text}")
    assert found == value
    assert type(found) is type(value)


def test_json_can_be_forced() -> None:
    """``:=`` is JSON whatever the schema wants, and a mistake in it is told."""
    assert read(TEXT, "x:=3") == 3
    with pytest.raises(InvalidInput, match="no JSON"):
        read(TEXT, "x:={a}")


@pytest.mark.parametrize(
    ("words", "value"),
    [
        (("x=a",), ["a"]),
        (("x=a", "x=b"), ["a", "b"]),
        (('x=["a", "b"]',), ["a", "b"]),
        (("x:=[]",), []),
    ],
)
def test_repeated_keys_are_a_list(words: tuple[str, ...], value: list[str]) -> None:
    """A list is JSON, or one word an item."""
    assert read({"type": "array", "items": TEXT}, *words) == value


def test_a_second_value_is_refused() -> None:
    """A key that is repeated by mistake is told, not dropped."""
    with pytest.raises(InvalidInput, match="given twice"):
        read(TEXT, "x=a", "x=b")


@pytest.mark.parametrize("schema", [FILE, BYTES])
def test_a_file_is_sent_as_it_is(tmp_path: Path, schema: dict[str, Any]) -> None:
    """``@path`` where a file or bytes are wanted is that file."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"\x00\xff")
    assert read(schema, f"x=@{path}") == path
    assert read({"type": "array", "items": schema}, f"x=@{path}") == [path]


def test_a_file_s_text_is_a_value(tmp_path: Path) -> None:
    """``@path`` elsewhere is what the file says, read as if it had been typed."""
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    assert read({"type": "object"}, f"x=@{path}") == {"a": 1}
    assert read(TEXT, f"x=@{path}") == '{"a": 1}'


@pytest.mark.parametrize(("name", "told"), [("no.such", "does not exist"), (".", "a directory")])
def test_a_file_that_is_none_is_told(name: str, told: str) -> None:
    """A missing file is told before anything is sent."""
    with pytest.raises(InvalidInput, match=told):
        read(FILE, f"x=@{name}")


def test_a_pipe_is_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    """``@-`` is what comes through the pipe."""
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"piped")))
    assert read(BYTES, "x=@-") == b"piped"


def test_words_without_a_key_are_in_order() -> None:
    """A value alone is the next parameter's, or the whole input where that is one value."""
    described = {"properties": {"a": TEXT, "b": {"type": "integer"}}}
    assert call_arguments(["3", "3", "3"], described) == (["3", 3, 3], {})
    assert call_arguments(["[1]"], {"root_input": True, "type": "array"}) == ([[1]], {})


def test_a_key_that_is_unknown_is_the_client_s_to_refuse() -> None:
    """It is passed on as it stands."""
    assert call_arguments(["y=1"], {"properties": {}}) == ([], {"y": 1})
