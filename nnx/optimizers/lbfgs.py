"""L-BFGS, for small data: each step uses all rows and searches along a line."""

from __future__ import annotations

from typing import Any

from nnx.errors import ConfigurationError, whole
from nnx.optimizers.base import Optimizer, Trainable
from nnx.records import OptimizerRecord


class LBFGS(Optimizer):
    """L-BFGS: w = w + α d with d = −H g, where H approximates the inverse of the Hessian matrix.

    H follows from the last changes s = Δw and y = Δg, by the two-loop recursion. α is the step that satisfies
    the strong Wolfe conditions: L(w + α d) ≤ L(w) + 1e-4 α dᵀg, and |dᵀg(w + α d)| ≤ 0.9 |dᵀg|.

    Only `Network.fit` can take such steps. An epoch is one step, which computes the loss of all rows several
    times; ``batch_size`` is only how many rows are computed at a time, and at least 1,024. Training ends when
    the gradient is small, or when no step lowers the loss any more. It suits small data and networks without
    dropout, noise and running statistics; float64 reaches much smaller losses than float32.

    Parameters
    ----------
    history : int
        Number of changes (s, y) to store; each takes twice the memory of the parameters.
    l2 : float ≥ 0
        Adds ½ l2 ‖w‖² to what is minimised; the loss in the history does not include it.
    tolerance : float ≥ 0
        Training ends when no |gradient| is larger.

    Raises
    ------
    ConfigurationError
        If a value is outside its range.

    References
    ----------
    Liu and Nocedal (1989), On the limited memory BFGS method for large scale optimization. Nocedal and Wright
    (2006), Numerical optimization, algorithms 7.4, 7.5, 3.5 and 3.6.
    """

    record = OptimizerRecord(names=("lbfgs",), keras="Keras has no optimizer with a line search")

    def __init__(self, history: int = 10, *, l2: float = 0.0, tolerance: float = 1e-5) -> None:
        super().__init__(1.0, l2=l2)
        self.history = whole("LBFGS: history", history)
        self.tolerance = self.setting("tolerance", tolerance)
        self.slots = tuple((f"{kind}{n}", 0.0) for n in range(self.history) for kind in ("s", "y"))

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {"history": self.history, "l2": self.l2, "tolerance": self.tolerance}

    def step(self, network: Trainable) -> None:
        """Refuse: a step needs the loss at several points.

        Raises
        ------
        ConfigurationError
            Always.
        """
        raise ConfigurationError("LBFGS computes the loss several times in a step: train with network.fit")

    def __repr__(self) -> str:
        return f"LBFGS({', '.join(f'{name}={value!r}' for name, value in self.config().items())})"
