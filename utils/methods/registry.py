"""Every FL method, gathered from the files that define them.

To add a method, write its file with a tuple METHODS of its own and name the file here: the
scripts, the tables and the figures pick it up.
"""

from utils.methods import (
    activation,
    arachne,
    expected_gradients,
    gradient_activation,
    integrated_gradients,
    interventions,
    magnitude,
    mask,
    mean_difference,
    pruning,
    spectrum,
    variance,
)
from utils.methods.method import Method

# In the order in which tables and figures show them.
IN_ORDER = (
    integrated_gradients.METHODS,
    gradient_activation.METHODS,
    expected_gradients.METHODS,
    arachne.METHODS,
    magnitude.METHODS,
    pruning.METHODS,
    activation.METHODS,
    interventions.METHODS,
    mask.METHODS,
    variance.METHODS,
    mean_difference.METHODS,
    spectrum.METHODS,
)

METHODS: dict[tuple[str, str], Method] = {
    method.key: method for methods in IN_ORDER for method in methods
}
