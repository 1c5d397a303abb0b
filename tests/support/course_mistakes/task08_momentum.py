"""Twenty usual mistakes of task 8, and words of the hint for each (None: it only must be caught)."""

SGD = "moved = w - learning_rate * dw"
V = "new_v = momentum * v - learning_rate * dw"
W = "new_w = w + new_v"

MISTAKES = [
    (SGD, "moved = w + dw * learning_rate", "uphill"),
    (SGD, "w -= learning_rate * dw\n    moved = w", "overwrites"),
    (SGD, "moved = w.copy()\n    moved -= dw", "learning rate is missing"),
    (SGD, "moved = np.negative(learning_rate * dw)", "step alone"),
    (SGD, "moved = np.array([w[i] - learning_rate * dw[i] for i in range(len(w) - 1)])", None),
    (SGD, "moved = w - learning_rate * dw.mean()", "mean gradient"),
    (SGD, "moved = (1 - learning_rate) * w", "in place of the gradient"),
    (SGD, "moved = w - learning_rate**2 * dw", None),
    ("return moved", "moved", "return missing"),
    (V, "new_v = learning_rate * dw + v * momentum", "uphill"),
    (V, "new_v = (v - dw * learning_rate) * momentum", "Brackets"),
    (V, "new_v = v - dw * learning_rate", "momentum μ is missing"),
    (V, "new_v = momentum * v - (1 - momentum) * dw", None),
    (V, "v *= momentum\n    v -= learning_rate * dw\n    new_v = v", "overwrites"),
    (W, "new_w = w - learning_rate * dw", "velocity is not used"),
    (W, "new_w = np.subtract(w, new_v)", "already has its minus"),
    (W, "new_w = w + v", "old velocity moves"),
    (W, "new_w = w + new_v * learning_rate", "counts twice"),
    ("return new_w, new_v", "return new_w, v", "old velocity is returned"),
    ("return new_w, new_v", "return new_w", "Return all results"),
]  # fmt: skip
