"""A figure is saved whole or not at all, and each experiment's figures are named in its artifacts."""

from __future__ import annotations

import os

import numpy as np
import pytest
from matplotlib.image import imread

from nnx import datasets, reports
from nnx.errors import ConfigurationError, OutputError
from nnx.experiments import Result, autoencoder, svm, xor
from nnx.experiments.autoencoder import first_of_each
from nnx.reports import draw, figures


@pytest.fixture(scope="module")
def digits():
    return datasets.load_digits()


@pytest.fixture(scope="module")
def results(digits):
    trained = svm.run(svm.Config(None, "shallow", "digits", epochs=2, device="cpu"), data=digits)
    steps = np.arange(1, 51)
    compared = Result("compare", "deep", "digits", "cpu", "numpy", "float64", 0)
    compared.arrays = {"deep_nnx": 1.0 / steps, "deep_keras": 1.0 / steps + 1e-9,
                       "deep_keras_xla": 1.0 / steps - 1e-9,
                       "xor_deep_nnx": 2.0 / steps, "xor_deep_keras": 2.0 / steps,
                       "xor_deep_epochs": 1 + 100 * (steps - 1),
                       "agreement_float64_nnx": 1.0 / steps, "agreement_float64_keras": 1.0 / steps,
                       "agreement_float64_keras_xla": 1.0 / steps}  # fmt: skip
    return {
        "xor": xor.run(xor.Config("deep", epochs=20, device="cpu")),
        "autoencoder": autoencoder.run(
            autoencoder.Config("shallow", "digits", epochs=2, device="cpu"), data=digits
        ),
        "svm": trained,
        "compare": compared,
    }


EXPECTED = {
    "xor": {"loss", "decision_surface"},
    "autoencoder": {"loss", "reconstructions", "codes"},
    "svm": {"loss", "confusion_matrix", "predictions"},
    "compare": {"deep_losses", "xor_deep_losses", "agreement_float64_losses"},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_figures_are_files_named_in_the_artifacts(results, name, tmp_path):
    result = results[name]
    result.artifacts = {"history": "history.csv"}
    drawn = draw(result, tmp_path)
    assert set(drawn) == EXPECTED[name]
    assert result.artifacts == {"history": "history.csv"} | drawn
    assert sorted(f"figures/{path.name}" for path in (tmp_path / "figures").iterdir()) == sorted(
        drawn.values()
    )
    for path in drawn.values():
        picture = imread(tmp_path / path)
        assert min(picture.shape[:2]) > 200
        assert picture[..., :3].std() > 0.02  # something is on it


def test_the_loss_curve_names_the_run_and_shows_validation(results):
    axes = figures(results["autoencoder"])["loss"].axes[0]
    heading = axes.get_title() or axes.figure.get_suptitle()
    assert "autoencoder shallow on digits" in heading
    history = results["autoencoder"].history
    shown = [list(line.get_ydata()) for line in axes.get_lines()]
    assert history["loss"] in shown
    assert history["val_loss"] in shown


def test_curves_of_both_sides_are_drawn(results):
    axes = figures(results["compare"])["deep_losses"].axes[0]
    texts = " ".join(text.get_text() for text in axes.figure.findobj(lambda a: hasattr(a, "get_text")))
    assert "deep: all from the same weights" in texts
    assert "nnx, last" in texts
    assert "Keras, last" in texts
    assert "Keras XLA, last" in texts
    assert len(axes.get_lines()) == 3


@pytest.mark.parametrize(
    ("name", "sides", "label", "last"),
    [
        ("deep_losses", 3, "epoch", 50),
        ("xor_deep_losses", 2, "epoch", 4901),
        ("agreement_float64_losses", 3, "step", 50),
    ],
)
def test_compared_curves_lie_at_their_epochs_or_steps(results, name, sides, label, last):
    axes = figures(results["compare"])[name].axes[0]
    assert axes.get_xlabel() == label
    assert len(axes.get_lines()) == sides
    assert all(line.get_xdata()[0] == 1 and line.get_xdata()[-1] == last for line in axes.get_lines())


def test_an_experiment_without_history_has_no_loss_curve(results, digits):
    from dataclasses import replace

    assert set(figures(replace(results["svm"], history=None))) == {"confusion_matrix", "predictions"}


def test_reconstructions_show_each_digit_once():
    assert first_of_each(np.array([3, 1, 3, 0, 1])) == [3, 1, 0]


def test_a_folder_that_cannot_hold_figures_is_named(results, tmp_path):
    (tmp_path / "figures").write_text("in the way")
    with pytest.raises(OutputError, match="figures"):
        draw(results["xor"], tmp_path)


# --- save_figure


@pytest.fixture
def figure():
    return reports.compare_curves({"nnx": [1.0, 0.5]}, title="saved")


@pytest.mark.usefixtures("matplotlib_untouched")
@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("a.png", b"\x89PNG"),
        ("a.PNG", b"\x89PNG"),
        ("a", b"\x89PNG"),
        ("a.pdf", b"%PDF"),
        ("a.svg", b"<?xml"),
    ],
)
def test_saved_in_the_named_format_and_nothing_beside_it(figure, tmp_path, name, start):
    target = tmp_path / "figures" / name
    assert reports.save_figure(figure, str(target)) == target
    assert target.read_bytes().startswith(start)
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.usefixtures("matplotlib_untouched")
@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_same_figure_same_bytes_and_no_time_stamp(tmp_path, suffix, monkeypatch):
    for name, moment in (("a", "0"), ("b", "1000000000")):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", moment)  # the clock matplotlib stamps files with
        figure = reports.compare_curves({"nnx": [1.0, 0.5]})
        reports.save_figure(figure, tmp_path / f"{name}.{suffix}")
    assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


@pytest.mark.usefixtures("matplotlib_untouched")
def test_a_failure_leaves_the_older_file_and_nothing_else(figure, tmp_path, monkeypatch):
    target = tmp_path / "a.png"
    target.write_bytes(b"older")

    def full_disk(file, **_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", full_disk)
    with pytest.raises(OutputError, match=r"cannot write .*a\.png .*No space left") as caught:
        reports.save_figure(figure, target)
    assert "\n" not in str(caught.value)
    assert target.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.usefixtures("matplotlib_untouched")
def test_an_interrupt_leaves_nothing_half_written(figure, tmp_path, monkeypatch):
    def interrupted(file, **_):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(figure, "savefig", interrupted)
    with pytest.raises(KeyboardInterrupt):
        reports.save_figure(figure, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("matplotlib_untouched")
def test_a_folder_that_is_a_file_is_one_clear_line(figure, tmp_path):
    (tmp_path / "file").write_text("kept")
    with pytest.raises(OutputError, match="file") as caught:
        reports.save_figure(figure, tmp_path / "file" / "a.png")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "file").read_text() == "kept"


@pytest.mark.usefixtures("matplotlib_untouched")
@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write to any folder")
def test_a_folder_without_permission_is_one_clear_line(figure, tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="Permission denied"):
            reports.save_figure(figure, tmp_path / "a.png")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.usefixtures("matplotlib_untouched")
def test_unknown_format_is_refused(figure, tmp_path):
    with pytest.raises(ConfigurationError, match=r"\.xyz: .*\.png"):
        reports.save_figure(figure, tmp_path / "a.xyz")
    assert list(tmp_path.iterdir()) == []
