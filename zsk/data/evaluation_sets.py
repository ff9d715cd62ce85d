"""Class names and prompt names of the data sets for evaluation only.

They have no unseen list: which classes are seen depends on the data sets that a model was trained
on, and the flags here mean nothing.

Sources: Pascal Context's 59 commonest classes in the usual order, ADE20K's scene-parsing benchmark
(SceneParse150: the first word of each entry), Cityscapes' 19 classes in the order of their train
ids. The prompt names are our choice: COCO-Stuff's word where there is one, so that the class
counts as trained for a model of COCO-Stuff.
"""

from __future__ import annotations

from zsk.data.splits import make_vocabulary
from zsk.vocabulary import Vocabulary

PASCAL_CONTEXT_NAMES: tuple[str, ...] = (
    "aeroplane", "bag", "bed", "bedclothes", "bench", "bicycle", "bird", "boat", "book", "bottle",
    "building", "bus", "cabinet", "car", "cat", "ceiling", "chair", "cloth", "computer", "cow",
    "cup", "curtain", "dog", "door", "fence", "floor", "flower", "food", "grass", "ground", "horse",
    "keyboard", "light", "motorbike", "mountain", "mouse", "person", "plate", "platform",
    "pottedplant", "road", "rock", "sheep", "shelves", "sidewalk", "sign", "sky", "snow", "sofa",
    "diningtable", "track", "train", "tree", "truck", "tvmonitor", "wall", "water", "window",
    "wood",
)  # fmt: skip
"""The 59 classes; a label file holds position + 1, with 0 for everything else."""

PASCAL_CONTEXT_PROMPT_NAMES: dict[str, str] = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "mouse": "computer mouse",
    "pottedplant": "potted plant",
    "shelves": "shelf",
    "sofa": "couch",
    "diningtable": "dining table",
    "track": "railway track",
    "tvmonitor": "television",
}

ADE20K_NAMES: tuple[str, ...] = (
    "wall", "building", "sky", "floor", "tree", "ceiling", "road", "bed", "windowpane", "grass",
    "cabinet", "sidewalk", "person", "earth", "door", "table", "mountain", "plant", "curtain",
    "chair", "car", "water", "painting", "sofa", "shelf", "house", "sea", "mirror", "rug", "field",
    "armchair", "seat", "fence", "desk", "rock", "wardrobe", "lamp", "bathtub", "railing",
    "cushion", "base", "box", "column", "signboard", "chest of drawers", "counter", "sand", "sink",
    "skyscraper", "fireplace", "refrigerator", "grandstand", "path", "stairs", "runway", "case",
    "pool table", "pillow", "screen door", "stairway", "river", "bridge", "bookcase", "blind",
    "coffee table", "toilet", "flower", "book", "hill", "bench", "countertop", "stove", "palm",
    "kitchen island", "computer", "swivel chair", "boat", "bar", "arcade machine", "hovel", "bus",
    "towel", "light", "truck", "tower", "chandelier", "awning", "streetlight", "booth",
    "television receiver", "airplane", "dirt track", "apparel", "pole", "land", "bannister",
    "escalator", "ottoman", "bottle", "buffet", "poster", "stage", "van", "ship", "fountain",
    "conveyer belt", "canopy", "washer", "plaything", "swimming pool", "stool", "barrel", "basket",
    "waterfall", "tent", "bag", "minibike", "cradle", "oven", "ball", "food", "step", "tank",
    "trade name", "microwave", "pot", "animal", "bicycle", "lake", "dishwasher", "screen",
    "blanket", "sculpture", "hood", "sconce", "vase", "traffic light", "tray", "ashcan", "fan",
    "pier", "crt screen", "plate", "monitor", "bulletin board", "shower", "radiator", "glass",
    "clock", "flag",
)  # fmt: skip
"""The 150 classes; an annotation file holds position + 1, with 0 for everything else."""

ADE20K_PROMPT_NAMES: dict[str, str] = {
    "windowpane": "window",
    "earth": "ground",
    "sofa": "couch",
    "base": "pedestal",
    "case": "display case",
    "blind": "window blind",
    "palm": "palm tree",
    "hovel": "hut",
    "streetlight": "street light",
    "television receiver": "television",
    "apparel": "clothes",
    "bannister": "banister",
    "buffet": "sideboard",
    "conveyer belt": "conveyor belt",
    "washer": "washing machine",
    "plaything": "toy",
    "minibike": "motorcycle",
    "tank": "storage tank",
    "trade name": "brand name",
    "pot": "flower pot",
    "screen": "projection screen",
    "hood": "range hood",
    "sconce": "wall lamp",
    "ashcan": "trash can",
    "crt screen": "CRT screen",
    "monitor": "computer monitor",
    "glass": "drinking glass",
}

CITYSCAPES_NAMES: tuple[str, ...] = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign",
    "vegetation", "terrain", "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle",
    "bicycle",
)  # fmt: skip
"""The 19 classes in the order of their train ids."""

EVALUATION_SETS: dict[str, Vocabulary] = {
    "pascal_context_59": make_vocabulary(
        PASCAL_CONTEXT_NAMES, prompt_names=PASCAL_CONTEXT_PROMPT_NAMES
    ),
    "ade20k_150": make_vocabulary(ADE20K_NAMES, prompt_names=ADE20K_PROMPT_NAMES),
    "cityscapes_19": make_vocabulary(CITYSCAPES_NAMES),
}
