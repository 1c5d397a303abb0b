"""Jobs name their rows and arrays so that every worker trains on the same batches, of the same type."""

from __future__ import annotations

import numpy as np

from nnx.experiments.compare.protocol import Store, batches, orders, steps_an_epoch

JOB = {"rows": 10, "batch_size": 4, "seed": 3, "shuffle": True}


def test_each_epoch_has_every_row_once_in_an_order_that_its_seed_gives():
    found = list(batches(JOB, 2))
    assert [len(rows) for rows in found] == [4, 4, 2, 4, 4, 2]
    first, second = np.concatenate(found[:3]), np.concatenate(found[3:])
    assert sorted(first) == sorted(second) == list(range(10))
    assert first.tolist() != second.tolist()
    np.testing.assert_array_equal(orders(JOB, 2), [first, second])
    assert orders(JOB | {"seed": 4}, 1)[0].tolist() != first.tolist()
    np.testing.assert_array_equal(orders(JOB | {"shuffle": False}, 2), [range(10)] * 2)


def test_the_last_batch_counts_as_a_step():
    assert [steps_an_epoch(JOB | {"rows": rows}) for rows in (1, 4, 5, 8, 9)] == [1, 1, 2, 2, 3]


def test_arrays_have_the_type_of_the_job_and_labels_stay_integers(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(12.0).reshape(6, 2))
    np.save(tmp_path / "labels.npy", np.arange(6, dtype=np.int64))
    store = Store(tmp_path)
    job = {"x": "x", "y": "labels", "rows": 4, "dtype": "float32"}
    x, labels = store.data(job)
    assert (x.shape, x.dtype, labels.shape, labels.dtype) == ((4, 2), np.float32, (4,), np.int64)
    assert store.data(job | {"dtype": "float64"})[0].dtype == np.float64
    x, y = store.data(job | {"y": "x"})
    assert x is y  # an autoencoder: no worker holds its data twice


def test_written_results_are_read_back_as_they_were(tmp_path):
    losses = np.array([0.5, 0.25])
    name = Store(tmp_path).write("losses-of-nnx", losses=losses)
    with np.load(tmp_path / f"{name}.npz", allow_pickle=False) as stored:
        np.testing.assert_array_equal(stored["losses"], losses)
