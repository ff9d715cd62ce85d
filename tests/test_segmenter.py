"""The segmenter around a model of three lines: what goes in, what comes out, what is refused."""

import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from halves import use_halves
from PIL import ExifTags, Image
from pycocotools import mask as mask_util
from tiny_head import tiny_config
from torch import nn

from zsk import segmenter as module
from zsk.engine import trained_model
from zsk.engine.checkpoint import load_weights
from zsk.errors import UserError
from zsk.load import config_path
from zsk.segmenter import DEFAULT_CONFIG, Segmenter
from zsk.segments import Opinion
from zsk.vocabulary import Vocabulary


@pytest.fixture
def calls(monkeypatch):
    """See `use_halves`."""
    return use_halves(monkeypatch, "Cat")


@pytest.fixture
def segmenter(calls):
    return Segmenter(device="cpu")


def photo(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_defaults_are_the_embedded_model_and_the_weights_it_names(calls, tmp_path, monkeypatch):
    segmenter = Segmenter()
    assert calls["config_file"] == str(DEFAULT_CONFIG)
    assert (calls["weights"], calls["training"]) == ("default.pth", False)
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert segmenter.cfg.MODEL.DEVICE == expected
    opts = ["MODEL.WEIGHTS", "theirs.pth", "MODEL.DEVICE", "cuda:9"]  # arguments win over them
    segmenter = Segmenter("a.yaml", "mine.pth", "cpu", opts)
    assert calls["config_file"] == "a.yaml" and calls["weights"] == "mine.pth"
    assert segmenter.cfg.MODEL.DEVICE == "cpu"
    for arguments in (("zsk_lite2",), (None, "zsk_lite2")):
        Segmenter(*arguments, device="cpu")
        assert calls["config_file"] == str(DEFAULT_CONFIG) and calls["weights"] == "zsk_lite2"
    monkeypatch.chdir(tmp_path)  # a configuration of the package needs no path to it
    Segmenter("configs/embedded/zsk_lite2.yaml", device="cpu")
    assert config_path(calls["config_file"]) == str(DEFAULT_CONFIG)


def test_a_photo_with_words(segmenter):
    segmentation = segmenter(photo(50, 100), "cat, sofa")
    assert segmentation.labels.shape == (50, 100) and segmentation.labels.dtype == np.int64
    assert segmentation.shares() == {"cat": 0.5, "sofa": 0.5}
    assert segmentation.vocabulary == Vocabulary(("cat", "sofa"), ("cat", "sofa"), (True, False))
    (image,) = segmenter.model.images
    assert image.shape == (3, 64, 128) and image.dtype == torch.uint8
    assert segmenter(photo(4, 4), ["cat", "sofa"]).vocabulary == segmentation.vocabulary
    vocabulary = Vocabulary(("tvmonitor",), ("television",), (True,))
    assert segmenter(photo(4, 4), vocabulary).vocabulary is vocabulary


def test_other_spellings_of_a_trained_name_are_seen_and_logged(segmenter, caplog):
    with caplog.at_level(logging.INFO, logger="zsk.segmenter"):
        vocabulary = segmenter.vocabulary(["cats", "sofa"])
    assert vocabulary.seen == (True, False) and vocabulary.spellings == (("cats", "Cat"),)
    assert '"cats" counts as the trained class "Cat"' in caplog.text


@pytest.fixture
def many_switches():
    """Threads take turns after microseconds."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.parametrize("mode", ["one_pass", pytest.param("crop", marks=pytest.mark.slow)])
def test_threads_may_share_it(calls, monkeypatch, tiny_clip, many_switches, mode):
    opts = ["MODEL.META_ARCHITECTURE", "ZSKNet", "MODEL.CLIP.REGION_MODE", mode]
    opts += ["MODEL.CLIP.NAME", str(tiny_clip), "MODEL.WEIGHTS", "x"]
    opts += ["INPUT.MIN_SIZE_TEST", 48, "INPUT.MAX_SIZE_TEST", 96]
    monkeypatch.setattr(module, "load_config", lambda *_: tiny_config(*opts))
    monkeypatch.setattr(trained_model, "build_model", build_model)
    images = [photo(20 + 9 * number, 40) for number in range(3)]
    torch.manual_seed(0)
    shared = Segmenter(device="cpu")
    torch.manual_seed(0)
    alone = Segmenter(device="cpu")
    asked = [(n % 3, [f"word {w} of {n // 2 % 12}" for w in range(5)]) for n in range(48)]

    looked_at = shared.look(images[0])

    def answer(request):
        number, words = request
        return shared(images[number], words).labels, looked_at.segment(words).labels

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(answer, asked))
    expected = [alone.look(image) for image in images]
    for (number, words), (whole, again) in zip(asked, found):
        assert np.array_equal(whole, expected[number].segment(words).labels)
        assert np.array_equal(again, expected[0].segment(words).labels)


def test_a_linear_classifier_takes_its_own_names_only(calls, monkeypatch):
    own = Vocabulary(("a", "sofa, couch"), ("a", "sofa"), (True, False))
    monkeypatch.setattr(module, "default_vocabulary", lambda cfg: own)
    segmenter = Segmenter(device="cpu", opts=["MODEL.SEM_SEG_HEAD.CLASSIFIER", "linear"])
    assert segmenter.vocabulary(own) == own
    # either spelling is asked for as the training asked
    assert segmenter.vocabulary(Vocabulary.from_words(["a", "sofa"])).seen == own.seen
    typed = Vocabulary(own.names, ("an a", "sofa, couch"), (True, True))
    assert segmenter.vocabulary(typed) == own
    for names in (
        "a, cat",
        ["sofa", "a"],
        ["a", "sofa|bed"],
        "a, sofa, cat",
        Vocabulary.from_words("b, c"),
    ):
        with pytest.raises(UserError, match="knows only its own 2 classes, in their order"):
            segmenter.vocabulary(names)


def test_several_photos_in_one_call(segmenter):
    one, other = segmenter.together([photo(5, 10), photo(8, 4)], "cat, sofa, wall")
    assert segmenter.model.calls == [2]
    assert one.labels.shape == (5, 10) and other.labels.shape == (8, 4)
    assert one.vocabulary is other.vocabulary and other.shares()["wall"] == 0.5
    assert segmenter.together([], "cat") == []


@pytest.mark.parametrize("height, width", [(1, 1), (1, 3000), (3000, 1)])
def test_one_pixel_is_enough(segmenter, height, width):
    assert segmenter(photo(height, width), "cat").labels.shape == (height, width)
    assert min(segmenter.model.images[0].shape) >= 1


@pytest.mark.parametrize(
    "image, message",
    [
        (np.full((4, 4, 3), 1.5), r"from 1.5 to 1.5: divide by 255"),
        (np.full((4, 4, 3), np.nan, dtype=np.float32), r"from nan to nan"),
        (np.zeros((4, 4, 3), dtype=np.int64), "int64"),
        (np.ma.array(np.zeros((4, 4, 3), dtype=np.uint8), mask=True), "must not be a masked array"),
        (Path("missing.jpg"), "missing.jpg does not exist"),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), "Tensor"),
        (np.zeros((4, 4, 4), dtype=np.uint8), r"\(4, 4, 4\)"),
        (np.zeros((3, 4, 4), dtype=np.uint8), r"\(3, 4, 4\)"),
        (np.zeros((1, 4, 4, 3), dtype=np.uint8), r"\(1, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), dtype=np.uint8), "at least one pixel"),
        (Image.new("RGB", (0, 5)), "PIL image has no pixel"),
    ],
)
def test_other_images_are_refused(segmenter, image, message):
    with pytest.raises(UserError, match=message):
        segmenter(image, "cat")


@pytest.mark.parametrize("device", ["mps", "xpu", "cuda:99", "no-such-device"])
def test_a_device_that_is_not_there_is_refused(device):
    with pytest.raises(UserError, match=f"device '{device}' cannot be used"):
        Segmenter(device=device)


def test_no_weights_are_refused_unless_the_model_has_none_of_its_own(calls, monkeypatch):
    assert Segmenter(device="cpu", weights="")(photo(4, 4), "cat").shares() == {"cat": 1.0}
    assert Segmenter(device="cpu", weights="").vocabulary("cat").seen == (False,)
    monkeypatch.setattr(trained_model, "build_model", lambda cfg: nn.Linear(1, 1))
    monkeypatch.setattr(trained_model, "load_weights", load_weights)
    with pytest.raises(UserError, match="no weights"):
        Segmenter(device="cpu", weights="")


def test_photos_of_all_kinds_are_one(segmenter, tmp_path):
    array = photo(6, 8)
    Image.fromarray(array).save(tmp_path / "a.png")
    kinds = [array, array / 255, (array / 255).astype(np.float32), Image.fromarray(array)]
    kinds += [tmp_path / "a.png", str(tmp_path / "a.png")]
    for found in segmenter(kinds, "cat"):
        assert np.array_equal(found.image, array)
    grey = array[:, :, 0]
    assert np.array_equal(segmenter.look(grey).image, np.stack([grey] * 3, axis=2))
    reused = array.copy()
    looked_at = segmenter.look(reused)
    reused[:] = 0
    assert np.array_equal(looked_at.image, array)
    turned = Image.fromarray(array)
    turned.getexif()[ExifTags.Base.Orientation] = 3  # upside down
    assert np.array_equal(segmenter.look(turned).image, array[::-1, ::-1])


def test_background_by_threshold_and_by_name(segmenter):
    looked_at = segmenter.look(photo(2, 4))
    found = looked_at.segment("cat, sofa", threshold=0.5)
    assert found.labels.tolist() == [[0, 0, 255, 255]] * 2 and found.background == 255
    assert found.shares() == {"cat": 0.5, "sofa": 0.0} and len(found.segments) == 1
    np.testing.assert_allclose(found.confidence, [[0.9, 0.9, 0.4, 0.4]] * 2, rtol=1e-6)
    named = looked_at.segment("cat", background="none of these|wall")
    assert named.names == ("cat",) and named.labels.tolist() == [[0, 0, 255, 255]] * 2
    np.testing.assert_allclose(named.probabilities(), [[[0.9, 0.9, 0.0, 0.0]] * 2], rtol=1e-6)
    assert named.at(3, 0) == (Opinion("cat", 0.0, None, None),)
    assert segmenter.model.vocabulary.seen == (True, False)
    looked_at.segment("tree", background="wall|cats")  # a trained word counts as such here, too
    asked = segmenter.with_background(segmenter.vocabulary("tree"), "wall|cats")
    assert asked.notes()[0] == '"cats" counts as the trained class "Cat"'
    assert segmenter.model.vocabulary.seen == (False, True)
    everything = looked_at.segment("cat", threshold=1.0)
    assert segmenter.model.calls == [1]
    assert everything.segments == () and everything.shares() == {"cat": 0.0}
    assert everything.picture().mode == "RGB" and "background" in repr(everything)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"threshold": 1.5}, r"threshold is 1.5, but has to be a number in \[0, 1\]"),
        ({"threshold": "0.5"}, "threshold is '0.5'"),
        ({"threshold": None}, "threshold is None"),
        ({"threshold": True}, "threshold is True"),
        ({"lam": np.array([0.5])}, "lam is array"),
        ({"lam": float("nan")}, "lam is nan"),
        ({"background": "wall, floor"}, "'wall, floor' has 2 names"),
        ({"background": "wall|cats"}, "the background 'cats' is the name 'cat', too"),
        ({"background": " "}, "the background ' ': a vocabulary needs at least one class"),
    ],
)
def test_options_that_cannot_be_meant(segmenter, options, message):
    with pytest.raises(UserError, match=message):
        segmenter(photo(4, 4), "cat", **options)


def test_lambda_is_passed_on_where_there_is_an_ensemble(segmenter):
    segmenter(photo(4, 4), "cat", lam=0.25)
    assert segmenter.model.lam == 0.25
    alone = Segmenter(device="cpu", opts=["MODEL.ENSEMBLE.MODE", "clip"])
    with pytest.raises(UserError, match="MODEL.ENSEMBLE.MODE clip"):
        alone(photo(4, 4), "cat", lam=0.25)


def test_segments_files_and_coco(segmenter, tmp_path):
    found = segmenter(photo(4, 6), "cat, dog, sofa")
    cat, sofa = found.segments
    assert (cat.name, cat.label, cat.area, cat.box) == ("cat", 0, 12, (0, 0, 3, 4))
    assert (sofa.name, sofa.box) == ("sofa", (3, 0, 6, 4)) and sofa.score == pytest.approx(0.4)
    assert [opinion.name for opinion in cat.opinions] == ["cat", "dog", "sofa"]
    files = found.save(tmp_path / "new", "a", {"image": "a.jpg"})
    assert [file.name for file in files] == ["a_overlay.png", "a_labels.png", "a.json"]
    saved = json.loads(files[2].read_text())
    assert saved["names"] == ["cat", "dog", "sofa"] and saved["image"] == "a.jpg"
    assert saved["segments"][1]["box"] == [3, 0, 6, 4]
    assert np.array_equal(np.asarray(Image.open(files[1])), found.labels)

    coco = found.to_coco(file_name="a.jpg")
    assert [a["category_id"] for a in coco["annotations"]] == [1, 3]
    assert coco["annotations"][1]["bbox"] == [3, 0, 3, 4]
    decoded = mask_util.decode(coco["annotations"][0]["segmentation"])
    assert np.array_equal(decoded, found.labels == 0)
    ((outline,),) = [a["segmentation"] for a in found.to_coco(True)["annotations"][:1]]
    assert sorted(zip(outline[::2], outline[1::2])) == [
        (0.25, 0.25), (0.25, 3.75), (2.75, 0.25), (2.75, 3.75),
    ]  # fmt: skip
    json.dumps(coco)
    found.save(tmp_path / "new", "a", {"image": "a.jpg"}, coco=True)
    found.save(tmp_path / "new", "a", {"image": "a.jpg"})
    assert not (tmp_path / "new/a_coco.json").exists()  # that of other words would stay
    with pytest.raises(UserError, match="origin cannot be written as JSON"):
        found.save(tmp_path / "new", "a", {"t": np.float32(1)})
    with pytest.raises(UserError, match="origin cannot be written as JSON"):
        found.save(tmp_path / "new", "a", {"t": float("nan")})
    before = (tmp_path / "new/a_labels.png").read_bytes()
    with pytest.raises(UserError, match="opacity"):
        segmenter(photo(4, 6), "cat").save(tmp_path / "new", "a", opacity=2)
    assert (tmp_path / "new/a_labels.png").read_bytes() == before
    assert (tmp_path / "new/a.json").is_file()
    found.save(tmp_path / "new", "c", {"names": ["x"], "who": "me"})
    saved = json.loads((tmp_path / "new" / "c.json").read_text())
    assert saved["names"] == ["cat", "dog", "sofa"] and saved["who"] == "me"  # results stay
    with pytest.raises(UserError, match='COCO.s format needs the name .* origin={"image"'):
        found.save(tmp_path / "new", "a", {"image": None}, coco=True)
    Image.fromarray(photo(4, 6)).save(tmp_path / "file.png")
    of_file = segmenter(tmp_path / "file.png", "cat")
    of_file.save(tmp_path / "new", "b", coco=True)
    coco = json.loads((tmp_path / "new" / "b_coco.json").read_text())
    assert coco["images"][0]["file_name"] == "file.png"
    saved = json.loads((tmp_path / "new" / "b.json").read_text())
    assert saved["image"] == str(tmp_path / "file.png") and saved["weights"] == "default.pth"
    for stem in ("a/b", "a\0b"):
        with pytest.raises(UserError, match="is no name of a file"):
            found.save(tmp_path, stem)


def test_a_pixel_outside_of_the_photo_is_refused(segmenter):
    found = segmenter(photo(4, 6), "cat, sofa")
    assert found.at(5, 3)[0].name == "sofa"
    with pytest.raises(UserError, match=r"\(6, 0\) is not on the photo of 6x4 pixels"):
        found.at(6, 0)
    with pytest.raises(UserError, match=r"\(0, 4\) is not on"):
        found.at(0, 4)
    with pytest.raises(UserError, match=r"\(1.5, 0\) is not on"):
        found.at(1.5, 0)
    for best in (0, -1, 2.5):
        with pytest.raises(UserError, match=f"best is {best}"):
            found.at(0, 0, best=best)


@pytest.mark.parametrize("size", [(0, 5), (5, -3), (5.0, 5.0), (5,)])
def test_a_size_that_none_can_have_is_refused(segmenter, size):
    look = segmenter.look(photo(4, 6))
    with pytest.raises(UserError, match="is not two whole numbers"):
        look.probabilities("cat, sofa", size=size)
