"""The examples as plain Python: importable anywhere, and tested without a broker."""

from __future__ import annotations

import importlib
import math
import pkgutil
import subprocess
import sys

import pytest
from PIL import Image

from bentotask import examples
from bentotask.examples import chained, images, priority, text

MODULES = [module.name for module in pkgutil.iter_modules(examples.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_every_example_teaches_and_can_be_served(name: str) -> None:
    """A module is listed, says its commands, and has what gunicorn and Celery ask for."""
    module = importlib.import_module(f"bentotask.examples.{name}")
    target = f"{module.__name__}:{module.celery.main}"
    assert f"`{name}`" in (examples.__doc__ or "")
    for line in (
        f"bentotask serve {target}",
        "bentotask.SyncHTTPClient(",
        f"gunicorn {module.__name__}:wsgi",
        f"celery -A {module.__name__} worker",
    ):
        assert line in (module.__doc__ or "")
    assert module.wsgi.name == module.celery.main


@pytest.mark.parametrize("name", sorted({*MODULES} - {"images"}))
def test_only_images_need_pillow(name: str) -> None:
    """An example imports no more than it uses."""
    code = f"import sys, bentotask.examples.{name}; sys.exit('PIL' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("size", "box", "small"),
    [((640, 427), (64, 64), (64, 43)), ((30, 20), (64, 64), (30, 20)), ((10, 400), (9, 9), (1, 9))],
)
def test_a_thumbnail_fits_and_never_grows(
    size: tuple[int, int], box: tuple[int, int], small: tuple[int, int]
) -> None:
    """The proportions stay, and an image that fits is left as it is."""
    image = Image.new("RGBA", size)
    made = images.ImageService().thumbnail(image, *box)
    assert (made.size, made.mode, image.size) == (small, "RGBA", size)


def test_a_photograph_is_turned_upright() -> None:
    """The camera's note about its rotation is applied, and not left to be applied twice."""
    image = Image.new("RGB", (4, 2))
    image.getexif()[0x0112] = 6
    made = images.upright(image)
    assert (made.size, made.getexif().get(0x0112)) == ((2, 4), None)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P", "CMYK", "1"])
@pytest.mark.parametrize("name", images.ImageService().info()["filters"])
def test_every_filter_takes_every_mode(name: images.Filter, mode: str) -> None:
    """Photographs, drawings and scans can be filtered."""
    assert images.ImageService().apply_filter(Image.new(mode, (9, 9)), name).size == (9, 9)


@pytest.mark.parametrize(("number", "columns", "grid"), [(1, 4, (1, 1)), (5, 2, (2, 3))])
def test_a_contact_sheet_is_as_large_as_its_grid(
    number: int, columns: int, grid: tuple[int, int]
) -> None:
    """No more columns than images, and as many rows as they need."""
    pictures = [Image.new("RGB", (30, 20), "red")] * number
    sheet = images.ImageService().contact_sheet(pictures, columns, 20)
    assert sheet.size == (8 + grid[0] * 28, 8 + grid[1] * 42)
    assert sheet.getpixel((8 + 10, 8 + 10)) == (255, 0, 0)


def test_keywords_of_one_text_alone() -> None:
    """With nothing to compare, no word tells more than another: they come in order."""
    task = text.TextService().keywords.submit(["b a c"], top=2)
    assert task.get() == [{"words": 3, "keywords": ["a", "b"]}]


def test_words_are_of_any_language() -> None:
    """Letters make a word, in any script; digits and signs do not."""
    assert text.words("Größe 3, naïve_Привет!") == ["größe", "naïve", "привет"]


def test_duplicates_share_most_of_their_words() -> None:
    """Order and punctuation make no difference, and empty texts are no pair."""
    texts = ["a b c d", "", "d c, b a!", "a b c x", ""]
    found = text.TextService().duplicates(texts, threshold=0.6)
    assert [(pair["first"], pair["second"]) for pair in found] == [(0, 2), (0, 3), (2, 3)]
    assert [pair["similarity"] for pair in found] == [1.0, 0.6, 0.6]


def test_a_chain_runs_in_a_plain_instance() -> None:
    """``Service()`` runs submitted tasks at once, so a chain is tested without a broker."""
    service = chained.ChainedService()
    assert service.step_one("  to   be ")["text"] == "to be"
    assert service.step_two("to be") == {"title": "To Be", "words": 2}


@pytest.mark.parametrize("number", [2, 97, 360, 2**20, 999_983**2])
def test_prime_factors_multiply_to_the_number(number: int) -> None:
    """Both endpoints give the factors in order."""
    service = priority.PriorityService()
    factors = service.factor_now(number)
    assert (math.prod(factors), factors) == (number, sorted(factors))
    assert service.factor_later(number) == factors
