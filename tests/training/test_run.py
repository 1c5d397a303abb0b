"""The history of a run has the values of every epoch by name."""

from __future__ import annotations

import pytest
from support.small_networks import fit, regressor

pytestmark = pytest.mark.usefixtures("device")


def test_history_records_each_epoch():
    history = fit(regressor(), epochs=5, validation=0.2, metrics=["mae", lambda y, p: float(len(p))])
    assert history.epochs == [1, 2, 3, 4, 5]
    assert set(history.metrics) == {"loss", "val_loss", "val_mae", "val_<lambda>"}
    assert all(len(values) == 5 for values in history.metrics.values())
    assert history["val_<lambda>"] == [7.0] * 5
    assert history.steps == 5 * 4  # 30 rows in batches of 8
    assert history.seconds > 0.0
    assert history["loss"][-1] < history["loss"][0]
    assert history.last()["loss"] == history["loss"][-1]
    with pytest.raises(KeyError, match="did you mean 'val_loss'"):
        history["val_los"]
