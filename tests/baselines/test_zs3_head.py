"""ZS3Net: its two phases, what each loss is made of, and that unseen classes are learned."""

import math

import pytest
import torch
from detectron2.layers import ShapeSpec
from detectron2.utils.events import EventStorage
from tiny_head import EMBED_DIM, build_backbone, texts, tiny_config
from torch import nn

from zsk.baselines.generative.cell_generator import BANDWIDTHS, CellGenerator, drawn_layout
from zsk.baselines.generative.feature_generator import FeatureGenerator, mmd
from zsk.baselines.generative.zs3_head import ZS3Head
from zsk.baselines.per_pixel.known_classes import KnownClasses
from zsk.baselines.per_pixel.per_pixel_net import PerPixelNet
from zsk.engine.solver import build_optimizer
from zsk.vocabulary import Vocabulary

START = 5
SEEN = torch.tensor([True, False, True])


class FeatureOfOne(nn.Module):
    def forward(self, features):
        return features["pixels"]


class Zeros(nn.Module):
    """A generator of features 0 and no loss."""

    def fill(self, layout, vectors):
        return vectors.new_zeros(int((layout >= 0).sum()), vectors.shape[1])

    def losses(self, features, layout, vectors, class_logits):
        return {"loss_mmd": features.new_zeros(())}


class Recorder(Zeros):
    """Keeps the layouts that it learns from and that it fills, with features (ln 4, 0, 0)."""

    def losses(self, features, layout, vectors, class_logits):
        self.learned = layout.tolist()
        return super().losses(features, layout, vectors, class_logits)

    def fill(self, layout, vectors):
        self.filled = layout.tolist()
        generated = super().fill(layout, vectors)
        generated[:, 0] = math.log(4)
        return generated


def make_head(seen=SEEN, feature_map=None, generator=None, dim=3, vectors=None, **settings):
    """K classes, whose vectors are the axes if none are given."""
    vectors = torch.eye(len(seen)) if vectors is None else vectors
    width = vectors.shape[1]
    network = FeatureGenerator(width, width, [8], dim, [0.5])
    return ZS3Head(
        feature_map or FeatureOfOne(),
        generator or CellGenerator(network, samples=4),
        KnownClasses(vectors, seen),
        dim=dim,
        start=START,
        **{"unseen_factor": 3.0, **settings},
    )


def losses_at(iteration, head, features, text, sem_seg):
    with EventStorage(start_iter=iteration):
        return head.losses([{"pixels": one} for one in features], text, sem_seg)


def test_layouts_have_one_other_class_for_each_class_of_an_image():
    layout = torch.tensor([[[0, 0, 2, -1]], [[2, 2, 0, -1]]])
    drawn = torch.stack([drawn_layout(layout, 3) for _ in range(200)])
    assert torch.equal(drawn[..., 0], drawn[..., 1]) and (drawn[..., 3] == -1).all()
    # all 3 ** 4 combinations of four segments occur
    assert len(drawn[:, :, 0, [0, 2]].flatten(1).unique(dim=0)) > 70
    assert drawn[..., :3].unique().tolist() == [0, 1, 2]


def test_the_generator_is_compared_by_image_and_class_on_a_few_cells():
    """It makes zeros. Image 0 has a cell at 2 and one at 0 of two classes, image 1 five at 1."""
    network, calls = FeatureGenerator(3, 3, [4], 1, [0.5]), []
    for parameter in network.layers[-1].parameters():
        nn.init.zeros_(parameter)
    network.register_forward_pre_hook(lambda _, inputs: calls.append(inputs))
    features = torch.tensor([[2.0, 0, 9, 9, 9], [1, 1, 1, 1, 1]]).view(2, 1, 1, 5)
    layout = torch.tensor([[2, 0, -1, -1, -1], [0] * 5])[:, None]
    losses = CellGenerator(network, samples=4).losses(features, layout, torch.eye(3), None)
    zeros, ones = torch.zeros(4, 1), torch.ones(4, 1)
    distances = [mmd(2 * ones[:1], zeros[:1], BANDWIDTHS), mmd(ones, zeros, BANDWIDTHS), 1e-4]
    assert losses["loss_mmd"].item() == pytest.approx(float(sum(distances)) / 3)
    assert [len(vectors) for vectors, _ in calls] == [1, 1, 4]
    assert [vectors[0].argmax().item() for vectors, _ in calls] == [0, 2, 0]
    noise = torch.cat([noise for _, noise in calls])
    assert len(noise.unique()) == noise.numel() == 18


def test_the_classifier_learns_on_real_and_generated_cells_by_weight():
    """Scores are -1 for the seen class, 1 for the unseen one, whatever the cell; 2 of 3 count."""
    head = make_head(seen=torch.tensor([True, False]), generator=Zeros(), dim=2)
    nn.init.zeros_(head.classifier.weight)
    head.classifier.bias.data = torch.tensor([-1.0, 1.0])
    of_seen, of_unseen = math.log(1 + math.e**2), math.log(1 + math.e**-2)
    features, labels = torch.zeros(1, 2, 1, 3), torch.tensor([[[0, 255, 0]]])
    found = set()
    for seed in range(20):
        torch.manual_seed(seed)
        losses = losses_at(START, head, [features], torch.eye(2)[:1], labels)
        found.add(round(losses["loss_classifier"].item(), 4))
    # the segment was drawn as the seen class, or as the unseen one, which weighs 3
    expected = {of_seen, (2 * of_seen + 3 * 2 * of_unseen) / (2 + 3 * 2)}
    assert found == {round(value, 4) for value in expected}


def test_with_the_true_layout_an_image_with_unseen_classes_is_generated_as_a_whole():
    """Class 1 is unseen, and the scores of a cell are its feature.

    The first image shows classes 0 and 1; its real features would cost 99. Generated ones score
    (ln 4, 0, 0): ln 6/4 for class 0, and ln 6 with weight 3 for class 1. The second one is real:
    ln 6/4 for class 2 with (0, 0, ln 4), and ln 3 for class 0 with zeros. The third has no label.
    """
    generator = Recorder()
    head = make_head(generator=generator, true_layout=True)
    head.classifier.weight.data = torch.eye(3)
    features = torch.zeros(3, 3, 1, 3)
    features[0, 2] = 99
    features[1, 2, 0, 0] = math.log(4)
    ids = {0: 2, 1: 1, 2: 0, -1: 255}  # the text has another order
    layout = [[[0, 1, -1]], [[2, 0, -1]], [[-1, -1, -1]]]
    labels = torch.tensor([[[ids[k] for k in row] for row in image] for image in layout])
    losses = losses_at(START, head, [features], torch.eye(3)[[2, 1, 0]], labels)
    assert generator.learned == [[[0, -1, -1]], [[2, 0, -1]], [[-1, -1, -1]]]
    assert generator.filled == [[[0, 1, -1]], [[-1, -1, -1]], [[-1, -1, -1]]]
    costs = 2 * math.log(1.5) + math.log(3) + 3 * math.log(6)
    assert losses["loss_classifier"].item() == pytest.approx(costs / (1 + 1 + 1 + 3))


def test_before_start_the_true_labels_of_unseen_classes_are_ignored():
    """The losses are those of labels and words of seen classes, unseen columns or not."""
    heads = [make_head(true_layout=leak) for leak in (True, False)]
    for head in heads:
        head.classifier.weight.data = torch.arange(9.0).view(3, 3)
    features, labels = torch.randn(2, 3, 4, 4), torch.randint(0, 3, (2, 4, 4))
    labels[0, 0] = 255
    words = torch.eye(3)[[2, 1, 0]]
    leaked = losses_at(START - 1, heads[0], [features], words, labels)
    to_seen = torch.tensor([0, 255, 1] + [255] * 253)
    expected = losses_at(START - 1, heads[1], [features], words[[0, 2]], to_seen[labels])
    assert leaked.keys() == expected.keys() == {"loss_sem_seg"}
    assert leaked["loss_sem_seg"] == expected["loss_sem_seg"] > 0


def test_losses_of_all_scales_are_added():
    """Every cell of the labelled class 2 costs 50 on seen classes; one of class 0 costs nothing."""
    head = make_head(generator=Zeros(), unseen_factor=1.0)
    nn.init.zeros_(head.classifier.weight)
    head.classifier.bias.data = torch.tensor([0.0, -99, -50])
    scales = [torch.randn(1, 3, 4, 4), torch.randn(1, 3, 2, 2)]
    text, labels = torch.eye(3)[[2, 0]], torch.zeros(1, 4, 4, dtype=torch.int64)
    # two maps and their maximum
    first = losses_at(0, head, scales, text, labels)
    assert set(first) == {"loss_sem_seg"} and first["loss_sem_seg"].item() == pytest.approx(150)
    # half of the cells are generated, for each scale of a class that is drawn
    drawn = {0: 25, 1: (50 + 99) / 2, 2: 50}
    sums = {round(one + other, 2) for one in drawn.values() for other in drawn.values()}
    found = {
        round(losses_at(START, head, scales, text, labels)["loss_classifier"].item(), 2)
        for _ in range(40)
    }
    assert found <= sums and len(found) > 3


def gradients(head, iteration, text, labels):
    head.zero_grad()
    features = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    losses = losses_at(iteration, head, [features], text, labels)
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    return losses, {
        "features": head.feature_map.conv.weight.grad,
        "generator": head.generator.network.layers[0].weight.grad,
        "seen": head.classifier.weight.grad[SEEN],
        "unseen": head.classifier.weight.grad[~SEEN],
    }


class Convolved(FeatureOfOne):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, features):
        return self.norm(self.conv(super().forward(features)))


@pytest.mark.parametrize(
    "iteration, columns, learning, leak",
    [
        (START - 1, [0, 2], {"features", "seen"}, False),
        (START, [0, 2], {"generator", "seen", "unseen"}, False),
        (START + 3, [2, 0], {"generator", "seen", "unseen"}, False),
        # labels of unseen classes, of a teacher: everything that is evaluated, in any phase
        (START - 1, [0, 1, 2], {"features", "seen", "unseen"}, False),
        (START, [1, 2, 0], {"features", "seen", "unseen"}, False),
        # true ones are no teacher's
        (START - 1, [0, 1, 2], {"features", "seen"}, True),
        (START, [1, 2, 0], {"generator", "seen", "unseen"}, True),
    ],
)
def test_what_learns_in_which_phase(iteration, columns, learning, leak):
    head = make_head(feature_map=Convolved(), true_layout=leak)
    nn.init.normal_(head.classifier.weight)
    labels = torch.randint(0, len(columns), (2, 4, 4))
    _, found = gradients(head, iteration, torch.eye(3)[columns], labels)
    assert {name for name, gradient in found.items() if gradient.any()} == learning
    losses, found = gradients(head, iteration, torch.eye(3)[columns], torch.full((2, 4, 4), 255))
    assert not any(losses.values()) and not any(one.any() for one in found.values())


class ConvolvedPixels(Convolved):
    """A backbone with parameters."""

    def forward(self, images):
        return {"pixels": super().forward({"pixels": images})}

    def output_shape(self):
        return {"pixels": ShapeSpec(channels=3, stride=1)}


def test_the_trunk_stays_as_it_is_to_the_bit():
    """Though SGD has gathered momentum in the first phase, and there is weight decay."""
    words = ("a", "b")
    net = PerPixelNet(
        backbone=ConvolvedPixels(),
        sem_seg_head=make_head(feature_map=Convolved()),
        dense_clip=None,
        text_classifier=lambda words: torch.eye(3)[[0, 2]],
        pixel_mean=[0.0] * 3,
        pixel_std=[255.0] * 3,
    )
    opts = ("SOLVER.OPTIMIZER", "SGD", "SOLVER.MOMENTUM", 0.9, "SOLVER.BASE_LR", 0.1)
    optimizer = build_optimizer(tiny_config(*opts, "SOLVER.WEIGHT_DECAY", 0.1), net)
    record = {"image": torch.randint(0, 255, (3, 4, 4), dtype=torch.uint8)}
    record |= {"vocabulary": Vocabulary(words, words, (True, True))}
    record |= {"sem_seg": torch.arange(16).view(4, 4) % 2}
    moved = []
    for iteration in (START - 2, START - 1, START, START + 1):
        before = {name: value.clone() for name, value in net.state_dict().items()}
        optimizer.zero_grad()
        with EventStorage(start_iter=iteration):
            sum(net.train()([record]).values()).backward()
        optimizer.step()
        after = net.state_dict()
        moved.append({name for name in before if not torch.equal(before[name], after[name])})
    trunk = {n for n in before if n.startswith(("backbone.", "sem_seg_head.feature_map."))}
    assert len(trunk) == 2 * 7 and trunk <= moved[0] & moved[1]
    assert not trunk & (moved[2] | moved[3])
    generator = {name for name in before if name.startswith("sem_seg_head.generator.")}
    assert not generator & moved[1] and generator <= moved[2] & moved[3]


def test_an_unseen_class_is_learned_from_its_vector():
    """A cell's feature is three times its class vector; the unseen one lies among the others."""
    angles = torch.tensor([0.0, 0.5, 1.0, 1.6, 2.2])
    vectors = torch.stack([angles.cos(), angles.sin()], dim=1)
    seen = torch.tensor([True, True, False, True, True])
    network = FeatureGenerator(2, 2, [32], 2, [0.0])
    head = make_head(seen, generator=CellGenerator(network, samples=16), dim=2, vectors=vectors)
    truth = torch.tensor([[0, 1], [3, 4], [1, 2], [4, 2]]).repeat_interleave(4, 1)
    truth = truth[:, None].repeat(1, 8, 1)  # two halves
    features = (3 * vectors[truth] + 0.05 * torch.randn(4, 8, 8, 2)).permute(0, 3, 1, 2)
    to_seen = torch.tensor([0, 1, 255, 2, 3])
    optimizer = torch.optim.Adam(head.parameters(), lr=0.03)
    for _ in range(200):
        optimizer.zero_grad()
        sum(losses_at(START, head, [features], vectors[seen], to_seen[truth]).values()).backward()
        optimizer.step()
    named = head.class_logits(features, vectors).argmax(dim=1)
    assert (named == truth).float().mean() > 0.97


def build(*opts, seen=SEEN):
    cfg = tiny_config(
        *("MODEL.SEM_SEG_HEAD.NAME", "ZS3Head", "MODEL.SEM_SEG_HEAD.CONVS_DIM", 32, *opts)
    )
    backbone = build_backbone(cfg)
    classes = KnownClasses(texts(len(seen)), seen)
    return backbone, ZS3Head(cfg, backbone.output_shape(), EMBED_DIM, classes)


@pytest.mark.parametrize(
    "opts, size",
    [
        (("MODEL.RESNETS.OUT_FEATURES", ["res5"]), (2, 3)),  # DeepLabV2's sum
        (("MODEL.SEM_SEG_HEAD.FINE_FEATURE", "res2"), (16, 24)),  # DeepLabV3+'s decoder
        (("MODEL.RESNETS.OUT_FEATURES", ["res5"], "MODEL.SYNTHESIS.GRAPH", True), (2, 3)),
        # without a label of an unseen class nothing is filled
        (
            (
                *("MODEL.RESNETS.OUT_FEATURES", ["res5"], "MODEL.SYNTHESIS.GRAPH", True),
                *("DATASETS.LEAK_UNSEEN_LAYOUT", True),
            ),
            (2, 3),
        ),
    ],
)
def test_built_from_a_configuration_every_parameter_has_a_gradient(opts, size):
    backbone, head = build(*opts)
    for start in (1, 0):
        head.start = start
        features = backbone(torch.randn(2, 3, 64, 96))
        assert head(features).shape == (2, 32, *size)
        labels = torch.randint(0, 2, (2, 64, 96))
        with EventStorage():
            losses = head.losses([features], texts()[[0, 2]], labels)
        head.zero_grad()
        sum(losses.values()).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())
    assert ("loss_nodes" in losses) == ("MODEL.SYNTHESIS.GRAPH" in opts)
    logits = head.class_logits(head(features), texts()[[2, 1]])
    weight, bias = head.classifier.weight[1], head.classifier.bias[1]
    torch.testing.assert_close(logits[0, 1, 0, 0], head(features)[0, :, 0, 0] @ weight + bias)
