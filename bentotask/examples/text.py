r"""A batch text service: many texts in one task, and progress while it works.

Serve it, web and worker in one command::

    bentotask serve bentotask.examples.text:TextService

and call it from a second terminal; ``submit`` prints the task's id, here ``ID``::

    bentotask submit http://localhost:3000 keywords texts="to be or not" texts="to do is to be"
    bentotask watch http://localhost:3000 keywords ID
    bentotask get http://localhost:3000 keywords ID

or from Python, where a task can be iterated for its progress::

    import bentotask
    from pathlib import Path

    client = bentotask.SyncHTTPClient("http://localhost:3000")
    task = client.duplicates.submit(texts=Path("articles.txt").read_text().split("\n\n"))
    for progress in task:
        print(progress.current, "of", progress.total, progress.message)
    print(task.get())

In production: ``gunicorn bentotask.examples.text:wsgi`` and
``celery -A bentotask.examples.text worker``.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import Annotated, TypedDict

from pydantic import Field

import bentotask as bentoml

_WORD = re.compile(r"[^\W\d_]+")


class Keywords(TypedDict):
    """What one text is about."""

    words: int
    keywords: list[str]


class Pair(TypedDict):
    """Two texts, by their places in the list, and how alike they are: 0 to 1."""

    first: int
    second: int
    similarity: float


@bentoml.service
class TextService:
    """Works on lists of texts."""

    @bentoml.task
    def keywords(
        self, texts: list[str], top: Annotated[int, Field(ge=1)] = 5, *, ctx: bentoml.Context
    ) -> list[Keywords]:
        """Count each text's words and find those that tell it from the others (TF-IDF)."""
        counts = [Counter(words(text)) for text in texts]
        found_in = Counter(word for count in counts for word in count)
        results: list[Keywords] = []
        for done, count in enumerate(counts, start=1):
            weight = {word: n * math.log(len(texts) / found_in[word]) for word, n in count.items()}
            best = sorted(weight, key=lambda word: (-weight[word], word))[:top]
            results.append({"words": count.total(), "keywords": best})
            ctx.progress(done, len(texts), f"{done} of {len(texts)} texts")
        return results

    @bentoml.task(timeout=600)
    def duplicates(
        self, texts: list[str], threshold: Annotated[float, Field(gt=0, le=1)] = 0.8
    ) -> list[Pair]:
        """Find the pairs of texts that share most of their words (Jaccard similarity)."""
        sets = [frozenset(words(text)) for text in texts]
        pairs: list[Pair] = []
        for second, mine in enumerate(sets):
            for first, other in enumerate(sets[:second]):
                alike = len(mine & other) / (len(mine | other) or 1)
                if alike >= threshold:
                    pairs.append({"first": first, "second": second, "similarity": alike})
            bentoml.progress(second + 1, len(texts), f"{len(pairs)} pairs so far")
        return pairs

    @bentoml.api
    def count_words(self, text: str) -> int:
        """Count the words of one short text; answered at once, without a queue."""
        return len(words(text))


def words(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return _WORD.findall(text.lower())


# mypy does not follow class decorators; pyright does, and needs no comment.
wsgi = TextService.wsgi  # type: ignore[attr-defined]
celery = TextService.celery  # type: ignore[attr-defined]
