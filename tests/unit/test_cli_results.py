"""A result on a terminal, in a pipe and in a file."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bentotask.cli.results import Result, deliver
from bentotask.cli.watching import show_progress
from bentotask.errors import BentotaskError
from bentotask.record import Progress


@pytest.mark.parametrize(
    ("value", "shown"),
    [("text", b"text\n"), ({"a": "ü"}, '{\n  "a": "ü"\n}\n'.encode()), (b"\xff\x00", b"\xff\x00")],
)
def test_a_pipe_gets_the_result(
    value: object, shown: bytes, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Text and JSON with a line's end, bytes exactly."""
    deliver(Result.of(value), None)
    assert capfdbinary.readouterr().out == shown


def test_a_terminal_gets_no_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes are not thrown at a terminal; the error says what to do."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with pytest.raises(BentotaskError, match="-o FILE"):
        deliver(Result(b"\xff", is_text=False), None)


def test_a_file_is_written_whole(tmp_path: Path) -> None:
    """The file has the bytes, and nothing else is left beside it."""
    deliver(Result(b"\xff", is_text=False), tmp_path / "a.bin")
    assert [p.name for p in tmp_path.iterdir()] == ["a.bin"]
    assert (tmp_path / "a.bin").read_bytes() == b"\xff"


def test_a_directory_takes_a_named_file(tmp_path: Path) -> None:
    """A file goes there under its own name; what has none is refused."""
    deliver(Result(b"\xff", is_text=False, filename="b.bin"), tmp_path)
    assert (tmp_path / "b.bin").read_bytes() == b"\xff"
    with pytest.raises(BentotaskError, match="no name"):
        deliver(Result(b"{}", is_text=True), tmp_path)


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """The error names the path and the reason, and nothing is left."""
    with pytest.raises(BentotaskError, match=r"cannot write .*No such file"):
        deliver(Result(b"", is_text=False), tmp_path / "none" / "a")


def test_the_client_s_temporary_file_is_gone(tmp_path: Path) -> None:
    """A file that the client wrote for us is taken over, and its directory removed."""
    given = tmp_path / "fresh" / "a.bin"
    given.parent.mkdir()
    given.write_bytes(b"x")
    assert Result.of(given) == Result(b"x", is_text=False, filename="a.bin")
    assert not given.parent.exists()


STEPS = [Progress(current=1), Progress(current=2, total=4, message="half")]


def test_progress_is_lines_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a terminal each step is a line on stderr."""
    show_progress(STEPS)
    said = capsys.readouterr()
    assert said.err == "1\n2/4 half\n"
    assert not said.out


def test_progress_is_a_bar_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a terminal a bar begins with the first step that knows its total."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    show_progress(STEPS)
    said = capsys.readouterr().err
    assert "50%" in said
    assert "half" in said
