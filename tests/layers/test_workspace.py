"""A layer finds its batch and its buffers in its workspace, by their old names too."""

from __future__ import annotations

import numpy as np
import pytest

from nnx.layers import Layer, Workspace

pytestmark = pytest.mark.usefixtures("device")


def test_a_layer_alone_has_all_rows_of_the_batch_and_the_old_name_of_its_shard_warns():
    seen = []

    class Asking(Layer):
        def forward_into(self, x, y, workspace):
            y[...] = x
            seen.append(workspace.shard)
            with pytest.warns(DeprecationWarning, match=r"workspace\.shard"):
                assert workspace.part is None

    layer = Asking()
    for rows in (3, 5):
        layer.forward(np.ones((rows, 2)))
    assert [(shard.start, shard.rows, shard.total, shard.share) for shard in seen] == [
        (0, 3, 3, 1.0),
        (0, 5, 5, 1.0),
    ]


def test_the_name_of_version_0_1_still_gives_a_buffer():
    class Kept(Layer):
        def forward_into(self, x, y, cache):
            y[...] = x
            with pytest.warns(DeprecationWarning, match="workspace.buffer"):
                assert cache.room("kept", (3,)).shape == (3,)

    Kept().forward(np.ones((2, 3)))
    from nnx import layers

    with pytest.warns(DeprecationWarning, match="Workspace"):
        assert layers.Cache is Workspace
