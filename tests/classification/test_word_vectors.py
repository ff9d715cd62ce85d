"""Word vectors from files: what a name gets, and what is refused."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_head import tiny_config

from zsk.classification.build import build_encoder
from zsk.classification.word_vectors import WordVectors
from zsk.errors import UserError

ROWS = {"dining": [3.0, 0.0], "table": [1.0, 4.0], "cat": [0.0, 2.0], "TV": [1.0, 1.0]}


def lines(rows=ROWS):
    return "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in rows.items())


def write(folder: Path, kind: str) -> Path:
    """ROWS in one of the forms."""
    path = folder / f"vectors.{kind}"
    names, array = list(ROWS), np.array(list(ROWS.values()), dtype=np.float32)
    if kind == "vec":
        path.write_text(f"4 2\n{lines()}")
    elif kind == "txt":
        path.write_text(lines())
    elif kind == "npz":
        np.savez(path, names=np.array(names), vectors=array)
    elif kind == "pth":
        torch.save({word: torch.tensor(row) for word, row in ROWS.items()}, path)
    else:  # SPNet's: an array, here with names beside it
        path.write_bytes(pickle.dumps(array))
        path.with_suffix(".names.txt").write_text("\n".join(names) + "\n")
    return path


@pytest.mark.parametrize("kind", ["vec", "txt", "npz", "pth", "pkl"])
def test_a_name_has_its_vector_or_the_mean_of_its_words(tmp_path, kind) -> None:
    vectors = WordVectors(write(tmp_path, kind))
    assert vectors.width == 2
    rows = vectors.rows(["dining table", "Cat", "TV", "tv"])
    np.testing.assert_allclose(rows, [[2, 2], [0, 2], [1, 1], [1, 1]])
    np.testing.assert_allclose(vectors.rows(["dining_table"]), [[2, 2]])


def test_a_phrase_and_the_right_case_come_first(tmp_path) -> None:
    (tmp_path / "v.txt").write_text("Polar 1 0\npolar 3 0\nbear 1 0\npolar_bear 0 7\n")
    rows = WordVectors(tmp_path / "v.txt").rows(["polar bear", "polar", "Polar"])
    assert rows.tolist() == [[0, 7], [3, 0], [1, 0]]


def test_vowel_signs_are_parts_of_words(tmp_path) -> None:
    text = "पीने 1 0\nका 0 1\nपानी 0 2\nप 6 6\nन 6 6\nक 6 6\ncafé 1 1\n"
    (tmp_path / "v.txt").write_text(text, encoding="utf-8")
    rows = WordVectors(tmp_path / "v.txt").rows(["पीने का पानी", "cafe\u0301"])
    np.testing.assert_allclose(rows, [[1 / 3, 1], [1, 1]])


def test_words_with_spaces_are_read_over(tmp_path) -> None:
    """GloVe's 840B has such lines."""
    (tmp_path / "v.txt").write_text("bird 1 0\non name@domain.com 5 5\non 0 1\nwire 0 2\n")
    rows = WordVectors(tmp_path / "v.txt").rows(["bird on wire"])
    np.testing.assert_allclose(rows, [[1 / 3, 1]])


def test_several_files_are_unit_rows_side_by_side(tmp_path) -> None:
    (tmp_path / "b.txt").write_text("dining 5\ntable -1\ncat -3\n")
    encoder = build_encoder(f"vectors:{write(tmp_path, 'vec')},{tmp_path / 'b.txt'}")
    rows = encoder.encode_text(["cat", "dining table"])
    half = 2**-0.5
    torch.testing.assert_close(rows, torch.tensor([[0, half, -half], [0.5, 0.5, half]]))
    assert encoder.embed_dim == 3 and encoder.probe().shape == (3,)
    before = encoder.fingerprint()
    (tmp_path / "b.txt").write_text("dining 5\ntable -1\ncat 3\n")
    assert build_encoder(f"vectors:{tmp_path}/vectors.vec,{tmp_path}/b.txt").fingerprint() != before
    with pytest.raises(UserError, match="has texts only"):
        encoder.encode_image(torch.zeros(1, 3, 1, 1))


class Harmful:
    def __reduce__(self):
        return print, ("executed",)


@pytest.mark.parametrize(
    "name, content, words",
    [
        ("v.txt", "cat 1 2\ndog 1\n", "line 2 has 1 numbers, others have 2"),
        ("v.txt", "cat 1 2\ndog 1 x\n", "line 2 is no word and numbers"),
        ("v.txt", "cat 1 2\ndog 0 0\n", "line 2 has a vector that is 0"),
        ("v.txt", "3 2\ncat 1 2\n", "announces 3 words and has 1"),
        ("v.txt", "", "has no vectors"),
        ("v.pkl", np.zeros((2, 3)), "array without names: .* one in each line, into .*v.names.txt"),
        ("v.pkl", {"cat": [1.0], "dog": [1.0, 2.0]}, "of different lengths"),
        ("v.pkl", {"cat": [1.0], "dog": [np.nan]}, "the vector of 'dog' is 0 or not finite"),
        ("v.pkl", Harmful(), "could run code of the file"),
        ("v.npz", "no archive", "damaged or of another kind"),
        ("none.txt", None, "none.txt are no file"),
        ("none.npz", None, "none.npz are no file"),
    ],
)
def test_a_damaged_file_is_one_sentence(tmp_path, capsys, name, content, words) -> None:
    path = tmp_path / name
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        path.write_bytes(pickle.dumps(content))
    with pytest.raises(UserError, match=words):
        WordVectors(path).rows(["dog"])
    assert "executed" not in capsys.readouterr().out


def test_names_beside_an_array_have_to_be_as_many(tmp_path) -> None:
    write(tmp_path, "pkl")
    (tmp_path / "vectors.names.txt").write_text("a\nb\n")
    with pytest.raises(UserError, match=r"2 names .* vectors of shape \(4, 2\)"):
        WordVectors(tmp_path / "vectors.pkl")


def test_tabs_and_a_byte_order_mark_are_read_over(tmp_path) -> None:
    (tmp_path / "v.txt").write_text("cat\t1 2\ndog\t3\t4\n")
    assert WordVectors(tmp_path / "v.txt").rows(["dog"]).tolist() == [[3, 4]]
    write(tmp_path, "pkl")
    names = (tmp_path / "vectors.names.txt").read_text()
    (tmp_path / "vectors.names.txt").write_text("\ufeff" + names)
    first = names.split("\n")[0]
    assert len(WordVectors(tmp_path / "vectors.pkl").rows([first])) == 1


def test_a_word_without_a_vector_is_named_with_its_class(tmp_path) -> None:
    vectors = WordVectors(write(tmp_path, "npz"))
    with pytest.raises(UserError, match="none for potted and plant .of the class 'potted plant'"):
        vectors.rows(["cat", "potted plant"])


def test_prompts_and_images_are_refused(tmp_path) -> None:
    from detectron2.modeling import build_model

    cfg = tiny_config("MODEL.CLIP.NAME", f"vectors:{write(tmp_path, 'txt')}")
    cfg.MODEL.META_ARCHITECTURE = "ZSKNet"
    with pytest.raises(UserError, match="has texts only, but MODEL.ENSEMBLE.MODE ensemble"):
        build_model(cfg)
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.ENSEMBLE.MODE = "PerPixelNet", "clip"
    cfg.MODEL.CLIP.PROMPT = "name"
    with pytest.raises(UserError, match="without dense features"):
        build_model(cfg)
    cfg.MODEL.ENSEMBLE.MODE, cfg.MODEL.SEM_SEG_HEAD.NAME = "head", "SPNetHead"
    cfg.MODEL.CLIP.PROMPT = "single"
    cfg.MODEL.RESNETS.OUT_FEATURES = cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = ["res5"]
    with pytest.raises(UserError, match="PROMPT is single, but .* bare names: choose PROMPT name"):
        build_model(cfg)
