"""CaGNet's head: features, losses by hand, what each loss teaches, phases, and an unseen class."""

import math

import pytest
import torch
import torch.nn.functional as F
from detectron2.layers import ShapeSpec
from detectron2.utils.events import EventStorage
from tiny_head import tiny_config
from torch import nn

from zsk.baselines.generative.cagnet_head import CaGNetHead
from zsk.baselines.generative.context_module import ContextModule
from zsk.baselines.generative.feature_classifier import FeatureClassifier
from zsk.baselines.generative.feature_generator import FeatureGenerator
from zsk.baselines.generative.position_module import PositionModule
from zsk.baselines.per_pixel.aspp_sum import AsppSum
from zsk.baselines.per_pixel.known_classes import KnownClasses
from zsk.errors import UserError

D = 8
VECTORS = torch.eye(5)[:4]
SEEN = torch.tensor([True, True, False, True])
START, PERIOD = 10, 5
TEXT = VECTORS[SEEN]  # of the labels in training


def build(vectors=VECTORS, seen=SEEN, position=False, channels=3, dim=D, **settings):
    defaults = {"start": START, "period": PERIOD, "samples": 16}
    defaults |= {"unseen_factor": 9.0, "generated_weight": 0.5}
    return CaGNetHead(
        AsppSum("res5", channels, dim, [1, 2]),
        ContextModule(dim, 6),
        FeatureGenerator(vectors.shape[1], dim, [16], dim, [0.0], squash=True),
        FeatureClassifier(dim, len(vectors), width=32),
        KnownClasses(vectors, seen),
        PositionModule(dim, 6) if position else None,
        **(defaults | settings),
    )


def features(scales=(4,), batch=2):
    return [{"res5": torch.randn(batch, 3, n, n, requires_grad=True)} for n in scales]


def labels(size=8, batch=2):
    """Ids of the three seen classes, and a row without a label."""
    found = torch.randint(0, 3, (batch, size, size))
    found[:, :2] = 255
    return found


def losses_at(head, iteration, inputs=None, sem_seg=None):
    with EventStorage(start_iter=iteration):
        return head.losses(inputs or features(), TEXT, labels() if sem_seg is None else sem_seg)


def test_features_by_hand():
    """x = sigmoid(h + h sigmoid(mean)), with h = 2 and a mean of 0 everywhere."""
    head = build().eval()
    for branch in head.aspp.branches:
        nn.init.zeros_(branch.weight)
        nn.init.ones_(branch.bias)
    nn.init.zeros_(head.context.mean.weight)
    nn.init.zeros_(head.context.mean.bias)
    x = head(features()[0])
    torch.testing.assert_close(x, torch.full((2, D, 4, 4), 3.0).sigmoid())


def test_scores_are_the_columns_of_the_names():
    head = build().eval()
    x = torch.rand(D, 2, 3)
    everything = head.classifier(x[:, 1, 2]).classes
    logits = head.class_logits(x, VECTORS[[3, 0]])
    assert logits.shape == (2, 2, 3)
    torch.testing.assert_close(logits[:, 1, 2], everything[[3, 0]])


def test_losses_by_hand():
    """A classifier that is undecided, and a discriminator that finds everything real by 3/4.

    Features are 1/2 everywhere, and 3/4 where they are generated.
    """
    head = build()
    for branch in head.aspp.branches:
        nn.init.zeros_(branch.weight)
    nn.init.zeros_(head.generator.layers[-2].weight)
    nn.init.constant_(head.generator.layers[-2].bias, math.log(3))
    for layer in (head.classifier.classes, head.classifier.real, head.context.mean):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    nn.init.constant_(head.classifier.real.bias, math.log(3))
    nn.init.ones_(head.context.mean.bias)
    nn.init.zeros_(head.context.log_variance.weight)
    nn.init.constant_(head.context.log_variance.bias, -1.0)
    losses = {k: v.item() for k, v in losses_at(head, 0).items()}
    # cross-entropy over all four classes, though one of them is never a label
    assert losses["loss_class"] == pytest.approx(0.75 * math.log(4))
    assert losses["loss_class_generated"] == pytest.approx(0.25 * math.log(4))
    assert losses["loss_discriminator"] == pytest.approx(1 / 4 + 3 / 4)
    assert losses["loss_generator"] == pytest.approx(1 / 4)
    assert losses["loss_kl"] == pytest.approx(100 * 0.5)
    kernels = [math.exp(-D * 0.25**2 / (2 * width)) for width in (2, 5, 10, 20, 40, 60)]
    assert losses["loss_mmd"] == pytest.approx(50 * math.sqrt(2 * (6 - sum(kernels))), rel=1e-4)
    with EventStorage(START + PERIOD):
        generated = head.losses(features(), TEXT, labels())
    assert generated["loss_generated"].item() == pytest.approx(0.5 * math.log(4))


def test_all_scales_and_their_maximum_have_a_loss_of_their_classes():
    head = build().eval()
    inputs, sem_seg = features((4, 2)), labels()
    large, small = (head.class_logits(head(one), VECTORS) for one in inputs)
    largest = torch.maximum(large, F.interpolate(small, (4, 4), mode="bilinear"))
    joint = head.classes.labels(sem_seg, TEXT)
    maps = [head.map_loss(one, joint) for one in (large, small, largest)]
    losses = losses_at(head, 0, inputs, sem_seg)
    torch.testing.assert_close(losses["loss_class"], 0.75 * torch.stack(maps).mean())


ROUTES = {  # the parts that each loss teaches
    "loss_class": {"trunk", "shared", "classes"},
    "loss_kl": {"trunk"},
    "loss_discriminator": {"shared", "real"},
    "loss_class_generated": {"shared", "classes"},
    "loss_generator": {"generator"},
    "loss_mmd": {"generator"},
}


def part(name):
    first, second = name.split(".")[:2]
    if first == "classifier":
        return second
    return "generator" if first == "generator" else "trunk"


def taught(head, loss, inputs):
    """The parts whose parameters get a gradient from a loss; that of `inputs` is the trunk's."""
    head.zero_grad()
    loss.backward(retain_graph=True)
    found = {
        part(name): parameter.grad
        for name, parameter in head.named_parameters()
        if parameter.grad is not None and parameter.grad.any()
    }
    backbone = [one["res5"].grad for one in inputs if one["res5"].grad is not None]
    assert ("trunk" in found) == any(one.any() for one in backbone)
    for one in inputs:
        one["res5"].grad = None
    return set(found)


@pytest.mark.parametrize("position", [False, True])
def test_which_part_learns_from_which_loss(position):
    head, inputs = build(position=position), features((4, 2))
    losses = losses_at(head, 0, inputs)
    assert {name: taught(head, loss, inputs) for name, loss in losses.items()} == ROUTES
    inputs = features((4, 2))
    losses = losses_at(head, START, inputs)  # photos, with a frozen trunk
    frozen = {name: parts - {"trunk"} for name, parts in ROUTES.items() if name != "loss_kl"}
    assert {name: taught(head, loss, inputs) for name, loss in losses.items()} == frozen
    inputs = features((4, 2))
    losses = losses_at(head, START + PERIOD, inputs)
    assert {name: taught(head, loss, inputs) for name, loss in losses.items()} == {
        "loss_generated": {"shared", "classes"}
    }


def test_the_trunk_learns_classes_at_two_thirds_of_the_classifiers_weight():
    head = build(samples=1).eval()  # without noise and dropout
    (inputs,), sem_seg = features(), labels()
    joint = head.classes.labels(sem_seg, TEXT)
    parameters = [head.aspp.branches[0].weight, head.classifier.classes.weight]
    plain = torch.autograd.grad(
        head.map_loss(head.class_logits(head(inputs), VECTORS), joint), parameters
    )
    loss = losses_at(head, 0, [inputs], sem_seg)["loss_class"]
    trunk, classifier = torch.autograd.grad(loss, parameters)
    torch.testing.assert_close(trunk, 0.5 * plain[0])
    torch.testing.assert_close(classifier, 0.75 * plain[1])


def test_turns_follow_from_the_iteration():
    head = build()
    edges = (0, 9, 10, 14, 15, 19, 20, 24, 25)
    generated = [i for i in edges if set(losses_at(head, i)) == {"loss_generated"}]
    assert generated == [15, 19, 25]
    for iteration in edges:
        with EventStorage(iteration):
            assert head.learns_features(TEXT) == (iteration < START)


@pytest.mark.parametrize("iteration", [0, START, START + PERIOD])
@pytest.mark.parametrize("labelled", [False, True])
def test_every_parameter_has_a_gradient_in_every_turn(iteration, labelled):
    """Several processes need one; without a label it is finite."""
    head, inputs = build(position=True), features((4, 3))
    sem_seg = labels() if labelled else torch.full((2, 8, 8), 255)
    sum(losses_at(head, iteration, inputs, sem_seg).values()).backward()
    gradients = {name: p.grad for name, p in head.named_parameters()}
    if iteration < START:
        gradients |= {f"features {i}": one["res5"].grad for i, one in enumerate(inputs)}
    for name, gradient in gradients.items():
        assert gradient is not None and gradient.isfinite().all(), name
        if iteration >= START and not name.startswith(("classifier", "generator")):
            assert not gradient.any(), name


class RecordingGenerator(FeatureGenerator):
    def forward(self, vectors, noise):
        self.vectors, self.noise = vectors, noise
        return super().forward(vectors, noise)


def test_unseen_classes_are_drawn_more_often():
    """Three seen classes and one of nine times their chance, in 120 x 100 cells."""
    head = build()
    head.generator = RecordingGenerator(5, D, [4], D, [0.0])
    losses_at(head, START + PERIOD, [{"res5": torch.zeros(1, 3, 120, 100)}])
    shares = head.generator.vectors.mean(dim=0)[:4]
    torch.testing.assert_close(shares, torch.tensor([1, 1, 9, 1]) / 12, atol=0.02, rtol=0)
    noise = head.generator.noise
    assert noise.shape == (12000, D) and abs(noise.mean()) < 0.02 and abs(noise.std() - 1) < 0.02


def test_a_teachers_labels_of_unseen_classes_are_learned():
    """The labels' vocabulary is the joint one."""
    head = build()
    head.generator = RecordingGenerator(5, D, [4], D, [0.0])
    with EventStorage(0):
        head.losses(features(), VECTORS[[2, 0]], torch.zeros(2, 8, 8).long())
    assert torch.equal(head.generator.vectors, VECTORS[2].expand(32, 5))


def test_labels_weigh_in_the_classes_of_real_features():
    """Of two cells one has no weight: as if it had no label."""
    head, inputs = build().eval(), features((2,), batch=1)
    sem_seg, weights = torch.tensor([[[0, 1], [255, 255]]]), torch.tensor([[[1.0, 0], [1, 1]]])
    alone = losses_at(head, 0, inputs, torch.tensor([[[0, 255], [255, 255]]]))["loss_class"]
    with EventStorage(0):
        weighed = head.losses(inputs, TEXT, sem_seg, weights)["loss_class"]
        equal = head.losses(inputs, TEXT, sem_seg)["loss_class"]
    torch.testing.assert_close(weighed, alone)
    assert not torch.allclose(weighed, equal)


def toy_world():
    """Six classes of two colours and three forms, which their vectors name, one of them unseen."""
    colours, forms = torch.eye(2).repeat_interleave(3, 0), torch.eye(3).repeat(2, 1)
    vectors = F.normalize(torch.cat([colours, forms], dim=1), dim=1)
    seen = torch.tensor([True] * 5 + [False])
    return vectors, seen, torch.cat([colours, forms], dim=1)


@pytest.mark.slow
def test_four_images_are_learned_and_then_an_unseen_class():
    """Cells show colour and form; an unseen class is named from its vector alone."""
    vectors, seen, looks = toy_world()
    head = build(vectors, seen, channels=5, dim=16, start=150, period=50)
    label = torch.randint(0, 5, (4, 6, 6))
    both = torch.where(torch.rand(4, 6, 6) < 0.3, 5, label)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.005)

    def right(cells):
        """The share of the cells of (4,6,6) bool that have their name."""
        maps = looks[both].permute(0, 3, 1, 2)
        with torch.no_grad():
            named = head.eval().class_logits(head({"res5": maps}), vectors).argmax(dim=1)
        head.train()
        return (named == both)[cells].float().mean()

    for iteration in range(250):
        if iteration == 200:  # a turn of generated features begins
            assert right(both < 5) > 0.95 and right(both == 5) < 0.1
        with EventStorage(iteration):
            losses = head.losses([{"res5": looks[label].permute(0, 3, 1, 2)}], vectors[seen], label)
        optimizer.zero_grad()
        sum(losses.values()).backward()
        for parameter in head.parameters():  # as zsk.engine.solver does
            parameter.grad = parameter.grad if parameter.grad.any() else None
        optimizer.step()
    assert right(both < 5) > 0.7 and right(both == 5) > 0.7


def test_a_width_that_the_positions_cannot_part_is_refused():
    cfg = tiny_config("MODEL.SEM_SEG_HEAD.CONVS_DIM", 30, "MODEL.SYNTHESIS.POSITION", True)
    shape = {"res5": ShapeSpec(channels=3, stride=32)}
    with pytest.raises(UserError, match="CONVS_DIM is 30, but has to be a multiple of 4"):
        CaGNetHead(cfg, shape, 5, KnownClasses(VECTORS, SEEN))
