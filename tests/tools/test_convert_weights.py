"""tools/convert_weights.py: published weights give the published numbers; others are refused.

The golden folder's README says how its numbers were made and how near others can come.
"""

import functools
import json
import re
import runpy

import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from published_states import maskformer, resnet, zeros, zsseg, zsseg_adapter
from safetensors.torch import load_file
from tiny_clip import make_tiny_clip

from zsk.classification.clip_encoder import ClipEncoder
from zsk.classification.learned_prompts import load_prompts
from zsk.cli import convert as convert_program
from zsk.conversion.conversion import Options
from zsk.conversion.hf_maskformer import renamed_head
from zsk.conversion.sources import convert
from zsk.engine.checkpoint import load_weights
from zsk.engine.network_settings import check_network_settings
from zsk.errors import UserError
from zsk.load import default_vocabulary, load_config
from zsk.proposals.build import build_stage
from zsk.settings.config_file import flat
from zsk.settings.key_checks import all_keys

SIDES = ("MIN_SIZE_TEST", "MAX_SIZE_TEST")


class Golden:
    """One case: the manifest's settings, arrays by name, and the weights as published."""

    def __init__(self, folder, name, taken=""):
        manifest = json.loads((folder / f"{name}.json").read_text())
        kept = {k: v for k, v in manifest["tensors"].items() if re.match(taken, k)}
        state = runpy.run_path(str(folder / "state.py"))["make_state"](
            {**manifest, "tensors": kept}
        )
        self.state = {key: torch.from_numpy(array) for key, array in state.items()}
        self.settings, self.wrapper = manifest["settings"], manifest["wrapper"]
        self.arrays = None
        if (folder / f"{name}.npz").is_file():
            self.arrays = np.load(folder / f"{name}.npz")

    def __getitem__(self, name):
        return torch.from_numpy(self.arrays[name])

    def save(self, path):
        torch.save({self.wrapper: self.state} if self.wrapper else self.state, path)
        return path


@pytest.fixture
def golden(real_data):
    folder = real_data / "golden"
    if not folder.is_dir():
        pytest.skip(f"the published systems' numbers are not there ({folder})")
    return lambda name, taken="": Golden(folder, name, taken)


def close(ours, theirs, bound=1e-4):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= bound * theirs.abs().max()


def same_labels(model, regions, vocabulary, size, labels, margin):
    """Equal but for pixels whose two best scores are nearly one."""
    ours = model.label(regions, vocabulary, tuple(size.tolist()))
    different = ours != labels.long()
    assert different.float().mean() <= 0.005 and (margin[different] < 2e-3).all()


def converted_model(source, target, *options, opts=()):
    """The model of the written configuration, with the written weights."""
    convert_program.main([str(source), str(target), *map(str, options)])
    cfg = load_config(str(target.with_suffix(".yaml")), opts)
    model = build_model(cfg).eval()
    check_network_settings(cfg, load_weights(model, cfg.MODEL.WEIGHTS), model)
    return model, default_vocabulary(cfg)


def check_zsseg(case, model, vocabulary):
    """From photo to labels; from the stored masks on, where rounding cannot move a crop."""
    assert list(vocabulary.names) == case.settings["class_names"]
    assert [int(seen) for seen in vocabulary.seen] == case.settings["seen"]
    text, photo = model.text_classifier(vocabulary), case["in_image"]
    close(text, case["out_text_embeddings"], 1e-5)
    (regions,) = model.look([photo])
    close(model.sem_seg_head.class_logits(regions.head_embeddings, text), case["out_pred_logits"])
    valid = case["out_valid"]
    assert torch.equal(regions.valid, valid)
    close(model.name(regions, vocabulary).scores, case["out_ensemble"], 1e-2)
    labels, margin = case["out_labels"], case["out_label_margin"]
    same_labels(model, regions, vocabulary, case["in_output_size"], labels, margin)
    bits = np.unpackbits(case.arrays["out_binary_masks_packed"], axis=2)[:, :, : photo.shape[2]]
    embeddings, _ = model.region_encoder(photo, torch.from_numpy(bits) - 0.5)
    regions = regions._replace(clip_embeddings=embeddings)
    if model.region_text_classifier is not None:
        text = model.region_text_classifier(vocabulary)
        close(text, case["out_region_text_embeddings"], 1e-5)
    close((100 * embeddings @ text.T)[valid].softmax(-1), case["out_clip_probs_of_valid"])
    close(model.name(regions, vocabulary).scores, case["out_ensemble"])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["zsseg_voc_single", "zsseg_coco_learned"])
def test_zs_maskformer_gives_its_numbers(golden, tmp_path, name):
    case = golden(name)
    clip = golden("zsseg_clip").save(tmp_path / "clip.pt")
    source = case.save(tmp_path / "published.pth")
    with torch.no_grad():
        opts = ["DATASETS.PROMPT_NAMES", "False"]  # the benchmark's
        check_zsseg(
            case, *converted_model(source, tmp_path / "ours.pth", "--clip", clip, opts=opts)
        )


@pytest.mark.slow
def test_maskformer_gives_its_numbers_in_both_state_versions(golden, tmp_path):
    case = golden("maskformer_r50_ade")
    case.state = {k.replace("pixel_decoder.", ""): v for k, v in case.state.items()}
    source = case.save(tmp_path / "published.pth")
    model, vocabulary = converted_model(source, tmp_path / "ours.pth")
    assert len(vocabulary) == 150 and all(vocabulary.seen)
    for i, regions in enumerate(model.look([case["in_image_0"], case["in_image_1"]])):
        with torch.no_grad():
            logits = model.sem_seg_head.class_logits(regions.head_embeddings, torch.zeros(150, 4))
        close(logits, case["out_pred_logits"][i])
        size, labels = case["in_output_size"][i], case[f"out_labels_{i}"]
        same_labels(model, regions, vocabulary, size, labels, case[f"out_label_margin_{i}"])


@torch.no_grad()
def test_a_stage_of_k_net_gives_its_numbers(golden, tmp_path):
    """Kernels of 512 pass a gate of 256; the stage is built from the written configuration."""
    case, target = golden("knet_512_256"), tmp_path / "ours.safetensors"
    convert_program.main([str(case.save(tmp_path / "published.pth")), str(target)])
    cfg = load_config(str(target.with_suffix(".yaml")))
    weights = load_file(cfg.MODEL.WEIGHTS)
    stage = build_stage(cfg).eval()
    stage.load_state_dict({k.removeprefix("sem_seg_head.stages.0."): v for k, v in weights.items()})
    for kind, masks in (("transform", "in_masks"), ("coarse", "in_coarse_masks")):
        kernels, masks = stage(case["in_features"], case["in_kernels"], case[masks])
        close(kernels, case[f"out_{kind}_kernels"], 1e-5)
        close(masks, case[f"out_{kind}_masks"], 1e-5)
    del case.state["decode_head.kernel_update_head.0.fc_mask.bias"]
    with pytest.raises(UserError, match="lacks 1 tensor of K-Net"):
        convert_program.main([str(case.save(tmp_path / "cut.pth")), str(tmp_path / "cut_ours.pth")])


@pytest.mark.slow
@torch.no_grad()
def test_prompts_of_zsseg_give_its_text_embeddings(golden, tmp_path):
    """Their "." becomes the last vector of the suffix."""
    case, target = golden("zsseg_coco_learned", r"clip_adapter\."), tmp_path / "prompts.pth"
    clip = golden("zsseg_clip").save(tmp_path / "clip.pt")
    source = str(case.save(tmp_path / "published.pth"))
    given = ["--clip", str(clip), "--trained-on", "coco_stuff"]
    convert_program.main([source, str(target), *given])
    encoder = ClipEncoder(str(clip))
    prompts = load_prompts("learned", str(target), encoder)
    assert len(prompts.prefix) == 16 and len(prompts.suffix) == 1 and "cat" in prompts.trained_on
    rows = prompts(encoder, case.settings["class_names"][:20])
    close(rows, case["out_text_embeddings"][:20], 1e-5)


def filled(state):
    """Another value for every tensor, so that exchanged ones show."""
    return {name: torch.full(t.shape, float(i)) for i, (name, t) in enumerate(state.items())}


def test_hugging_faces_names_of_the_backbone():
    """Those of transformers itself, whose parts have the same shapes in the same order."""
    transformers = pytest.importorskip("transformers")
    with torch.device("meta"):
        theirs = transformers.ResNetBackbone(transformers.ResNetConfig()).state_dict()
    state = {
        f"model.pixel_level_module.encoder.{name}": zeros(*t.shape) for name, t in theirs.items()
    }
    weights, dropped = renamed_head(state)
    found, ours = ([(n, t.shape) for n, t in part.items()] for part in (weights, resnet()))
    assert found == ours
    assert all(n.endswith("num_batches_tracked") for names in dropped.values() for n in names)


def test_names_of_hugging_faces_older_versions():
    layer = "model.transformer_module.decoder.layers.0."
    parts = [f"self_attn.{k}_proj" for k in ("q", "k", "v", "out")] + [
        "fc1",
        "encoder_attn.out_proj",
    ]
    weights, _ = renamed_head(filled({f"{layer}{part}.bias": zeros(2) for part in parts}))
    ours = "sem_seg_head.transformer_decoder.layers.0."
    assert weights[ours + "self_attention.in_proj_bias"].tolist() == [0, 0, 1, 1, 2, 2]
    assert weights[ours + "self_attention.out_proj.bias"].tolist() == [3, 3]
    assert weights[ours + "ffn.0.bias"].tolist() == [4, 4]
    assert weights[ours + "cross_attention.out_proj.bias"].tolist() == [5, 5]


def test_the_configuration_follows_the_weights(tmp_path, capsys):
    """A narrow R50c of seven classes: what the file shows, and what is said to be assumed."""
    names = tmp_path / "names.txt"
    names.write_text("a, b, c, d, e, f, g")
    source, target = tmp_path / "published.pth", tmp_path / "ours.pth"
    state = maskformer(classes=7, head=(32, 2, 5, 48), stem=("conv1", "conv2", "conv3"))
    torch.save({"model": state}, source)
    convert_program.main([str(source), str(target), "--names", str(names), "--multi-grid", "1,1,1"])
    printed = capsys.readouterr().out
    assert "RES5_MULTI_GRID [1, 1, 1], as --multi-grid says" in printed
    assert f"converted {len(state) - 1:5}" in printed and "CC BY-NC" in printed
    cfg = load_config(str(target.with_suffix(".yaml")))
    assert (cfg.MODEL.RESNETS.DEPTH, cfg.MODEL.RESNETS.RES5_MULTI_GRID) == (50, [1, 1, 1])
    settings = cfg.MODEL.MASK_FORMER
    assert (settings.NUM_QUERIES, settings.DIM, settings.NUM_LAYERS) == (5, 32, 2)
    assert (settings.DIM_FEEDFORWARD, settings.CONV_DIM, settings.MASK_DIM) == (48, 32, 32)
    assert default_vocabulary(cfg).names == tuple("abcdefg")
    assert cfg.MODEL.WEIGHTS == str(target)
    notes = torch.load(target)["trainer"]["settings"]  # which an evaluation compares
    assert notes["MODEL.RESNETS.RES5_MULTI_GRID"] == [1, 1, 1] and notes["classes"] == [*"abcdefg"]


@pytest.mark.parametrize(
    "seen, file",
    [
        (15, "voc-11k-15/zs_maskformer_R101_bs16_20k.yaml"),
        (156, "coco-stuff-164k-156/zs_maskformer_R101_bs32_60k.yaml"),
    ],
)
def test_the_configurations_of_trainings_build_the_published_network(
    tiny_clip, checkout, seen, file
):
    state = zsseg(make_tiny_clip().state_dict(), seen)
    written = convert(state, Options(clip=str(tiny_clip))).config
    ours = load_config(str(checkout / "configs" / file))
    sections = ("BACKBONE", "RESNETS", "SEM_SEG_HEAD", "MASK_FORMER", "PIXEL_MEAN", "PIXEL_STD")
    for parts, value in flat({part: written["MODEL"][part] for part in sections}):
        assert functools.reduce(getattr, parts, ours.MODEL) == value, parts
    assert ours.MODEL.ENSEMBLE.LAMBDA == written["MODEL"]["ENSEMBLE"]["LAMBDA"]
    for section, keys in {"DATASETS": ("TRAIN", "TEST"), "INPUT": SIDES}.items():
        assert all(all_keys(ours)[f"{section}.{key}"] == written[section][key] for key in keys)


def test_separate_prompts_and_context_of_coop(tiny_clip):
    clip_file = str(tiny_clip)
    state = make_tiny_clip().state_dict()
    whole = zsseg(state, seen=156) | zsseg_adapter("_region_clip_adapter.", state)
    learner = "_region_clip_adapter.prompt_learner."
    whole[learner + "suffix_prompt"], whole[learner + "dot_signal"] = zeros(2, 64), zeros(1, 64)
    conversion = convert(whole, Options(clip=clip_file))
    assert conversion.config["MODEL"]["CLIP"]["REGION_PROMPT"] == "learned"
    assert any("PROMPT vild" in sentence for sentence in conversion.assumed)
    (prompts,) = conversion.prompts.values()
    assert prompts.prefix.shape == (0, 64) and prompts.suffix.shape == (3, 64)
    context = torch.randn(4, 64)
    conversion = convert({"prompt_learner.ctx": context}, Options(clip=clip_file))
    (prompts,) = conversion.prompts.values()
    assert torch.equal(prompts.prefix, context)
    assert torch.equal(prompts.suffix, ClipEncoder(clip_file).embed_tokens(".")[1:-1])
