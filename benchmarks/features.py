"""A prediction for random features of three layers, beside a plain damped iteration of the same equations.

The iteration is given the layers' averages and the place to stop; it is good far from the interpolation threshold and slow
at it, where tuners look for double descent. Both are measured.
"""

import numpy as np

import theory
from benchmarks.report import Report, median_seconds
from theory import RandomLayer
from theory.activations import activation
from theory.equivalents.layered import LayeredEquivalent

ACCURACY = 1e-11
"""Of the baseline, relative; the solver reaches rounding."""
DAMPING = 0.5
GOAL_SECONDS = 5e-3
WIDTHS = (400.0, 350.0, 450.0)
SIZES = {"far from the threshold": (300.0, 1e-3), "at the threshold": (450.0, 1e-6)}
"""Samples and penalty; the last layer has 450 neurons."""


def run(report: Report, *, quick: bool = False) -> None:
    """Measure neurons that are all alike, and neurons that differ by their biases."""
    for name, kinds, bias_variance in (
        ("tanh, erf, sin", ("tanh", "erf", "sin"), 0.0),
        ("relu, erf, gelu with biases", ("relu", "erf", "gelu"), 0.1),
    ):
        layers = [
            RandomLayer(activation=activation(kind), width=width, weight_variance=1.5, bias_variance=bias_variance)
            for kind, width in zip(kinds, WIDTHS, strict=True)
        ]
        for place, (n_samples, penalty) in SIZES.items():
            _compare(report, f"{name}, {place}", layers, n_samples, penalty, repeats=50 if quick else 300)


def _compare(
    report: Report, name: str, layers: list[RandomLayer], n_samples: float, penalty: float, *, repeats: int
) -> None:
    spectrum = theory.covariance.isotropic(200)
    energies = theory.target.isotropic(spectrum, signal_variance=1.0)

    def predict() -> object:
        features = theory.random_features(spectrum, energies, layers=layers, noise_variance=0.25)
        return theory.predict_ridge(features, n_samples, penalty)

    features = theory.random_features(spectrum, energies, layers=layers, noise_variance=0.25)
    assert isinstance(features, LayeredEquivalent)
    # The baseline solves for the chain alone, without the constant that features with a mean form.
    chain = LayeredEquivalent(modes=features.modes, layers=features.layers, n_inputs=features.n_inputs)
    reference = theory.predict_ridge(chain, n_samples, penalty).outer_ridge
    _, n_iterations = damped_iteration(chain, n_samples, penalty, reference=reference)
    ours = median_seconds(predict, repeats=repeats)
    plain = median_seconds(lambda: damped_iteration(chain, n_samples, penalty, reference=reference), repeats=3)
    report.add(
        f"(e) three layers, {name}",
        f"{1e3 * ours:.2f} ms",
        baseline=f"damped iteration {1e3 * plain:.1f} ms ({n_iterations} steps)",
        result=f"{plain / ours:.1f} times faster",
        goal=f"<= {1e3 * GOAL_SECONDS:.0f} ms",
        met=ours <= GOAL_SECONDS,
    )


def damped_iteration(
    chain: LayeredEquivalent, n_samples: float, penalty: float, *, reference: float
) -> tuple[float, int]:
    """Iterate every layer's equation for the ridge below it, and the outermost for its own, damped by a half.

    The stopping rule compares with the root itself, which favours the baseline: it could not know when to stop.
    """
    xi, m = chain.modes.eigenvalues, chain.modes.multiplicities
    widths = [chain.n_inputs, *(layer.width for layer in chain.layers)]
    level = penalty * widths[-1]
    ridges = np.full(len(widths), max(level, 1.0))
    for iteration in range(1, 1_000_000):
        wanted = ridges.copy()
        df1 = float(m @ (xi / (xi + ridges[0])))
        for position, layer in enumerate(chain.layers):
            a, c, w = layer.slopes, layer.nonlinear_variances, layer.weights
            g = ridges[position] * df1 / widths[position]
            over = 1.0 / (c + ridges[position + 1] + a * g)
            wanted[position] = widths[position] / (widths[position + 1] * float((a * over) @ w))
            df1 = widths[position + 1] * (1.0 - ridges[position + 1] * float(over @ w))
        wanted[-1] = level + ridges[-1] * df1 / n_samples
        ridges = (1.0 - DAMPING) * ridges + DAMPING * wanted
        if abs(ridges[-1] / widths[-1] - reference) <= ACCURACY * reference:
            return float(ridges[-1] / widths[-1]), iteration
    raise RuntimeError("the baseline did not converge")
