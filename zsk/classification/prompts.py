"""Prompt templates.

"imagenet" has the 80 of CLIP's release (Radford et al., ICML 2021), "vild" the 14 of ViLD (Gu et
al., ICLR 2022), "sculpture" the one of ZS-MaskFormer (Xu et al., ECCV 2022). "name" is the bare
name.
"""

from __future__ import annotations

from zsk.errors import UserError

_BOTH = ("a", "the")
_LOOKS = (
    *("bad photo", "low resolution photo", "cropped photo", "bright photo", "dark photo"),
    *("close-up photo", "black and white photo", "pixelated photo", "jpeg corrupted photo"),
    *("blurry photo", "good photo", "sculpture", "rendering", "tattoo", "drawing", "painting"),
    *("doodle", "sketch", "rendition"),
)
_PHOTOS = ("hard to see", "clean", "dirty", "cool", "large", "nice", "weird", "small")
_TOYS = ("embroidered", "plastic", "origami", "toy", "cartoon", "plushie")

TEMPLATES: dict[str, tuple[str, ...]] = {
    "name": ("{}",),
    "single": ("a photo of a {}.",),
    "sculpture": ("a sculpture of a {}.",),
    "imagenet": (
        *(f"a photo of {article} {{}}." for article in ("a", "the", "my", "one", "many")),
        *(f"itap of {article} {{}}." for article in ("a", "the", "my")),
        *(f"{kind} of {article} {{}}." for kind in ("art", "graffiti") for article in _BOTH),
        *(f"a {kind} of {article} {{}}." for kind in _LOOKS for article in _BOTH),
        *(f"a photo of {article} {kind} {{}}." for kind in _PHOTOS for article in _BOTH),
        *(f"{article} {kind} {{}}." for kind in _TOYS for article in _BOTH),
        *(f"{article} {{}} in a video game." for article in _BOTH),
    ),
    "vild": (
        "a photo of a {}.",
        "This is a photo of a {}",
        "There is a {} in the scene",
        "There is the {} in the scene",
        "a photo of a {} in the scene",
        "a photo of a small {}.",
        "a photo of a medium {}.",
        "a photo of a large {}.",
        "This is a photo of a small {}.",
        "This is a photo of a medium {}.",
        "This is a photo of a large {}.",
        "There is a small {} in the scene.",
        "There is a medium {} in the scene.",
        "There is a large {} in the scene.",
    ),
}


def get_templates(name: str, key: str = "MODEL.CLIP.PROMPT") -> tuple[str, ...]:
    """The templates called `name`. Raises UserError for a name that is not in TEMPLATES."""
    if name not in TEMPLATES:
        raise UserError(
            f"there are no prompt templates {name!r}: choose one of {', '.join(TEMPLATES)}, or, "
            f"as {key}, learned"
        )
    return TEMPLATES[name]
