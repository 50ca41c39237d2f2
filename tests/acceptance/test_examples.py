"""The examples do what they show: real photographs, real texts, the real commands."""

from __future__ import annotations

import importlib
import inspect
import re
import shutil
import textwrap
from pathlib import Path
from pydoc_data.topics import topics
from typing import TYPE_CHECKING, Any, Final, Self

import pytest
import sklearn.datasets
from PIL import Image, ImageChops, ImageFilter, ImageStat

from bentotask import SyncHTTPClient, TaskStatus
from bentotask.client import TaskHandle
from bentotask.errors import InvalidInput
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.acceptance.stack import Site, Stack

PHOTOGRAPHS: Final = Path(sklearn.datasets.__file__).parent / "images"
#: Two photographs that come with scikit-learn, 640 x 427.
CHINA: Final = PHOTOGRAPHS / "china.jpg"
FLOWER: Final = PHOTOGRAPHS / "flower.jpg"
#: Paragraphs of Python's own manual.
PARAGRAPHS: Final = [
    " ".join(text.split()) for topic in topics.values() for text in topic.split("\n\n") if text
]
#: A number that takes a worker seconds: the square of a large prime.
HARD: Final = 32_452_843**2


class Example:
    """An example that is served, and a client of it."""

    def __init__(self, stack: Stack, module: str, service: str) -> None:
        self.module = importlib.import_module(f"bentotask.examples.{module}")
        self.site: Site = stack.serve(f"{self.module.__name__}:{service}")
        self.client = SyncHTTPClient(self.site.url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.site.close()

    def documented(self, beginning: str) -> str:
        """Return what the module's docstring shows, of the block that begins so."""
        doc = inspect.getdoc(self.module) or ""
        blocks = re.findall(r"(?m)::\n\n((?:(?: {4}.*)?\n)+)", f"{doc}\n")
        (found,) = [b for b in map(textwrap.dedent, blocks) if b.startswith(beginning)]
        return found.strip()


def reached(task: TaskHandle) -> tuple[float, float | None]:
    """How far a task has come; ``(0, None)`` before it has said so."""
    progress = task.status().progress
    return (0, None) if progress is None else (progress.current, progress.total)


@pytest.fixture(scope="module")
def images(stack: Stack) -> Iterator[Example]:
    with Example(stack, "images", "ImageService") as example:
        shutil.copy(CHINA, example.site.directory / "photo.jpg")
        yield example


@pytest.fixture(scope="module")
def text(stack: Stack) -> Iterator[Example]:
    with Example(stack, "text", "TextService") as example:
        (example.site.directory / "articles.txt").write_text("\n\n".join(PARAGRAPHS[:200]))
        yield example


# images


def photograph(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def loudness(image: Image.Image) -> float:
    """How much there is of edges."""
    return ImageStat.Stat(image.convert("L").filter(ImageFilter.FIND_EDGES)).mean[0]


def test_a_thumbnail_keeps_the_proportions(images: Example) -> None:
    """A photograph becomes a small picture that opens, shows the same, and fits the box."""
    small = images.client.thumbnail(image=CHINA, width=200, height=200)
    assert (small.size, small.mode, small.format) == ((200, 133), "RGB", "PNG")
    same = photograph(CHINA).resize(small.size)
    assert max(ImageStat.Stat(ImageChops.difference(same, small)).mean) < 8


def test_filters_show_what_they_promise(images: Example) -> None:
    """Blur takes edges away and sharpen adds some; grayscale has no colour, sepia one."""
    made = {
        name: images.client.apply_filter(image=FLOWER, name=name)
        for name in images.client.info()["filters"]
    }
    assert {image.size for image in made.values()} == {(640, 427)}
    assert loudness(made["blur"]) < loudness(photograph(FLOWER)) < loudness(made["sharpen"])
    assert made["grayscale"].mode == "L"
    red, green, blue = ImageStat.Stat(made["sepia"]).mean
    assert red > green > blue


def test_a_contact_sheet_shows_every_image(images: Example) -> None:
    """Several uploads of one argument become one picture, each in its place and none squeezed."""
    task = images.client.contact_sheet.submit(images=[CHINA, FLOWER, CHINA], columns=2, side=100)
    assert task.wait(timeout=30) == TaskStatus.SUCCESS
    sheet = task.get()
    assert sheet.size == (8 + 2 * 108, 8 + 2 * 122)
    first, second, third = (sheet.crop((x, y, x + 100, y + 100)) for x, y in PLACES)
    assert ImageChops.difference(first, third).getbbox() is None
    assert ImageChops.difference(first, second).getbbox() is not None
    assert reached(task) == (3, 3)


#: Where the images of a sheet of two columns are, at a side of 100.
PLACES: Final = ((8, 8), (116, 8), (8, 130))


@pytest.mark.parametrize(
    ("endpoint", "arguments"),
    [
        ("thumbnail", {"image": __file__}),
        ("thumbnail", {"image": str(CHINA), "width": 0}),
        ("apply_filter", {"image": str(CHINA), "name": "melt"}),
        ("contact_sheet", {"images": []}),
    ],
)
def test_bad_input_is_told_at_once(
    images: Example, endpoint: str, arguments: dict[str, Any]
) -> None:
    """What is no image, no size and no filter is refused before it is queued."""
    given = {k: Path(v) if k == "image" else v for k, v in arguments.items()}
    with pytest.raises(InvalidInput):
        images.client[endpoint].submit(**given)


def test_the_documented_commands_give_a_picture(images: Example) -> None:
    """What the module tells a newcomer to type works as it stands: ``out.png`` opens."""
    submit, get = images.documented("bentotask submit").splitlines()
    task_id = images.site.shell(submit).strip()
    images.client.thumbnail.wait(task_id, timeout=20)
    images.site.shell(get.replace(" ID ", f" {task_id} "))
    with Image.open(images.site.directory / "out.png") as picture:
        assert (picture.format, picture.width) == ("PNG", 200)


def test_the_documented_program_gives_a_picture(images: Example) -> None:
    """The module's Python runs as it stands, and leaves nothing open."""
    assert images.site.run(images.documented("import bentotask")) == ""
    with Image.open(images.site.directory / "sepia.png") as picture:
        assert picture.size == (640, 427)


# text


def test_keywords_tell_texts_apart(text: Example) -> None:
    """Words that every text has are no keywords; the batch comes back in its order."""
    found = text.client.keywords(
        texts=["The cat sat on the mat, the cat!", "The dog sat on the log"], top=2
    )
    assert found == [
        {"words": 8, "keywords": ["cat", "mat"]},
        {"words": 6, "keywords": ["dog", "log"]},
    ]


def test_progress_is_visible_while_the_task_runs(text: Example) -> None:
    """A long batch tells how far it is, and ends with the whole."""
    texts = [*PARAGRAPHS[:1500], PARAGRAPHS[0]]
    task = text.client.duplicates.submit(texts=texts, threshold=1.0)
    wait_until(lambda: reached(task)[0] > 0, 20, "there is progress")
    assert task.get_status() == TaskStatus.IN_PROGRESS
    assert reached(task)[0] < 1501
    assert task.wait(timeout=30) == TaskStatus.SUCCESS
    assert reached(task) == (1501, 1501)
    assert {"first": 0, "second": 1500, "similarity": 1.0} in task.get()


def test_words_are_counted_at_once(text: Example) -> None:
    """The ``@api`` of a batch service needs no queue."""
    assert text.client.count_words(text="one, two - and a third") == 5


def test_the_documented_commands_give_keywords(text: Example) -> None:
    """Lists are written on the command line as the module shows."""
    submit, watch, get = text.documented("bentotask submit").splitlines()
    task_id = text.site.shell(submit).strip()
    text.site.shell(watch.replace(" ID", f" {task_id}"))
    assert '"keywords"' in text.site.shell(get.replace(" ID", f" {task_id}"))


def test_the_documented_program_follows_progress(text: Example) -> None:
    """The module's Python runs as it stands, over two hundred paragraphs."""
    printed = text.site.run(text.documented("import bentotask")).splitlines()
    assert printed[-2].startswith("200 of 200 ")
    assert printed[-1].startswith("[")


# chains and priorities


def test_the_second_step_runs_by_itself(stack: Stack) -> None:
    """The first task's result names the second, whose result arrives; so does the docstring's."""
    with Example(stack, "chained", "ChainedService") as chained:
        client = chained.client
        first = client.step_one(text=" a  tidy\ttext ")
        assert first["text"] == "a tidy text"
        assert client.step_two.wait(first["step_two"], timeout=20) == TaskStatus.SUCCESS
        assert client.step_two.get(first["step_two"]) == {"title": "A Tidy Text", "words": 3}
        printed = chained.site.run(chained.documented("import bentotask"))
        assert printed == "{'title': 'The Quick Brown Fox', 'words': 4}\n"


@pytest.fixture(scope="module")
def priority(stack: Stack) -> Iterator[Example]:
    with Example(stack, "priority", "PriorityService") as example:
        yield example


def test_urgent_work_overtakes(priority: Example) -> None:
    """With one slot taken and a batch in the queue, what is submitted last begins first."""
    running = priority.client.factor_later.submit(number=HARD)
    wait_until(lambda: running.get_status() == "IN_PROGRESS", 20, "the slot is taken")
    batch = [priority.client.factor_later.submit(number=n) for n in range(100, 105)]
    urgent = priority.client.factor_now.submit(number=360)
    for task in (*batch, urgent):
        assert task.wait(timeout=30) == TaskStatus.SUCCESS
    began = [task.status().executed_at or 0.0 for task in (running, urgent, *batch)]
    assert began[:2] == sorted(began)[:2]
    assert urgent.get() == [2, 2, 2, 3, 3, 5]


def test_the_documented_batch_is_overtaken(priority: Example) -> None:
    """The module's Python runs as it stands."""
    printed = priority.site.run(priority.documented("import bentotask")).splitlines()
    assert printed[0] == "[2, 2, 2, 3, 3, 5]"
    assert re.fullmatch(r"\d+ of the batch were before it", printed[1])
