"""Points that leave no pixel out."""

import torch


def centres(height, width):
    """The centre of every pixel once, row by row: (1,height*width,2), x and y in [0, 1]."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([(x + 0.5) / width, (y + 0.5) / height], dim=-1).flatten(0, 1)[None]
