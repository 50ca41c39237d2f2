"""Every snippet of the three documents runs, with only its import changed, on every stack.

A snippet that declares a service is served by the real commands. One that calls a service runs as
a program of its own, with every warning an error, and must say nothing on stderr. What a document
leaves out is put around the snippet, never into it; ``tests.acceptance.snippets`` tells how.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from bentotask import SyncHTTPClient
from tests.acceptance.snippets import EXPECTED, SEEDS, SNIPPETS, Snippet, extracted
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.stack import Site, Stack

Snippets = tuple[Snippet, ...]

#: The snippets that some test plays.
PLAYED: list[str] = []

IMPORT: Final = "import bentotask as bentoml\n"

#: The documents return an ``image`` that they never make.
IMAGE: Final = 'import PIL.Image\nimage = PIL.Image.new("RGB", (64, 48), "navy")\n'

#: The guide's class calls ``self.load_model()``, which it would inherit from a user's own base
#: class. Here ``@service`` adds it, just before it sees the class.
MODEL: Final = """
import bentotask

real_service = bentotask.service

class Model:
    def generate(self, prompt, num_steps):
        return f"{prompt} in {num_steps} steps"

def service(**options):
    def decorate(cls):
        cls.load_model = lambda self: Model()
        return real_service(**options)(cls)
    return decorate

bentotask.service = service
"""

#: Comes after a snippet: its ``time.sleep(2)`` stands for a model, and ours are fast.
FAST: Final = """
import types
time = types.SimpleNamespace(sleep=lambda seconds, sleep=time.sleep: sleep(seconds / 20))
"""

#: The service behind snippets that call one which their document does not show.
ASSUMED: Final = '''
import time
from pathlib import Path

import bentotask as bentoml

@bentoml.service(workers=1)
class Assumed:
    @bentoml.task
    def long_running_task(self, data: str) -> None:
        Path("ran").touch()

    @bentoml.task
    def my_task(self) -> None:
        with Path("attempts").open("a") as file:
            file.write("x")
        raise RuntimeError("it never works")

    @bentoml.task
    def hold(self, gate: str) -> None:
        """Take the only slot for as long as there is a gate."""
        Path(f"{gate}.began").touch()
        while Path(gate).exists():
            time.sleep(0.01)

wsgi = Assumed.wsgi
celery = Assumed.celery
'''


def plays(*groups: str) -> pytest.MarkDecorator:
    """Give the test its ``snippets``, once for each group of names."""
    split = [group.split() for group in groups]
    PLAYED.extend(name for names in split for name in names)
    values = [tuple(SNIPPETS[name] for name in names) for names in split]
    return pytest.mark.parametrize("snippets", values, ids=groups)


def serve(stack: Stack, snippet: Snippet, prelude: str = IMPORT, postlude: str = "") -> Site:
    """Serve the class that a snippet declares."""
    doors = f"wsgi = {snippet.service}.wsgi\ncelery = {snippet.service}.celery\n"
    source = f"{prelude}\n{snippet.ours}\n{postlude}\n{doors}"
    return stack.serve(f"snippet:{snippet.service}", source)


def run(site: Site, *parts: str | Snippet) -> str:
    """Run these one after another as one program that calls ``site``; return what it prints."""
    code = [part.ours if isinstance(part, Snippet) else part for part in parts]
    return site.run("\n".join([IMPORT, *code]))


def result(site: Site, endpoint: str, *args: Any) -> Any:
    """Submit a task, wait, and return its result."""
    with SyncHTTPClient(site.url) as client:
        task = client[endpoint].submit(*args)
        task.wait(timeout=30)
        return task.get()


# completeness


@pytest.mark.parametrize("document", EXPECTED)
def test_the_documents_hold_these_snippets(document: str) -> None:
    """What is taken out of a document is exactly what somebody saw in it, in its order."""
    codes = extracted(document)
    assert len(codes) == len(EXPECTED[document])
    for code, line in zip(codes, EXPECTED[document].values(), strict=True):
        assert line in code.splitlines()


def test_no_document_is_forgotten() -> None:
    """Every seed is read, and every mention of a decorator or a client in it lies in a snippet."""
    assert sorted(EXPECTED) == sorted(path.stem for path in SEEDS.iterdir())
    for document in EXPECTED:
        text = (SEEDS / f"{document}.txt").read_text()
        code = "".join(extracted(document))
        for shown in (r"^ *@bentoml\.\w+", r"bentoml\.\w+HTTPClient\(", r"^ *class \w+:"):
            found = [len(re.findall(shown, where, re.MULTILINE)) for where in (text, code)]
            assert found[0] == found[1]


def test_every_snippet_is_played_once() -> None:
    """No snippet is skipped in silence, and each has one test that answers for it."""
    assert sorted(PLAYED) == sorted(SNIPPETS)


def test_only_the_import_changes() -> None:
    """A snippet runs as it is printed but for the one word."""
    for snippet in SNIPPETS.values():
        assert snippet.ours.replace("import bentotask as bentoml\n", "import bentoml\n") == (
            snippet.code
        )


# the documents of BentoML


@plays(
    "current/service current/submit current/later", "earlier/service earlier/submit earlier/later"
)
def test_an_image_is_generated(stack: Stack, snippets: Snippets) -> None:
    """The document from its beginning: declare, submit, and ask at a later time."""
    service, submit, later = snippets
    with serve(stack, service, IMAGE) as site:
        printed = run(site, submit, "task.wait(timeout=30)", later).splitlines()
        assert re.fullmatch(r"Task submitted, ID: \w{32}", printed[0])
        assert printed[1].startswith("The task runs successfully. The result is <PIL.")
        assert "size=64x48" in printed[1]


@plays("current/retry", "earlier/retry")
def test_a_failed_task_is_retried(assumed: Site, snippets: Snippets) -> None:
    """``retry()`` of a handle gives a handle of a new task."""
    failed = 'task = bentoml.SyncHTTPClient("http://localhost:3000").my_task.submit()\ntask.wait()'
    printed = run(assumed, failed, *snippets, "assert new_task.id != task.id")
    assert re.fullmatch(
        r"Task failed, retrying...\nNew task status: (pending|in_progress|failure)\n", printed
    )


@pytest.mark.parametrize("document", ["current", "earlier"])
def test_a_task_that_has_no_result_says_why(assumed: Site, held: str, document: str) -> None:
    """The other two branches of the document: the task still runs, or it has failed."""
    later = SNIPPETS[f"{document}/later"]
    handle = 'task = bentoml.SyncHTTPClient("http://localhost:3000").{0}.submit({1})\n'
    assert run(assumed, handle.format("my_task", ""), later) == "The task is still running.\n"
    Path(held).unlink()
    failed = handle.format("my_task", "") + "task.wait(timeout=30)"
    assert run(assumed, failed, later) == "The task run failed.\n"


# the guide


@pytest.fixture(scope="module")
def simple(stack: Stack) -> Site:
    return serve(stack, SNIPPETS["guide/simple"], MODEL, FAST)


@plays("guide/simple")
def test_simple_task_service(simple: Site, snippets: Snippets) -> None:
    """A class with a model, a GPU and an ``@api``: defaults count, and the api needs no task."""
    made = result(simple, "generate_image", "a sunset")
    assert (made["prompt"], made["steps"], made["generation_time"]) == ("a sunset", 20, 2.0)
    with SyncHTTPClient(simple.url) as client:
        assert client.quick_info()["queue_available"] is True


@plays("guide/client")
def test_python_client(simple: Site, snippets: Snippets) -> None:
    """The handle prints as an id, is taken as one, and its status equals the upper-case word."""
    printed = run(simple, *snippets).splitlines()
    assert re.fullmatch(r"Task submitted with ID: \w{32}", printed[0])
    assert printed[-2] == "Task status: SUCCESS"
    assert printed[-1].startswith("Task completed: {'prompt': 'A beautiful sunset over mountains'")
    assert "'steps': 50" in printed[-1]


@plays("guide/async-client")
def test_async_client(simple: Site, snippets: Snippets) -> None:
    """Five tasks at a time from a client that nobody closes; nothing is left open either."""
    assert run(simple, *snippets) == "Submitted 5 tasks\nCompleted 5 tasks\n"


@plays("guide/progress")
def test_batch_with_logged_progress(stack: Stack, snippets: Snippets) -> None:
    """What a task logs is in the worker's log, and its helper methods are its own."""
    with serve(stack, snippets[0]) as site:
        made = result(site, "process_batch", [{"n": 1}, {"n": 2}])
        assert (made["total_processed"], made["success_count"]) == (2, 2)
        assert made["results"][1]["result"] == {"processed": True, "data": {"n": 2}}
        assert "Progress: 50.0% (1/2)" in site.log()


@plays("guide/monitored")
def test_monitored_task(stack: Stack, snippets: Snippets) -> None:
    """A task that logs its steps."""
    with serve(stack, snippets[0], IMPORT + "import time\n", FAST) as site:
        made = result(site, "monitored_task", "12345")
        assert made == {"status": "completed", "data_length": 5}
        assert "Current step: postprocessing" in site.log()


@plays("guide/configured")
def test_service_level_configuration(stack: Stack, snippets: Snippets) -> None:
    """Resources, concurrency, retries and a timeout are taken, and mean ten slots."""
    with serve(stack, snippets[0]) as site:
        assert result(site, "configured_task", "x") == {"processed": "x"}
        assert "ConfiguredTaskService: 10 slots" in site.log()


@plays("guide/queue")
def test_queue_configuration(stack: Stack, snippets: Snippets) -> None:
    """``workers=4`` is four processes."""
    with serve(stack, snippets[0]) as site:
        assert result(site, "queue_task", {"a": 1}) == {"result": {"a": 1}}
        assert "QueueConfiguredService: 4 slots" in site.log()


@plays("guide/chained")
def test_chained_tasks(stack: Stack, snippets: Snippets) -> None:
    """A task submits another on ``self``, which runs with what it was given."""
    with serve(stack, snippets[0]) as site:
        assert result(site, "step_one", "x") == {"step1": "processed_x"}
        received = re.compile(r"step_two\[(\w{32})\] received")
        child = wait_until(lambda: received.search(site.log()), 20, "the second step arrives")
        with SyncHTTPClient(site.url) as client:
            client.step_two.wait(child[1], timeout=20)
            assert client.step_two.get(child[1]) == {"step2": "final_processed_x"}


@plays("guide/batch")
def test_batch_of_files(stack: Stack, snippets: Snippets) -> None:
    """A list in, a report out."""
    with serve(stack, snippets[0]) as site:
        made = result(site, "process_file_batch", ["a.txt", "b.txt"])
        assert (made["total_files"], made["successful"], made["failed"]) == (2, 2, 0)
        assert made["results"][1]["result"] == {"processed_file": "b.txt"}


@plays("guide/priority")
def test_priority_tasks(stack: Stack, snippets: Snippets) -> None:
    """Two endpoints of one service; the names alone give neither an advantage."""
    with serve(stack, snippets[0]) as site:
        assert result(site, "high_priority_task", "u") == {"priority": "high", "data": "u"}
        assert result(site, "low_priority_task", "b") == {"priority": "low", "data": "b"}


@plays("guide/robust")
def test_robust_task(stack: Stack, snippets: Snippets) -> None:
    """An error that the task turns into a result is a success."""
    with serve(stack, snippets[0]) as site:
        given = {"required_field": 1}
        assert result(site, "robust_task", given) == {
            "success": True,
            "result": {"processed": True, "input": given},
        }
        refused = {"success": False, "error": "Invalid input: Invalid input data"}
        assert result(site, "robust_task", {}) == refused


# the guide's client, against a service that it does not show


@pytest.fixture(scope="module")
def assumed(stack: Stack) -> Site:
    return stack.serve("assumed:Assumed", ASSUMED)


@pytest.fixture
def held(assumed: Site, tmp_path: Path) -> Iterator[str]:
    """The gate that keeps a task in the only slot; the others wait until it is gone."""
    gate = tmp_path / "gate"
    gate.touch()
    with SyncHTTPClient(assumed.url) as client:
        holder = client.hold.submit(str(gate))
        wait_until(Path(f"{gate}.began").exists, 20, "the slot is taken")
        yield str(gate)
        gate.unlink(missing_ok=True)
        holder.wait(timeout=20)


@plays("guide/cancel")
def test_task_cancellation(assumed: Site, held: str, snippets: Snippets) -> None:
    """A task that waits is cancelled, and never runs."""
    printed = re.fullmatch(r"Task (\w{32}) cancelled\n", run(assumed, *snippets))
    assert printed
    Path(held).unlink()
    with SyncHTTPClient(assumed.url) as client:
        client.my_task.submit().wait(timeout=20)  # it waited behind the cancelled one
        assert client.long_running_task.get_status(printed[1]).value == "cancelled"
    assert not (assumed.directory / "ran").exists()


@plays("guide/retry")
def test_task_retry(assumed: Site, snippets: Snippets) -> None:
    """A failed task's id is all that its retry needs."""
    attempts = assumed.directory / "attempts"
    with SyncHTTPClient(assumed.url) as client:
        task = client.my_task.submit()
        task.wait(timeout=20)
    before = attempts.stat().st_size
    printed = run(assumed, f"task_id = {json.dumps(task.id)}", *snippets)
    assert printed == f"Task {task.id} queued for retry\n"
    wait_until(lambda: attempts.stat().st_size > before, 20, "the retry runs")
