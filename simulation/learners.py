"""Learners: how the read-out is trained on features or a kernel; one class a kind."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, ClassVar, Protocol

import array_api_compat

from simulation import losses
from simulation.arrays import dot, times, transposed
from simulation.designs import Design, Fit, ListedFeatures
from simulation.domains import nonnegative, positive, whole
from simulation.hinge import minimise_hinge
from simulation.linear_algebra import solve_positive
from simulation.logistic import minimise_logistic
from simulation.margins import blank

SMALL_PENALTY = 1e-9
"""In units of the mean variance of a feature."""


class Learner(Protocol):
    """What trains a read-out.

    Attributes:
        loss: of a margin, for labels that are classes; None where nothing is minimised.
        needs_classes: whether labels have to be +-1.
    """

    needs_classes: ClassVar[bool]

    @property
    def loss(self) -> Callable[[Any], Any] | None:
        """Loss of a margin."""

    def fit(self, design: Design, labels: Any) -> Fit:
        """Train on labels of shape ``(n,)``, with a constant where the design has a centre."""


def fit(learner: Learner, features: Any, labels: Any, *, fit_intercept: bool) -> tuple[Any, Any]:
    """Train on features as they are; return the weights, shape ``(p,)``, and the intercept, 0 where none is fitted.

    Args:
        learner: of this module.
        features: shape ``(n, p)``, of any array API namespace.
        labels: shape ``(n,)``.
        fit_intercept: whether an unpenalised constant is fitted.
    """
    design = ListedFeatures.of(features, fit_intercept=fit_intercept)
    fitted = learner.fit(design, labels)
    return fitted.readout, beside_raw_features(fitted, design)


def beside_raw_features(fitted: Fit, design: Design) -> Any:
    """Return the intercept beside features that are not centred."""
    return fitted.intercept if design.centre is None else fitted.intercept - dot(design.centre, fitted.readout)


class _OnCentredLabels:
    """Square loss: the constant, at its best, is the mean of the labels beside centred features."""

    loss: ClassVar = staticmethod(losses.square)
    needs_classes: ClassVar[bool] = False

    def fit(self, design: Design, labels: Any) -> Fit:
        """Train on labels of shape ``(n,)``."""
        if design.centre is None:
            return self._fit(design, labels)
        level = array_api_compat.array_namespace(labels).mean(labels, axis=-1)
        return self._fit(design, labels - level[..., None]).shifted(level)

    def _fit(self, design: Design, labels: Any) -> Fit:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Ridge(_OnCentredLabels):
    """Minimises ``(1/n) ||y - f||^2 + penalty ||theta||^2``; penalty 0 is the solution of least norm."""

    penalty: float

    def __post_init__(self) -> None:
        nonnegative("penalty", self.penalty)

    def _fit(self, design: Design, labels: Any) -> Fit:
        return design.ridge(labels, self.penalty)


@dataclass(frozen=True, kw_only=True)
class GradientFlow(_OnCentredLabels):
    """``d theta / dt = -grad`` of ``(1/2n) ||y - f||^2 + (penalty/2) ||theta||^2``, from 0; a constant keeps at its best.

    Attributes:
        time: nonnegative.
        penalty: nonnegative.
    """

    time: float
    penalty: float = 0.0

    def __post_init__(self) -> None:
        nonnegative("time", self.time)
        nonnegative("penalty", self.penalty)

    def _fit(self, design: Design, labels: Any) -> Fit:
        def shrink(eigenvalues: Any) -> Any:
            # (1 - exp(-t u)) / u, which is t at u = 0.
            rates = eigenvalues + self.penalty
            return _per_rate(-_xp(rates).expm1(-self.time * rates), rates, at_zero=self.time)

        return design.filtered(labels, shrink, resolution=_resolution(self.penalty, self.time))


@dataclass(frozen=True, kw_only=True)
class GradientDescent(_OnCentredLabels):
    """Full-batch steps on the objective of :class:`GradientFlow`, from 0; a constant keeps at its best.

    Attributes:
        step_size: positive.
        steps: how many, whole.
        penalty: nonnegative.
    """

    step_size: float
    steps: int
    penalty: float = 0.0

    def __post_init__(self) -> None:
        positive("step_size", self.step_size)
        object.__setattr__(self, "steps", whole("steps", self.steps, least=0))
        nonnegative("penalty", self.penalty)

    def _fit(self, design: Design, labels: Any) -> Fit:
        def shrink(eigenvalues: Any) -> Any:
            # (1 - (1 - eta u)^k) / u, which is eta k at u = 0; by logarithms where the power is close to 1.
            xp, rates = _xp(eigenvalues), eigenvalues + self.penalty
            decay = self.step_size * rates
            slow = decay < 0.5
            by_logarithm = -xp.expm1(self.steps * xp.log1p(-xp.where(slow, decay, 0.0 * decay)))
            by_power = 1.0 - (1.0 - xp.where(slow, 0.5 + 0.0 * decay, decay)) ** self.steps
            return _per_rate(xp.where(slow, by_logarithm, by_power), rates, at_zero=self.step_size * self.steps)

        return design.filtered(labels, shrink, resolution=_resolution(self.penalty, self.step_size * self.steps))


class _OfMargins:
    """A loss of the margin, minimised in as few directions as there are."""

    needs_classes: ClassVar[bool] = True
    penalty: float

    def fit(self, design: Design, labels: Any) -> Fit:
        """Train on labels +-1 of shape ``(n,)``."""
        coordinates, intercept = self._minimise(
            design.narrow, labels, penalty=self.penalty, fit_intercept=design.centre is not None
        )
        return design.expanded(coordinates).shifted(intercept)

    def _minimise(self, features: Any, labels: Any, *, penalty: float, fit_intercept: bool) -> tuple[Any, Any]:
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class Logistic(_OfMargins):
    """Minimises ``mean log(1 + exp(-y f)) + (penalty/2) ||theta||^2``.

    A training set whose classes the features separate has no minimum at penalty 0, and NaN for an answer.
    """

    penalty: float
    loss: ClassVar = staticmethod(losses.logistic)
    _minimise = staticmethod(minimise_logistic)

    def __post_init__(self) -> None:
        nonnegative("penalty", self.penalty)


@dataclass(frozen=True, kw_only=True)
class Hinge(_OfMargins):
    """Minimises ``mean max(0, 1 - y f) + (penalty/2) ||theta||^2``: the support vector machine.

    Penalty 0 is the shortest theta of the least loss: the machine of hard margin, where classes are separable.
    """

    penalty: float
    loss: ClassVar = staticmethod(losses.hinge)
    _minimise = staticmethod(minimise_hinge)

    def __post_init__(self) -> None:
        nonnegative("penalty", self.penalty)


@dataclass(frozen=True, kw_only=True)
class DiscriminantAnalysis:
    """Regularised linear discriminant analysis.

    ``theta = (S + penalty)^-1 (m1 - m0)`` and ``f = theta.(x - (m1 + m0) / 2) + log(n1 / n0)``, with means m and counts n
    of the classes and S their pooled covariance, of n1 + n0 - 2 degrees of freedom. The constant is part of the rule. Where
    S is singular penalty 0 stands for a small one. NaN where a class has no sample, or both have one.
    """

    penalty: float
    loss: ClassVar[None] = None
    needs_classes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        nonnegative("penalty", self.penalty)

    def fit(self, design: Design, labels: Any) -> Fit:
        """Train on labels +-1 of shape ``(n,)``."""
        features = design.narrow
        xp = _xp(features)
        n_samples, n_features = features.shape[-2:]
        is_positive = xp.astype(labels > 0.0, features.dtype)
        n_positive = xp.sum(is_positive, axis=-1)
        n_negative = n_samples - n_positive
        admissible = (n_positive > 0.0) & (n_negative > 0.0) & (n_samples > 2)
        undefined = xp.where(admissible, 0.0 * n_positive, xp.nan + n_positive)
        total, difference = xp.sum(features, axis=-2), times(transposed(features), labels)
        high = (total + difference) / _at_least_one(2.0 * n_positive)[..., None]
        low = (total - difference) / _at_least_one(2.0 * n_negative)[..., None]
        within = features - xp.where((labels > 0.0)[..., None], high[..., None, :], low[..., None, :])
        pooled = transposed(within) @ within / max(n_samples - 2, 1)
        singular = n_features > n_samples - 2
        trace = xp.linalg.trace(pooled)
        penalty = self.penalty + (SMALL_PENALTY * trace / n_features if singular and not self.penalty else 0.0 * trace)
        # A direction that no sample has is a row of zeros, and any number there serves.
        system = pooled + xp.eye(n_features, dtype=pooled.dtype) * (penalty[..., None] + blank(features))[..., None, :]
        coordinates = solve_positive(system, (high - low)[..., None])[..., 0]
        odds = xp.log(_at_least_one(n_positive) / _at_least_one(n_negative))
        threshold = odds - 0.5 * dot(coordinates, high + low) + undefined
        return design.expanded(coordinates + undefined[..., None]).shifted(threshold)


def _resolution(penalty: float, time: float) -> float:
    """Return where the filter of a time turns: eigenvalues far below are all alike to it."""
    return penalty + (1.0 / time if time > 0.0 else inf)


def _per_rate(distance: Any, rates: Any, *, at_zero: float) -> Any:
    xp = _xp(rates)
    moving = rates > 0.0
    return xp.where(moving, distance / xp.where(moving, rates, xp.ones_like(rates)), at_zero + 0.0 * rates)


def _at_least_one(count: Any) -> Any:
    return _xp(count).where(count > 1.0, count, _xp(count).ones_like(count))


def _xp(array: Any) -> Any:
    return array_api_compat.array_namespace(array)
