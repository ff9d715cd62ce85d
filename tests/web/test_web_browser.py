"""The page of `zsk web` in a real browser, with the embedded model."""

import json
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from web_photos import serving

from zsk.cli.photo_files import sample_photos
from zsk.segmenter import Segmenter
from zsk.web.app import App

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="there is no chromium on the PATH"),
]
FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
WAIT = 60_000  # milliseconds, of a busy machine


@pytest.fixture(scope="module")
def app() -> App:
    """Counts its looks in `app.looks`."""
    app = App(segmenter := Segmenter(device="cpu"))
    app.looks, look = 0, segmenter.look

    def counted(image):
        app.looks += 1
        return look(image)

    segmenter.look = counted
    return app


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(app, browser) -> Iterator:
    """The page with nothing in it; errors of its program fail the test."""
    errors: list[object] = []
    with serving(app) as server:
        context = browser.new_context(viewport={"width": 1280, "height": 1000})
        context.grant_permissions(["camera"])
        page = context.new_page()
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda error: errors.append(error))
        page.goto(server.address)
        playwright.expect(page.locator("#status")).to_have_text("Choose a photo.", timeout=WAIT)
        yield page
        context.close()
    assert errors == []


def photo(stem: str) -> Path:
    return next(path for path, name in sample_photos().items() if name == stem)


def wait_for(page, selector: str, text: str | re.Pattern) -> None:
    playwright.expect(page.locator(selector)).to_contain_text(text, timeout=WAIT)


def test_words_a_click_and_downloads(page, app, tmp_path) -> None:
    looks = app.looks
    page.set_input_files("#file", photo("chelsea"))
    wait_for(page, "#status", "chelsea.png: 451x300 pixels")
    page.locator("#words").press_sequentially("cat, sofa, wall", delay=20)
    wait_for(page, "#legend", "cat")

    seconds = []  # from the last key to the new label on the page
    for word in ("animal", "dog", "tiger", "kitten"):
        page.fill("#words", f"{word}, sofa, wall")
        start = time.perf_counter()
        wait_for(page, "#legend", word)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1, seconds
    page.fill("#words", "cat, sofa, wall")
    wait_for(page, "#legend", "cat")
    assert app.looks == looks + 1

    box = page.locator("#picture").bounding_box()
    page.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 0.5 * box["height"])
    wait_for(page, "#opinions-title", re.compile(r"At (179|180), (149|150): cat"))
    assert page.locator("#best tr").count() == 3
    page.screenshot(path=tmp_path / "page.png")
    page.focus("#picture")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    wait_for(page, "#opinions-title", re.compile(r"At (187|188), (149|150): cat"))

    files = {}
    for button in ("Picture (PNG)", "Labels (PNG)", "JSON", "COCO"):
        with page.expect_download() as started:
            page.get_by_role("button", name=button, exact=True).click()
        files[started.value.suggested_filename] = started.value.path()
    names = ("_overlay.png", "_labels.png", ".json", "_coco.json")
    assert list(files) == [f"chelsea{ending}" for ending in names]
    labels = np.asarray(Image.open(files["chelsea_labels.png"]))
    summary = json.loads(files["chelsea.json"].read_text())
    assert labels.shape == (300, 451) and summary["names"] == ["cat", "sofa", "wall"]
    assert (labels == 0).mean() == pytest.approx(summary["shares"]["cat"])
    coco = json.loads(files["chelsea_coco.json"].read_text())
    assert coco["images"][0]["file_name"] == "chelsea.png"


def test_mistakes_are_sentences_on_the_page_which_goes_on(page, tmp_path) -> None:
    (tmp_path / "notes.jpg").write_text("no image")
    page.set_input_files("#file", tmp_path / "notes.jpg")
    wait_for(page, "#error", "Notes.jpg cannot be read (no image of a known format)")
    (tmp_path / "large.jpg").write_bytes(bytes(33_000_000))
    page.set_input_files("#file", tmp_path / "large.jpg")
    wait_for(page, "#error", "The file has 33.0 MB, and the limit is 32 MB")
    page.set_input_files("#file", photo("coffee"))
    wait_for(page, "#status", "coffee.png")
    page.fill("#words", ",")
    wait_for(page, "#error", "There are no words")
    page.fill("#words", "cup, cup")
    wait_for(page, "#error", "occurs twice")
    page.fill("#words", "<b>cup</b>, table")
    wait_for(page, "#error", "starts with '<'")
    page.fill("#words", "cup<b>x</b>, table")  # a name is text, not a piece of the page
    wait_for(page, "#status", "Named again")
    page.fill("#words", "cup, table")
    wait_for(page, "#legend", "cup")
    assert page.locator("#error").text_content() == ""
    assert page.locator("#legend b").count() == 0


def test_webcam_on_a_phone_in_the_dark(page, app, tmp_path) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme="dark")
    page.fill("#words", "clock, wall")
    page.click("#webcam")
    playwright.expect(page.locator("#video")).to_have_js_property("videoWidth", 640, timeout=WAIT)
    page.click("#snap")
    wait_for(page, "#legend", re.compile("clock|wall"))
    page.screenshot(path=tmp_path / "phone.png", full_page=True)
    width = page.evaluate("() => document.documentElement.scrollWidth")
    assert width == 390  # nothing stands over


def test_every_control_has_a_name(page) -> None:
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, textarea, canvas, video")]
        .filter((one) => !(one.labels?.length || one.textContent.trim() || one.ariaLabel))
        .map((one) => one.id)"""
    )
    assert unnamed == []
