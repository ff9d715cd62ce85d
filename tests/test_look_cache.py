"""Looks on disk: small models of every kind, with and without the cache."""

import os
from typing import NamedTuple

import numpy as np
import pytest
import torch
from detectron2.modeling import META_ARCH_REGISTRY
from PIL import Image
from tiny_clip import save_tiny_clip
from tiny_head import tiny_config

from zsk import segmenter as module
from zsk.cli import segment
from zsk.engine import trained_model
from zsk.errors import UserError
from zsk.look_cache import LookCache, on_tensors
from zsk.segmenter import Segmenter

WORDS = "cat, sofa|couch, wall"
TILES = ("TEST.TILES", 64)
VIEWS = ("TEST.AUG.ENABLED", True, "TEST.AUG.MIN_SIZES", (32, 48), "TEST.AUG.MAX_SIZE", 96)
DENSE = ("MODEL.META_ARCHITECTURE", "PerPixelNet", "MODEL.ENSEMBLE.MODE", "clip")
FCN = (*DENSE[:3], "ensemble", "MODEL.SEM_SEG_HEAD.NAME", "TextFCNHead")


@pytest.fixture
def load(monkeypatch, tiny_clip):
    """A segmenter of the tiny network with seeded weights; counts its looks."""

    def load(*opts, seed=0, clip=tiny_clip):
        small = ("INPUT.MIN_SIZE_TEST", 48, "INPUT.MAX_SIZE_TEST", 96, "MODEL.CLIP.NAME", str(clip))
        cfg = tiny_config(*small, *opts)
        monkeypatch.setattr(module, "load_config", lambda *_: cfg)
        monkeypatch.setattr(trained_model, "load_weights", lambda model, path: {})
        monkeypatch.setattr(
            trained_model,
            "build_model",
            lambda cfg: META_ARCH_REGISTRY.get(cfg.MODEL.META_ARCHITECTURE)(cfg),
        )
        torch.manual_seed(seed)
        segmenter = Segmenter(device="cpu")
        look, segmenter.looks = segmenter.model.look, 0

        def counted(images):
            segmenter.looks += len(images)
            return look(images)

        segmenter.model.look = counted
        return segmenter

    return load


def photo(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (50, 90, 3), dtype=np.uint8)


def same(one, other):
    assert np.array_equal(one.labels, other.labels)
    assert np.array_equal(one.confidence, other.confidence)
    assert np.array_equal(one.probabilities(), other.probabilities())


@pytest.mark.parametrize("opts", [(), TILES, VIEWS, DENSE, FCN], ids=str)
def test_labels_are_the_same_and_the_networks_run_once(load, tmp_path, opts):
    segmenter = load(*opts)
    plain = segmenter.look(photo()).segment(WORDS, background="floor")
    segmenter.looks = 0
    for run in range(2):  # of a program
        again = LookCache(segmenter, tmp_path / "looks").look(photo())
        same(again.segment(WORDS, background="floor"), plain)
        assert segmenter.looks == 1
    (found,) = LookCache(segmenter, tmp_path / "looks").together([photo()], WORDS)
    same(found, segmenter.together([photo()], WORDS)[0])
    assert len(list((tmp_path / "looks").iterdir())) == 1


@pytest.mark.slow
def test_what_decides_a_look_and_what_does_not(load, tmp_path):
    LookCache(load(), tmp_path / "looks").look(photo())
    words = ("MODEL.CLIP.PROMPT", "vild", "MODEL.ENSEMBLE.LAMBDA", 0.1, "MODEL.WEIGHTS", "moved")
    same_look = [load(*words), load("SOLVER.MAX_ITER", 7)]
    other_clip = save_tiny_clip(tmp_path / "other.pt", seed=1)
    others = [
        *(load(seed=1), load(clip=other_clip), load("MODEL.CLIP.REGION_MODE", "one_pass")),
        *(load("INPUT.MAX_SIZE_TEST", 80), load("MODEL.ENSEMBLE.MODE", "head"), load(*TILES)),
    ]
    for segmenter in (*same_look, *others):
        LookCache(segmenter, tmp_path / "looks").look(photo())
    assert [segmenter.looks > 0 for segmenter in same_look] == [False, False]
    assert [segmenter.looks > 0 for segmenter in others] == [True] * len(others)
    segmenter = load()
    cache = LookCache(segmenter, tmp_path / "looks")
    for other in (photo(1), photo()[:, ::-1], photo().reshape(90, 50, 3)):
        cache.look(other)
    cache.look(photo())
    assert segmenter.looks == 3


def test_a_damaged_or_foreign_file_is_written_again(load, tmp_path):
    segmenter = load()
    cache = LookCache(segmenter, tmp_path / "looks")
    plain = cache.look(photo()).segment(WORDS)
    (file,) = (tmp_path / "looks").iterdir()
    whole = file.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    other = LookCache(segmenter, tmp_path / "others")
    other.look(photo(1))
    (foreign,) = (tmp_path / "others").iterdir()
    contents = [b"", whole[:-7], bytes(flipped), b"\x80\x04N.", foreign.read_bytes()]
    for number, content in enumerate(contents, 3):
        file.write_bytes(content)
        same(cache.look(photo()).segment(WORDS), plain)
        assert segmenter.looks == number
        assert file.stat().st_size == len(whole)
    cache.look(photo())
    assert segmenter.looks == number


def test_a_folder_that_cannot_be_written(load, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/looks for looks cannot be written"):
        LookCache(segmenter := load(), tmp_path / "file" / "looks")
    cache = LookCache(segmenter, tmp_path / "looks")
    cache.look(photo())
    (file,) = (tmp_path / "looks").iterdir()
    file.unlink()
    os.mkfifo(file)  # is not read: it would never end
    cache.look(photo())
    assert segmenter.looks == 2 and file.is_file()
    file.unlink()
    (file / "in the way").mkdir(parents=True)
    cache.look(photo()).segment(WORDS)
    assert segmenter.looks == 3 and "a look is not kept" in caplog.text


def test_zsk_segment_with_other_words(load, tmp_path, monkeypatch, capsys):
    segmenter = load()
    monkeypatch.setattr(segment, "segmenter_of", lambda arguments: segmenter)
    Image.fromarray(photo()).save(tmp_path / "photo.png")
    options = ["--cache", str(tmp_path / "looks"), "--overwrite", "--output", str(tmp_path / "out")]
    for words in ("cat, sofa", "wall, floor, person"):
        assert segment.main([str(tmp_path / "photo.png"), "--words", words, *options]) == 0
    assert segmenter.looks == 1 and "1 of 1 photos segmented" in capsys.readouterr().out
    found = np.asarray(Image.open(tmp_path / "out" / "photo_labels.png"))
    assert np.array_equal(found, segmenter(photo(), "wall, floor, person").labels)


class Unknown(NamedTuple):
    tensor: torch.Tensor


@pytest.mark.parametrize("unknown", [{1}, Unknown(torch.zeros(1))])
def test_something_unknown_in_a_look_is_no_file(load, unknown, tmp_path, caplog):
    """A model of somebody else may look like that: it works, and nothing is kept."""
    with pytest.raises(TypeError, match=f"a {type(unknown).__name__} in it, which could not be"):
        on_tensors(torch.clone, [torch.zeros(1), unknown])
    segmenter = load()
    segmenter.model.look = lambda images: [(unknown,) for _ in images]
    LookCache(segmenter, tmp_path / "looks").look(photo())
    assert "a look is not kept" in caplog.text
    assert not list((tmp_path / "looks").iterdir())
