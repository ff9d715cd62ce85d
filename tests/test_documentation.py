"""Every link, file and configuration key that the README and the pages of docs/ name exists."""

import functools
import pydoc
import re
from pathlib import Path

import pytest

from zsk.config import default_config

CHECKOUT = Path(__file__).resolve().parents[1]
PAGES = [CHECKOUT / "README.md", CHECKOUT / "datasets/README.md", *CHECKOUT.glob("docs/*.md")]
FOLDERS = "zsk|tools|tests|docs|configs|datasets|demo|requirements"
# the reader of docs/own_data.md makes datasets/my_data
FILE = re.compile(rf"(?<![\w/.-])(?:{FOLDERS})/(?!my_data)[\w./*-]*")
KEY = re.compile(r"\b(?:MODEL|DATASETS|INPUT|SOLVER|DATALOADER|TEST)(?:\.[A-Z\d_]+)+")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_what_a_page_names_exists(page: Path) -> None:
    text, missing = page.read_text(), []
    for file, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        target = page.parent / file if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            missing.append(f"{file}#{anchor}")
    if page.parent.name != "datasets":  # which shows the folders of data sets
        files = {name.rstrip(".") for name in FILE.findall(text)}
        missing += [file for file in files if not any(CHECKOUT.glob(file))]
    cfg = default_config()
    for key in set(KEY.findall(text)):
        try:
            functools.reduce(getattr, key.split("."), cfg)
        except AttributeError:
            missing.append(key)
    assert not missing, f"{page}: {', '.join(sorted(missing))}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CHECKOUT)))
def test_lists_look_alike_in_the_web_view_and_in_the_site(page: Path) -> None:
    """MkDocs wants four spaces before what belongs to an item, and a blank line before a list."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^ {1,3}(?:[-*] |\d+\. |```).*", text, re.MULTILINE) == []
    assert re.findall(r"^[^\s|>*\d-].*\n(?:[-*] |1\. |\|).*", text, re.MULTILINE) == []
    assert re.findall(r"\n\n {1,3}\S.*", text) == []
    assert re.findall(r"\n\n(?: {4}.*\n)+(?:[-*] |\d+\. ).*", text) == []


def test_the_tests_that_the_page_of_faults_names_exist(checkout: Path) -> None:
    named = re.findall(
        r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (checkout / "docs/reliability.md").read_text()
    )
    assert len(named) > 100
    for file, function in named:
        content = (checkout / file).read_text()
        assert not function or re.search(rf"^def {function}\(", content, re.M), (file, function)


def test_the_sentences_of_the_troubleshooting_page_are_those_of_the_code(checkout: Path) -> None:
    files = [checkout / "Makefile", *checkout.glob("*.py"), *checkout.glob("demo/*.py")]
    files += (checkout / "zsk").rglob("*.py")
    # string literals that follow each other are one text
    source = re.sub(r"\"\s+f?\"", "", "\n".join(file.read_text() for file in files))
    rows = re.findall(
        r"^\| ([^|]*`[^|]*) \|", (checkout / "docs/troubleshooting.md").read_text(), re.M
    )
    quoted = [sentence for row in rows for sentence in re.findall(r"`([^`]+)`", row)]
    assert len(quoted) > 30
    others = {"make setup"}  # not sentences of the code
    parts = [part for sentence in set(quoted) - others for part in sentence.split("…")]
    assert [part for part in parts if part.strip() not in source] == []


def test_the_objects_of_the_api_page_are_there(checkout: Path) -> None:
    named = re.findall(r"^::: (\S+)$", (checkout / "docs/api.md").read_text(), re.MULTILINE)
    assert len(named) > 10
    assert [name for name in named if pydoc.locate(name) is None] == []
