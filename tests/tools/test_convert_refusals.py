"""What tools/convert_weights.py cannot convert is refused before anything is written."""

import pytest
import torch
from published_states import maskformer, zeros, zsseg, zsseg_adapter
from tiny_clip import make_tiny_clip

from zsk.cli import convert as convert_program
from zsk.conversion.conversion import Options
from zsk.conversion.files import missing_weights
from zsk.conversion.sources import convert
from zsk.errors import UserError

FFN, INT = "transformer_module.decoder.layers.0.", torch.int8
PIXELS = "sem_seg_head.pixel_decoder."


def changed(**others):
    """MaskFormer with other tensors; two underscores stand for a dot."""
    return maskformer() | {name.replace("__", "."): tensor for name, tensor in others.items()}


STATES = {
    "those of no model": lambda: {
        f"layers.{i}.weight": tensor for i, tensor in enumerate(maskformer().values())
    },
    # a Swin Transformer, two states of MaskFormer for panoptic segmentation, a per-pixel baseline
    "blocks.0.attn.qkv.weight, which the published network has not": lambda: changed(
        backbone__layers__0__blocks__0__attn__qkv__weight=zeros(3, 3)
    ),
    "holds sem_seg_head.pixel_decoder.input_proj.weight": lambda: changed(
        sem_seg_head__pixel_decoder__input_proj__weight=zeros(3, 3, 1, 1)
    ),
    "holds sem_seg_head.transformer.encoder.norm": lambda: changed(
        sem_seg_head__transformer__encoder__norm=zeros(3)
    ),
    "class_scores.classifier.weight is missing": lambda: {
        k: v for k, v in maskformer().items() if ".class_embed." not in k
    },
    "a changed network": lambda: changed(sem_seg_head__predictor__extra__weight=zeros(3)),
    "stem of its backbone has the parts conv1, conv2": lambda: maskformer(stem=("conv1", "conv2")),
    "this project's names already": lambda: {
        "sem_seg_head.transformer_decoder.norm.bias": zeros(2)
    },
    "blocks in res2 to res5": lambda: changed(backbone__res3__9__conv1__weight=zeros(1)),
    "847 classes, whose order is known here for 171, 150, 19": lambda: maskformer(classes=847),
    "class-specific (9 sets": lambda: {"prompt_learner.ctx": zeros(9, 4, 64)},
    "holds 0 vectors, but CLIP takes 1 to 73": lambda: {"ctx": zeros(0, 64)},
    "holds 75 vectors": lambda: {"ctx": zeros(75, 64)},
    "(4,), not (vectors, width)": lambda: {"ctx": zeros(4)},
    # Mask2Former
    "holds model.transformer_module.queries_features.weight": lambda: {
        "model.transformer_module.queries_features.weight": zeros(3, 3),
        "model.pixel_level_module.decoder.mask_projection.weight": zeros(3, 3, 1, 1),
    },
    "kernel_update_conv.extra": lambda: {"kernel_update_conv.extra": zeros(3)},
    "the file is not complete": lambda: {"kernel_update_conv.fc_norm.weight": zeros(3)},
    "fc_norm.weight is empty": lambda: {"kernel_update_conv.fc_norm.weight": zeros(0)},
    "is int8, but weights": lambda: changed(backbone__res2__0__conv1__weight=zeros(3).to(INT)),
    "is complex64, but": lambda: changed(backbone__res2__0__conv1__weight=zeros(3) * 1j),
    "holds NaN": lambda: changed(backbone__res2__0__conv1__weight=zeros(3) / 0),
    "with and without pixel_decoder.": lambda: changed(sem_seg_head__layer_4__weight=zeros(3)),
    "both for sem_seg_head.transformer_decoder.layers.0.ffn.0.bias": lambda: {
        f"model.{name}": zeros(3)
        for name in (
            "pixel_level_module.decoder.fpn.stem.0.weight",
            FFN + "fc1.bias",
            FFN + "mlp.fc1.bias",
        )
    },
    "sparse_coo, but": lambda: changed(backbone__res2__0__conv1__weight=torch.eye(3).to_sparse()),
    "it holds no tensors": dict,
    "(backbone.stem.conv1.weight, backbone.stem.conv1.norm.weight, …) are those of no": lambda: (
        dict(list(maskformer().items())[:2])
    ),
    "two contexts that differ": lambda: {"ctx": zeros(4, 64), "prompt_learner.ctx": zeros(4, 3)},
}


@pytest.mark.parametrize("said, state", STATES.items(), ids=list(STATES))
def test_other_networks(said, state):
    with pytest.raises(UserError) as refusal:
        convert(state(), Options())
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "options, said",
    [
        (
            Options(multi_grid=[1, 2, 4]),
            "--multi-grid is [1, 2, 4], but a ResNet with a stem of one",
        ),
        (Options(names=["cat", "dog"]), "has 150 classes, but --names has 2"),
        (Options(clip="ViT-B/16"), "--clip says nothing about MaskFormer"),
        (Options(trained_on=["cat"]), "--trained-on says nothing about MaskFormer"),
    ],
)
def test_options_that_do_not_fit_the_weights(options, said):
    with pytest.raises(UserError) as refusal:
        convert(maskformer(), options)
    assert said in str(refusal.value)


def test_names_of_a_model_that_was_trained_in_parallel():
    state = maskformer()
    parallel = convert({f"module.{name}": tensor for name, tensor in state.items()}, Options())
    assert parallel.weights.keys() == convert(state, Options()).weights.keys()


def test_shapes_of_another_network():
    """The names are MaskFormer's; one convolution has other widths."""
    conversion = convert(
        maskformer() | {PIXELS + "adapter_2.weight": zeros(256, 500, 1, 1)}, Options()
    )
    with pytest.raises(UserError, match=r"laterals\.1\.weight has shape \(256, 500, 1, 1\), the"):
        missing_weights(conversion)


@pytest.mark.parametrize(
    "name",
    [
        "backbone.stem.conv1.weight",
        "sem_seg_head.predictor.query_embed.weight",
        "sem_seg_head.predictor.class_embed.weight",
        "sem_seg_head.predictor.transformer.decoder.layers.0.linear1.weight",
        PIXELS + "mask_features.weight",
    ],
)
def test_tensors_of_another_rank(name):
    with pytest.raises(UserError, match=r"has shape \(\), not \d dimensions"):
        convert(maskformer() | {name: zeros()}, Options())


@pytest.fixture(scope="module")
def clip(tiny_clip):
    return str(tiny_clip)


def zsseg_cases():
    state = make_tiny_clip().state_dict()
    other = make_tiny_clip(seed=1).state_dict()
    regions = zsseg_adapter("_region_clip_adapter.", other)
    cut = zsseg_adapter("_region_clip_adapter.", state)
    del cut["_region_clip_adapter.clip_model.ln_final.weight"]
    return {
        "was trained on 20 classes": zsseg(state, seen=20),
        "two CLIPs that differ": zsseg(state) | regions,
        "two CLIPs that differ, for": zsseg(state) | cut,
        "the CLIP in the file is not": zsseg(other),
        "the CLIP in it is not complete": {
            k: v for k, v in zsseg(state).items() if not k.endswith("ln_final.weight")
        },
        "lacks the CLIP": {k: v for k, v in zsseg(state).items() if "clip_model" not in k},
        "neither a network nor learned prompts": zsseg_adapter("clip_adapter.", state),
    }


def test_other_models_of_zsseg(clip):
    for said, state in zsseg_cases().items():
        with pytest.raises(UserError, match=said):
            convert(state, Options(clip=clip))
    state = zsseg(make_tiny_clip().state_dict())
    for option in ({"names": ["cat"]}, {"trained_on": ["cat"]}):
        with pytest.raises(UserError, match="says nothing about ZS-MaskFormer"):
            convert(state, Options(clip=clip, **option))
    with pytest.raises(UserError, match="name its file, --clip"):
        convert(state, Options())
    with pytest.raises(UserError, match=r"prompts have width 77, but the text tower .* has 64"):
        convert({"ctx": zeros(4, 77)}, Options(clip=clip))


def refusal_of(*arguments):
    with pytest.raises(UserError) as refusal:
        convert_program.main([str(argument) for argument in arguments])
    return str(refusal.value)


def test_files_that_are_not_complete(tmp_path):
    source, target = tmp_path / "published.pth", tmp_path / "ours.pth"
    state = maskformer()
    del state["backbone.res2.0.conv1.weight"]
    torch.save({"model": state}, source)
    said = refusal_of(source, target)
    assert f"{source} is not converted: it lacks 1 tensor of" in said and "res2.0.conv1" in said
    source.write_bytes(source.read_bytes()[:-1000])
    assert f"{source} cannot be read" in refusal_of(source, target)
    cut = tmp_path / "published.safetensors"
    cut.write_bytes(b"\x10" * 20)
    assert f"{cut} cannot be read" in refusal_of(cut, target)
    assert f"{tmp_path / 'none.pth'} does not exist" in refusal_of(tmp_path / "none.pth", target)
    assert not target.exists() and not target.with_suffix(".yaml").exists()


def test_options_that_cannot_be(tmp_path):
    target = tmp_path / "ours.pth"
    assert "has to end in .pth or" in refusal_of("x.pth", tmp_path / "ours.bin")
    assert "its folder does not exist" in refusal_of("x.pth", tmp_path / "none" / "ours.pth")
    assert "is an input" in refusal_of(target, target)
    for grid in ("1,2", "1,2,x"):
        assert "give three numbers" in refusal_of("x.pth", target, "--multi-grid", grid)
    assert "does not exist" in refusal_of("x.pth", target, "--names", tmp_path / "none.txt")
