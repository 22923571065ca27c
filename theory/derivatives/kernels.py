"""Kernels in the linear regime with derivatives; see :mod:`theory.equivalents.kernels`."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import binom, gammainc

from theory.derivatives.dual import Dual, Vector, chained, exp, sqrt
from theory.derivatives.equivalents import ModalEquivalent, Table
from theory.derivatives.inputs import Spectrum, linear_table
from theory.derivatives.statistics import Layer, Statistics, statistics


class LinearCoefficients(NamedTuple):
    """See :class:`theory.equivalents.kernels.LinearCoefficients`."""

    constant: Any
    slope: Any
    tail: Any


def rbf(input_variance: Dual, squared_share: Dual, *, length_scale: Any) -> LinearCoefficients:  # noqa: ARG001 - one signature
    """See :class:`theory.equivalents.kernels.Rbf`."""
    r = input_variance / length_scale**2
    constant = exp(-r)
    tail = chained(r, float(gammainc(2.0, r.value)), r.value * np.exp(-r.value))
    return LinearCoefficients(constant, constant / length_scale**2, tail)


def exponential(input_variance: Dual, squared_share: Dual, *, rate: Any) -> LinearCoefficients:
    """See :class:`theory.equivalents.kernels.Exponential`."""
    r = rate * input_variance
    tail = float(np.exp(r.value) * gammainc(2.0, r.value))
    return LinearCoefficients(1.0 + rate**2 * squared_share / 2.0, rate, chained(r, tail, tail + r.value))


def polynomial(input_variance: Dual, squared_share: Dual, *, degree: int, offset: Any) -> LinearCoefficients:
    """See :class:`theory.equivalents.kernels.Polynomial`."""
    terms = [float(binom(degree, power)) * offset ** (degree - power) for power in range(degree + 1)]
    tail: Any = 0.0 * input_variance
    for power in range(2, degree + 1):
        tail = tail + terms[power] * input_variance**power
    constant = terms[0] + terms[2] * squared_share if degree >= 2 else terms[0]
    return LinearCoefficients(constant, terms[1], tail)


def laplace(input_variance: Dual, squared_share: Dual, *, length_scale: Any) -> LinearCoefficients:  # noqa: ARG001 - one signature
    """See :class:`theory.equivalents.kernels.Laplace`."""
    distance = sqrt(2.0 * input_variance)
    r = distance / length_scale
    constant = exp(-r)
    kept = float(np.exp(-r.value))
    tail = chained(r, float(-np.expm1(-r.value) - 0.5 * r.value * kept), 0.5 * kept * (1.0 + r.value))
    return LinearCoefficients(constant, constant / (length_scale * distance), tail)


def conjugate(
    input_variance: Dual,
    squared_share: Dual,  # noqa: ARG001 - one signature
    *,
    layers: Sequence[Layer],
) -> LinearCoefficients:
    """See :class:`theory.equivalents.wide_networks.ConjugateKernel`."""
    slope, rest = _nothing(input_variance)
    found = statistics(layers, input_variance)
    for one in found:
        slope, rest = _activated(one, slope, rest)
    return LinearCoefficients(found[-1].number(found[-1].rates.mean), slope, rest)


def neural_tangent(
    input_variance: Dual,
    squared_share: Dual,  # noqa: ARG001 - one signature
    *,
    layers: Sequence[Layer],
) -> LinearCoefficients:
    """See :class:`theory.equivalents.wide_networks.NeuralTangentKernel`."""
    first, found = layers[0], statistics(layers, input_variance)
    slope, rest = _nothing(input_variance)
    shared, linear = first.bias_variance, first.weight_variance
    tail: Any = 0.0 * input_variance
    total = found[0].variance
    for position, one in enumerate(found):
        square, mean, own_slope, curvature, square_slope = (
            one.number(rates)
            for rates in (
                one.rates.square,
                one.rates.mean,
                one.rates.slope,
                one.rates.curvature,
                one.rates.square_slope,
            )
        )
        pre_slope = one.layer.weight_variance * slope
        slope, rest = _activated(one, slope, rest)
        above = layers[min(position + 1, len(layers) - 1)]
        weight = above.weight_variance
        bent = shared * pre_slope * curvature
        tail = weight * (rest + tail * own_slope + total * (square_slope - own_slope) - bent * input_variance)
        linear = weight * (slope + linear * own_slope + bent)
        shared = weight * mean + above.bias_variance + weight * shared * own_slope
        total = weight * square + above.bias_variance + weight * total * square_slope
    # A kernel of linear layers has no tail but rounding.
    return LinearCoefficients(shared, linear, tail if tail.value > 0.0 else 0.0)


def _nothing(like: Dual) -> tuple[Any, Any]:
    """The slope and the rest of inputs: 1 and 0."""
    return 1.0 + 0.0 * like, 0.0 * like


def _activated(one: Statistics, slope: Dual, rest: Dual) -> tuple[Dual, Dual]:
    """See :func:`theory.equivalents.wide_networks._activated`."""
    kept = one.number(one.rates.slope) * one.layer.weight_variance
    return kept * slope, one.number(one.rates.mean_nonlinear) + kept * rest


def kernel_features(
    spectrum: Spectrum,
    energies: Vector,
    *,
    linearised: Any,
    mean: Any = 0.0,
    fit_intercept: bool = False,
    **target: Any,
) -> ModalEquivalent:
    """See :func:`theory.equivalents.kernels.kernel_features`.

    Args:
        spectrum: of the inputs.
        energies: of the target's linear part.
        linearised: takes the two arguments of :meth:`theory.equivalents.kernels.Kernel.linearised`.
        mean: of the target.
        fit_intercept: whether an unpenalised constant is fitted.
        target: ``noise_variance`` and ``nonlinear_variance``.
    """
    n_inputs, m, s = spectrum.n_inputs, spectrum.multiplicities, spectrum.eigenvalues
    found = linearised(s.dot(m) / n_inputs, (s * s).dot(m) / n_inputs**2)
    base = linear_table(spectrum, energies, fit_intercept=fit_intercept, **target)
    table = Table(
        space=spectrum.space,
        eigenvalues=base.eigenvalues * (found.slope / n_inputs),
        multiplicities=base.multiplicities,
        energies=base.energies,
        tail_trace=found.tail,
        unlearnable_variance=base.unlearnable_variance,
        noise_variance=base.noise_variance,
        n_unpenalised=base.n_unpenalised,
    )
    return with_constant(table, None if fit_intercept else found.constant, mean)


def with_constant(table: Table, eigenvalue: Any, mean: Any) -> ModalEquivalent:
    """Add the constant function to a mode table, also where its eigenvalue has only just begun to differ from 0."""
    if eigenvalue is None:
        return ModalEquivalent(table=table)
    grown = Table(
        space=table.space,
        eigenvalues=table.eigenvalues.appended(eigenvalue),
        multiplicities=table.multiplicities.appended(1.0),
        energies=table.energies.appended(mean * mean),
        tail_trace=table.tail_trace,
        unlearnable_variance=table.unlearnable_variance,
        noise_variance=table.noise_variance,
        n_unpenalised=table.n_unpenalised,
    )
    return ModalEquivalent(table=grown, constant=table.eigenvalues.value.size)
