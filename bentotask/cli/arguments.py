"""``key=value`` words become the arguments of a call, as the endpoint's schema wants them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bentotask.codec.registry import family_described
from bentotask.errors import InvalidInput

_NAMED: Final = re.compile(r"([A-Za-z_][\w.-]*)(:?=)(.*)", re.DOTALL)
#: What JSON Schema calls the types that a JSON value may be.
_NAMES: Final[Mapping[type, frozenset[str]]] = {
    bool: frozenset({"boolean"}),
    int: frozenset({"integer", "number"}),
    float: frozenset({"number"}),
    str: frozenset({"string"}),
    type(None): frozenset({"null"}),
    list: frozenset({"array"}),
    dict: frozenset({"object"}),
}
_ANYTHING: Final = frozenset().union(*_NAMES.values())


@dataclass(frozen=True)
class _Word:
    """One word of the command line, taken apart."""

    #: as it was typed
    typed: str
    text: str
    is_json: bool = False


def call_arguments(
    words: Iterable[str], schema: Mapping[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return the positional and the named arguments that ``words`` are.

    Args:
        words: ``key=value``, ``key=@file``, ``key:=json``, or a value without a key.
        schema: the endpoint's input.

    Raises:
        InvalidInput: a word cannot be read; tells how to write it.
    """
    values: list[_Word] = []
    named: dict[str, list[_Word]] = {}
    for typed in words:
        if match := _NAMED.fullmatch(typed):
            key, sign, text = match.groups()
            named.setdefault(key, []).append(_Word(typed, text, sign == ":="))
        else:
            values.append(_Word(typed, typed))
    inputs = _inputs(schema)
    args = [wanted.read([word]) for word, wanted in zip(values, _in_order(inputs), strict=False)]
    return args, {key: inputs.get(key, _Wanted()).read(given) for key, given in named.items()}


def _inputs(schema: Mapping[str, Any]) -> dict[str, _Wanted]:
    definitions = schema.get("$defs", {})
    if schema.get("root_input"):
        return {"": _Wanted(schema, definitions)}
    properties = schema.get("properties", {})
    return {name: _Wanted(inner, definitions) for name, inner in properties.items()}


def _in_order(inputs: Mapping[str, _Wanted]) -> Iterator[_Wanted]:
    """Give what each argument by position must be; for one too many, the client has the words."""
    yield from inputs.values()
    while True:
        yield _Wanted()


@dataclass(frozen=True)
class _Wanted:
    """What a schema wants of one argument."""

    schema: Mapping[str, Any] = field(default_factory=dict)
    definitions: Mapping[str, Any] = field(default_factory=dict)

    def read(self, words: list[_Word]) -> Any:
        """Return the value of the words that name this argument; several make a list."""
        types = self._types - {"null"}
        if types == {"array"}:
            return self._list(words)
        if len(words) > 1 and "array" not in types:
            raise _unreadable(words[-1], "it is given twice, but takes one value")
        values = [self._one(word) for word in words]
        return values if len(values) > 1 else values[0]

    @property
    def _types(self) -> frozenset[str]:
        return _types(self.schema, self.definitions)

    def _list(self, words: list[_Word]) -> Any:
        if len(words) == 1 and not words[0].text.startswith("@"):
            whole = self._one(words[0])
            if whole is None or isinstance(whole, list):
                return whole
        items = _Wanted(self.schema.get("items") or {}, self.definitions)
        return [items.read([word]) for word in words]

    def _one(self, word: _Word) -> Any:
        if word.is_json:
            return _json(word)
        if word.text.startswith("@") and not word.text.startswith("@@"):
            return self._file(word, word.text[1:])
        return self._plain(word.text.replace("@@", "@", 1) if word.text[:1] == "@" else word.text)

    def _plain(self, text: str) -> Any:
        """Return JSON where the schema wants what it says, the text itself otherwise."""
        types = self._types
        if types == {"string"}:
            return text
        try:
            value = json.loads(text, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return text
        return value if types & _NAMES[type(value)] else text

    def _file(self, word: _Word, name: str) -> Any:
        """Return a file as itself where one is wanted, as the value that is in it elsewhere."""
        path = Path(name)
        if name != "-" and not path.is_file():
            what = "is a directory" if path.is_dir() else "does not exist"
            raise _unreadable(word, f"the file {name} {what} (a text that begins with @ has two)")
        if family_described(self.schema) is not None:
            return sys.stdin.buffer.read() if name == "-" else path
        data = sys.stdin.buffer.read() if name == "-" else path.read_bytes()
        try:
            return self._plain(data.decode())
        except UnicodeDecodeError:
            raise _unreadable(word, "a text is wanted, and the file is none") from None


def _json(word: _Word) -> Any:
    try:
        return json.loads(word.text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise _unreadable(word, f"what follows := is no JSON: {error}") from None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _unreadable(word: _Word, reason: str) -> InvalidInput:
    return InvalidInput(f"{word.typed}: {reason}")


def _types(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> frozenset[str]:
    """Return the types that a schema admits; one that says nothing admits all."""
    named = schema.get("type", ())
    found = {named} if isinstance(named, str) else set(named)
    if not found:
        found |= {n for value in _constants(schema) for n in _NAMES[type(value)]}
    for arm in _arms(schema, definitions):
        found |= _types(arm, definitions)
    return frozenset(found or _ANYTHING)


def _constants(schema: Mapping[str, Any]) -> Iterable[Any]:
    values: Iterable[Any] = schema.get("enum", [schema["const"]] if "const" in schema else ())
    return values


def _arms(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for key in ("anyOf", "oneOf", "allOf"):
        yield from schema.get(key, ())
    if "$ref" in schema:
        yield definitions.get(str(schema["$ref"]).rpartition("/")[2], {})
