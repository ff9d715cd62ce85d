"""Class names, unseen names and prompt names of the data sets with a zero-shot split.

Sources: the Pascal VOC 2012 development kit (class order), the COCO-Stuff 164k label list (names in
the order of their category ids), and the zero-shot splits of the two (unseen names). The friendlier
prompt names and the synthetic world are our own. Ids are derived from the order; none is typed in.
"""

from __future__ import annotations

VOC_NAMES: tuple[str, ...] = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
"""The 20 classes; a VOC label file holds position + 1, with 0 for the background."""

VOC_UNSEEN: tuple[str, ...] = ("pottedplant", "sheep", "sofa", "train", "tvmonitor")

VOC_PROMPT_NAMES: dict[str, str] = {
    "diningtable": "dining table",
    "pottedplant": "potted plant",
    "tvmonitor": "television",
}

COCO_STUFF_NAMES: tuple[str, ...] = (
    # 80 things
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat",
    "traffic light", "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog",
    "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe", "backpack", "umbrella",
    "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange",
    "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant",
    "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "hair drier", "toothbrush",
    # 91 kinds of stuff
    "banner", "blanket", "branch", "bridge", "building-other", "bush", "cabinet", "cage",
    "cardboard", "carpet", "ceiling-other", "ceiling-tile", "cloth", "clothes", "clouds", "counter",
    "cupboard", "curtain", "desk-stuff", "dirt", "door-stuff", "fence", "floor-marble",
    "floor-other", "floor-stone", "floor-tile", "floor-wood", "flower", "fog", "food-other",
    "fruit", "furniture-other", "grass", "gravel", "ground-other", "hill", "house", "leaves",
    "light", "mat", "metal", "mirror-stuff", "moss", "mountain", "mud", "napkin", "net", "paper",
    "pavement", "pillow", "plant-other", "plastic", "platform", "playingfield", "railing",
    "railroad", "river", "road", "rock", "roof", "rug", "salad", "sand", "sea", "shelf",
    "sky-other", "skyscraper", "snow", "solid-other", "stairs", "stone", "straw",
    "structural-other", "table", "tent", "textile-other", "towel", "tree", "vegetable",
    "wall-brick", "wall-concrete", "wall-other", "wall-panel", "wall-stone", "wall-tile",
    "wall-wood", "water-other", "waterdrops", "window-blind", "window-other", "wood",
)  # fmt: skip

COCO_STUFF_UNSEEN: tuple[str, ...] = (
    "cow", "giraffe", "suitcase", "frisbee", "skateboard", "carrot", "scissors", "cardboard",
    "clouds", "grass", "playingfield", "river", "road", "tree", "wall-concrete",
)  # fmt: skip

COCO_STUFF_PROMPT_NAMES: dict[str, str] = {
    "tv": "television",
    "mouse": "computer mouse",
    "remote": "remote control",
    "hair drier": "hair dryer",
    "building-other": "building",
    "ceiling-other": "ceiling",
    "ceiling-tile": "tile ceiling",
    "desk-stuff": "desk",
    "door-stuff": "door",
    "floor-marble": "marble floor",
    "floor-other": "floor",
    "floor-stone": "stone floor",
    "floor-tile": "tile floor",
    "floor-wood": "wood floor",
    "food-other": "food",
    "furniture-other": "furniture",
    "ground-other": "ground",
    "mirror-stuff": "mirror",
    "plant-other": "plant",
    "playingfield": "playing field",
    "sky-other": "sky",
    "solid-other": "solid object",
    "structural-other": "structure",
    "textile-other": "textile",
    "wall-brick": "brick wall",
    "wall-concrete": "concrete wall",
    "wall-other": "wall",
    "wall-panel": "wall panel",
    "wall-stone": "stone wall",
    "wall-tile": "tile wall",
    "wall-wood": "wood wall",
    "water-other": "water",
    "waterdrops": "water drops",
    "window-blind": "window blind",
    "window-other": "window",
}

SYNTHETIC_OBJECTS: tuple[str, ...] = (
    "red circle", "green circle", "blue circle", "yellow circle",
    "green square", "blue square", "yellow square", "striped square",
    "blue triangle", "yellow triangle", "striped triangle", "spotted triangle",
    "yellow star", "striped star", "spotted star", "red star",
    "striped cross", "spotted cross", "red cross", "green cross",
    "spotted ring", "red ring", "green ring", "blue ring",
)  # fmt: skip
"""24 shapes of a material; a label file holds the position."""

SYNTHETIC_STUFF: tuple[str, ...] = (
    "grey bricks", "brown bricks", "brown planks", "teal planks",
    "teal waves", "pink waves", "pink pebbles", "grey pebbles",
)  # fmt: skip
"""8 patterns of a tone; a label file holds 24 + the position."""

SYNTHETIC_UNSEEN_OBJECTS: tuple[str, ...] = (
    "blue circle", "yellow square", "striped triangle", "spotted star",
    "red cross", "green ring",
)  # fmt: skip
SYNTHETIC_UNSEEN_STUFF: tuple[str, ...] = ("teal planks", "grey pebbles")
