"""The Python code in the README and on the pages of docs/ runs as it stands.

A block runs in a folder that has photo.jpg and photos/*.jpg, after the earlier blocks of its page.
A line `<!-- not run: the reason -->` before a block leaves it out.
"""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import skimage.data
from PIL import Image

import zsk

CHECKOUT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(
    r"(?:^ *<!-- not run: (?P<reason>\S[^\n]*) -->\n)?^ *```python\n(?P<code>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
PAGES = [
    page
    for page in (
        CHECKOUT / "README.md",
        CHECKOUT / "datasets/README.md",
        *CHECKOUT.glob("docs/*.md"),
    )
    if any(not block["reason"] for block in BLOCK.finditer(page.read_text()))
]


@pytest.fixture(scope="module")
def load_once() -> Callable[..., zsk.Segmenter]:
    """In place of `Segmenter`: the default model is the same one for all pages."""
    segmenter = zsk.Segmenter(device="cpu", opts=["INPUT.MIN_SIZE_TEST", "96"])  # quick
    original = zsk.Segmenter
    return lambda *args, **keys: original(*args, **keys) if args or keys else segmenter


@pytest.fixture
def folder_of_photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    photos = {"photo": "chelsea", "photos/cat": "chelsea", "photos/cup": "coffee"}
    for name, source in photos.items():
        photo = Image.fromarray(getattr(skimage.data, source)())
        photo.resize((160, 120)).save(tmp_path / f"{name}.jpg")
    return tmp_path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_the_code_of_a_page_runs(
    page: Path,
    folder_of_photos: Path,
    load_once: Callable[..., zsk.Segmenter],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder_of_photos)
    monkeypatch.setattr(zsk, "Segmenter", load_once)
    monkeypatch.setattr("sys.argv", ["example.py", "64x48", "cat, sofa, wall"])
    text = page.read_text()
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in BLOCK.finditer(text):
        if not block["reason"]:
            above = "\n" * text.count("\n", 0, block.start("code"))  # errors name the page's line
            exec(compile(above + textwrap.dedent(block["code"]), str(page), "exec"), names)
