"""An encoder whose dense features are the colours themselves: what they say is known by hand."""

import torch.nn.functional as F
from tiny_clip import ColourEncoder, ColourVision


class Pooled(ColourVision):
    """Each place of the feature map is the mean colour of 2x2 pixels; `visual` is what was seen."""

    def dense(self, photo, attention="value"):
        self.visual.append(tuple(photo.shape))
        return F.avg_pool2d(photo[None], 2)[0]


class DenseColours(ColourEncoder):
    """Remembers the shapes that it saw."""

    def __init__(self, input_size=4):
        super().__init__(input_size)
        self.seen = []
        self.hold_vision(Pooled(self.seen), 0)
