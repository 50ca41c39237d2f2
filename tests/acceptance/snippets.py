"""The Python of the documents in ``tests/data/seeds``, taken out of them when the tests run.

Nothing in a snippet is changed but its import. What a document leaves out (a model, ``time``, a
``task_id``) is put around the snippet: a *prelude* before it and a *postlude* after it.
"""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SEEDS: Final = Path(__file__).parents[1] / "data" / "seeds"

#: Every snippet there must be, in the order of its document: its name, and a line that tells it.
EXPECTED: Final = {
    "async-task-queues": {
        "service": "class ImageGenerationService:",
        "submit": "task = client.long_running_image_generation.submit(prompt=prompt)",
        "later": "# Use the following code at a later time",
        "retry": "    new_task = task.retry()",
    },
    "async-task-queues-earlier": {
        "service": "class ImageGenerationService:",
        "submit": "task = client.long_running_image_generation.submit(prompt=prompt)",
        "later": "# Use the following code at a later time",
        "retry": "    new_task = task.retry()",
    },
    "async-task-queues-guide": {
        "simple": "class ImageGenerationService:",
        "progress": "class BatchProcessingService:",
        "client": 'client = bentoml.SyncHTTPClient("http://localhost:3000")',
        "async-client": "async def async_task_example():",
        "monitored": "class MonitoredTaskService:",
        "cancel": "    client.long_running_task.cancel(task_id)",
        "retry": "        client.my_task.retry(task_id)",
        "configured": "class ConfiguredTaskService:",
        "queue": "class QueueConfiguredService:",
        "chained": "class ChainedTaskService:",
        "batch": "class BatchTaskService:",
        "priority": "class PriorityTaskService:",
        "robust": "class RobustTaskService:",
    },
}


@dataclass(frozen=True)
class Snippet:
    """One piece of Python that a document shows."""

    document: str
    name: str
    code: str

    @property
    def ours(self) -> str:
        """The code with only the import changed."""
        return re.sub(r"(?m)^import bentoml$", "import bentotask as bentoml", self.code)

    @property
    def service(self) -> str | None:
        """The name of the class that it declares."""
        classes = [n.name for n in ast.parse(self.code).body if isinstance(n, ast.ClassDef)]
        return classes[0] if classes else None

    def __str__(self) -> str:
        short = self.document.removeprefix("async-task-queues").strip("-") or "current"
        return f"{short}/{self.name}"


def extracted(document: str) -> list[str]:
    """Return the code of a document, as it marks code."""
    text = (SEEDS / f"{document}.txt").read_text()
    if "```" in text:
        return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    if ".. code-block::" in text:
        blocks = re.findall(r"^\.\. code-block:: python\n\n((?:(?: .*)?\n)+)", text, re.MULTILINE)
        return [textwrap.dedent(block).strip("\n") + "\n" for block in blocks]
    return _readable(text.splitlines())


def _readable(lines: list[str]) -> list[str]:
    """Return the longest runs of lines that Python can read, where nothing else marks code."""
    found = []
    start = 0
    while start < len(lines):
        ends = [end for end in range(len(lines), start, -1) if _is_code(lines[start:end])]
        if ends:
            found.append("\n".join(lines[start : ends[0]]).strip("\n") + "\n")
        start = ends[0] if ends else start + 1
    return found


def _is_code(lines: list[str]) -> bool:
    """Whether Python can read these lines as code; it also reads a lone word, which is prose."""
    try:
        body = ast.parse("\n".join(lines)).body
    except SyntaxError:
        return False
    words = [n for n in body if isinstance(n, ast.Expr) and isinstance(n.value, ast.Name)]
    return bool(body) and not words


#: Every snippet by its short name, such as ``guide/batch``.
SNIPPETS: Final = {
    str(snippet): snippet
    for document, names in EXPECTED.items()
    for snippet in (
        Snippet(document, name, code)
        for name, code in zip(names, extracted(document), strict=False)
    )
}
