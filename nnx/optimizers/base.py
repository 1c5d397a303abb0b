"""The base of all optimizers: their settings, parameter groups, and the step."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Protocol

from nnx import schedules
from nnx.backends import Array, Backend
from nnx.errors import ConfigurationError, number
from nnx.ops.steps import Number, PerStep
from nnx.optimizers import groups as grouping
from nnx.parameters import Arena, OptimizerState, Span
from nnx.records import OptimizerRecord
from nnx.schedules import Schedule, as_schedule
from nnx.used_rows import UsedRows

Slot = tuple[str, float] | None
Groups = Mapping[str, Mapping[str, Any]]
SHARE, POSITIVE = "[0, 1)", "(0, inf)"  # the ranges of settings
HIDDEN = ("schedule", "slots")  # attributes that are not arguments of a constructor


class Trainable(Protocol):
    """What an optimizer needs from a network."""

    @property
    def arena(self) -> Arena:
        """Return the arena that holds the parameters."""
        ...

    @property
    def span(self) -> tuple[int, int]:
        """Return the range of the arena's layers: the first, and one past the last."""
        ...


class Optimizer:
    """Base of the optimizers.

    A subclass names its slots and defines `update`, one backend call for a contiguous range. Each argument of
    its constructor must be an attribute of the same name; otherwise it also defines `config`.

    Attributes
    ----------
    schedule : Schedule
        The learning rate; ``learning_rate`` reads and sets it, as a number if it is constant.
    """

    record: ClassVar[OptimizerRecord]  # only optimizers of nnx have it, see `nnx.records`
    slots: tuple[Slot, ...] = ()
    _groups: grouping.Groups = ()

    def __init__(
        self,
        learning_rate: float | Schedule,
        weight_decay: float = 0.0,
        l2: float = 0.0,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        groups: Groups | None = None,
    ) -> None:
        self.schedule = as_schedule(learning_rate, type(self).__name__)
        self.weight_decay = self.setting("weight_decay", weight_decay)
        self.l2 = self.setting("l2", l2)
        self.clip_norm = None if clip_norm is None else self.setting("clip_norm", clip_norm, POSITIVE)
        self.clip_value = None if clip_value is None else self.setting("clip_value", clip_value, POSITIVE)
        self.groups = groups

    def setting(self, name: str, value: Any, interval: str = "[0, inf)") -> float:
        """Check that a setting lies in its range, and return it as a float."""
        return number(f"{type(self).__name__}: {name}", value, interval)

    @property
    def learning_rate(self) -> float | Schedule:
        """Return the learning rate: a number if it is constant, else its schedule."""
        schedule = self.schedule
        return schedule.learning_rate if type(schedule) is schedules.Constant else schedule

    @learning_rate.setter
    def learning_rate(self, value: float | Schedule) -> None:
        self.schedule = as_schedule(value, type(self).__name__)

    @property
    def groups(self) -> Groups | None:
        """Return a copy of the parameter groups, see `nnx.optimizers.groups`; assign to change them."""
        return grouping.config(self._groups) or None

    @groups.setter
    def groups(self, value: Groups | None) -> None:
        if value is None:
            self._groups = ()
            return
        others = inspect.signature(type(self)).parameters
        self._groups = grouping.read(type(self).__name__, value, others)

    def config(self) -> dict[str, Any]:
        """Return the constructor's arguments, as values that JSON can hold."""
        config = {"learning_rate": schedules.describe(self.schedule), **self._arguments()}
        return config | ({"groups": self.groups} if self._groups else {})

    def _arguments(self) -> dict[str, Any]:
        """Return the attributes that are the constructor's arguments, without learning rate and groups."""
        return {k: v for k, v in vars(self).items() if k not in HIDDEN and not k.startswith("_")}

    def state_for(self, network: Trainable) -> tuple[OptimizerState, list[Span]]:
        """Return the optimizer's state for a network and the spans to update; the first call makes both.

        Raises
        ------
        ConfigurationError
            If a pattern of the groups has no effect on this network, or a sparse parameter has weight decay.
        """
        groups = self._groups
        if not groups:
            found = network.arena.optimized(self, self.slots, *network.span)
        else:
            choose = partial(grouping.choose, type(self).__name__, groups)
            found = network.arena.optimized(self, self.slots, *network.span, groups, choose)
        if network.arena.sparse:
            self._check_sparse(network.arena, found[1])
        return found

    def _check_sparse(self, arena: Arena, spans: list[Span]) -> None:
        """Refuse weight decay for sparse parameters: it would shrink only the rows that a batch uses."""
        for span in spans:
            settings = dict(span.settings or ())
            for name in ("weight_decay", "l2") if span.used is not None and span.used.lazy else ():
                value = settings.get(name, getattr(self, name))
                if value:
                    parameter = arena.name_of(span.values)
                    raise ConfigurationError(
                        f"{type(self).__name__}: {name}={value:g} would shrink only the rows of {parameter} "
                        f"that a batch uses: set groups={{{parameter!r}: {{{name!r}: 0.0}}}}, or sparse=False"
                    )

    def step(self, network: Trainable) -> None:
        """Update the trainable parameters of a network (or slice) from its gradients, in place."""
        arena = network.arena
        state, spans = self.state_for(network)
        backend = arena.backend
        for span in spans:
            if span.used is not None and span.used.lazy:
                span.used.read_gradient()
            elif span.used is not None and span.used.shown:
                span.used.forget()  # a user may have changed the gradient in other rows
        if self.clip_value is not None or self.clip_norm is not None:
            self._clip(backend, spans)
        if self._groups:
            self._step_groups(arena, state, spans)
            return
        learning_rate = self.rate(state.step) * state.scale
        arena.step += 1
        state.step += 1
        for span in spans:
            self.apply(backend, span, arena.fault, learning_rate, state.step)

    @property
    def keeps_rest(self) -> bool:
        """Return whether the rule changes nothing where the gradient is 0; so unused rows can be skipped."""
        return False

    def _clip(self, backend: Backend, spans: list[Span]) -> None:
        """Clip the gradients; those of sparse parameters in the rows that were used, as all others are 0."""
        used = [span.used for span in spans if span.used is not None and span.used.rows is not None]
        gradients = [
            span.gradients
            for span in spans
            if span.used is None or (span.used.rows is None and not span.used.lazy)
        ]
        gradients += [one.sums.reshape(-1) for one in used]
        if self.clip_value is not None:
            for gradient in gradients:
                backend.clip_by_value(gradient, self.clip_value)
        if self.clip_norm is not None:
            backend.clip_by_norm(gradients, self.clip_norm)
        for one in used:
            one.write_gradient()

    def apply(self, backend: Backend, span: Span, fault: Array, learning_rate: Number, step: int) -> None:
        """Do `update`; for a sparse parameter only for its used rows."""
        used = span.used
        if used is not None and not used.lazy and (used.rows is None or not self.keeps_rest):
            span, used = replace(span, values=span.values.reshape(-1), used=None), None
        if used is None:
            self.update(backend, span, fault, learning_rate, step)
            return
        if used.rows is not None:
            self.update_rows(backend, span, used, fault, learning_rate, step)

    def update_rows(
        self, backend: Backend, span: Span, used: UsedRows, fault: Array, learning_rate: Number, step: int
    ) -> None:
        """Do `update` on copies of the used rows of a span, and write them back."""
        values = used.take(span.values, "values")
        slots = tuple(
            None if slot is None else used.take(slot, f"slot {number}")
            for number, slot in enumerate(span.slots)
        )
        rows = Span(values, used.sums.reshape(-1), slots, span.settings)
        self.update(backend, rows, fault, learning_rate, step)
        used.put(span.values, values)
        for slot, changed in zip(span.slots, slots, strict=True):
            if slot is not None:
                used.put(slot, changed)

    def launch(self, network: Trainable, rules: Sequence[Optimizer], numbers: PerStep) -> None:
        """Do `step` on a GPU with the numbers of the current step in its memory, and count nothing.

        Parameters
        ----------
        rules : sequence of Optimizer
            From `rules`.
        numbers : PerStep
            For each rule, what its method `numbers` returned.
        """
        arena = network.arena
        _, spans = self.state_for(network)
        if self.clip_value is not None or self.clip_norm is not None:
            self._clip(arena.backend, spans)
        for place, (span, rule) in enumerate(zip(spans, rules, strict=True)):
            rule.apply(arena.backend, span, arena.fault, numbers.at(2 * place), 0)

    def rules(self, network: Trainable) -> list[Optimizer]:
        """Return for each span the optimizer with the settings of its group."""
        _, spans = self.state_for(network)
        return [self if span.settings is None else self._with(span.settings) for span in spans]

    def numbers(self, learning_rate: float, step: int) -> tuple[float, float]:
        """Return the numbers of a step for `launch`: the rate with corrections, and 1 − η·weight_decay."""
        return learning_rate, 1.0 - learning_rate * self.weight_decay

    def _step_groups(self, arena: Arena, state: OptimizerState, spans: list[Span]) -> None:
        """Update each span with the settings of its group."""
        rules = [self._rule(span, state) for span in spans]  # all checked before anything changes
        arena.step += 1
        state.step += 1
        for span, (rule, learning_rate) in zip(spans, rules, strict=True):
            rule.apply(arena.backend, span, arena.fault, learning_rate, state.step)

    def _rule(self, span: Span, state: OptimizerState) -> tuple[Optimizer, float]:
        """Return a copy with the settings of a span's group, and its learning rate."""
        rule = self if span.settings is None else self._with(span.settings)
        return rule, rule.rate(state.step) * state.scale

    def _with(self, settings: grouping.Settings) -> Optimizer:
        """Return a copy with the settings of a group."""
        made = copy.copy(self)
        for name, value in settings:
            setattr(made, name, value)
        return made

    def rate(self, step: int) -> float:
        """Return the schedule's learning rate after `step` steps.

        Raises
        ------
        ConfigurationError
            If your own schedule returns a rate that is negative or not finite.
        """
        rate = self.schedule(step)
        if type(rate) is float and 0.0 <= rate < math.inf:  # fast for every step; the check below is slower
            return rate
        return number(f"{self.schedule!r}: the learning rate of step {step}", rate, "[0, inf)")

    def update(self, backend: Backend, span: Span, fault: Array, learning_rate: Number, step: int) -> None:
        """Update one contiguous range; `step` is the number of this step, from 1.

        In `fit` on a GPU, optimizers of nnx get a `PerStep` as the learning rate; yours get a number.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        shown = self.config() | {"learning_rate": self.learning_rate}
        arguments = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"{type(self).__name__}({arguments})"
