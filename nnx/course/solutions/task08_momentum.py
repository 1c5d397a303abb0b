"""Reference for task 8: gradient descent and momentum."""

import numpy as np

from nnx.course.task import Case, Mistake

RETURNS = {"sgd_step": ("w",), "momentum_step": ("w", "v")}


def sgd_step(w, dw, learning_rate):
    """Return w − η dw."""
    moved = w - learning_rate * dw
    return moved


def momentum_step(w, dw, v, learning_rate, momentum):
    """Return w + v and the new v = μ v − η dw."""
    new_v = momentum * v - learning_rate * dw
    new_w = w + new_v
    return new_w, new_v


def cases(rng):
    """Return a matrix, a vector, a velocity of zero, and steps without momentum."""

    def settings():
        return round(float(rng.uniform(0.03, 0.3)), 2), round(float(rng.uniform(0.6, 0.95)), 2)

    def sgd(label, *shape, digits=6):
        w, dw = rng.normal(size=(2, *shape)).round(digits)
        return Case("sgd_step", label, {"w": w, "dw": dw, "learning_rate": settings()[0]})

    def step(label, *shape, digits=6):
        w, dw, v = rng.normal(size=(3, *shape)).round(digits)
        rate, momentum = settings()
        arguments = {"w": w, "dw": dw, "v": v, "learning_rate": rate, "momentum": momentum}
        return Case("momentum_step", label, arguments)

    first, without = step("the first step", 4), step("momentum 0", 3)
    first.arguments["v"] = np.zeros(4)
    without.arguments["momentum"] = 0.0
    return [
        sgd("a matrix", 2, 3, digits=1),
        sgd("a vector", 5),
        step("a matrix", 2, 3, digits=1),
        step("a vector", 5),
        first,
        without,
    ]


_V = "momentum * v - learning_rate * dw"
MISTAKES = [
    Mistake("w - learning_rate * dw", "w + learning_rate * dw",
            "The step goes uphill: the gradient is subtracted."),
    Mistake("w - learning_rate * dw", "w - dw",
            "The learning rate is missing."),
    Mistake("w - learning_rate * dw", "-learning_rate * dw",
            "This is the step alone: it is added to the weights."),
    Mistake("w - learning_rate * dw", "w - learning_rate * w",
            "The weights are subtracted in place of the gradient."),
    Mistake("w - learning_rate * dw", "(w - dw) * learning_rate",
            "Brackets are wrong: the learning rate multiplies the gradient only."),
    Mistake("w - learning_rate * dw", "w - dw / learning_rate",
            "The gradient is divided by the learning rate, but must be multiplied by it."),
    Mistake("w - learning_rate * dw", "w - learning_rate * np.sign(dw)",
            "Only the sign of the gradient counts here: its size matters too."),
    Mistake("w - learning_rate * dw", "w - learning_rate * np.mean(dw)",
            "All weights move by the mean gradient: each has its own."),
    Mistake("w - learning_rate * dw", "w - learning_rate * np.mean(dw, axis=0)",
            "The gradient is averaged over the first axis: each weight has its own."),
    Mistake("w - learning_rate * dw", "w - learning_rate * dw / len(w)",
            "The step is divided by the number of weights or rows: the gradient has its mean already."),
    Mistake("w - learning_rate * dw", "w - learning_rate * dw / np.linalg.norm(dw)",
            "The gradient is divided by its length: here it keeps it."),
    Mistake(_V, "momentum * v + learning_rate * dw",
            "The gradient is added to the velocity: the step goes uphill."),
    Mistake("    new_v = momentum * v - learning_rate * dw\n    new_w = w + new_v",
            "    new_v = momentum * v + learning_rate * dw\n    new_w = w - new_v",
            "v has the other sign than in the formula: there, v is the step itself, v = μ v − η dw and w "
            "= w + v."),
    Mistake("    new_v = momentum * v - learning_rate * dw\n    new_w = w + new_v",
            "    new_v = momentum * v + dw\n    new_w = w - learning_rate * new_v",
            "This is another form of momentum, in which v has no learning rate: use the formula of the "
            "task."),
    Mistake("    new_v = momentum * v - learning_rate * dw\n    new_w = w + new_v",
            "    new_v = momentum * v + (1 - momentum) * dw\n    new_w = w - learning_rate * new_v",
            "This is a moving average, as in Adam: the formula has no factor 1 − μ, and v holds the "
            "learning rate."),
    Mistake(_V, "momentum * v - (1 - momentum) * learning_rate * dw",
            "The factor 1 − μ belongs to a moving average; the formula has none."),
    Mistake(_V, "v - learning_rate * dw",
            "The momentum μ is missing: the velocity never slows down."),
    Mistake(_V, "-learning_rate * dw",
            "The old velocity is not used."),
    Mistake(_V, "momentum * v - dw",
            "The learning rate is missing."),
    Mistake(_V, "momentum * (v - learning_rate * dw)",
            "Brackets are wrong: the momentum multiplies the old velocity only."),
    Mistake(_V, "momentum - learning_rate * dw",
            "The momentum is subtracted from as a number: it multiplies the old velocity."),
    Mistake(_V, "learning_rate * v - momentum * dw",
            "The learning rate and the momentum are exchanged."),
    Mistake("w + new_v", "w + v",
            "The old velocity moves the weights: compute the new one first."),
    Mistake("w + new_v", "w - new_v",
            "The velocity is subtracted, but it already has its minus."),
    Mistake("w + new_v", "w - learning_rate * dw",
            "The weights move without the velocity."),
    Mistake("w + new_v", "w + learning_rate * new_v",
            "The learning rate counts twice: it is in the velocity already."),
    Mistake("w + new_v", "w + new_v - learning_rate * dw",
            "The gradient counts twice: it is in the velocity already."),
    Mistake("w + new_v", "w + momentum * new_v - learning_rate * dw",
            "This is Nesterov's momentum, which looks ahead; the formula is w + v."),
    Mistake("return new_w, new_v", "return new_w, v",
            "The old velocity is returned: the next step needs the new one."),
    Mistake("return new_w, new_v", "return new_v, new_w",
            "The results are in another order: w, then v."),
    Mistake("return new_w, new_v", "return w, new_v",
            "The old weights are returned."),
]  # fmt: skip
