"""Slow work says how far it is, quick work says nothing."""

import pytest
from tiny_clip import ColourEncoder

from zsk import progress
from zsk.classification.encoder import TEXT_BATCH


@pytest.mark.parametrize("silent_seconds, said", [(60.0, False), (0.0, True)])
def test_slow_encoding_says_how_far_it_is(monkeypatch, capsys, silent_seconds, said):
    monkeypatch.setattr(progress, "SILENT_SECONDS", silent_seconds)
    assert len(ColourEncoder().encode_text(["red"] * (TEXT_BATCH + 1))) == TEXT_BATCH + 1
    assert ("text embeddings" in capsys.readouterr().err) == said
