"""Twenty usual mistakes of task 10, and words of the hint for each (None: it only must be caught)."""

KEEP = "keep = random >= rate"
FACTOR = "factor = keep / (1 - rate)"
Y = "y = x * factor"
OUTSIDE = "    if not training:\n        return x.copy(), np.ones_like(x)\n"
DX = "return dy * factor"

MISTAKES = [
    (FACTOR, "factor = keep.astype(float)", "not scaled"),
    (FACTOR, "factor = np.where(keep, 1.0 - rate, 0.0)", "must be scaled up"),
    (FACTOR, "factor = keep / rate", "divided by the rate"),
    (FACTOR, "factor = keep * (keep.size / keep.sum())", "expected share"),
    (FACTOR, "factor = np.array(random > rate) / (1 - rate)", "equal to the rate"),
    (FACTOR, "factor = np.ones_like(x)\n    factor[keep] = 1 / (1 - rate)", "stays as it is"),
    (KEEP, "keep = ~(random >= rate)", "changed places"),
    (KEEP, "keep = random < 1.0 - rate", "other numbers than asked"),
    (KEEP, "keep = random > 1 - rate", "what is dropped"),
    (KEEP, "keep = np.random.default_rng(0).random(x.shape) >= rate", None),
    (KEEP, "keep = np.tile(random[0] >= rate, (len(x),) + (1,) * (x.ndim - 1))", "mask of the first row"),
    (OUTSIDE, "", "dropped outside of training too"),
    (OUTSIDE, "    if not training:\n        return (1 - rate) * x, np.ones_like(x)\n", "scaled by 1 − rate"),
    (OUTSIDE, "    if not training:\n        return x + 0, np.zeros_like(x)\n", "all factors are 0"),
    (OUTSIDE, "    if training:\n        return x.copy(), np.ones_like(x)\n", "wrong way round"),
    (Y, "x *= factor\n    y = x", "overwrites"),
    (Y, "y = factor * x / (1 - rate)", "scaled twice"),
    (DX, "return np.array(dy)", "factor is missing in dx"),
    (DX, "return np.where(factor != 0, dy, 0.0)", "but not the scale"),
    (DX, "dy *= factor\n    return dy", "overwrites"),
]  # fmt: skip
