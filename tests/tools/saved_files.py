"""Evaluations on disk for the tests of the report: three classes, numbers worked out by hand."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from zsk.vocabulary import Vocabulary

PETS = Vocabulary(("cat", "dog", "cow"), ("cat", "dog", "cow"), (True, True, False))
# cat 6 of 10, 4 taken for dog; dog 5 of 5; cow (unseen) 1 of 5, 3 taken for cat, 1 for dog
CONFUSION = np.array([[6, 4, 0, 0], [0, 5, 0, 0], [3, 1, 1, 0], [2, 0, 0, 0]], dtype=np.int64)


def a_report(**changes: Any) -> dict[str, Any]:
    """What metrics.json of `CONFUSION` holds, with some keys replaced; None takes a key away."""
    report = {
        "dataset": "pets",
        "images": 2,
        "images_all_ignore": 0,
        "classes": ["cat", "dog", "cow"],
        "unseen": ["cow"],
        "IoU": {"cat": 46.15, "dog": 50.0, "cow": 20.0},
        "Acc": {"cat": 60.0, "dog": 100.0, "cow": 20.0},
        "metrics": {"hIoU": 28.24, "mIoU-seen": 48.08, "mIoU-unseen": 20.0, "pAcc": 60.0},
        "provenance": {
            "config_hash": "c0ffee",
            "git_revision": "abc123",
            "versions": {"torch": "2"},
        },
    }
    return {key: value for key, value in {**report, **changes}.items() if value is not None}


def save_evaluation(folder: Path, conf: np.ndarray | None = CONFUSION, **changes: Any) -> Path:
    """Write a metrics.json, beside it `conf`; the keywords are those of `a_report`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "metrics.json"
    path.write_text(json.dumps(a_report(**changes)))
    if conf is not None:
        np.save(folder / "confusion.npy", conf)
    return path
