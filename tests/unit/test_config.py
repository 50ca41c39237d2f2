"""Settings from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from bentotask.config import Settings, mask_url, parse_size
from bentotask.errors import ConfigurationError


@pytest.mark.parametrize(
    ("text", "size"),
    [("512", 512), ("1Ki", 1024), ("4Gi", 4 * 1024**3), ("2GB", 2 * 10**9), ("1.5M", 1_500_000)],
)
def test_sizes_are_kubernetes_own(text: str, size: int) -> None:
    """Ki is 1024, K is 1000."""
    assert parse_size(text) == size


def test_a_size_that_is_none_says_how_to_write_one() -> None:
    """The message shows the form."""
    with pytest.raises(ValueError, match="write for example 512Mi"):
        parse_size("lots")


def test_our_variables_win_over_celerys_and_the_platforms() -> None:
    """The order is documented, and the log says which one it was."""
    settings = Settings.from_environ(
        {
            "BENTOTASK_BROKER_URL": "amqp://u:secret@ours/v",
            "CELERY_BROKER_URL": "amqp://celery/",
            "CLOUDAMQP_URL": "amqp://cloud/",
            "REDIS_URL": "redis://r/0",
        }
    )
    assert settings.broker_url == "amqp://u:secret@ours/v"
    assert settings.result_backend == "redis://r/0"
    assert settings.told() == [
        "broker_url: amqp://u:***@ours/v (from BENTOTASK_BROKER_URL)",
        "result_backend: redis://r/0 (from REDIS_URL)",
    ]


def test_a_redis_broker_keeps_the_results_too() -> None:
    """One server is enough where it can do both."""
    settings = Settings.from_environ({"BENTOTASK_BROKER_URL": "redis://r/0"})
    assert settings.result_backend == "redis://r/0"


def test_no_broker_names_the_variable_and_the_way_without() -> None:
    """The next step is in the message."""
    with pytest.raises(ConfigurationError, match=r"BENTOTASK_BROKER_URL.*bentotask serve"):
        Settings.from_environ({}).require_broker()


def test_rpc_results_are_refused_with_the_reason() -> None:
    """Another process would see every task as pending for ever."""
    settings = Settings.from_environ({"CELERY_RESULT_BACKEND": "rpc://"})
    with pytest.raises(ConfigurationError, match="pending for ever"):
        settings.require_result_backend()


@pytest.mark.parametrize(
    "url",
    ["memory://", "cache+memory://", "disabled://", "db+sqlite://", "db+sqlite:///:memory:"],
)
def test_results_of_one_process_are_refused(url: str) -> None:
    """No web process would ever see what a worker did."""
    settings = Settings.from_environ({"BENTOTASK_RESULT_BACKEND": url})
    with pytest.raises(ConfigurationError, match="one of its own"):
        settings.require_result_backend()


@pytest.mark.parametrize("url", ["db+sqlite:////var/t.db", "db+sqlite:///t.db", "file:///t"])
def test_results_that_processes_share_are_taken(url: str) -> None:
    """A path makes the difference."""
    settings = Settings.from_environ({"BENTOTASK_RESULT_BACKEND": url})
    assert settings.require_result_backend() == url


@pytest.mark.parametrize("url", ["amqp//guest@host", "localhost", "redis://host:port/0"])
def test_a_url_with_a_typo_is_told_with_its_source(url: str) -> None:
    """A typo must not surface as a time-out."""
    settings = Settings.from_environ({"BENTOTASK_BROKER_URL": url})
    with pytest.raises(ConfigurationError, match="BENTOTASK_BROKER_URL"):
        settings.require_broker()


@pytest.mark.parametrize(
    ("name", "value"), [("BENTOTASK_MAX_BODY", "big"), ("BENTOTASK_QUEUE_TYPE", "stream")]
)
def test_a_bad_value_names_its_variable(name: str, value: str) -> None:
    """Whoever set it finds it."""
    with pytest.raises(ConfigurationError, match=name):
        Settings.from_environ({name: value})


def test_a_child_reads_the_same_settings() -> None:
    """What serve passes to its children through the environment is what it had."""
    settings = Settings.from_environ({"BENTOTASK_BROKER_URL": "redis://r/0"}).override(
        "the command line", data_dir=Path("/data"), max_body=10
    )
    child = Settings.from_environ(settings.as_environ())
    assert (child.broker_url, child.data_dir, child.max_body) == ("redis://r/0", Path("/data"), 10)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("amqp://user:p@ss@h/v", "amqp://user:***@h/v"),
        ("amqp://user:pa/ss@h/v", "amqp://user:***@h/v"),
        ("redis://:pw@h/0", "redis://:***@h/0"),
        ("redis://h/0", "redis://h/0"),
    ],
)
def test_passwords_are_masked(url: str, shown: str) -> None:
    """No log and no error shows one."""
    assert mask_url(url) == shown
