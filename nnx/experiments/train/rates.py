"""``nnx train --find-lr``: search the learning rate before training."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from nnx.errors import ConfigurationError, DataError
from nnx.experiments.result import Result
from nnx.experiments.stages import stage
from nnx.experiments.train.config import Config
from nnx.experiments.train.networks import make_optimizer
from nnx.losses import Loss
from nnx.network import Network
from nnx.training import RateSearch

METRICS = {"learning_rate": "learning rate found"}


def check(config: Config) -> None:
    """Refuse a search if the learning rate is given.

    Raises
    ------
    ConfigurationError
        If it is given.
    """
    if config.find_lr and config.learning_rate is not None:
        raise ConfigurationError(
            f"find_lr searches the learning rate, but learning_rate {config.learning_rate:g} is given: "
            "remove one of the two"
        )


def searched(
    config: Config, network: Network, side: Any, loss: Loss, batch_size: int
) -> tuple[Config, RateSearch | None]:
    """Return the configuration with the rate that was found for the rows of a side, and the search.

    Raises
    ------
    DataError
        If the loss does not fall at any rate.
    """
    if not config.find_lr:
        return config, None
    optimizer = make_optimizer(replace(config, schedule="constant"), 1)
    with stage("searching the learning rate"):
        found = network.lr_find(
            side.x, side.y, loss=loss, optimizer=optimizer, batch_size=batch_size,
            sample_weight=side.weights, accumulate=config.accumulate,
        )  # fmt: skip
    if found.suggested is None:
        raise DataError(
            f"find_lr: the loss does not fall at any learning rate from {found.rates[0]:g} to "
            f"{found.rates[-1]:g}: give learning_rate"
        )
    return replace(config, learning_rate=found.suggested), found


def record(result: Result, found: RateSearch | None) -> None:
    """Add the rate and the curve of the search to a result."""
    if found is None:
        return
    curve = {name: getattr(found, name).tolist() for name in ("rates", "losses", "smoothed")}
    result.metrics |= {"learning_rate": found.suggested, "rate_search": curve}
    result.notes.append(f"trained with the learning rate {found.suggested:g}, which a search found")


def figures(result: Result, reports: Any) -> dict[str, Any]:
    """Draw the search, if there was one."""
    curve = result.metrics.get("rate_search")
    if curve is None:
        return {}
    found = RateSearch(**curve, suggested=result.metrics["learning_rate"])
    return {"learning_rates": reports.rate_search(found)}
