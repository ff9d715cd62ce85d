"""Word vectors in the place of a text tower, for systems that look at no image with it.

Letters: K names, E width, the sum of those of the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from zsk.errors import UserError
from zsk.files import user_path

from .encoder import VisionLanguageEncoder
from .word_vectors import WordVectors

PROBE = "person"  # a class of most data sets


class VectorEncoder(VisionLanguageEncoder):
    """Unit rows of one or several files, side by side; texts are bare names.

    Args:
        files: paths with commas between them, see `WordVectors`.

    Raises UserError as `WordVectors` does.
    """

    takes_images = False
    takes_prompts = False

    def __init__(self, files: str) -> None:
        paths = [user_path(name.strip()) for name in files.split(",") if name.strip()]
        if not paths:
            raise UserError(
                "MODEL.CLIP.NAME vectors names no file: give vectors:FILE, or vectors:FILE,FILE"
            )
        self.tables = [WordVectors(path) for path in paths]
        super().__init__(
            embed_dim=sum(table.width for table in self.tables),
            input_size=1,  # as mean and deviation: no image is read
            pixel_mean=(0.0, 0.0, 0.0),
            pixel_std=(1.0, 1.0, 1.0),
            logit_scale=1.0,
        )

    def _text_features(self, texts: Sequence[str]) -> Tensor:
        rows = [torch.from_numpy(table.rows(texts)) for table in self.tables]
        return torch.cat([F.normalize(part, dim=1) for part in rows], dim=1).to(self.device)

    def _image_features(self, crops: Tensor) -> Tensor:
        raise UserError(
            "MODEL.CLIP.NAME vectors has texts only: choose MODEL.ENSEMBLE.MODE head, or a CLIP"
        )

    def probe(self) -> Tensor:
        try:
            return self.encode_text([PROBE])[0]
        except UserError:
            return torch.cat([torch.from_numpy(table.first) for table in self.tables])

    def fingerprint(self) -> str:
        """64 hex digits (SHA-256) of the files."""
        if self._fingerprint is None:
            digest = hashlib.sha256()
            for path in (path for table in self.tables for path in table.files):
                with open(path, "rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            self._fingerprint = digest.hexdigest()
        return self._fingerprint
