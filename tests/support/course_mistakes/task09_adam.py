"""Twenty usual mistakes of task 9, and words of the hint for each (None: it only must be caught)."""

M = "m = beta1 * m + (1 - beta1) * dw"
V = "v = beta2 * v + (1 - beta2) * dw**2"
CORRECTION = "correction = np.sqrt(1 - beta2**t) / (1 - beta1**t)"
STEP = "step = learning_rate * correction * m / (np.sqrt(v) + epsilon)"

MISTAKES = [
    (CORRECTION, "correction = 1.0", "bias correction is missing"),
    (CORRECTION, "correction = 1 / (1 - np.power(beta1, t))", "correction of v is missing"),
    (STEP, "step = learning_rate * np.sqrt(1 - beta2**t) * m / (np.sqrt(v) + epsilon)",
     "correction of m is missing"),
    (CORRECTION, "t = t + 1\n    correction = (1 - beta2**t) ** 0.5 / (1 - beta1**t)", "one too large"),
    (CORRECTION, "correction = (1 - beta1**t) ** -1 * (1 - beta2**t)", "no root"),
    (CORRECTION, "correction = np.sqrt(1 - beta2 * t) / (1 - beta1 * t)", None),
    (STEP, "step = learning_rate * correction * m / np.sqrt(epsilon + v)", "inside the root"),
    (STEP, "m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)\n"
     "    step = learning_rate * m_hat / (v_hat**0.5 + epsilon)",
     "corrected root"),
    (STEP, "step = learning_rate * correction * m / v**0.5", "ε is missing"),
    (STEP, "step = learning_rate * (correction * m / (epsilon + v))", "root of v is missing"),
    (STEP, "step = learning_rate * correction * dw / (epsilon + np.sqrt(v))", "gradient dw itself"),
    (STEP, "step = -learning_rate * correction * m / (np.sqrt(v) + epsilon)", "uphill"),
    (STEP, "step = correction * m / (np.sqrt(v) + epsilon)", "learning rate is missing"),
    (M, "m = beta1 * m\n    m = m + dw", "m is a mean, not a sum"),
    (M, "m = m + beta1 * (dw - m)", "changed places"),
    (M, "m *= beta1\n    m += (1 - beta1) * dw", "overwrites"),
    (V, "v = v * beta2 + dw * (1 - beta2)", "not squared"),
    (V, "v = beta2 * v + ((1 - beta2) * dw) * ((1 - beta2) * dw)", "squared too"),
    (V, "v = v * beta1 + dw * dw * (1 - beta1)", "β₂ belongs to v"),
    (V, "v = beta2 * v + (1 - beta2) * (dw**2).mean()", "each weight has its own"),
]  # fmt: skip
