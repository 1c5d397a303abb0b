"""How the result of a comparison is shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nnx.experiments.compare.sides import FRAMEWORKS, INSTALLED, TITLES
from nnx.experiments.compare.tables import tables
from nnx.experiments.declaration import Experiment
from nnx.experiments.options import DATASET, Rule
from nnx.experiments.result import Result


def figures(result: Result, reports: Any) -> dict[str, Any]:
    """Draw one figure for each array ``<what>_nnx``, with the other frameworks' arrays of the same name.

    The losses of an agreement are for steps. All others are for the epochs ``<what>_epochs``, or for every
    epoch.
    """
    drawn = {}
    for name in [key.removesuffix("_nnx") for key in result.arrays if key.endswith("_nnx")]:
        drawn[f"{name}_losses"] = reports.compare_curves(
            {
                label: result.arrays[f"{name}_{side}"]
                for side, label in TITLES.items()
                if f"{name}_{side}" in result.arrays
            },
            x=result.arrays.get(f"{name}_epochs"),
            xlabel="step" if name.startswith("agreement_") else "epoch",
            title=f"{name}: all from the same weights",
            log_scale=True,
        )
    return drawn


def verdict(result: Result) -> str:
    """Compare a step of the deep autoencoder with that of the fastest other framework.

    For scikit-learn alone, compare a step of the classifier.
    """
    speedup = result.metrics.get("speedup", {})
    network = next((name for name in ("deep", "classifier") if speedup.get(name)), None)
    if network is None:
        return ""
    side, ratio = min(speedup[network].items(), key=lambda item: item[1])
    slower, faster = {"keras_xla": "Keras with XLA"}.get(side, TITLES.get(side, side)), "nnx"
    if ratio < 1.0:
        slower, faster, ratio = faster, slower, 1.0 / ratio
    return (
        f"With equal losses, a step of the {'deep autoencoder' if network == 'deep' else network} takes "
        f"{ratio:.2g} times as long in {slower} as in {faster}."
    )


def declared(config: type[Any], run: Callable[..., Result]) -> Experiment:
    """The declaration, of the configuration and the command's run."""
    return Experiment(
        name="compare",
        summary="Compare with other frameworks: same weights, same batches.",
        text="""Compare with other frameworks: same weights, same batches, a process each.

    Exit status 1 where the loss curves do not agree; no speed-up is then printed.

    \b
    Examples:
      nnx run compare
      nnx run compare --with keras,torch,jax,sklearn
      nnx run compare --minutes 40 --out runs/compare
    """,
        config=config,
        run=run,
        tables=tables,
        options={
            "frameworks": Rule(
                "names",
                "keras, torch, jax, sklearn, several with commas between, or all that are installed (all).",
                (*FRAMEWORKS, INSTALLED),
                metavar="NAMES",
                option="with",
            ),
            "minutes": Rule("number", "How long the whole command may take.", low=0.5, metavar="MINUTES"),
            "dataset": DATASET,
        },
        figures=figures,
        libraries=("sklearn.svm",),
        metrics={"agree": "losses agree with nnx's"},
        verdict=verdict,
        failed=lambda result: not result.metrics["agree"],
        trains=None,
    )
