"""Scaling laws of square loss on a power law: exponents and amplitudes by regime, where regimes cross, how to spend compute.

With eigenvalues ``xi_i = scale i^-alpha`` and energies ``c_i = energy i^-(1 + 2 alpha r)`` of infinitely many modes every sum
of the fixed point is, as the ridge k vanishes, a power of k with a known factor:

    df1 = G k^(-1/alpha),   df2 = (1 - 1/alpha) df1,   G = (pi/alpha) / sin(pi/alpha),
    B = sum c q^2 ~ k^(2 min(r, 1)),   T = sum c q ~ k^min(2r, 1),   q = k / (xi + k),

and ``k`` is set by what is scarcest: samples, ``(G/n)^alpha``; width, ``(G/N)^alpha``; the penalty; or ``1 / time``. What the
randomness of the features adds, ``k^(min(2r, 1) - 1/alpha) / N``, is subleading on each of these but decides how compute is
best spent once r > 1/2: adding up what scarce samples and scarce width cost by themselves gives a wrong exponent there.

Sources: Caponnetto and De Vito (2007); Bordelon, Canatar, Pehlevan, arXiv:2002.02561; Cui, Loureiro, Krzakala, Zdeborova,
arXiv:2105.15004; Simon et al., arXiv:2311.14646, and Defilippis, Loureiro, Misiakiewicz, arXiv:2405.15699, for finite width.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import gamma, zeta

from theory.covariance import InadmissibleProblem


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """Infinitely many modes with eigenvalues ``scale i^-exponent`` and energies ``energy i^-(1 + 2 exponent source_exponent)``.

    Attributes:
        exponent: alpha, above 1: the trace is finite.
        source_exponent: r, positive: so is the target's variance.
        scale: positive, the largest eigenvalue.
        energy: positive, that of the first mode.
        noise_variance: nonnegative, of the labels.

    Raises:
        InadmissibleProblem: a field is out of its domain.
    """

    exponent: float
    source_exponent: float
    scale: float = 1.0
    energy: float = 1.0
    noise_variance: float = 0.0

    def __post_init__(self) -> None:
        if not 1.0 < self.exponent < np.inf:
            raise InadmissibleProblem(
                f"exponent must exceed 1, where the trace is finite, got {self.exponent:g}", argument="exponent"
            )
        if not 0.0 < self.source_exponent < np.inf:
            raise InadmissibleProblem(
                f"source_exponent must exceed 0, where the target's variance is finite, got {self.source_exponent:g}",
                argument="source_exponent",
            )
        for name in ("scale", "energy"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise InadmissibleProblem(f"{name} must exceed 0, got {getattr(self, name):g}", argument=name)
        if not 0.0 <= self.noise_variance < np.inf:
            raise InadmissibleProblem(
                f"noise_variance must be at least 0, got {self.noise_variance:g}", argument="noise_variance"
            )

    @property
    def signal_variance(self) -> float:
        """Sum of the energies."""
        return float(self.energy * zeta(1.0 + 2.0 * self.exponent * self.source_exponent))


@dataclass(frozen=True, kw_only=True)
class Laws:
    """One number for each regime: the exponent, or the amplitude, of ``amplitude * size ** exponent``.

    All but the last two are of the excess risk. What leaves double precision is infinite.

    Attributes:
        samples: over n_samples, without noise, penalty and bounds on width and time.
        width: over the width, without bounds on samples and time, without penalty.
        time: of gradient flow over its time, without bounds on samples and width.
        samples_noisy_ridgeless: over n_samples with noise and no penalty: does not decay.
        samples_noisy_optimal_penalty: over n_samples with noise, at the best penalty.
        samples_noisy_optimal_time: over n_samples with noise, stopped at the best time.
        optimal_penalty: the best penalty itself, over n_samples.
        optimal_time: the best time itself, over n_samples.
    """

    samples: float
    width: float
    time: float
    samples_noisy_ridgeless: float
    samples_noisy_optimal_penalty: float
    samples_noisy_optimal_time: float
    optimal_penalty: float
    optimal_time: float


def exponents(law: PowerLaw) -> Laws:
    """Return the exponents of every regime; each is negative where the risk decays.

    Ridge regression saturates: of a target with r > 1 it learns no faster than of one with r = 1, and at finite width of one
    with r = 1/2. Gradient flow does not.

    Source: see :mod:`theory.functionals.scaling_laws`.
    """
    alpha, r = law.exponent, law.source_exponent
    decay, smooth = 2.0 * alpha * min(r, 1.0), 2.0 * alpha * r
    return Laws(
        samples=-decay,
        width=-alpha * min(2.0 * r, 1.0),
        time=-2.0 * r,
        samples_noisy_ridgeless=0.0,
        samples_noisy_optimal_penalty=-decay / (decay + 1.0),
        samples_noisy_optimal_time=-smooth / (smooth + 1.0),
        optimal_penalty=-alpha / (decay + 1.0),
        optimal_time=alpha / (smooth + 1.0),
    )


def amplitudes(law: PowerLaw) -> Laws:
    """Return the factor of every law, NaN where there is none.

    There is none of noisy regimes without noise, and where a power carries a logarithm: at r = 1 of the laws over samples with
    and without penalty, at r = 1/2 of that over width.

    Source: see :mod:`theory.functionals.scaling_laws`; the sums over modes are Mellin integrals.
    """
    alpha, r, noise = law.exponent, law.source_exponent, law.noise_variance
    bias, decay = _bias(law), 2.0 * min(r, 1.0)
    above = (alpha - 1.0) / alpha  # 1 - 1 / alpha, which keeps its digits as alpha tends to 1
    spread = np.pi / alpha / np.sin(np.pi * above)
    stopped = float(law.energy / alpha * gamma(2.0 * r)) * _power(2.0, -2.0 * r)
    # Excess = bias k^decay + noise df2 / n, and with time in place of 1 / k likewise.
    penalty, at_penalty = _balance(bias, decay, noise * above * spread, 1.0 / alpha)
    growth = float(gamma(above)) * (2.0 - 2.0 ** (1.0 / alpha))
    rate, at_time = _balance(stopped, 2.0 * r, noise * growth, 1.0 / alpha)
    return Laws(
        samples=alpha * bias * _power(spread, alpha * decay),
        width=_loss(law) * _power(spread, alpha * min(2.0 * r, 1.0)),
        time=stopped * _power(law.scale, -2.0 * r),
        samples_noisy_ridgeless=noise * (alpha - 1.0) if noise > 0.0 else np.nan,
        samples_noisy_optimal_penalty=at_penalty,
        samples_noisy_optimal_time=at_time,
        optimal_penalty=penalty * law.scale,
        optimal_time=_power(rate * law.scale, -1.0),
    )


def _bias(law: PowerLaw) -> float:
    """Return B over ``k^(2 min(r, 1))`` in units of the scale."""
    alpha, r = law.exponent, law.source_exponent
    if r == 1.0:
        return np.nan
    if r > 1.0:
        return float(law.energy * zeta(1.0 + 2.0 * alpha * (r - 1.0)))
    return float(law.energy / alpha * gamma(2.0 * r) * gamma(2.0 - 2.0 * r))


def _loss(law: PowerLaw) -> float:
    """Return T over ``k^min(2r, 1)`` in units of the scale."""
    alpha, r = law.exponent, law.source_exponent
    if r == 0.5:
        return np.nan
    if r > 0.5:
        return float(law.energy * zeta(1.0 + 2.0 * alpha * r - alpha))
    return float(law.energy / alpha * gamma(2.0 * r) * gamma(1.0 - 2.0 * r))


def _balance(falling: float, power: float, rising: float, inverse: float) -> tuple[float, float]:
    """Minimise ``falling k^power + rising k^-inverse``: the place and the value, at one sample."""
    if not rising > 0.0:
        return np.nan, np.nan
    place = _power(inverse * rising / (power * falling), 1.0 / (power + inverse))
    return place, falling * _power(place, power) * (1.0 + power / inverse)


def _power(base: float, exponent: float) -> float:
    """Return the power; infinite where it leaves double precision."""
    with np.errstate(all="ignore"):
        return float(np.power(base, exponent))


@dataclass(frozen=True, kw_only=True)
class RidgeCompute:
    """How a budget ``n_samples * width`` is best spent on ridge regression at its best penalty: powers of the budget.

    Attributes:
        error: of the excess risk.
        width, n_samples: they sum to 1.
        flat: whether other splits do as well, to leading order.
    """

    error: float
    width: float
    n_samples: float
    flat: bool


@dataclass(frozen=True, kw_only=True)
class FlowCompute:
    """How a budget ``width * time`` is best spent on gradient flow with samples to spare: powers of the budget.

    Attributes:
        error: of the excess risk.
        width, time: they sum to 1.
    """

    error: float
    width: float
    time: float


def compute_optimal_ridge(law: PowerLaw) -> RidgeCompute:
    """Return the exponents of the best split of ``n_samples * width``, with noise where the law has it.

    They minimise the largest of the terms ``k^(2 min(r, 1))``, ``k^(min(2r, 1) - 1/alpha) / N`` and, with noise,
    ``k^(-1/alpha) / n`` over k and the split, at ``k >= N^-alpha, n^-alpha``: a linear program between logarithms, solved by
    hand.

    Source: see :mod:`theory.functionals.scaling_laws`.
    """
    alpha, r = law.exponent, law.source_exponent
    decay = 2.0 * alpha * min(r, 1.0)
    if law.noise_variance > 0.0:
        if alpha >= 2.0 and r > 0.5:
            # The width alone limits what is learned: N^-alpha against the variance N / n.
            return _ridge_compute(-alpha / (alpha + 2.0), 1.0 / (alpha + 2.0), flat=alpha == 2.0)
        if r <= 0.5:
            return _ridge_compute(-decay / (decay + 2.0), 1.0 / (decay + 2.0))
        return _ridge_compute(-decay / (2.0 * decay + 2.0 - alpha), (decay - alpha + 1.0) / (2.0 * decay + 2.0 - alpha))
    if r <= 0.5 or alpha >= 2.0:
        return _ridge_compute(-alpha * min(r, 0.5), 0.5, flat=alpha == 2.0 and r > 0.5)
    # The mixed term asks for a width of n^grown.
    grown = decay - alpha + 1.0
    return _ridge_compute(-decay / (1.0 + grown), grown / (1.0 + grown))


def _ridge_compute(error: float, width: float, *, flat: bool = False) -> RidgeCompute:
    return RidgeCompute(error=error, width=width, n_samples=1.0 - width, flat=flat)


def compute_optimal_flow(law: PowerLaw) -> FlowCompute:
    """Return the exponents of the best split of ``width * time``; noise has no bearing where samples are not scarce.

    Source: see :mod:`theory.functionals.scaling_laws`.
    """
    alpha, r = law.exponent, law.source_exponent
    grown = max(2.0 * r - 1.0, 0.0) + 1.0 / alpha  # width ~ time^grown
    return FlowCompute(error=-2.0 * r / (1.0 + grown), width=grown / (1.0 + grown), time=1.0 / (1.0 + grown))


@dataclass(frozen=True, kw_only=True)
class Crossover:
    """Where two laws are equal: ``variable = coefficient * of ** exponent``; a constant where ``of`` is None.

    Attributes:
        between: names of the two laws; beyond the crossover the second limits.
        variable, of: "n_samples", "width" or "time".
    """

    between: tuple[str, str]
    variable: str
    coefficient: float
    of: str | None
    exponent: float


SIZES = {"samples": "n_samples", "width": "width", "time": "time"}


def crossovers(law: PowerLaw) -> list[Crossover]:
    """Return where one scarce resource gives way to another, and where noise begins to dominate.

    Those whose amplitudes carry a logarithm are left out.
    """
    slopes, factors = exponents(law), amplitudes(law)
    found = []
    for first, second in (("samples", "width"), ("samples", "time"), ("width", "time")):
        # factor_2 y^slope_2 = factor_1 x^slope_1, solved for the first one's size.
        slope = getattr(slopes, first)
        ratio = getattr(factors, second) / getattr(factors, first)
        found.append(
            Crossover(
                between=(second, first),
                variable=SIZES[second],
                coefficient=_power(ratio, -1.0 / getattr(slopes, second)),
                of=SIZES[first],
                exponent=slope / getattr(slopes, second),
            )
        )
    for noisy in ("samples_noisy_ridgeless", "samples_noisy_optimal_penalty"):
        slope = slopes.samples - getattr(slopes, noisy)
        found.append(
            Crossover(
                between=("samples", noisy),
                variable="n_samples",
                coefficient=_power(getattr(factors, noisy) / factors.samples, 1.0 / slope),
                of=None,
                exponent=0.0,
            )
        )
    return [crossover for crossover in found if 0.0 < crossover.coefficient < np.inf]
