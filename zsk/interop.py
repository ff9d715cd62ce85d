"""Segmentations as other programs take them: supervision, transformers, Label Studio, FiftyOne.

Letters: H x W photo, K names, S segments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

import cv2
import numpy as np
from PIL import Image

from zsk.drawing.palette import fixed_colours
from zsk.errors import UserError
from zsk.segmentation import Segmentation
from zsk.segmenter import Segmenter
from zsk.segments import outlines
from zsk.words import Words, class_words, clean, split_aliases

_NAME, _IMAGE = "label", "image"  # of the tags in Label Studio's labelling configuration


def to_supervision(segmentation: Segmentation) -> Any:
    """`supervision.Detections`, a detection for each segment, the largest first.

    Boxes, masks (S,H,W), confidence (S,), class_id (S,), labels of the segmentation, and
    data["class_name"] (S,).

    Raises:
        UserError: the package supervision is missing.
    """
    try:
        from supervision import Detections
    except ImportError as error:
        raise UserError(
            f"to_supervision needs the package supervision ({error}): pip install supervision"
        ) from error
    segments = segmentation.segments
    return Detections(
        xyxy=np.array([segment.box for segment in segments], np.float32).reshape(-1, 4),
        mask=np.array([s.mask for s in segments], bool).reshape(-1, *segmentation.labels.shape),
        confidence=np.array([segment.score for segment in segments], np.float32),
        class_id=np.array([segment.label for segment in segments], int),
        data={"class_name": np.array([segment.name for segment in segments], str)},
    )


def pipeline(segmenter: Segmenter, class_names: Words, **options: Any) -> Callable[[Any], Any]:
    """A function with the results of the pipeline "image-segmentation" of transformers.

    It takes a photo and gives a list of {"score": float in [0,1], "label": name, "mask": image of
    mode L, 255 inside}, one for each name in it, the largest first; for a list of photos, a list
    of such lists.

    Args:
        class_names, options: as for `Segmenter.__call__`, as are the photos.
    """

    def segment(photos: Any) -> Any:
        several = isinstance(photos, (list, tuple))
        found = segmenter(list(photos) if several else [photos], class_names, **options)
        results = [[_transformers_result(s) for s in one.segments] for one in found]
        return results if several else results[0]

    return segment


def _transformers_result(segment: Any) -> dict[str, Any]:
    mask = Image.fromarray(segment.mask.astype(np.uint8) * 255)
    return {"score": segment.score, "label": segment.name, "mask": mask}


def to_label_studio(
    segmentation: Segmentation, image: str, tolerance: float = 1.0, model: str = "zsk"
) -> dict[str, Any]:
    """A task of Label Studio with predictions: polygons, for `label_studio_config`.

    A polygon for each part of a segment. Holes are filled, and large polygons come first, so that
    what lies in a hole lies on top.

    Args:
        image: where Label Studio finds the photo: an address, or "/data/local-files/?d=…".
        tolerance: pixels by which outlines may be off, for fewer points.
        model: the version of the model that Label Studio shows.
    """
    if not 0 <= tolerance < float("inf"):
        raise UserError(f"tolerance is {tolerance}: give a number of pixels from 0")
    height, width = segmentation.labels.shape
    shared = {
        **{"from_name": _NAME, "to_name": _IMAGE, "type": "polygonlabels"},
        **{"original_width": width, "original_height": height, "image_rotation": 0},
    }
    parts = [
        (segment, np.array(outline, np.float32).reshape(-1, 2))
        for segment in segmentation.segments
        for outline in outlines(segment.mask)
    ]
    parts.sort(key=lambda part: -cv2.contourArea(part[1]))
    result: list[dict[str, Any]] = []
    for number, (segment, outline) in enumerate(parts):
        percent = _simplified(outline, tolerance).astype(float) * [100 / width, 100 / height]
        value = {"points": percent.tolist(), "closed": True, "polygonlabels": [segment.name]}
        result.append({"id": f"region{number}", "score": segment.score, "value": value, **shared})
    scores = [segment.score * segment.area for segment in segmentation.segments]
    areas = sum(segment.area for segment in segmentation.segments)
    prediction = {"model_version": model, "score": sum(scores) / max(1, areas), "result": result}
    return {"data": {_IMAGE: image}, "predictions": [prediction]}


def label_studio_config(names: str | Sequence[str]) -> str:
    """The labelling configuration of a Label Studio project for these names, with their colours."""
    names = _names(names)
    labels = "".join(
        f"<Label value={quoteattr(name)} background='#{bytes(colour).hex()}'/>"
        for name, colour in zip(names, fixed_colours(len(names)))
    )
    photo = f"<Image name='{_IMAGE}' value='${_IMAGE}' zoom='true'/>"
    polygons = f"<PolygonLabels name='{_NAME}' toName='{_IMAGE}'>{labels}</PolygonLabels>"
    return f"<View>{photo}{polygons}</View>"


def _simplified(points: np.ndarray, tolerance: float) -> np.ndarray:
    """(n,2) -> (m,2), 3 <= m <= n; unchanged where less would be no polygon any more."""
    fewer = cv2.approxPolyDP(points, tolerance, True)[:, 0]
    return fewer if len(fewer) >= 3 else points


def fiftyone_mask(segmentation: Segmentation) -> Image.Image:
    """The labels as FiftyOne's `ImageSegmentationDirectory` has them: 0 is no name, k + 1 name k.

    Of mode L; of 16 bits for more than 254 names. `fiftyone_targets` says what the values mean. The
    palette images of `Segmentation.label_png` would be read by their colours.
    """
    count = len(segmentation.names)
    values = np.where(segmentation.labels < count, segmentation.labels + 1, 0)
    return Image.fromarray(values.astype(np.uint8 if count < 255 else np.uint16))


def fiftyone_targets(names: str | Sequence[str]) -> dict[int, str]:
    """Value of `fiftyone_mask` → name, as `dataset.default_mask_targets`."""
    return dict(enumerate(_names(names), 1))


def _names(words: str | Sequence[str]) -> list[str]:
    """Of classes as a segmenter takes them; names in a list, as of a segmentation, may be any."""
    listed = class_words(words) if isinstance(words, str) else words
    return [clean(split_aliases(word)[0]) for word in listed]
