"""Draw figures and write report pages of runs, with matplotlib and HTML."""

from __future__ import annotations

from nnx.libraries import needed

with needed("reports", "nnx.reports"):
    from nnx.reports.curves import compare_curves, learning_curve
    from nnx.reports.filters import activation_maps, filters
    from nnx.reports.images import image_grid, prediction_gallery, reconstructions
    from nnx.reports.maps import code_map, confusion_matrix, decision_surface
    from nnx.reports.page import report, write_report
    from nnx.reports.rates import rate_search
    from nnx.reports.saving import draw, figures, save_figure
    from nnx.reports.statistics import weight_statistics
    from nnx.reports.values import predicted_values

__all__ = [
    "activation_maps",
    "code_map",
    "compare_curves",
    "confusion_matrix",
    "decision_surface",
    "draw",
    "figures",
    "filters",
    "image_grid",
    "learning_curve",
    "predicted_values",
    "prediction_gallery",
    "rate_search",
    "reconstructions",
    "report",
    "save_figure",
    "weight_statistics",
    "write_report",
]
