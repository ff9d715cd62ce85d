"""The systems that ZSK-Net is compared with; importing it registers them with Detectron2."""

from .generative import cagnet_head, zs3_head
from .per_pixel import joem_head, per_pixel_net, spnet_head, text_fcn_head
from .queries import query_head

__all__ = [
    "cagnet_head",
    "joem_head",
    "per_pixel_net",
    "query_head",
    "spnet_head",
    "text_fcn_head",
    "zs3_head",
]
