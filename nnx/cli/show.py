"""Print results as tables on standard output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nnx.cli.console import print_table
from nnx.experiments.names import metric_name


def result(outcome: Any, folder: Path) -> None:
    """Print the result of one experiment."""
    tables = {"xor": _xor, "autoencoder": _autoencoder, "svm": _svm, "compare": _compare, "train": _train}
    tables[outcome.experiment](outcome)
    _footer(outcome, folder)


def summary(outcomes: list[Any], folder: Path) -> None:
    """Print several experiments in one table."""
    rows = []
    for outcome in outcomes:
        named = {name: value for name, value in outcome.metrics.items() if isinstance(value, float)}
        values = ", ".join(f"{name} {value:.5g}" for name, value in named.items())
        rows.append((outcome.experiment, outcome.dataset, values, f"{outcome.timing['total_seconds']:.1f} s"))
    print_table("Summary", ("experiment", "data", "figures", "time"), rows)
    for outcome in outcomes:
        click.echo(f"the report of {outcome.experiment} is {page(folder / outcome.experiment)}")
    click.echo(f"everything is in {folder}")


def _xor(outcome: Any) -> None:
    from nnx.experiments.xor import CASES, REPORTED_PREDICTIONS

    metrics = outcome.metrics
    print_table("Loss", ("epoch", "loss"), [(str(e), f"{v:.6f}") for e, v in metrics["loss_log"]])
    reported = next(iter(REPORTED_PREDICTIONS[outcome.preset].values()))
    rows = [
        (point, str(target), f"{ours:.4f}", f"{theirs:.3f}")
        for (point, target), ours, theirs in zip(CASES, metrics["predictions"], reported, strict=True)
    ]
    print_table("Predictions", ("input", "target", "nnx", "reference system"), rows)
    click.echo(f"loss {metrics['loss']:.6f}, accuracy {metrics['accuracy']:.0%}")


def _autoencoder(outcome: Any) -> None:
    metrics = outcome.metrics
    forms = {"test_mse": ".6f", "test_mse_per_image": ".4f", "test_bce": ".5f", "pca_test_mse": ".6f"}
    rows = [(metric_name(name), f"{metrics[name]:{form}}") for name, form in forms.items()]
    print_table(f"Autoencoder {outcome.preset} on {outcome.dataset}", ("", ""), rows)


def _svm(outcome: Any) -> None:
    metrics, timing = outcome.metrics, outcome.timing
    matrix = metrics["confusion_matrix"]
    print_table(
        "Confusion matrix (rows true, columns predicted)",
        ("", *(str(label) for label in range(len(matrix)))),
        [(str(label), *(str(count) for count in row)) for label, row in enumerate(matrix)],
    )
    test = metrics["mcnemar"]
    rows = [
        (metric_name("accuracy", "svm"), f"{metrics['accuracy']:.4f}"),
        (metric_name("pca_accuracy"), f"{metrics['pca_accuracy']:.4f}"),
        (metric_name("mcnemar.only_codes"), f"{test['only_codes']}"),
        (metric_name("mcnemar.only_pca"), f"{test['only_pca']}"),
        (metric_name("mcnemar.p_value"), f"{test['p_value']:.3g}"),
        (metric_name("svm_engine"), metrics["svm_engine"]),
    ]
    for what, name in (("the codes", "svm"), ("PCA", "pca_svm")):
        fit, predict = timing[f"{name}_fit_seconds"], timing[f"{name}_predict_seconds"]
        rows.append((f"fit / prediction on {what}", f"{fit:.2f} s / {predict:.2f} s"))
    print_table(f"SVM on {outcome.dataset}", ("", ""), rows)


def _compare(outcome: Any) -> None:
    from nnx.experiments import compare

    for table in compare.tables(outcome):
        print_table(table.title, table.header, table.rows)


_OF_CLASSES = ("accuracy", "majority_accuracy", "balanced_accuracy", "precision", "f1", "roc_auc")
_OF_VALUES = ("mse", "mae", "r2")
_ERRORS = ("mse", "mae")
_BY_CLASS = ("precision", "recall", "f1")
MOST_CLASSES = 20  # largest table of classes in the terminal; result.json has all classes


def _train(outcome: Any) -> None:
    metrics = outcome.metrics
    rows = [(metric_name(name), f"{metrics[name]:,}") for name in ("rows", "validation_rows", "features")]
    unit = " (of scaled data)" if "scaled" in metrics else ""
    rows.append((f"{metric_name('validation_loss')}{unit}", f"{metrics['validation_loss']:.6g}"))
    names = _OF_CLASSES if "accuracy" in metrics else _OF_VALUES
    for name in names:
        text = metric_name(name)
        if name in metrics:
            rows.append((text, f"{metrics[name]:.6g}" if name in _ERRORS else _share(metrics[name])))
        if name in metrics.get("scaled", {}):
            rows.append((metric_name(f"scaled.{name}"), f"{metrics['scaled'][name]:.6g}"))
    targets = metrics.get("by_target", {})
    rows += [(f"R² of {name}", f"{each['r2']:.4f}") for name, each in targets.items() if len(targets) > 1]
    print_table(f"{outcome.preset.capitalize()} on {outcome.dataset}", ("", ""), rows)
    by_class = metrics.get("by_class", {})
    if 0 < len(by_class) <= MOST_CLASSES:
        values = [
            (name, *(_share(each[what]) for what in _BY_CLASS), _count(each["rows"]))
            for name, each in by_class.items()
        ]
        heading = "rows" if all(isinstance(each["rows"], int) for each in by_class.values()) else "weight"
        print_table("Each class, held out", ("class", *_BY_CLASS, heading), values)


def _count(value: int | float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _footer(outcome: Any, folder: Path) -> None:
    from nnx.experiments.result import step_time

    timing = outcome.timing
    parts = [f"{outcome.device} ({outcome.backend}, {outcome.dtype}), seed {outcome.seed}"]
    if timing["steps"]:
        parts.append(
            f"{timing['steps']:,.0f} steps in {timing['train_seconds']:.2f} s "
            f"({step_time(timing['microseconds_per_step'])} each)"
        )
    parts.append(f"{timing['total_seconds']:.1f} s in all")
    click.echo("; ".join(parts))
    click.echo(f"the report is {page(folder)}")
    click.echo(f"everything is in {folder}")


def page(folder: Path) -> Path:
    """Return the path of a run's report."""
    from nnx.reports.page import FILE

    return folder / FILE
