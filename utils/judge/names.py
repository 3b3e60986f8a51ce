"""What rows of the tables are called, and which steps make what is judged."""

# Levels of a row: the items it ranks. A neuron's score given to its weights stands at LIFTED.
WEIGHT, NEURON, LIFTED = "weight", "neuron", "weight (from neuron)"

# Rankings of step 7's own that are files: <level>_<name>_score.npy.
RANDOM, ORACLE_SCORES = "random", "oracle"
# The rows that random rankings have.
RANDOM_EXPECTED, RANDOM_SAMPLED = "random (expected)", "random (sampled)"

# They know the training and are no methods: no family of tests holds them.
ORACLE, CEILING = "neuron oracle", "replays (ceiling)"
OPTIMIZER_STEP, CONTROL = "optimizer step", "|change| x other gradient"
REFERENCES = (CEILING, ORACLE, OPTIMIZER_STEP, CONTROL)

# The truth itself, in the tables of curves and of places; the credit among transplants.
IDEAL, TRUTH = "ideal", "ground truth"
CREDIT = "repair credit"
# What retraining is compared with: as many weights, or neurons, drawn at random; and all weights.
RANDOM_NEURONS, ALL_WEIGHTS = "random neurons", "all weights"

# Where a user gives the seconds of a method, in the column `device`.
GIVEN = "as given"

# A user's file of such a name could not be told from these rows.
RESERVED = (
    RANDOM, RANDOM_EXPECTED, RANDOM_SAMPLED, *REFERENCES, IDEAL, TRUTH, CREDIT, RANDOM_NEURONS,
    ALL_WEIGHTS,
)  # fmt: skip

# The steps that make the change of the weights, what is judged by it, and what else judges.
TRUTH_STEP, JUDGED_STEP, TRANSPLANT_STEP, PLANTED_STEP, RETRAIN_STEP = 1, 7, 8, 9, 10


def shown_level(level: str) -> str:
    """The level at which a method stands among weights."""
    return LIFTED if level == NEURON else level


def file_level(level: str) -> str:
    """The level in names of files, of a ranking that stands among weights: its own."""
    return NEURON if level == LIFTED else level
