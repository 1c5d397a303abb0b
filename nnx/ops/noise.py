"""Normal noise; it is computed by a hash when it is needed, and never stored."""

from __future__ import annotations

import math

from nnx.ops.base import Array, OnGpu, Operations
from nnx.ops.cuda import Elementwise
from nnx.ops.dropout import MIX, halves, hashed, mix
from nnx.ops.steps import INPUTS, NOW, Number, PerStep, written

UNIT = 2.0**-32
SECOND = 0x9E3779B9  # between the two hashes of a number


class Noise(Operations):
    """Normal noise in the plain form."""

    def add_noise(self, x: Array, y: Array, deviation: float, key: Number, row: int = 0) -> Array:
        """y = x + deviation · n, where n is drawn from a standard normal distribution.

        n is a hash of (key, row + i, j), with the first and the last index of a number, as in dropout. It is
        made of two uniform numbers: n = √(−2 ln u) cos(2π v) (Box and Muller, 1958, A note on the generation
        of random normal deviates). On a GPU, `key` may be a `PerStep` with the key's lower and its upper 32
        bits.
        """
        xp = self.xp
        first = hashed(xp, x, key, row)
        second = mix(first + SECOND)
        u, v = ((h.astype(x.dtype) + 0.5) * UNIT for h in (first, second))
        normal = xp.sqrt(-2.0 * xp.log(u)) * xp.cos((2.0 * math.pi) * v)
        y[...] = x + deviation * normal
        return y


# cospi, because the cosine of any angle needs double precision and local memory
NOISE = Elementwise(
    "add_noise",
    inputs=f"T x, int64 whole, uint32 columns, uint32 row, raw uint32 keys, {INPUTS}, T deviation",
    outputs="T y",
    body="unsigned int r = row + (unsigned int)(i / whole), c = (unsigned int)(i % columns);"
    f" const unsigned int low = keys[{NOW}], high = keys[{NOW} + 1];"
    " const unsigned int a = nnx_mix((nnx_mix(r ^ low) ^ high) + c * 0x9E3779B1u);"
    " const unsigned int b = nnx_mix(a + 0x9E3779B9u);"
    " const T unit = T(2.3283064365386963e-10), u = (T(a) + T(0.5)) * unit, v = (T(b) + T(0.5)) * unit;"
    " y = x + deviation * (sqrt(T(-2) * log(u)) * cospi(T(2) * v));",
    preamble=MIX,
)


class NoiseCuPy(OnGpu, Noise):
    """Normal noise on the GPU."""

    def add_noise(self, x: Array, y: Array, deviation: float, key: Number, row: int = 0) -> Array:
        """Use one launch; the noise equals that of the plain form up to the rounding of its functions."""
        with self._hold:
            if not isinstance(key, PerStep):
                key = written(self, "uint32", *halves(key))
            NOISE.kernel(
                x, math.prod(x.shape[1:]), x.shape[-1], row & 0xFFFFFFFF, *key.arguments, deviation, y
            )
        return y
