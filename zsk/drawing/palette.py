"""Colours of labels: by id, the same in all images, or by what an image shows.

Letter: K names.
"""

from __future__ import annotations

import numpy as np

from zsk.vocabulary import IGNORE_LABEL

FEW = 12  # names whose colours differ enough, whoever looks
# Of the first 12, two differ by at least 25 in CIEDE2000, by 16 for eyes without middle-wave cones,
# and by 20 as an overlay of opacity 0.6 on grey. Each later one is that of a grid of 18 levels,
# neither grey nor glaring, black nor white, which is the farthest in OKLab from all before it, as
# people with and without deuteranopia see them.
_COLOURS = np.frombuffer(
    bytes.fromhex(
        "0074b9ffe8005d461700e8ffffb9d174175d0000ff17745d46ffa2d11717b974ffe88b2e5aa596003ca5ff8796"
        "c3d21e3cc3d2a55a965aa54b4b78f0694b87c34b695a96c3005ad2a52d2dd2c378a5a5ff4b3c87b4f06969d2c3"
        "69b47800c3a5783c4b0f5aa52d87c3007896b487e1c3870069e1a5c31e4bff8769c369000f96e187f0ffe14b78"
        "3c96873cd2ffff96002d69e1e169c3c35a4b783c69a54b7869b44b5a87ffd2e1000f4bb400692d3c96a5ffa5e1"
        "3c78d24bd2e1a50f783cffc3ffc387873ca57869008700782dffe1873c00b4004b96d24ba5e15a4b5ac35a78a5"
        "b4c387ff78c3e169873cf0964bc36987003c78a5ff2da5b45a87b45af0b496a5e178c3a5ffa5c32d87e1f0e14b"
        "c369e1a53c8796b4f069a569962d4b0f695aff699600875a96c33c3cb4a5c33c7878871e78d2a578ff875a874b"
        "0ff0f0870f5a69965a96b44b3c3c963c872d781e965aa51e5a3cc3b469782dd278b4c36996873c3c5a960f5a87"
        "3c78b4695a87d25aa57800784b69d269b4c33cb45aa5a52d00a5878796f05af0e13c785a5ab4964b782d0f78e1"
        "c3e14ba569962d4ba5ff87d20f69b43c96d21e3cb44bb4f01eb43c87d2f0a578f00fb4d2966987962d96ffa52d"
        "870069a587d2f08787783c00783c782d5ab4a51e3c87004b786996f0e1002d5a2d0069d2963ca54b87d29669a5"
        "69c3e1b4b4003c965ac34b3c6978b4f0b49678e1d26969c3a51e000096c36978ff3c3ca52dd2b42d78a5964b78"
        "78e15a3c96b41ee1968778f0c3e16978f0a5b43c874b784b0f6969783c5a3c96ff5aa5a5d2b4ffc3d28769b4b4"
        "87f0d2a5002d965a694b9696d2a5f0b40f1e2d87f0d278b41e5ac369ffb469b4d2e1c34b4ba5c369c3ff692d69"
        "7869e15a9669c378871ec3e15ab487a5a5f0783ca5d278963c69c3f0d29678d2d2a50f6978d2b4f0c3780f870f"
        "3c4bb496f0f0f087961ea54b004bc34b5a1e0069782d7869c387788769d2e1d22d964b3c00f0a5d2b43cff965a"
        "69e1f078f0c3f087b487e1b478c33c1ea5963c4b874b875a87e1e187b478c39669872d3cf096a5c378ff6996d2"
    ),
    dtype=np.uint8,
).reshape(IGNORE_LABEL, 3)


def fixed_colours(num_names: int) -> np.ndarray:
    """(K,3) uint8 RGB that depend on nothing but the id, as in label images; they repeat after 255.

    For pictures in which names keep their colours: frames of a video, panels of one photo.
    """
    return _COLOURS[np.arange(num_names) % IGNORE_LABEL]


def colours_for(labels: np.ndarray, num_names: int) -> np.ndarray:
    """(K,3) uint8 RGB that differ the most for the names with the most pixels.

    Up to 12 names have their fixed colours, which differ enough. Of more names, those with pixels
    get the first colours: 12 names in one photo are as easy to tell apart, whatever their ids.

    Args:
        labels: integers of any shape, of one photo or of several that share a legend; those
            outside 0..K-1 do not count.
        num_names: K.
    """
    colours = fixed_colours(num_names)
    if num_names <= FEW:
        return colours
    known = labels[(labels >= 0) & (labels < num_names)]
    order = np.argsort(-np.bincount(known, minlength=num_names), kind="stable")
    ranked = np.empty_like(colours)
    ranked[order] = colours
    return ranked


def palette() -> np.ndarray:
    """(256,3) uint8 RGB: colour of each label id, black for 255."""
    return np.vstack([_COLOURS, np.zeros((1, 3), dtype=np.uint8)])
