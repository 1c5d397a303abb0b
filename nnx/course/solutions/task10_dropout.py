"""Reference for task 10: dropout."""

import numpy as np

from nnx.course.task import Case, Mistake

RETURNS = {"dropout_forward": ("y", "factor"), "dropout_backward": ("dx",)}


def dropout_forward(x, rate, random, training):
    """Return the output of dropout, and its factors."""
    if not training:
        return x.copy(), np.ones_like(x)
    keep = random >= rate
    factor = keep / (1 - rate)
    y = x * factor
    return y, factor


def dropout_backward(dy, factor):
    """Return the slope with respect to x."""
    return dy * factor


def _forward(name, rng, shape, rate, training=True):
    x, random = rng.normal(size=shape).round(2), rng.permutation(np.linspace(0.0, 0.98, np.prod(shape)))
    return Case(
        "dropout_forward",
        name,
        {"x": x, "rate": rate, "random": random.reshape(shape).round(2), "training": training},
    )


def cases(rng):
    """Return the calls that are checked; in each, the random numbers lie evenly in [0, 1)."""
    keep = rng.permutation(12).reshape(4, 3) >= 5
    images = _forward("images", rng, (2, 3, 3, 2), 0.25)
    return [
        _forward("in training", rng, (2, 3), 0.4),
        _forward("a rate of 0.75", rng, (5, 4), 0.75),
        _forward("a rate of 0", rng, (2, 4), 0.0),
        _forward("outside of training", rng, (3, 4), 0.3, training=False),
        images,
        Case(
            "dropout_backward", "in training", {"dy": rng.normal(size=(4, 3)).round(2), "factor": keep / 0.6}
        ),
        Case(
            "dropout_backward",
            "outside of training",
            {"dy": rng.normal(size=(2, 5)), "factor": np.ones((2, 5))},
        ),
    ]


MISTAKES = [
    # which numbers are kept
    Mistake("random >= rate", "random < rate",
            "Kept and dropped numbers have changed places: a number is kept if its random number is at "
            "least the rate."),
    Mistake("random >= rate", "random > rate",
            "A random number that is equal to the rate: it is kept. So a rate of 0 drops nothing."),
    Mistake("random >= rate", "random < 1 - rate",
            "The right share is kept, but other numbers than asked: compare random with the rate, not with "
            "1 − rate."),
    Mistake("random >= rate", "random <= 1 - rate",
            "The right share is kept, but other numbers than asked: compare random with the rate, not with "
            "1 − rate."),
    Mistake("random >= rate", "random >= 1 - rate",
            "The share that is kept is the rate, but the rate is what is dropped: compare random with the "
            "rate."),
    Mistake("random >= rate", "np.abs(x) >= rate",
            "The input is compared with the rate. Not the input decides what is dropped, but the random "
            "numbers."),
    Mistake("random >= rate", "x >= rate",
            "The input is compared with the rate. Not the input decides what is dropped, but the random "
            "numbers."),
    Mistake("random >= rate", "np.broadcast_to(random[:1] >= rate, x.shape)",
            "All rows have the mask of the first row: each number of x has its own random number."),
    Mistake("random >= rate", "np.broadcast_to(random[..., :1] >= rate, x.shape)",
            "Whole rows are dropped: each number of x has its own random number."),
    Mistake("keep = random >= rate\n    factor = keep / (1 - rate)", "factor = (random >= 0.5) / 0.5",
            "The rate is not used: the factors are those of a rate of 0.5."),
    Mistake("keep = random >= rate", "keep = np.ones_like(x)",
            "All numbers are kept and scaled: those with a random number below the rate must be 0."),
    Mistake("keep = random >= rate\n    factor = keep / (1 - rate)", "factor = np.ones_like(x)",
            "In training nothing is dropped: is the condition about training the wrong way round? Outside "
            "of it, y is x."),
    Mistake("keep = random >= rate\n    factor = keep / (1 - rate)",
            "factor = np.where(random >= rate, 1 / (1 - rate), 1.0)",
            "A number that is dropped stays as it is, so its factor is 1: it must be 0."),
    Mistake("keep = random >= rate\n    factor = keep / (1 - rate)",
            "factor = np.where(random >= rate, 1.0, 1 / (1 - rate))",
            "The numbers that should be dropped are scaled, and the others are not: the factor is 0 for "
            "dropped numbers."),
    # the scale
    Mistake("keep / (1 - rate)", "keep * 1.0",
            "The kept numbers are not scaled: without the division by 1 − rate, the mean gets smaller."),
    Mistake("keep / (1 - rate)", "keep * (1 - rate)",
            "The kept numbers are multiplied by 1 − rate, but must be scaled up: divide."),
    Mistake("keep / (1 - rate)", "keep / rate",
            "The kept numbers are divided by the rate, but the share that is kept is 1 − rate."),
    Mistake("keep / (1 - rate)", "keep * rate",
            "The kept numbers are multiplied by the rate: scale them up, by the share that is kept, 1 − "
            "rate."),
    Mistake("keep / (1 - rate)", "keep / np.sqrt(1 - rate)",
            "The scale has a root: divide by 1 − rate itself, so that the mean stays."),
    Mistake("keep / (1 - rate)", "keep / keep.mean()",
            "The scale is that of the share kept this time: divide by the expected share, 1 − rate."),
    Mistake("keep / (1 - rate)", "keep * (1 + rate)",
            "The scale is 1 + rate: divide by 1 − rate, which is not the same."),
    # outside of training
    Mistake("return x.copy(), np.ones_like(x)",
            "return x * (random >= rate) / (1 - rate), (random >= rate) / (1 - rate)",
            "Numbers are dropped outside of training too: there, y is x, and all factors are 1."),
    Mistake("return x.copy(), np.ones_like(x)", "return x * (1 - rate), np.full_like(x, 1 - rate)",
            "Outside of training, the numbers are scaled by 1 − rate. This is not needed, as the scale was "
            "applied in training."),
    Mistake("return x.copy(), np.ones_like(x)", "return x * (1 - rate), np.ones_like(x)",
            "Outside of training, the numbers are scaled by 1 − rate. This is not needed, as the scale was "
            "applied in training."),
    Mistake("return x.copy(), np.ones_like(x)", "return x / (1 - rate), np.full_like(x, 1 / (1 - rate))",
            "Outside of training, the numbers are scaled. There, y is x, and all factors are 1."),
    Mistake("return x.copy(), np.ones_like(x)", "return x.copy(), np.zeros_like(x)",
            "Outside of training all factors are 0, so nothing would be learned from dy: the factors are 1."),
    Mistake("return x.copy(), np.ones_like(x)", "return x.copy(), (random >= rate) * 1.0",
            "Outside of training, the factors are a mask: nothing is dropped there, so all of them are 1."),
    # y
    Mistake("y = x * factor", "y = x * factor / (1 - rate)",
            "y is scaled twice: the factor has the scale already."),
    Mistake("y = x * factor", "y = x * factor * random",
            "y is multiplied by the random numbers: they only decide what is kept."),
    # backward
    Mistake("dy * factor", "dy.copy()",
            "The factor is missing in dx: what was dropped has slope 0, and the rest is scaled."),
    Mistake("dy * factor", "dy * (factor > 0)",
            "dx has the mask, but not the scale: multiply by the whole factor."),
    Mistake("dy * factor", "dy * factor.max()",
            "dx has the scale, but not the mask: what was dropped has slope 0."),
    Mistake("dy * factor", "dy * factor * factor", "dx has the factor twice."),
    Mistake("dy * factor", "dy / factor",
            "dy is divided by the factor: y is x times the factor, so the slope is multiplied by it too."),
    Mistake("dy * factor", "np.where(factor > 0, dy / np.maximum(factor, 1e-300), 0.0)",
            "dy is divided by the factor: y is x times the factor, so the slope is multiplied by it too."),
    Mistake("dy * factor", "dy * (1 - factor)",
            "dx has 1 − factor: the numbers that were kept have a slope, not those that were dropped."),
    Mistake("dy * factor", "dy * (factor == 0)",
            "Only dropped numbers have a slope in dx: it is the other way round."),
]  # fmt: skip
