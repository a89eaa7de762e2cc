"""Records and worked calculations → figures and tables that can stand in a report.

Draws; never trains, never writes files.
"""

from labkit.figures.attention import attention_maps
from labkit.figures.confusion import confusion_matrices, confusion_matrix, most_confused
from labkit.figures.curves import comparison, learning_curves, learning_rates
from labkit.figures.energy import energy_landscapes
from labkit.figures.images import heat_over_pictures, over_picture, pictures, wrong_predictions
from labkit.figures.maps import feature_maps, filters_and_activations, receptive_fields
from labkit.figures.showing import show
from labkit.figures.steps import windows

__all__ = [
    "attention_maps",
    "comparison",
    "confusion_matrices",
    "confusion_matrix",
    "energy_landscapes",
    "feature_maps",
    "filters_and_activations",
    "heat_over_pictures",
    "learning_curves",
    "learning_rates",
    "most_confused",
    "over_picture",
    "pictures",
    "receptive_fields",
    "show",
    "windows",
    "wrong_predictions",
]
