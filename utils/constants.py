"""Constants a user edits. Every script reads its defaults here and nowhere else.

Sizes (d, m, layers, classes, image size) are never constants: they come from
the checkpoint and the data set.
"""

from dataclasses import dataclass, field
from typing import Any

# What runs without arguments: `--ds` and `--fold` override these two.
DEFAULT_DS = "c100"
FOLDS = (0, 1, 2, 3, 4)

# How the folds are made (docs/definitions.md 2). Changing either needs new folds.
N_FOLDS = 5
SPLIT_SEED = 777

# Repeats of the K-fold: fold k is of repeat k // N_FOLDS, whose split seed is SPLIT_SEED + that
# repeat. Raising it changes no fold that is there; FOLDS or --fold names those that run.
REPEATS = 1

# The seed of fold k is SEED + k: training, the bl sample, the random rankings.
SEED = 777

# The steps of the checkpoints that are M1 and M2 (--m1, --m2); None: M2 is the highest step,
# M1 the one before it.
M1_STEP = None
M2_STEP = None

# Neuron budget n; None means d // 8 (ViT-Base: 96). The weight budget is 8 n^2.
NEURON_BUDGET = None

# The methods of steps 4 to 7: "all", or names of README.md's table, like ("ig", "weight/vdiff");
# a name without its level is the method at both. What is not named is in no table.
METHODS_TO_RUN = "all"

# Whether `mask` runs under every setting, and not only under `all`: 200 passes over the setting's
# samples, at ViT-Base size half a minute for 1,500 failures on two cores.
MASK_IN_EVERY_SETTING = False

# Points of the right Riemann sum of integrated gradients (Dai et al. 2022 use 20).
IG_POINTS = 20

# A setting needs this many misclassified and this many correct samples: with
# one sample a variance does not exist.
MIN_SAMPLES = 2

# Candidates per kind of setting: src_tgt_top1 .. src_tgt_top<TOP_RANKS>, and so on.
TOP_RANKS = 3

# The truths that rankings are compared with, the first one first in every table:
# "change" is |W(M2) - W(M1)|; "pooled" its mean over replays of the last epoch, where there
# are any; "repair" is the loss over failing test samples that each weight's change mends.
TRUTHS = ("change", "pooled", "repair")

# Positives of the comparison: the top POSITIVE_PERCENT of a truth.
POSITIVE_PERCENT = 1

# The K of precision@K and its kin, in percent of the ranked items.
K_PERCENTS = (0.1, 0.5, 1, 2, 5, 10)

# Kendall's tau-b at weight level costs four sorts and says little beyond Spearman.
WITH_KENDALL = False

# Across folds, every method is compared with these: "random" (its expectation)
# and the name of any other method. Each pair is one test of the declared family.
REFERENCES = ("random", "bl")

# The columns of exp-fl-5-7_scores.csv that the comparisons across folds look at.
# The first one is the primary metric: tables and figures are sorted by it. "ap/random"
# is the average precision divided by that of a random ranking.
COMPARED_METRICS = ("lift@1%", "lift_stratified@1%", "ap/random", "precision@n")

# Random relabellings of the neurons in the permutation test; p cannot be below 1/(draws + 1).
PERMUTATION_DRAWS = 9999

# Random weight vectors of the wild cluster bootstrap, beyond 6 folds; below, all are used.
BOOTSTRAP_DRAWS = 9999

# Faults that step 9 plants in each fold, of either kind (in whole neurons, in single weights).
PLANTED_FAULTS = 3
# The shares of the neurons, and of the weights, that a fault is planted in.
PLANTED_PERCENTS = (1,)

# Test images that step 8 runs through the whole model for each block of the network; all of
# them on a GPU and for models trained from scratch; 0 leaves the blocks out.
LAYER_SAMPLES = 256

# Step 10 retrains the first RETRAIN_PERCENTS of the weights of each ranking, under these
# settings. Each costs as much again: ten minutes on two cores for a ViT-Base fold.
RETRAIN_PERCENTS = (1,)
RETRAIN_SETTINGS = ("all",)

# The figures of the summary: "1col" is as wide as a column of a paper (3.5 inches), "2col" as
# both (7.16). Each width costs as much again: half a minute for 24 methods.
FIGURE_WIDTHS = ("1col",)
# And as what files: "png", "pdf", or both. SVG is always made, the page report.html shows it.
FIGURE_FORMATS = ("png", "pdf")

# The forward pass of M1. None: 32 images a batch on the CPU, 256 on a GPU.
INFERENCE_BATCH_SIZE = None
# "fp32" or "bf16"; bf16 halves the time of the forward pass on a recent GPU.
INFERENCE_PRECISION = "fp32"
# Processes that decode and resize images; None: one per core beyond the first, at most 8.
PREPROCESSING_WORKERS = None


@dataclass(frozen=True, init=False)
class Profile:
    """How one data set is fetched and fine-tuned. Every field is given by its name.

    A data set of texts has a `text_column`, and a `text_pair_column` where each sample is a pair.

    `source` is a folder (README.md, "Your own data set"), the hub name given to
    `datasets.load_dataset`, or "sklearn" for the digits that ship with
    scikit-learn. `base_model` None trains a ViT of the shape `vit_config` from
    scratch. `--data-dir` and `--base-model` override the two for data and
    weights already on disk.
    """

    source: str
    base_model: str | None
    batch_size: int
    learning_rate: float
    image_column: str = "image"
    label_column: str = "label"
    text_column: str | None = None
    text_pair_column: str | None = None
    test_split: str = "test"
    # Label i is class_names[i], for IDX files, which hold no names.
    class_names: tuple[str, ...] = ()
    weight_decay: float = 0.01
    epochs: int = 2
    # How often each training image is seen in one epoch; more than once only
    # where the data set is too small for one pass to teach anything.
    repeats_per_epoch: int = 1
    # Threads of a training on the CPU; None: one per core. Sums are split among
    # threads, training magnifies their last bits, and M1 and M2 end elsewhere.
    cpu_threads: int | None = None
    # Replays of the last epoch with the data in another order: what they agree on is the
    # ceiling of every method. Each costs one epoch; --replays overrides.
    replays: int = 0
    vit_config: dict[str, Any] = field(default_factory=dict)

    def __init__(self, **fields: Any) -> None:
        """Takes any name: `constant_rules` says in one line which one is no field."""
        vars(self).update({"vit_config": {}} | fields)


PROFILES = {
    "c100": Profile(
        source="uoft-cs/cifar100",
        image_column="img",
        label_column="fine_label",
        test_split="test",
        base_model="google/vit-base-patch16-224-in21k",
        batch_size=32,
        learning_rate=2e-4,
    ),
    "tiny-imagenet": Profile(
        source="zh-plus/tiny-imagenet",
        image_column="image",
        label_column="label",
        test_split="valid",
        base_model="google/vit-base-patch16-224-in21k",
        batch_size=32,
        learning_rate=2e-4,
    ),
    # 1,797 real handwritten digits of 8 x 8 pixels: 16 patches of 2 x 2. Chosen by measurement
    # (benchmarks/README.md): one layer whose FFN carries the accuracy, weights that begin large
    # enough for two passes over so few images, and a training that does not magnify last bits.
    "digits": Profile(
        source="sklearn",
        image_column="img",
        label_column="label",
        test_split="test",
        base_model=None,
        batch_size=8,
        learning_rate=2e-4,
        cpu_threads=1,  # so small a net gains little from more
        replays=3,
        vit_config={
            "hidden_size": 192,
            "intermediate_size": 768,
            "num_hidden_layers": 1,
            "num_attention_heads": 3,
            "image_size": 8,
            "patch_size": 2,
            "num_channels": 1,
            "initializer_range": 0.06,
        },
    ),
    # 60,000 pictures of clothes, 28 x 28, grey; or the IDX files of Debian's package
    # dataset-fashion-mnist: --data-dir /usr/share/datasets/fashion-mnist. The base model is made
    # by `python -m benchmarks.pretrain`.
    "fashion": Profile(
        source="zalando-datasets/fashion_mnist",
        image_column="image",
        label_column="label",
        test_split="test",
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        base_model="./base_vit_fashion",
        batch_size=64,
        learning_rate=5e-4,
        cpu_threads=1,  # two folds beside each other gain more than a second thread
        replays=2,
    ),
    # 67,349 sentences of film reviews; its test split has no labels.
    "sst2": Profile(
        source="stanfordnlp/sst2",
        text_column="sentence",
        label_column="label",
        test_split="validation",
        base_model="bert-base-uncased",
        batch_size=32,
        learning_rate=2e-5,
    ),
    # 21,854 functions in C for training, nearly half of them with a defect (Devign).
    "defects": Profile(
        source="google/code_x_glue_cc_defect_detection",
        text_column="func",
        label_column="target",
        test_split="test",
        base_model="microsoft/codebert-base",
        batch_size=32,
        learning_rate=2e-5,
    ),
}
