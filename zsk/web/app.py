"""What the page asks for, as plain functions of texts and numbers; `zsk.web.server` speaks HTTP.

Letters: H x W photo, K names.
"""

from __future__ import annotations

import io
import json
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from zsk.data.images import displayed, explained
from zsk.drawing.overlay import OPACITY
from zsk.drawing.palette import colours_for
from zsk.drawing.region_names import places
from zsk.load import default_vocabulary, has_fixed_classes
from zsk.segmentation import RESULT_ENDINGS, Segmentation
from zsk.segmenter import ClassNames, Segmenter
from zsk.web.photos import Entry, Photos, Refused
from zsk.words import SEPARATORS, class_words

MAX_SIDE = 1024  # pixels; the votes of larger photos take too long for an answer while typing
MAX_PIXELS = 64_000_000  # of an upload, which takes 3 bytes a pixel several times while it is read
MAX_WORDS = 200
MAX_CHARACTERS = 100_000
MAX_NUMBER = 1e9
_BETWEEN = re.compile(f"[|｜{SEPARATORS}]")
# not all that Pillow knows: some of its readers start other programs
Image.init()
FORMATS: list[str] = [
    kind
    for kind in ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "AVIF")
    if kind in Image.OPEN  # AVIF is missing in some builds
]


class App:
    """One model for all browsers, which takes turns. `segmenter` is None while it is loaded."""

    def __init__(self, segmenter: Segmenter | None = None) -> None:
        self.segmenter = segmenter
        self.photos = Photos()
        self._turn = threading.Lock()  # for the memory as much as for the network

    def model(self) -> dict[str, Any]:
        """What the page has to know of the model: whether it is there, and its options."""
        if self.segmenter is None:
            return {"ready": False}
        model = self.segmenter.cfg.MODEL
        fixed = has_fixed_classes(self.segmenter.cfg)
        words = ", ".join(default_vocabulary(self.segmenter.cfg).names) if fixed else ""
        ensemble = model.ENSEMBLE.MODE == "ensemble"
        title = ", ".join(
            filter(None, [Path(model.WEIGHTS).stem, f"CLIP {_without_place(model.CLIP.NAME)}"])
        )
        return {
            **{"ready": True, "title": title, "words": words},
            **{"lam": model.ENSEMBLE.LAMBDA if ensemble else None, "opacity": OPACITY},
        }

    def look(self, content: bytes, file_name: str = "", instead: str = "") -> dict[str, Any]:
        """Read a photo and run the network on it, once; `instead` is the key of one it replaces.

        Raises:
            UserError: the file is no photo, or too large.
        """
        segmenter = self._ready()
        stored_name = file_name.replace("\\", "/").rpartition("/")[2] or "the photo"
        name = _plain(stored_name)
        with self._turn:
            image, stored_size = _read_photo(content, name)
            photo = segmenter.look(image)
        key = self.photos.add(Entry(photo, stored_name), instead)
        note = f"scaled down from {stored_size[0]}x{stored_size[1]} pixels" if stored_size else ""
        return {"photo": key, "height": photo.size[0], "width": photo.size[1], "note": note}

    def segment(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Labels for other words; only naming is done again.

        Args:
            asked: "photo", "words", "background" (may be empty), "threshold", "lam" (may be None).

        Returns:
            the K names with colour, share and a point inside; "runs", the label map row by row as
            label, length, label, length, …, where labels from K on are background.

        Raises:
            UserError: there is no word, or too many; a number is out of its range.
        """
        segmenter = self._ready()
        entry = self.photos[_text(asked, "photo")]
        words = self._class_names(_text(asked, "words"))
        background = _text(asked, "background").strip() or None
        if background:
            _check_amount(background, "words for the background")
        threshold, lam = _number(asked, "threshold") or 0.0, _number(asked, "lam")
        with self._turn:
            found = entry.photo.segment(words, background=background, threshold=threshold, lam=lam)
            entry.found = found
        notes = segmenter.with_background(found.vocabulary, background).notes()
        if len(found.names) == 1 and not background and not threshold:
            notes.append(
                f'"{found.names[0]}" is the only name, so every pixel gets it: give words for the '
                "background"
            )
        return {"names": _names(found), "runs": _runs(found.labels), "notes": notes}

    def at(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """The name at a pixel, and the best five names with the opinions of head and CLIP.

        Args:
            asked: "photo", "x", "y".

        Raises:
            UserError: the pixel is not on the photo, or the photo has no words yet.
        """
        entry = self._found(_text(asked, "photo"))
        x, y = (int(_number(asked, axis) or 0) for axis in "xy")
        with self._turn:  # the words may change before it
            found = entry.found
            opinions = [vars(opinion) for opinion in found.at(x, y)]
        label = int(found.labels[y, x])
        return {"name": found.names[label] if label < len(found.names) else None, "best": opinions}

    def photo(self, key: str) -> bytes:
        """The photo as a JPEG file, as the model sees it."""
        return _encoded(Image.fromarray(self.photos[key].photo.image), "JPEG", quality=92)

    def result(self, key: str, ending: str, opacity: str = "") -> bytes:
        """A file as `zsk segment` writes it; `ending` is one of RESULT_ENDINGS.

        Raises:
            UserError: the photo has no words yet, or `opacity` is no number in [0,1].
        """
        entry = self._found(key)
        picture, labels, coco, _ = RESULT_ENDINGS
        with self._turn:
            if ending == picture:
                return _encoded(entry.found.picture(opacity=_opacity(opacity)), "PNG")
            if ending == labels:
                return _encoded(entry.found.label_png(), "PNG")
            if ending == coco:
                return _json(entry.found.to_coco(file_name=entry.file_name))
            summary = entry.found.summary()
            for key in ("config", "weights", "clip"):
                summary[key] = _without_place(summary[key])
            summary["opts"] = [_without_place(word) for word in summary["opts"]]
            return _json(summary | {"image": entry.file_name})

    def _class_names(self, text: str) -> ClassNames:
        """What the text says; of a model with classes of its own, those that the page shows."""
        cfg = self._ready().cfg
        if has_fixed_classes(cfg) and text == ", ".join(default_vocabulary(cfg).names):
            return default_vocabulary(cfg)
        return _words(text)

    def _ready(self) -> Segmenter:
        if self.segmenter is None:
            raise Refused("the model is still being loaded: wait some seconds", status=503)
        return self.segmenter

    def _found(self, key: str) -> Any:
        """The entry of a photo that has words."""
        entry = self.photos[key]
        if entry.found is None:
            raise Refused("the photo has no words yet: type some first")
        return entry


def _read_photo(content: bytes, name: str) -> tuple[np.ndarray, tuple[int, int] | None]:
    """(H,W,3) uint8 of MAX_SIDE at most, and the size (W,H) as stored where that was larger."""
    with explained(name), Image.open(io.BytesIO(content), formats=FORMATS) as stored:
        if (pixels := stored.width * stored.height) > MAX_PIXELS:
            raise Refused(
                f"{name} has {pixels / 1e6:.4g} million pixels, and the limit is "
                f"{MAX_PIXELS / 1e6:.4g} million: scale it down",
                status=413,
            )
        image = Image.fromarray(displayed(stored, name)[0])
    size = image.size
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    return np.asarray(image), size if size != image.size else None


def _without_place(text: str) -> str:
    """A name with the folders of this machine cut off, which are no matter of a browser."""
    if os.path.exists(text):
        return Path(text).name
    if text.startswith("open_clip:") and os.path.exists(text.removeprefix("open_clip:")):
        return f"open_clip:{Path(text.removeprefix('open_clip:')).name}"
    if text.startswith(("hf://", "https://", "open_clip:")):  # an entry of a hub
        return re.sub(r"(?<![^:,])(?!//)[/~.][^:,]*/", "", text)
    if re.fullmatch(r"ViT-\w/\d+(@\w+)?", text):  # OpenAI's
        return text
    return re.sub(r"[^\s'\"\[(,:]*/", "", text)  # also in a list


def _plain(name: str) -> str:
    """A file's name for a sentence."""
    return "".join(c for c in name if c.isprintable())[:100] or "the photo"


def _words(text: str) -> list[str]:
    if not text.strip(" ,;\n"):
        raise Refused("there are no words: type some with commas between them, such as cat, sofa")
    _check_amount(text, "words")
    return class_words(text)


def _check_amount(text: str, what: str) -> None:
    """Aliases count, too: each is encoded."""
    if len(text) > MAX_CHARACTERS:
        raise Refused(f"the {what} have over {MAX_CHARACTERS:,} characters: give fewer")
    words = (word for line in text.splitlines() for word in _BETWEEN.split(line))
    count = sum(bool(word.strip()) for word in words)
    if count > MAX_WORDS:
        raise Refused(
            f"there are {count:,} {what}, and the page takes at most {MAX_WORDS}: give fewer, or "
            "use zsk segment"
        )


def _text(asked: Mapping[str, Any], key: str) -> str:
    value = asked.get(key)
    if not isinstance(value, str):
        raise Refused(f"the request has no text {key!r}")
    return value


def _number(asked: Mapping[str, Any], key: str) -> float | None:
    value = asked.get(key)
    if value is not None and not (isinstance(value, (int, float)) and abs(value) < MAX_NUMBER):
        raise Refused(f"{key!r} is no number in the request")
    return value


def _opacity(text: str) -> float:
    try:
        return float(text or OPACITY)
    except ValueError:
        raise Refused("the opacity is no number") from None


def _names(found: Segmentation) -> list[dict[str, Any]]:
    """Of each name, in their order: colour, share, and a point inside or None."""
    known = np.where(found.labels < len(found.names), found.labels, -1)
    points = {label: (int(x), int(y)) for label, (x, y) in places(known)}
    named, shares = set(points), found.shares()
    for label in np.unique(known[known >= 0]).tolist():  # those too small for a name in the picture
        row, column = divmod(int((known == label).argmax()), known.shape[1])
        points.setdefault(label, (column, row))
    return [
        {
            **{"name": name, "colour": colour, "share": shares[name]},
            **{"point": points.get(label), "named": label in named},
        }
        for label, (name, colour) in enumerate(
            zip(found.names, colours_for(found.labels, len(found.names)).tolist())
        )
    ]


def _runs(labels: np.ndarray) -> list[int]:
    """(H,W) → label, length, label, length, … in the order of the pixels."""
    flat = labels.ravel()
    starts = np.concatenate([[0], np.flatnonzero(np.diff(flat)) + 1])
    lengths = np.diff(np.append(starts, len(flat)))
    return np.stack([flat[starts], lengths], axis=1).ravel().tolist()


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def _json(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
