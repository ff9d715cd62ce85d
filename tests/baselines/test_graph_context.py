"""The graph of a layout's segments by hand, and what its generator makes and learns."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zsk.baselines.generative.cell_generator import BANDWIDTHS
from zsk.baselines.generative.feature_generator import mmd
from zsk.baselines.generative.graph_context import GraphGenerator, node_features, segment_graph

#     nodes, in the order of the classes: 0 and 1 of class 0, 2 of class 1, 3 of class 3;
#     corners touch, so class 3 is one segment
LAYOUT = torch.tensor(
    [
        [
            [3, -1, -1, 0],
            [1, 3, -1, -1],
            [1, 1, -1, 0],
        ],
        [[-1] * 4] * 3,
    ]
)
NODES = torch.tensor([[3, -1, -1, 0], [2, 3, -1, -1], [2, 2, -1, 1]])


def test_segments_and_edges_by_hand():
    graph = segment_graph(LAYOUT)
    assert torch.equal(graph.nodes, torch.stack([NODES, torch.full((3, 4), -1)]))
    assert graph.classes.tolist() == [0, 0, 1, 3] and graph.images.tolist() == [0] * 4
    assert graph.edges.nonzero().tolist() == [[2, 3], [3, 2]]


def test_segments_of_two_images_never_touch():
    graph = segment_graph(torch.tensor([[[2, 5]], [[2, 5]]]))
    assert graph.classes.tolist() == [2, 5, 2, 5] and graph.images.tolist() == [0, 0, 1, 1]
    assert graph.edges.nonzero().tolist() == [[0, 1], [1, 0], [2, 3], [3, 2]]
    nothing = segment_graph(torch.full((1, 2, 2), -1))
    assert len(nothing.classes) == 0 and nothing.edges.shape == (0, 0)


def test_a_node_has_the_mean_of_its_cells():
    cells = torch.arange(12.0).view(3, 4)  # cell i has the feature (i, -i)
    features = torch.stack([cells, -cells]).expand(2, 2, 3, 4)
    means = node_features(features, segment_graph(LAYOUT))
    expected = torch.tensor([3.0, 11.0, (4 + 8 + 9) / 3, (0 + 5) / 2])
    torch.testing.assert_close(means, torch.stack([expected, -expected], dim=1))


def ones_generator():
    """E 1, Z 1, hidden 1, D 1; all weights 1, all biases 0, no dropout."""
    generator = GraphGenerator(1, 1, [1], 1, [0.0])
    for name, parameter in generator.named_parameters():
        nn.init.constant_(parameter, float(name.endswith("weight")))
    return generator


def test_the_layers_by_hand():
    """Node 0 is between 1 and 2, node 3 is alone; a neighbour counts ten times."""
    edges = torch.zeros(4, 4, dtype=torch.bool)
    edges[0, 1:3] = edges[1:3, 0] = True
    generator = ones_generator()
    generator.layers[0].weight.data = torch.tensor([[1.0, 0, 10, 0]])  # vector, noise; of the mean
    generator.layers[1].weight.data = torch.tensor([[1.0, 10]])
    made = generator(torch.tensor([[1.0], [5], [-4], [-5]]), torch.zeros(4, 1), edges)
    # hidden: 1 + 10 * 0.5, 5 + 10 * 1, -4 + 10 * 1, LeakyReLU of -5
    expected = torch.tensor([6 + 10 * (15 + 6) / 2, 15 + 60, 6 + 60, -1])
    torch.testing.assert_close(made, expected[:, None])


def test_all_cells_of_a_segment_have_its_feature():
    generator, vectors = GraphGenerator(2, 2, [4], 3, [0.5]), torch.randn(4, 2)
    filled = generator.fill(LAYOUT, vectors)
    nodes = NODES[NODES >= 0]
    assert filled.shape == (len(nodes), 3)
    for n in range(4):
        assert torch.equal(filled[nodes == n], filled[nodes == n][:1].expand(sum(nodes == n), -1))
    assert len(filled.unique(dim=0)) == 4  # noise of their own


def test_losses_by_hand():
    """Generated nodes are all at 0; their logits are 0, 1 for the two classes."""
    generator = ones_generator()
    nn.init.zeros_(generator.layers[1].weight)
    layout = torch.tensor([[[0, 0], [-1, 1]], [[1, 1], [1, 1]], [[-1, -1], [-1, -1]]])
    features = torch.full((3, 1, 2, 2), 2.0)
    losses = generator.losses(
        features, layout, torch.ones(2, 1), lambda nodes: torch.cat([nodes, nodes + 1], dim=1)
    )
    zeros, twos = torch.zeros(2, 1), torch.full((2, 1), 2.0)
    expected = (mmd(twos, zeros, BANDWIDTHS) + mmd(twos[:1], zeros[:1], BANDWIDTHS)) / 2
    torch.testing.assert_close(losses["loss_mmd"], expected)
    errors = F.softplus(torch.tensor([1.0, -1.0, -1.0]))  # of classes 0, 1 and 1
    assert losses["loss_nodes"].item() == pytest.approx(0.1 * errors.mean().item())


def test_nothing_labelled_is_no_loss():
    losses = GraphGenerator(2, 2, [4], 3, [0.5]).losses(
        torch.randn(1, 3, 2, 2), torch.full((1, 2, 2), -1), torch.randn(4, 2), nn.Linear(3, 4)
    )
    assert losses == {"loss_mmd": 0, "loss_nodes": 0}
