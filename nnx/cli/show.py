"""Results as tables on standard output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nnx.cli.console import print_table


def result(outcome: Any, folder: Path) -> None:
    """One experiment."""
    tables = {"xor": _xor, "autoencoder": _autoencoder, "svm": _svm, "compare": _compare, "train": _train}
    tables[outcome.experiment](outcome)
    _footer(outcome, folder)


def summary(outcomes: list[Any], folder: Path) -> None:
    """Several experiments in one table."""
    rows = []
    for outcome in outcomes:
        named = {name: value for name, value in outcome.metrics.items() if isinstance(value, float)}
        values = ", ".join(f"{name} {value:.5g}" for name, value in named.items())
        rows.append((outcome.experiment, outcome.dataset, values, f"{outcome.timing['total_seconds']:.1f} s"))
    print_table("Summary", ("experiment", "data", "figures", "time"), rows)
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
    rows = [
        ("test MSE per pixel", f"{metrics['test_mse']:.6f}"),
        ("test MSE per image", f"{metrics['test_mse_per_image']:.4f}"),
        ("test binary cross-entropy", f"{metrics['test_bce']:.5f}"),
        ("PCA of the same size, test MSE per pixel", f"{metrics['pca_test_mse']:.6f}"),
    ]
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
        ("SVM on the codes, test accuracy", f"{metrics['accuracy']:.4f}"),
        ("SVM on PCA, test accuracy", f"{metrics['pca_accuracy']:.4f}"),
        ("right on the codes only / on PCA only", f"{test['only_codes']} / {test['only_pca']}"),
        ("McNemar's exact test, p", f"{test['p_value']:.3g}"),
        ("engine", metrics["svm_engine"]),
    ]
    for what, name in (("the codes", "svm"), ("PCA", "pca_svm")):
        fit, predict = timing[f"{name}_fit_seconds"], timing[f"{name}_predict_seconds"]
        rows.append((f"fit / prediction on {what}", f"{fit:.2f} s / {predict:.2f} s"))
    print_table(f"SVM on {outcome.dataset}", ("", ""), rows)


def _compare(outcome: Any) -> None:
    from nnx.experiments import compare

    for table in compare.tables(outcome):
        print_table(table.title, table.header, table.rows)


def _train(outcome: Any) -> None:
    metrics = outcome.metrics
    rows = [("rows trained on / held out", f"{metrics['rows']:,} / {metrics['validation_rows']:,}")]
    rows.append(("features", f"{metrics['features']:,}"))
    rows.append(("loss on what was held out", f"{metrics['validation_loss']:.6g}"))
    if "accuracy" in metrics:
        rows.append(("accuracy", f"{metrics['accuracy']:.4f}"))
        rows.append(("accuracy of the commonest class", f"{metrics['majority_accuracy']:.4f}"))
    if "mse" in metrics:
        rows.append(("mean squared error", f"{metrics['mse']:.6g}"))
    if "r2" in metrics:
        rows += [("mean absolute error", f"{metrics['mae']:.6g}"), ("R²", f"{metrics['r2']:.4f}")]
        each = metrics["by_target"].items() if len(metrics["by_target"]) > 1 else ()
        rows += [(f"R² of {name}", f"{errors['r2']:.4f}") for name, errors in each]
    print_table(f"{outcome.preset.capitalize()} on {outcome.dataset}", ("", ""), rows)


def _footer(outcome: Any, folder: Path) -> None:
    timing = outcome.timing
    parts = [f"{outcome.device} ({outcome.backend}, {outcome.dtype}), seed {outcome.seed}"]
    if timing["steps"]:
        parts.append(
            f"{timing['steps']:.0f} steps in {timing['train_seconds']:.2f} s "
            f"({timing['microseconds_per_step']:.0f} µs each)"
        )
    parts.append(f"{timing['total_seconds']:.1f} s in all")
    click.echo("; ".join(parts))
    click.echo(f"everything is in {folder}")
