"""Draw the figures of a run from its result."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from nnx.experiments import Result
from nnx.experiments.compare.processes import NAMES
from nnx.reports.curves import compare_curves, learning_curve
from nnx.reports.images import prediction_gallery, reconstructions
from nnx.reports.maps import code_map, confusion_matrix, decision_surface
from nnx.reports.saving import save_figure
from nnx.reports.values import predicted_values

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
    drawn: dict[str, Figure] = {}
    if result.history is not None and result.history.epochs:
        title = f"{result.experiment} {result.preset} on {result.dataset}"
        drawn["loss"] = learning_curve(result.history, title=title, log_scale=result.experiment == "xor")
    make = {"xor": _xor, "autoencoder": _autoencoder, "svm": _svm, "compare": _compare, "train": _train}
    return drawn | make[result.experiment](result)


def _xor(result: Result) -> dict[str, Figure]:
    network = result.network
    assert network is not None
    surface = decision_surface(
        lambda points: network.predict(points.astype(network.dtype)),
        result.arrays["x"],
        result.arrays["y"],
        title="XOR: output between the four points",
    )
    return {"decision_surface": surface}


def _autoencoder(result: Result) -> dict[str, Figure]:
    arrays = result.arrays
    shape = _shape(arrays["image_shape"])
    shown = first_of_each(arrays["labels"])
    return {
        "reconstructions": reconstructions(
            arrays["originals"][shown],
            arrays["reconstructions"][shown],
            shape,
            count=len(shown),
            labels=arrays["labels"][shown],
        ),
        "codes": code_map(
            arrays["codes"], arrays["labels"], title=f"Test codes in the plane, {result.dataset}"
        ),
    }


def _svm(result: Result) -> dict[str, Figure]:
    arrays = result.arrays
    matrix = np.asarray(result.metrics["confusion_matrix"])
    return {
        "confusion_matrix": confusion_matrix(matrix, range(len(matrix))),
        "predictions": prediction_gallery(
            arrays["images"], arrays["y_true"], arrays["y_pred"], _shape(arrays["image_shape"])
        ),
    }


def _compare(result: Result) -> dict[str, Figure]:
    """Draw one figure for each array ``<what>_nnx``, together with Keras's arrays of the same name.

    The losses of an agreement are for steps. All others are for the epochs ``<what>_epochs``, or for every
    epoch.
    """
    drawn: dict[str, Figure] = {}
    for name in [key.removesuffix("_nnx") for key in result.arrays if key.endswith("_nnx")]:
        drawn[f"{name}_losses"] = compare_curves(
            {
                label: result.arrays[f"{name}_{side}"]
                for side, label in NAMES.items()
                if f"{name}_{side}" in result.arrays
            },
            x=result.arrays.get(f"{name}_epochs"),
            xlabel="step" if name.startswith("agreement_") else "epoch",
            title=f"{name}: nnx and Keras from the same weights",
            log_scale=True,
        )
    return drawn


def _train(result: Result) -> dict[str, Figure]:
    """Draw what the result holds about the user's own data."""
    arrays = result.arrays
    if "confusion_matrix" in result.metrics:
        matrix = np.asarray(result.metrics["confusion_matrix"])
        return {"confusion_matrix": confusion_matrix(matrix, result.metrics["classes"])}
    if "predicted" in arrays:
        names = list(result.metrics["by_target"])
        return {"predictions": predicted_values(arrays["true"], arrays["predicted"], names)}
    if "originals" in arrays:
        shape = _shape(arrays["image_shape"])
        return {"reconstructions": reconstructions(arrays["originals"], arrays["reconstructions"], shape)}
    return {}


def first_of_each(labels: np.ndarray) -> list[int]:
    """Return the index of the first sample of each label, in the order of the labels."""
    values, first = np.unique(labels, return_index=True)
    return [int(index) for _, index in sorted(zip(values, first, strict=True))]


def _shape(array: np.ndarray) -> tuple[int, int]:
    height, width = (int(side) for side in array)
    return height, width
