"""What an image tower leaves of photos before any mask or word is known.

Letters: B photos, C channels, h×w feature map.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor


class Sight(NamedTuple):
    """One pass of a tower over B photos, or one photo of it (`photo`), then without B.

    A backbone that is no CLIP tower gives `levels` alone.
    """

    levels: Mapping[str, Tensor]  # (B,C,h,w) by name: "res2", the finest, to "res5"
    regions: tuple[Tensor, ...] = ()  # (B,…) each, read by the tower's `regions`
    grid: Sequence[int] = (0, 0)  # (h,w) of the cells in `regions`

    def photo(self, index: int) -> "Sight":
        """That of one photo."""
        levels = {name: level[index] for name, level in self.levels.items()}
        return Sight(levels, tuple(part[index] for part in self.regions), self.grid)
