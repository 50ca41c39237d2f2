"""Processes that die: nothing is lost, and what kills its worker every time is stopped."""

from __future__ import annotations

import signal

import requests

from tests.faults.lab import Lab
from tests.faults.services import FRAGILE
from tests.servers.process import wait_until


def ran(lab: Lab) -> list[int]:
    """The numbers that tasks have left, in their order."""
    file = lab.site.directory / "ran"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def test_a_worker_group_killed_under_load_loses_nothing(lab: Lab) -> None:
    """500 tasks queued, SIGKILL to the whole group in the middle, a new worker: 500 results."""
    lab.serve("fragile", FRAGILE)
    with requests.Session() as session:
        submit = f"{lab.site.url}/mark/submit"
        ids = [session.post(submit, json={"n": n}).json()["task_id"] for n in range(500)]
        wait_until(lambda: 50 < len(ran(lab)) < 450, 30, "the middle", process=lab.worker)
        lab.worker.kill_group()
        before = len(ran(lab))
        assert before < 500
        lab.start_worker()
        results = [
            session.get(f"{lab.site.url}/mark/get", params={"task_id": i, "wait": 60}).json()
            for i in ids
        ]
    assert results == list(range(500))
    assert set(ran(lab)) == set(range(500))


def test_a_web_process_killed_answers_for_every_id_when_it_is_back(lab: Lab) -> None:
    """The ids that it gave out live in the result backend, not in its memory."""
    lab.serve("fragile", FRAGILE, worker=False)
    ids = [lab.submit("mark", n=n) for n in range(20)]
    lab.web.kill_group()
    lab.start_web()
    assert {lab.status("mark", i)["status"] for i in ids} == {"pending"}
    lab.start_worker()
    assert {lab.ended("mark", i)["status"] for i in ids} == {"success"}


def test_a_task_whose_process_died_runs_again(lab: Lab) -> None:
    """A killed pool process costs one attempt, and the record counts it."""
    lab.serve("fragile", FRAGILE)
    ended = lab.ended("die", lab.submit("die", always=False))
    assert (ended["status"], ended["attempts"]) == ("success", 2)


def test_a_task_that_always_kills_its_process_ends_as_failure(lab: Lab) -> None:
    """Poison stops at the cap while the others keep flowing, and says why it ended."""
    lab.serve("fragile", FRAGILE)
    poison = lab.submit("die")
    others = [lab.submit("mark", n=n) for n in range(5)]
    assert {lab.ended("mark", i)["status"] for i in others} == {"success"}
    ended = lab.ended("die", poison, timeout=120)
    assert ended["status"] == "failure"
    assert "WorkerLost: its worker was lost 4 times" in ended["error"]


def test_a_task_that_exits_is_a_failure_and_not_a_crash(lab: Lab) -> None:
    """sys.exit() in a task ends the task, not the process."""
    lab.serve("fragile", FRAGILE)
    ended = lab.ended("leave", lab.submit("leave"))
    assert (ended["status"], ended["attempts"]) == ("failure", 1)
    assert "SystemExit(3)" in ended["error"]


def test_a_worker_asked_to_stop_finishes_what_it_runs(lab: Lab) -> None:
    """SIGTERM is a warm shutdown: the running task succeeds, the waiting one waits."""
    lab.serve("fragile", FRAGILE)
    task = lab.submit("long", seconds=3)
    wait_until(lambda: lab.status("long", task)["status"] == "in_progress", 10, "it runs")
    lab.worker.send(signal.SIGTERM)
    assert lab.ended("long", task)["status"] == "success"
    assert lab.worker.wait(30) == 0
