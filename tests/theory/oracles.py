"""Independent answers to compare the theory with: a hundred-digit solver and integrals over a Marchenko-Pastur law."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, getcontext, localcontext
from functools import partial

import numpy as np
from scipy.integrate import quad

import theory

OUTPUTS = (
    "test_error",
    "excess_risk",
    "train_error",
    "bias",
    "variance",
    "estimator_norm_squared",
    "effective_ridge",
    "df1",
    "df2",
)
"""Every number of a :class:`theory.RidgePrediction` that describes the learner rather than the solve."""

ERRORS = OUTPUTS[:6]


@dataclass(frozen=True, kw_only=True)
class ExactRidge:
    """The outputs of ridge regression to a hundred digits, with what the identities between them need."""

    test_error: Decimal
    excess_risk: Decimal
    train_error: Decimal
    bias: Decimal
    variance: Decimal
    estimator_norm_squared: Decimal
    effective_ridge: Decimal
    df1: Decimal
    df2: Decimal
    objective: Decimal
    rho: Decimal
    sample_ridge: Decimal


def exact_ridge(
    modes: theory.Modes, n_samples: float, penalty: float | Decimal, *, width: float = np.inf, digits: int = 100
) -> ExactRidge:
    """Solve the fixed point and read off every output, all in ``digits`` decimal digits.

    The formulas are those of regression.md 0.3 to 0.5 as printed, subtractions included: at this precision cancellation
    does no harm. The floats given are taken as exact. An unpenalised constant is a mode whose eigenvalue is too large
    to leave a trace in any digit. The edge cases of 0.5 without a finite answer are not covered.
    """
    with localcontext() as context:
        context.prec, context.Emin, context.Emax = digits, -(10**6), 10**6
        table = _Table(modes)
        n, lam = Decimal(n_samples), Decimal(penalty)
        per_width = Decimal(0) if np.isinf(width) else 1 / Decimal(width)
        k = _root(table, n, lam, Decimal(width))
        df1, df2, bulk_spread, total, squared, mixed = table.sums(k)
        sn, s_width = 1 - df1 / n, 1 - (df1 - table.n_unpenalised) * per_width
        if lam == 0 and k > 0:  # Exactly zero there, and not the last digit of a subtraction.
            available = n - table.n_unpenalised
            scarce_samples, scarce_width = available <= Decimal(width), Decimal(width) <= available
            sn, s_width = (Decimal(0) if scarce_samples else sn), (Decimal(0) if scarce_width else s_width)
        noise = Decimal(float(modes.noise_variance))
        unlearnable = Decimal(float(modes.unlearnable_variance))
        s2 = noise + unlearnable
        within_width = 1 - (df2 - table.n_unpenalised) * per_width
        rho = s_width / within_width if within_width else Decimal(1)
        gamma = (rho * df2 + (1 - rho) * df1) / n
        numerator = rho * squared + (1 - rho) * total
        test = (numerator + s2) / (1 - gamma)
        spread = bulk_spread + (table.tail / k**2 if table.tail else 0)
        norm = (spread / n * (total + s2) + sn * mixed) / (s_width * (1 - df2 / n) + sn * k * spread * per_width)
        return ExactRidge(
            test_error=test,
            excess_risk=test - noise,
            train_error=sn**2 * test,
            bias=squared + unlearnable,
            variance=test - noise - squared - unlearnable,
            estimator_norm_squared=norm,
            effective_ridge=k,
            df1=df1,
            df2=n * gamma,  # of the outer ridge: 1 - df2 / n is the test error's denominator
            objective=sn * (total + s2),
            rho=rho,
            sample_ridge=k * s_width,
        )


class _Table:
    """A mode table in decimal digits."""

    def __init__(self, modes: theory.Modes) -> None:
        self.xi = [Decimal(float(value)) for value in modes.eigenvalues]
        self.m = [Decimal(float(value)) for value in modes.multiplicities]
        self.c = [Decimal(float(value)) for value in modes.energies]
        self.tail = Decimal(float(modes.tail_trace))
        self.n_unpenalised = Decimal(modes.n_unpenalised)
        self.n_modes = sum(self.m)
        self.trace = sum(m * xi for m, xi in zip(self.m, self.xi, strict=True)) + self.tail

    def sums(self, k: Decimal) -> tuple[Decimal, ...]:
        """Return df1, df2, sum m xi / (xi + k)^2, T, B and (T - B) / k."""
        df1, df2 = self.n_unpenalised + (self.tail / k if self.tail else 0), self.n_unpenalised
        spread = total = squared = mixed = Decimal(0)
        for xi, m, c in zip(self.xi, self.m, self.c, strict=True):
            resolvent = 1 / (xi + k)
            f, q = xi * resolvent, k * resolvent
            df1, df2 = df1 + m * f, df2 + m * f * f
            spread, total = spread + m * f * resolvent, total + c * q
            squared, mixed = squared + c * q * q, mixed + c * f * resolvent
        return df1, df2, spread, total, squared, mixed


def _root(table: _Table, n: Decimal, lam: Decimal, width: Decimal) -> Decimal:
    """Solve lam = k (1 - df1 / n) (1 - df1 / N) by Newton's method inside a bracket of signs, bisecting otherwise."""
    available, per_width = n - table.n_unpenalised, 0 if width.is_infinite() else 1 / width
    size = min(available, width)
    tolerance = Decimal(10) ** (-getcontext().prec * 3 // 4)
    if lam == 0 and table.tail == 0 and size >= table.n_modes:
        if size == table.n_modes:
            raise ValueError("the ridgeless threshold is an edge case of regression.md 0.5, not covered here")
        return Decimal(0)

    def excess(k: Decimal) -> tuple[Decimal, Decimal]:
        """The difference of the two sides, below zero left of the root, and its derivative."""
        df1, _, spread, *_ = table.sums(k)
        spread += table.tail / k**2 if table.tail else 0
        sn, s_width = 1 - df1 / n, 1 - (df1 - table.n_unpenalised) * per_width
        if lam == 0:  # The smaller margin vanishes.
            return size - (df1 - table.n_unpenalised), spread
        if sn <= 0 or s_width <= 0:
            return -lam, Decimal(0)
        return k * sn * s_width - lam, sn * s_width + k * spread * (s_width / n + sn * per_width)

    low, high = Decimal(0), 2 * (lam * n / size + table.trace * (1 / size + per_width))
    k, previous = high, high
    for _ in range(5000):
        value, slope = excess(k)
        low, high = (k, high) if value < 0 else (low, k)
        step = value / slope if slope > 0 else Decimal(0)
        if slope > 0 and abs(step) <= k * tolerance:
            return k - step
        newton = k - step
        if slope > 0 and low < newton < high and 2 * abs(step) < previous:
            previous, k = abs(step), newton
        else:
            k = (low * high).sqrt() if low > 0 else high / 100
            previous = high - low
    raise ArithmeticError(f"no convergence between {low} and {high}")


def assert_matches(prediction: theory.RidgePrediction, exact: ExactRidge, *, rtol: float) -> None:
    """Compare every output with the high-precision one, leaving out what doubles cannot hold."""
    for name in OUTPUTS:
        expected = float(getattr(exact, name))
        np.testing.assert_allclose(getattr(prediction, name), expected, rtol=rtol, atol=1e-200, err_msg=name)


def average_over_marchenko_pastur(function: Callable[[float], float], *, ratio: float) -> float:
    """Average a function over the eigenvalues of the sample covariance of ``ratio = d / n``, zeros included."""
    root = np.sqrt(ratio)
    low, high = (1.0 - root) ** 2, (1.0 + root) ** 2
    # s = centre - half cos(t) removes the square-root singularities at both edges.
    half = (high - low) / 2.0

    def integrand(t: float) -> float:
        s = low + 2.0 * half * np.sin(t / 2.0) ** 2
        return function(s) * (half * np.sin(t)) ** 2 / (2.0 * np.pi * ratio * s)

    bulk, _ = quad(integrand, 0.0, np.pi, epsabs=1e-13, epsrel=1e-12, limit=400)
    return float(bulk) + max(0.0, 1.0 - 1.0 / ratio) * function(0.0)


def isotropic_by_marchenko_pastur(
    *, ratio: float, penalty: float, signal_variance: float, noise_variance: float
) -> dict[str, float]:
    """Ridge errors for identity covariance from the Marchenko-Pastur density alone, with no fixed point.

    The sample covariance of ``ratio = d / n`` has eigenvalues s, of density mu. Rotating the data and averaging over
    the noise turns each error into the average of a rational function of s. Here penalty must exceed 0.

    Source: the expectations in Dobriban and Wager, arXiv:1507.03003, section 2, for Gaussian inputs.
    """
    average = partial(average_over_marchenko_pastur, ratio=ratio)
    bias_given_data = signal_variance * average(lambda s: (penalty / (s + penalty)) ** 2)
    variance_given_data = noise_variance * ratio * average(lambda s: s / (s + penalty) ** 2)
    signal_residual = signal_variance * average(lambda s: s * (penalty / (s + penalty)) ** 2)
    # Of n residual directions d / n meet an eigenvalue of the covariance, null ones included; the others are untouched.
    noise_residual = noise_variance * (ratio * average(lambda s: (penalty / (s + penalty)) ** 2) + 1.0 - ratio)
    return {
        "test_error": bias_given_data + variance_given_data + noise_variance,
        "train_error": signal_residual + noise_residual,
        "estimator_norm_squared": signal_variance * average(lambda s: (s / (s + penalty)) ** 2) + variance_given_data,
        "df1": ratio * average(lambda s: s / (s + penalty)),
    }


def mei_montanari_risk(
    *, width: float, n_samples: float, penalty: float, mu1: float, mu_star: float, signal: float, noise: float
) -> float:
    """Excess risk of random-features ridge for isotropic inputs, by the rational functions of the original theorem.

    ``width`` and ``n_samples`` are psi_1 = N / d and psi_2 = n / d; ``penalty`` is the paper's lambda, which multiplies
    ``(N / d) ||a||^2``.

    Source: Mei and Montanari, arXiv:1908.05355, Theorem 2 and Definition 1.
    """
    psi1, psi2, zeta = width, n_samples, mu1 / mu_star
    # nu_1 = i a, nu_2 = i b at the imaginary point i x.
    x = np.sqrt(psi1 * psi2 * penalty) / mu_star

    def following(a: float, b: float) -> tuple[float, float]:
        shared = zeta**2 / (1.0 + zeta**2 * a * b)
        return psi1 / (x + b + shared * b), psi2 / (x + a + shared * a)

    a = b = 1.0
    for _ in range(20_000):
        next_a, next_b = following(a, b)
        a, b = (a + next_a) / 2.0, (b + next_b) / 2.0
    np.testing.assert_allclose((a, b), following(a, b), rtol=1e-13)
    chi, z2, z4, z6 = -a * b, zeta**2, zeta**4, zeta**6
    e0 = (
        -(chi**5) * z6
        + 3.0 * chi**4 * z4
        + (psi1 * psi2 - psi2 - psi1 + 1.0) * chi**3 * z6
        - 2.0 * chi**3 * z4
        - 3.0 * chi**3 * z2
        + (psi1 + psi2 - 3.0 * psi1 * psi2 + 1.0) * chi**2 * z4
        + 2.0 * chi**2 * z2
        + chi**2
        + 3.0 * psi1 * psi2 * chi * z2
        - psi1 * psi2
    )
    e1 = psi2 * chi**3 * z4 - psi2 * chi**2 * z2 + psi1 * psi2 * chi * z2 - psi1 * psi2
    e2 = (
        chi**5 * z6
        - 3.0 * chi**4 * z4
        + (psi1 - 1.0) * chi**3 * z6
        + 2.0 * chi**3 * z4
        + 3.0 * chi**3 * z2
        + (-psi1 - 1.0) * chi**2 * z4
        - 2.0 * chi**2 * z2
        - chi**2
    )
    return signal * e1 / e0 + noise * e2 / e0


def assert_printed(value: float, printed: str) -> None:
    """Compare with a printed number: half a unit in its last place."""
    decimals = len(printed.partition(".")[2])
    np.testing.assert_allclose(value, float(printed), rtol=0, atol=0.5001 * 10.0**-decimals)
