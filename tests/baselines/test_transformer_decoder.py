"""Position encoding by hand, and what the decoder's layers look at."""

import math

import torch

from zsk.baselines.transformer_decoder import TransformerDecoder, sine_positions


def test_positions_are_sines_of_the_row_then_of_the_column():
    # D=8: two frequencies, 1 and 1/100, for each; rows at pi and 2 pi, columns at 2 pi k / 3
    positions = sine_positions(2, 3, 8, torch.device("cpu"))
    assert positions.shape == (6, 8) and positions.dtype == torch.float32
    for row in range(2):
        for column in range(3):
            expected = []
            for angle in (math.pi * (row + 1), 2 * math.pi * (column + 1) / 3):
                for frequency in (1.0, 0.01):
                    expected += [math.sin(angle * frequency), math.cos(angle * frequency)]
            torch.testing.assert_close(
                positions[3 * row + column], torch.tensor(expected), rtol=0, atol=1e-5
            )


def tiny_decoder():
    torch.manual_seed(0)
    return TransformerDecoder(
        3, num_queries=4, dim=8, num_layers=2, num_heads=2, dim_feedforward=16
    ).eval()


def test_states_tell_where_things_are():
    """A mirrored feature gives other states: the positions are looked at."""
    decoder = tiny_decoder()
    feature = torch.randn(1, 3, 4, 5)
    with torch.no_grad():
        states, mirrored = decoder(feature)[-1], decoder(feature.flip(-1))[-1]
    assert (states - mirrored).abs().max() > 1e-3


def test_states_follow_their_queries():
    """Permuted queries give permuted states: nothing else tells them apart."""
    decoder = tiny_decoder()
    feature = torch.randn(2, 3, 4, 5)
    order = torch.tensor([2, 0, 3, 1])
    with torch.no_grad():
        states = decoder(feature)
        decoder.query_embed.copy_(decoder.query_embed[order])
        permuted = decoder(feature)
    assert len(states) == 2
    for before, after in zip(states, permuted):
        torch.testing.assert_close(before[:, order], after, rtol=0, atol=1e-5)


def test_dropout_is_off_in_evaluation_and_on_in_training():
    decoder, feature = tiny_decoder(), torch.randn(1, 3, 4, 5)
    with torch.no_grad():
        assert torch.equal(decoder(feature)[-1], decoder(feature)[-1])
        decoder.train()
        assert not torch.equal(decoder(feature)[-1], decoder(feature)[-1])
