"""Choose where a network runs: on the CPU, on a GPU, or on a GPU if there is one.

Run it:  python examples/choosing_a_backend.py
"""

from __future__ import annotations

import numpy as np

import nnx


def build(device: str | None = None) -> nnx.Network:
    return nnx.Network([nnx.Dense(8, 4), nnx.Tanh(), nnx.Dense(1)], device=device, seed=0)


def main() -> None:
    # Which devices work here, and why others do not.
    for status in nnx.available():
        usable = "usable" if status.usable else "not usable"
        print(f"{status.name:6s} {status.device:6s} {usable}: {status.detail}")

    # A device for one network. The same seed gives the same initial weights on every device.
    x = np.random.default_rng(0).normal(size=(5, 8))
    expected = build("cpu").predict(x)

    # "auto" uses a GPU if one works; the network says which device it got.
    network = build("auto")
    print(f"auto became {network.device} ({network.backend.name})")
    assert np.allclose(network.predict(x), expected, atol=1e-5)

    # The default device for networks built in the block; the variable NNX_DEVICE sets it everywhere else.
    with nnx.use("numpy"):
        print(f"within the block: {build().backend.name}")

    # "gpu" never falls back to the CPU silently: without a GPU, the error says what is missing.
    try:
        network.to("gpu")
    except nnx.DeviceError as error:
        print(f"no GPU: {error}")
    else:
        # Parameters, running statistics and optimizer state have moved; predict still uses NumPy arrays.
        assert np.allclose(network.predict(x), expected, atol=1e-5)
        print(f"moved to {network.device}, and back to {network.to('cpu').device}")


if __name__ == "__main__":
    main()
