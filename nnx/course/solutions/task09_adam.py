"""Reference for task 9: Adam."""

import numpy as np

from nnx.course.task import Case, Mistake

RETURNS = {"adam_step": ("w", "m", "v")}


def adam_step(w, dw, m, v, t, learning_rate, beta1, beta2, epsilon):
    """Return the running means and the weights after a step of Adam."""
    m = beta1 * m + (1 - beta1) * dw
    v = beta2 * v + (1 - beta2) * dw**2
    correction = np.sqrt(1 - beta2**t) / (1 - beta1**t)
    step = learning_rate * correction * m / (np.sqrt(v) + epsilon)
    return w - step, m, v


def _case(name, rng, shape, t, epsilon):
    w, dw, m = rng.normal(size=(3, *shape)).round(2)
    v = rng.uniform(0.5, 2.0, size=shape).round(2)
    if t == 1:
        m, v = np.zeros(shape), np.zeros(shape)
    numbers = {"t": t, "learning_rate": 0.1, "beta1": 0.8, "beta2": 0.95, "epsilon": epsilon}
    return Case("adam_step", name, {"w": w, "dw": dw, "m": m, "v": v, **numbers})


def cases(rng):
    """Return the calls that are checked."""
    unused = _case("the first step, with a gradient of 0", rng, (3,), 1, 0.01)
    unused.arguments["dw"][1] = 0.0
    return [
        _case("the fourth step", rng, (2,), 4, 0.01),
        _case("the first step", rng, (3, 2), 1, 0.01),
        unused,
        _case("a large ε", rng, (2, 3), 7, 0.5),
    ]


MISTAKES = [
    # m
    Mistake("beta1 * m + (1 - beta1) * dw", "beta1 * m + dw",
            "The factor 1 − β₁ of dw is missing: m is a mean, not a sum."),
    Mistake("beta1 * m + (1 - beta1) * dw", "(1 - beta1) * m + beta1 * dw",
            "β₁ and 1 − β₁ have changed places: the old m has the factor β₁, dw has 1 − β₁."),
    Mistake("beta1 * m + (1 - beta1) * dw", "beta2 * m + (1 - beta2) * dw",
            "m uses β₂, but β₁ belongs to m, and β₂ to v."),
    Mistake("beta1 * m + (1 - beta1) * dw", "beta1 * m - (1 - beta1) * dw",
            "dw has the wrong sign in m: m is a mean of gradients; the step has the minus."),
    Mistake("beta1 * m + (1 - beta1) * dw", "beta1 * m", "The new gradient dw is missing in m."),
    Mistake("return w - step, m, v", "return w - step, m / (1 - beta1**t), v",
            "The m that you return is corrected. Return the running mean as it is: the correction belongs "
            "only to the step."),
    # v
    Mistake("beta2 * v + (1 - beta2) * dw**2", "beta2 * v + dw**2",
            "The factor 1 − β₂ of dw² is missing: v is a mean, not a sum."),
    Mistake("beta2 * v + (1 - beta2) * dw**2", "(1 - beta2) * v + beta2 * dw**2",
            "β₂ and 1 − β₂ have changed places: the old v has the factor β₂, the new square has 1 − β₂."),
    Mistake("beta2 * v + (1 - beta2) * dw**2", "beta1 * v + (1 - beta1) * dw**2",
            "v uses β₁, but β₂ belongs to v, and β₁ to m."),
    Mistake("(1 - beta2) * dw**2", "(1 - beta2) * dw", "dw is not squared in v: v is the mean of dw²."),
    Mistake("(1 - beta2) * dw**2", "(1 - beta2) * abs(dw)",
            "v has |dw| in place of the square: it is the mean of dw²."),
    Mistake("(1 - beta2) * dw**2", "((1 - beta2) * dw) ** 2",
            "The factor 1 − β₂ is squared too: only dw is squared."),
    Mistake("(1 - beta2) * dw**2", "(1 - beta2) * np.mean(dw**2)",
            "v is one mean for all weights, but each weight has its own: no mean over dw²."),
    Mistake("(1 - beta2) * dw**2", "(1 - beta2) * m**2",
            "v has the square of m, but it is the mean of the squares of dw."),
    Mistake("return w - step, m, v", "return w - step, m, v / (1 - beta2**t)",
            "The v that you return is corrected. Return the running mean as it is: the correction belongs "
            "only to the step."),
    # the step
    Mistake("learning_rate * correction * m", "learning_rate * m",
            "The bias correction is missing: both means start at 0, so they are too small at first."),
    Mistake("np.sqrt(1 - beta2**t) / ", "1 / ",
            "The bias correction of v is missing: only that of m is there."),
    Mistake(" / (1 - beta1**t)", "", "The bias correction of m is missing: only that of v is there."),
    Mistake("np.sqrt(1 - beta2**t)", "(1 - beta2**t)",
            "The bias correction of v has no root: it corrects v, and v is under a root."),
    Mistake("correction = np.sqrt(1 - beta2**t) / (1 - beta1**t)",
            "correction = (1 - beta1**t) / np.sqrt(1 - beta2**t)",
            "The bias correction is upside down: the step is divided by 1 − β₁ᵗ."),
    Mistake("**t", "**(t + 1)",
            "The power of β is one too large: the first step has t = 1, and t needs no change."),
    Mistake("**t", "**(t - 1)",
            "The power of β is one too small: the first step has t = 1, and t needs no change."),
    Mistake("np.sqrt(1 - beta2**t) / (1 - beta1**t)", "np.sqrt(1 - beta2) / (1 - beta1)",
            "The power is missing in the bias correction: it has βᵗ, so it changes from step to step."),
    Mistake("np.sqrt(v) + epsilon", "np.sqrt(v + epsilon)", "ε is inside the root: it is added to √v."),
    Mistake("np.sqrt(1 - beta2**t) / (1 - beta1**t)\n"
            "    step = learning_rate * correction * m / (np.sqrt(v) + epsilon)", "1 / (1 - beta1**t)\n"
            "    step = learning_rate * correction * m / (np.sqrt(v / (1 - beta2**t)) + epsilon)",
            "ε is added to the corrected root. Here it is added to √v itself, and the correction stands in "
            "front."),
    Mistake(" + epsilon", "", "ε is missing: where dw has always been 0, 0 is divided by 0."),
    Mistake("np.sqrt(v) + epsilon", "v + epsilon", "The root of v is missing in the step."),
    Mistake("w - step", "w + step", "The step goes uphill: its sign is wrong."),
    Mistake("correction * m /", "correction * dw /",
            "The step uses the gradient dw itself, in place of its running mean m."),
    Mistake("    m = beta1 * m + (1 - beta1) * dw\n    v = beta2 * v + (1 - beta2) * dw**2\n"
            "    correction = np.sqrt(1 - beta2**t) / (1 - beta1**t)\n"
            "    step = learning_rate * correction * m / (np.sqrt(v) + epsilon)",
            "    correction = np.sqrt(1 - beta2**t) / (1 - beta1**t)\n"
            "    step = learning_rate * correction * m / (np.sqrt(v) + epsilon)\n"
            "    m = beta1 * m + (1 - beta1) * dw\n    v = beta2 * v + (1 - beta2) * dw**2",
            "The step uses the old m and v: first compute the new ones, then the step."),
    Mistake("correction * m / (np.sqrt(v)", "correction * m / (np.sqrt((v - (1 - beta2) * dw**2) / beta2)",
            "The step uses the old v: first compute the new one, then the step."),
    Mistake("correction * m / (np.sqrt(v)", "correction * (m - (1 - beta1) * dw) / beta1 / (np.sqrt(v)",
            "The step uses the old m: first compute the new one, then the step."),
    Mistake("learning_rate * correction", "correction", "The learning rate is missing in the step."),
    Mistake("w - step", "-step", "The result is only the change of w: add it to w."),
]  # fmt: skip
