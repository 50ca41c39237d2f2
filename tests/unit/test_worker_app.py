"""The Celery application of a service: its settings, and what must not win over them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import bentotask
from bentotask.store.backend import ResultBackend
from bentotask.store.holding import HOLD
from bentotask.worker.guard import GRACE

OURS = {
    "BENTOTASK_BROKER_URL": "amqp://ours//",
    "BENTOTASK_RESULT_BACKEND": "redis://ours/1",
}


@bentotask.service(workers=3, resources={"memory": "1Gi"})
class Model:
    """A service at module level, as a spawned process finds it."""

    @bentotask.task(timeout=8 * 3600, retry=2)
    def run(self, x: int) -> int:
        """Give it back."""
        return x


def declared(**options: Any) -> Any:
    """Declare a service anew, so that it reads the test's environment."""

    class Svc:
        @bentotask.task(**options)
        def run(self) -> None: ...

    return bentotask.service(Svc)


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with nothing but our own two settings."""
    for name in ("CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "REDIS_URL", "CLOUDAMQP_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in OURS.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_celerys_own_variables_do_not_win_in_silence(environ: pytest.MonkeyPatch) -> None:
    """A worker listens where the web publishes, whatever CELERY_BROKER_URL says."""
    environ.setenv("CELERY_BROKER_URL", "amqp://theirs//")
    environ.setenv("CELERY_RESULT_BACKEND", "redis://theirs/0")
    celery = declared().celery
    assert "ours" in celery.connection_for_read().as_uri()
    assert "ours" in celery.connection_for_write().as_uri()
    assert isinstance(celery.backend, ResultBackend)
    assert celery.backend.as_uri() == "redis://ours/1"


def test_importing_a_module_needs_no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    """``celery = Service.celery`` and ``wsgi = Service.wsgi`` read nothing yet."""
    for name in (*OURS, "CELERY_BROKER_URL", "CELERY_RESULT_BACKEND", "REDIS_URL"):
        monkeypatch.delenv(name, raising=False)
    service = declared()
    assert service.celery.main == "Svc"
    assert service.wsgi.test_client().get("/livez").status_code == 200


def test_routes_that_look_alike_are_told_apart(environ: pytest.MonkeyPatch) -> None:
    """An endpoint may be called like another's verb, as long as no path is shared."""

    class Svc:
        @bentotask.task
        def run(self) -> None: ...

        @bentotask.api
        def run_submit(self) -> str:
            return "api"

        @bentotask.api(route="/a/b")
        def nested(self) -> str:
            return "nested"

        @bentotask.api(route="/a_b")
        def flat(self) -> str:
            return "flat"

    service: Any = bentotask.service(Svc)
    client = service.wsgi.test_client()
    assert [client.post(p).text for p in ("/run_submit", "/a/b", "/a_b")] == [
        "api",
        "nested",
        "flat",
    ]


def test_a_service_tells_celery_its_limits(environ: pytest.MonkeyPatch) -> None:
    """Slots, memory, one message at a time, and a visibility beyond the longest task."""
    conf = Model.celery.conf  # type: ignore[attr-defined]  # mypy takes the class for what it was
    assert (conf.worker_concurrency, conf.worker_max_memory_per_child) == (3, 1024**2)
    assert (conf.worker_prefetch_multiplier, conf.accept_content) == (1, ["json"])
    assert conf.broker_transport_options["visibility_timeout"] == 16 * 3600


def test_what_a_user_sets_on_the_application_wins(environ: pytest.MonkeyPatch) -> None:
    """Ours are defaults."""
    celery = declared().celery
    celery.conf.update(worker_concurrency=7)
    assert celery.conf.worker_concurrency == 7


def test_a_missing_broker_is_told_before_anything_is_stored(
    environ: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A submit answers 503 with the variable's name, and leaves no record behind."""
    environ.delenv("BENTOTASK_BROKER_URL")
    environ.setenv("BENTOTASK_RESULT_BACKEND", f"file://{tmp_path}")
    answer = declared().wsgi.test_client().post("/run/submit", json={})
    assert answer.status_code == 503
    assert "BENTOTASK_BROKER_URL" in answer.json["error"]
    assert not list(tmp_path.iterdir())


def test_what_is_published_goes_where_the_workers_listen(environ: pytest.MonkeyPatch) -> None:
    """Also when a user has set another broker on the application."""
    service = declared()
    service.celery.conf.update(broker_url="amqp://moved//")
    publishing = service._queue._connection().as_uri()
    assert publishing == service.celery.connection_for_read().as_uri()
    assert "moved" in publishing


def test_tasks_are_safe_by_default(environ: pytest.MonkeyPatch) -> None:
    """Acknowledged late, given back when a process dies, limited, under a readable name."""
    task = Model.celery.tasks["Model.run"]  # type: ignore[attr-defined]
    assert (task.acks_late, task.reject_on_worker_lost, task.track_started) == (True, True, False)
    assert (task.max_retries, task.time_limit) == (2, 8 * 3600 + 2 * GRACE + 2 * HOLD)
    assert task.__doc__ == "Give it back."


def test_a_spawned_process_finds_the_application_by_importing_it(
    environ: pytest.MonkeyPatch,
) -> None:
    """The application crosses into a spawned process as its service's name."""
    app = Model.celery  # type: ignore[attr-defined]
    again = pickle.loads(pickle.dumps(app))  # noqa: S301 - what billiard does, on our own bytes
    assert again is app
    assert again.spawned
    app.spawned = False
