"""Values of options are checked, and errors say what is allowed."""

from __future__ import annotations

import pytest

from nnx.errors import ConfigurationError
from nnx.experiments import autoencoder, xor


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("room", [xor, autoencoder])
def test_an_unknown_preset_names_the_nearest(room):
    with pytest.raises(ConfigurationError, match="'deeep': did you mean 'deep'"):
        room.run(room.Config("deeep"))
