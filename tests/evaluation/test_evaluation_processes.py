"""Two processes over gloo give the same report, byte for byte, as one."""

import os

import numpy as np
import pytest
import torch
from PIL import Image
from torch import distributed, multiprocessing

from zsk.data.register import register_zero_shot_split
from zsk.errors import UserError
from zsk.evaluation.prediction_dump import PredictionDump
from zsk.evaluation.proposal_recall import ProposalRecall
from zsk.evaluation.zero_shot_evaluator import ZeroShotEvaluator
from zsk.vocabulary import Vocabulary

VOCABULARY = Vocabulary(("cat", "dog", "cow"), ("cat", "dog", "cow"), (True, True, False))
NAME = "process_test"


def run_evaluators(folder, indices, output_dir):
    """Evaluate the images with these numbers; predictions and masks depend on the number only."""
    register_zero_shot_split(NAME, folder, folder, VOCABULARY, training=False)
    labels = ZeroShotEvaluator(NAME, output_dir, cell_stride=2)
    proposals = ProposalRecall(NAME)
    dump = PredictionDump(output_dir, ["rle"], VOCABULARY)
    for index in indices:
        generator = torch.Generator().manual_seed(index)
        output = {
            "pred_labels": torch.randint(0, 3, (6, 5), generator=generator),
            "pred_cells": torch.randint(0, 3, (3, 3), generator=generator),
            "pred_masks": torch.randn(4, 3, 3, generator=generator),
            "photo_box": None,
        }
        label = os.path.join(folder, f"{index}.png")
        record = {"file_name": f"{index}.jpg", "sem_seg_file_name": label, "height": 6, "width": 5}
        record["photo_orientation"] = 1
        record |= {"vocabulary": VOCABULARY, "image_id": str(index)}
        for evaluator in (labels, proposals, dump):
            evaluator.process([record], [output])
    return labels.evaluate(), proposals.evaluate(), dump.evaluate()


def worker(rank, folder, cases, results):
    torch.set_num_threads(1)
    place = f"file://{folder}/rendezvous"
    distributed.init_process_group("gloo", init_method=place, rank=rank, world_size=2)
    for name, shares in cases.items():
        try:
            results[name, rank] = run_evaluators(folder, shares[rank], os.path.join(folder, name))
        except UserError as error:
            results[name, rank] = str(error)
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path, empty_catalogs):
    cases = {"odd": ([0, 1], [2]), "none": ([0, 1, 2], []), "padded": ([0, 1], [2, 0])}
    rng = np.random.default_rng(3)
    for index in range(3):
        gt = rng.choice([0, 1, 2, 255], (6, 5)).astype(np.uint8)
        Image.fromarray(gt).save(tmp_path / f"{index}.png")
    with multiprocessing.Manager() as manager:
        results = manager.dict()
        multiprocessing.spawn(worker, (str(tmp_path), cases, results), nprocs=2)
        results = dict(results)
    alone = run_evaluators(str(tmp_path), [0, 1, 2], str(tmp_path / "alone"))
    for name in ("odd", "none"):
        assert results[name, 0] == alone and results[name, 1] == (None, None, None)
        for file in ("metrics.json", "confusion.npy", "predictions.json"):
            expected = (tmp_path / "alone" / file).read_bytes()
            assert (tmp_path / name / file).read_bytes() == expected
    # one image cannot be taken out of a sum again: both processes refuse
    assert results["padded", 0] == results["padded", 1]
    assert "0.png was evaluated by more than one process" in results["padded", 0]
