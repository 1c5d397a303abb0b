"""Reference for task 12: a training loop."""

import numpy as np

from nnx.course.task import Case, Mistake

RETURNS = {"train": ("losses", "W", "b")}


def train(x, y, W, b, learning_rate, batch_size, epochs, seed):
    """Return the losses, and the trained weights and biases."""
    rng = np.random.default_rng(seed)
    rows = len(x)
    W, b = W.copy(), b.copy()
    losses = []
    for _epoch in range(epochs):
        order = rng.permutation(rows)
        total = 0.0
        for start in range(0, rows, batch_size):
            batch = order[start : start + batch_size]
            xb, yb = x[batch], y[batch]
            p = xb @ W + b
            total += np.sum((p - yb) ** 2)
            dp = 2 * (p - yb) / p.size
            dW = xb.T @ dp
            db = dp.sum(axis=0)
            W -= learning_rate * dW
            b -= learning_rate * db
        losses.append(total / y.size)
    return np.array(losses), W, b


def _case(name, rng, rows, inputs, outputs, batch_size, epochs):
    x, y = rng.normal(size=(rows, inputs)).round(2), rng.normal(size=(rows, outputs)).round(2)
    W, b = rng.normal(size=(inputs, outputs)).round(2), rng.normal(size=outputs).round(2)
    numbers = {
        "learning_rate": 0.1,
        "batch_size": batch_size,
        "epochs": epochs,
        "seed": int(rng.integers(100)),
    }
    return Case("train", name, {"x": x, "y": y, "W": W, "b": b, **numbers})


def cases(rng):
    """Return the calls that are checked."""
    return [
        _case("one step", rng, 3, 2, 1, 3, 1),
        _case("one step, 2 outputs", rng, 4, 3, 2, 4, 1),
        _case("3 epochs of one step", rng, 5, 3, 2, 5, 3),
        _case("one epoch of 3 batches", rng, 12, 3, 2, 4, 1),
        _case("one epoch, with a smaller last batch", rng, 11, 3, 2, 4, 1),
        _case("4 epochs of 6 batches", rng, 17, 3, 2, 3, 4),
        _case("a batch larger than the data", rng, 6, 3, 2, 8, 2),
    ]


_SHUFFLE = "order = rng.permutation(rows)"

MISTAKES = [
    # the order
    Mistake(_SHUFFLE, "order = np.arange(rows)",
            "The rows are not shuffled: each epoch needs a new random order."),
    Mistake("        order = rng.permutation(rows)\n",
            "        order = np.random.default_rng(seed).permutation(rows)\n",
            "All epochs have the same order. Make the generator once, and a new order in each epoch."),
    Mistake(_SHUFFLE, "order = np.random.default_rng(seed + _epoch).permutation(rows)",
            "The order is another one from the second epoch on. Make one generator, before the first epoch."),
    Mistake(_SHUFFLE, "order = rng.integers(0, rows, rows)",
            "Rows are drawn with repetition: use a permutation, so that each epoch uses each row once."),
    Mistake("xb, yb = x[batch], y[batch]", "xb, yb = x[batch], y[start : start + batch_size]",
            "x is shuffled, but y is not: a row must keep its target."),
    Mistake("xb, yb = x[batch], y[batch]", "xb, yb = x[start : start + batch_size], y[batch]",
            "y is shuffled, but x is not: a row must keep its target."),
    Mistake(_SHUFFLE + "\n        total = 0.0\n        for start in range(0, rows, batch_size):\n"
            "            batch = order[start : start + batch_size]\n            xb, yb = x[batch], y[batch]",
            _SHUFFLE + "\n        other = rng.permutation(rows)\n        total = 0.0\n"
            "        for start in range(0, rows, batch_size):\n"
            "            batch = order[start : start + batch_size]\n"
            "            xb, yb = x[batch], y[other[start : start + batch_size]]",
            "x and y are shuffled separately: a row must keep its target, so both need the same order."),
    Mistake("            batch = order[start",
            "            order = rng.permutation(rows)\n            batch = order[start",
            "There is a new order in each step: shuffle once in each epoch, so that it uses each row once."),
    Mistake("        order = rng.permutation(rows)\n        total = 0.0\n",
            "        order = rng.permutation(rows)\n        x, y = x[order], y[order]\n"
            "        order = np.arange(rows)\n        total = 0.0\n",
            "Each epoch shuffles the rows of the last epoch again. Take the order from the rows as they "
            "came."),
    Mistake("        order = rng.permutation(rows)\n",
            "        x, y = x[rng.permutation(rows)], y[rng.permutation(rows)]\n"
            "        order = np.arange(rows)\n",
            "x and y are shuffled separately: a row must keep its target, so both need the same order."),
    # the batches
    Mistake("range(0, rows, batch_size)", "range(0, rows - batch_size + 1, batch_size)",
            "The last batch is left out if it is smaller: its rows must be used too."),
    Mistake("range(0, rows, batch_size)", "range(0, rows - batch_size, batch_size)",
            "The last batch is always left out: the end of the range is off by one batch."),
    Mistake("range(0, rows, batch_size)", "range(0, rows)",
            "A batch begins at each row, so the batches overlap: the next one begins batch_size rows later."),
    Mistake("order[start : start + batch_size]", "order[start : start + batch_size - 1]",
            "Each batch misses its last row: the end of a slice is not part of it."),
    Mistake("order[start : start + batch_size]", "order[:batch_size]",
            "All steps of an epoch use the same batch: the batch begins at another row each time."),
    Mistake("batch = order[start : start + batch_size]", "batch = order",
            "Each step uses all rows: use only those of its batch."),
    Mistake("order[start : start + batch_size]", "np.r_[order, order][start : start + batch_size]",
            "A smaller last batch is filled with rows from the beginning: it stays smaller."),
    Mistake("range(epochs)", "range(epochs - 1)", "There is one epoch less than asked."),
    Mistake("range(epochs)", "range(epochs + 1)", "There is one epoch more than asked."),
    # the loss of an epoch
    Mistake("total += np.sum((p - yb) ** 2)", "total += np.mean((p - yb) ** 2) * batch_size * y.shape[1]",
            "The last batch is weighted as if it were as large as the others: weight a batch by its own "
            "rows."),
    Mistake("losses.append(total / y.size)", "losses.append(total / rows)",
            "The loss is divided by the rows only: it is the mean over all numbers, rows and outputs."),
    Mistake("losses.append(total / y.size)", "losses.append(total)",
            "The loss is a sum: divide it by how many numbers were added in the epoch."),
    Mistake("losses.append(total / y.size)", "losses.append(total / y.size / 2)",
            "The loss has a factor ½, which is not in the formula here."),
    Mistake("total += np.sum((p - yb) ** 2)", "total = y.size * np.mean((p - yb) ** 2)",
            "The loss of an epoch is that of its last batch alone: it is the mean over all batches."),
    Mistake("total += np.sum((p - yb) ** 2)",
            "total += np.mean((p - yb) ** 2) * y.size / -(-rows // batch_size)",
            "The loss is the mean of the batches' means: a smaller batch must have less weight in it."),
    Mistake("total += np.sum((p - yb) ** 2)", "total += np.mean((p - yb) ** 2) * y.size",
            "The loss is the sum of the batches' means: it is the mean over all numbers of the epoch."),
    Mistake("total += np.sum((p - yb) ** 2)", "total += np.sum(np.abs(p - yb))",
            "The loss has absolute values in place of squares."),
    Mistake("total += np.sum((p - yb) ** 2)", "total += np.sum(p - yb)", "The loss has no square."),
    Mistake("        losses.append(total / y.size)", "        losses.append(np.mean((x @ W + b - y) ** 2))",
            "The loss of an epoch is computed after its last step: add up the losses before each step."),
    Mistake("            b -= learning_rate * db\n", "            b -= learning_rate * db\n"
            "            total += np.sum((xb @ W + b - yb) ** 2) - np.sum((p - yb) ** 2)\n",
            "The loss of a batch is computed after its step: compute it before."),
    Mistake("        losses.append(total / y.size)", "    losses.append(total / y.size)",
            "There is only one loss, that of the last epoch: add one in each epoch."),
    Mistake("            dp = 2", "            losses.append(np.mean((p - yb) ** 2))\n            dp = 2",
            "There is a loss for each step too: add one in each epoch."),
    Mistake("            total += np.sum((p - yb) ** 2)\n",
            "            losses.append(np.mean((p - yb) ** 2))\n",
            "There is a loss for each step: add one in each epoch."),
    # the step
    Mistake("        total = 0.0\n", "        total = total if _epoch else 0.0\n",
            "The sum of the losses does not begin at 0 in each epoch."),
    Mistake("p = xb @ W + b", "p = xb @ W", "b is missing in p."),
    Mistake("dp = 2 * (p - yb) / p.size", "dp = (p - yb) / p.size",
            "The factor 2 is missing in dp: the derivative of z² is 2 z."),
    Mistake("2 * (p - yb) / p.size", "2 * (p - yb) / len(p)",
            "dp is divided by the rows only: the loss is a mean over rows and outputs."),
    Mistake("2 * (p - yb) / p.size", "2 * (p - yb)",
            "dp is not divided by the size of the batch: the loss is a mean."),
    Mistake("2 * (p - yb) / p.size", "2 * (p - yb) / batch_size / y.shape[1]",
            "dp is divided by batch_size, also if the last batch is smaller: divide by what the batch has."),
    Mistake("2 * (p - yb) / p.size", "2 * (p - yb) / y.size",
            "dp is divided by the size of all data: divide by the size of the batch."),
    Mistake("dW = xb.T @ dp\n            db = dp.sum(axis=0)",
            "dW = xb.T @ dp / len(xb)\n            db = dp.sum(axis=0) / len(xb)",
            "The gradients are divided by the rows twice: dp has been divided already."),
    Mistake("dW = xb.T @ dp\n            db = dp.sum(axis=0)",
            "dW = xb.T @ dp / len(xb)\n            db = dp.mean(axis=0)",
            "The gradients are divided by the rows twice: dp has been divided already."),
    Mistake("dW = xb.T @ dp", "dW = xb.T @ dp / len(xb)",
            "dW is divided by the rows twice: dp has been divided already."),
    Mistake("db = dp.sum(axis=0)", "db = dp.mean(axis=0)",
            "db is a mean, so it is divided by the rows twice: it is a sum."),
    Mistake("db = dp.sum(axis=0)", "db = dp.sum()",
            "db is one sum for all outputs: each output has its own, over the rows."),
    Mistake("W -= learning_rate * dW\n            b -= learning_rate * db",
            "W += learning_rate * dW\n            b += learning_rate * db",
            "The steps go uphill: their sign is wrong."),
    Mistake("W -= learning_rate * dW", "W += learning_rate * dW",
            "W goes uphill: its step has the wrong sign."),
    Mistake("b -= learning_rate * db", "b += learning_rate * db",
            "b goes uphill: its step has the wrong sign."),
    Mistake("            b -= learning_rate * db\n", "", "b is never changed: it has a step too."),
    Mistake("            W -= learning_rate * dW\n", "", "W is never changed: it has a step too."),
    Mistake("            db = dp.sum(axis=0)\n            W -= learning_rate * dW\n",
            "            W -= learning_rate * dW\n"
            "            db = (2 * (xb @ W + b - yb) / p.size).sum(axis=0)\n",
            "db is computed after W has changed: compute all gradients first, then take the steps."),
    Mistake("    for _epoch in range(epochs):\n        order = rng.permutation(rows)\n        total = 0.0\n",
            "    first_W, first_b = W.copy(), b.copy()\n"
            "    for _epoch in range(epochs):\n        order = rng.permutation(rows)\n        total = 0.0\n"
            "        W, b = first_W.copy(), first_b.copy()\n",
            "Each epoch begins with the initial weights again: start from those of the last epoch."),
    Mistake("            dW = xb.T @ dp\n            db = dp.sum(axis=0)\n",
            "            dW = (dW if _epoch or start else 0) + xb.T @ dp\n"
            "            db = (db if _epoch or start else 0) + dp.sum(axis=0)\n",
            "The gradients of all steps are added up: a step uses the gradients of one batch."),
    Mistake("            W -= learning_rate * dW\n            b -= learning_rate * db\n",
            "            sum_W, sum_b = (sum_W + dW, sum_b + db) if start else (dW, db)\n"
            "        W -= learning_rate * sum_W\n        b -= learning_rate * sum_b\n",
            "There is only one step in each epoch: take a step after each batch."),
]  # fmt: skip
