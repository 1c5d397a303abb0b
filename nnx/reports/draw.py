"""Draw the figures of a run from its result."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from nnx import experiments
from nnx.experiments import Result
from nnx.reports.curves import learning_curve
from nnx.reports.saving import save_figure

FIGURES = "figures"


def draw(result: Result, folder: Path) -> dict[str, str]:
    """Draw an experiment's figures in ``folder/figures`` and add their paths to the result's artifacts.

    Returns
    -------
    dict of str to str
        Paths in the folder, by name.

    Raises
    ------
    OutputError
        If a figure cannot be written.
    """
    drawn: dict[str, str] = {}
    for name, figure in figures(result).items():
        save_figure(figure, folder / FIGURES / f"{name}.png")
        drawn[name] = f"{FIGURES}/{name}.png"
    result.artifacts.update(drawn)
    return drawn


def figures(result: Result) -> dict[str, Figure]:
    """Return the figures of a result, by name."""
    from nnx import reports

    experiment = experiments.get(result.experiment)
    drawn: dict[str, Figure] = {}
    if result.history is not None and result.history.epochs:
        title = f"{result.experiment} {result.preset} on {result.dataset}"
        drawn["loss"] = learning_curve(result.history, title=title, log_scale=experiment.log_scale)
    return drawn | experiment.figures(result, reports)
