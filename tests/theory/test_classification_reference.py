"""Reference numbers of classification, each to all the digits printed, and the equations under another quadrature."""

from itertools import pairwise
from math import exp, pi, sqrt
from typing import NamedTuple

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import expit, ndtr

from benchmarks.classification import ISOTROPIC as BENCHMARKED
from benchmarks.classification import straightforward_state_evolution
from tests.theory.oracles import assert_printed
from theory.classification.convex import ClassificationPrediction, predict_classifier
from theory.classification.discriminant import predict_discriminant
from theory.classification.labels import MixtureLabels
from theory.classification.losses import Hinge, Logistic, Loss, Square
from theory.classification.teacher import TeacherLabels
from theory.equivalents.population import SpectralPopulation

LOSSES: dict[str, Loss] = {"square": Square(), "logistic": Logistic(), "hinge": Hinge()}
MIXTURE = SpectralPopulation(
    eigenvalues=np.array([0.5, 2.0]), multiplicities=np.array([200.0, 200.0]), couplings=np.array([1.0, 1.0])
)
"""C = diag(.5 x 200, 2 x 200), mu = e_1 + e_400."""
LATENT = SpectralPopulation(eigenvalues=np.array([1.0]), multiplicities=np.array([200.0]), couplings=np.array([1.0]))
"""200 isotropic inputs, and a latent that is one of them."""

SHORT = {"err": "test_error", "loss": "train_loss", "test": "test_loss", "m": "mean_margin", "q": "score_variance"}
SHORT |= {"V": "proximal", "b": "intercept"}

TWO_CLASSES = """
    square   200  .1   .7  err .21857 loss .002339
    square   800  .1   .7  err .11586 loss .07243
    logistic 200  .1   .7  err .19625 loss .07788
    logistic 800  .1   .7  err .11279 loss .15908
    logistic 800  .001 .7  err .11932 loss .007838
    hinge    200  1    .7  err .19988 loss .02120
    hinge    800  .1   .7  err .12423 loss .02382
    hinge    2000 .1   .7  err .08163 loss .10200
    hinge    800  0    .5  err .14649 loss 0
    square   800  .1   .7  err .11585582 loss .07242879 m .62092950 q .30469470 V .71366973 b .15162820
    logistic 800  .1   .7  err .11279129 loss .15907690 m 1.55883964 q 1.79006832 V 2.95383962 b .79810012
    logistic 800  .001 .7  err .11932262 loss .00783817 V 168.24209
    hinge    800  .1   .7  err .12422782 loss .02382282 m 1.23522492 q 1.31692769 V 1.62240667 b .37467584
    hinge    800  1e-6 .5  err .14648932
    hinge    800  0    .5  err .14648932
"""


@pytest.mark.parametrize("row", TWO_CLASSES.strip().splitlines())
def test_two_classes_with_an_intercept(row: str) -> None:
    loss, n_samples, penalty, positive_fraction, *printed = row.split()
    labels = MixtureLabels(positive_fraction=float(positive_fraction), fit_intercept=True)
    found = predict_classifier(MIXTURE, labels, LOSSES[loss], n_samples=float(n_samples), penalty=float(penalty))
    assert_all_printed(found, printed)


# Without an intercept: lam = 1e-3, 1e-6, 1e-9 approach the hard margin like a logarithm.
LOGARITHMIC = [(1e-3, ".1303"), (1e-6, ".1395"), (1e-9, ".1422")]


@pytest.mark.parametrize(("penalty", "printed"), LOGARITHMIC)
def test_two_classes_without_an_intercept(penalty: float, printed: str) -> None:
    labels = MixtureLabels(positive_fraction=0.7, fit_intercept=False)
    found = predict_classifier(MIXTURE, labels, Logistic(), n_samples=800.0, penalty=penalty)
    assert_all_printed(found, ["err", printed])


# The errors of the last three rows as an adaptive quadrature gives them that breaks at the hinge's kinks and where the error
# is counted (below): rules that do not break there are off by 2e-6.
LATENTS = """
    square   sign     400 .1   0    err .19051256 loss .09760391 m .67953317 q .67651566 V .74165739
    logistic sign     400 .1   0    err .18532890 test .42561633 loss .24913917 m 1.24817921 q 2.23322105 V 2.40655983
    logistic sign     100 1e-4 0    err .32514167
    hinge    sign     400 .1   0    err .18553032 loss .06651860
    hinge    sign     400 .1   .25  err .26782575
    logistic logistic 800 .1   0    err .39090840 test .67062505 loss .50448333
"""


@pytest.mark.parametrize("row", LATENTS.strip().splitlines())
def test_latents(row: str) -> None:
    loss, link, n_samples, penalty, noise_variance, *printed = row.split()
    labels = TeacherLabels(link=link, signal_variance=1.0, noise_variance=float(noise_variance))  # type: ignore[arg-type]
    found = predict_classifier(LATENT, labels, LOSSES[loss], n_samples=float(n_samples), penalty=float(penalty))
    assert_all_printed(found, printed)


DISCRIMINANTS = """
    300 100 .1 test_error .13599390 positive_error .09137958 negative_error .26983686
    300 100 .1 margin 5.55476153 shift .95414812 deviation 5.71003462
    300 100 1  test_error .12355136
    200 200 0  test_error .18614902
    60  60  .1 test_error .25359189
"""


@pytest.mark.parametrize("row", DISCRIMINANTS.strip().splitlines())
def test_discriminants(row: str) -> None:
    positives, negatives, penalty, *printed = row.split()
    population = SpectralPopulation(
        eigenvalues=np.array([0.5, 2.0]), multiplicities=np.array([100.0, 100.0]), couplings=np.array([0.8, 1.2]) ** 2
    )
    n_samples = float(positives) + float(negatives)
    found = predict_discriminant(
        population, n_samples=n_samples, positive_fraction=float(positives) / n_samples, penalty=float(penalty)
    )
    assert found.status == "converged"
    for entry, digits in zip(printed[::2], printed[1::2], strict=True):
        assert_printed(getattr(found, entry), digits)


def assert_all_printed(found: ClassificationPrediction, printed: list[str]) -> None:
    assert found.status == "converged"
    for short, digits in zip(printed[::2], printed[1::2], strict=True):
        assert_printed(getattr(found, SHORT[short]), digits)


class Problem(NamedTuple):
    """One whose solution is put into the equations anew."""

    population: SpectralPopulation
    labels: MixtureLabels | TeacherLabels
    loss: Loss
    n_samples: float
    penalty: float


UNBALANCED = MixtureLabels(positive_fraction=0.2, fit_intercept=True)
PLAIN = MixtureLabels(positive_fraction=0.5, fit_intercept=False)
NOISY = TeacherLabels(link="sign", signal_variance=1.0, noise_variance=0.25)
CLEAN = TeacherLabels(link="sign", signal_variance=1.2)
CHANCE = TeacherLabels(link="logistic", signal_variance=1.0)
PROBLEMS = [
    Problem(population, labels, loss, n_samples, penalty)
    for population, labels in (
        (MIXTURE, UNBALANCED),
        (MIXTURE, PLAIN),
        (LATENT, NOISY),
        (LATENT, CLEAN),
        (LATENT, CHANCE),
    )
    for loss in (Logistic(), Hinge())
    for n_samples, penalty in ((300.0, 0.05), (1200.0, 0.01))
]


def describe(problem: Problem) -> str:
    return f"{type(problem.loss).__name__}-{type(problem.labels).__name__}-{problem.n_samples:g}"


@pytest.mark.parametrize("problem", PROBLEMS, ids=describe)
def test_the_equations_hold_under_adaptive_quadrature(problem: Problem) -> None:
    """The solution satisfies the state evolution, written out anew: scalar root finding inside adaptive integrals."""
    population, labels, loss, n, penalty = problem
    found = predict_classifier(population, labels, loss, n_samples=n, penalty=penalty)
    m, q, proximal, b = found.mean_margin, found.score_variance, found.proximal, found.intercept
    deviation = sqrt(q)

    def dual(u: float) -> float:
        if isinstance(loss, Hinge):
            return min(max((1.0 - u) / proximal, 0.0), 1.0)
        p = brentq(lambda p: p - u - proximal * expit(-p), u, u + proximal, xtol=1e-14, rtol=1e-14)
        return float(expit(-p))

    kinks = [1.0 - proximal, 1.0] if isinstance(loss, Hinge) else []

    def over(function: object, marks: list[float]) -> float:
        ends = sorted({-9.0, 9.0} | {mark for mark in marks if -9.0 < mark < 9.0})
        return sum(
            quad(function, low, high, epsabs=1e-12, epsrel=1e-10, limit=200)[0]  # type: ignore[call-overload]
            for low, high in pairwise(ends)
        )

    if isinstance(labels, MixtureLabels):
        fractions = {1.0: labels.positive_fraction, -1.0: 1.0 - labels.positive_fraction}
        mean = variance = balance = curvature = wrong = 0.0
        for sign, fraction in fractions.items():
            centre = m + sign * b
            marks = [(kink - centre) / deviation for kink in kinks]

            def average(power: int, with_z: bool, centre: float = centre, marks: list[float] = marks) -> float:
                return over(
                    lambda z: density(z) * (z if with_z else 1.0) * dual(centre + deviation * z) ** power, marks
                )

            mean += fraction * average(1, with_z=False)
            variance += fraction * average(2, with_z=False)
            balance += fraction * sign * average(1, with_z=False)
            curvature -= fraction * average(1, with_z=True) / deviation
            wrong += fraction * ndtr(-centre / deviation)
        if labels.fit_intercept:
            assert abs(balance) < 1e-9
    else:
        spread = labels.signal_variance - m * m / q + labels.noise_variance

        def chance(o: float) -> float:
            if labels.link == "sign":
                return float(ndtr(o / sqrt(spread)))
            return quad(lambda g: density(g) * expit(o + sqrt(spread) * g), -9.0, 9.0, epsabs=1e-12, epsrel=1e-10)[0]

        def slope(o: float) -> float:
            if labels.link == "sign":
                return density(o / sqrt(spread)) / sqrt(spread)
            return quad(
                lambda g: density(g) * expit(o + sqrt(spread) * g) * expit(-o - sqrt(spread) * g),
                -9.0,
                9.0,
                epsabs=1e-12,
            )[0]

        marks = [0.0, *(kink / deviation for kink in kinks)]
        ratio = m / deviation
        mean = over(lambda z: 2.0 * density(z) * slope(ratio * z) * dual(deviation * z), marks)
        variance = over(lambda z: 2.0 * density(z) * chance(ratio * z) * dual(deviation * z) ** 2, marks)
        # By parts: the kinked dual variable is integrated rather than its jumping derivative.
        curvature = over(
            lambda z: (
                2.0 * density(z) * (ratio * slope(ratio * z) - z * chance(ratio * z)) * dual(deviation * z) / deviation
            ),
            marks,
        )
        wrong = quad(lambda z: 2.0 * density(z) * chance(ratio * z), -9.0, 0.0, epsabs=1e-12)[0]
    s, counts, t = population.eigenvalues, population.multiplicities, population.couplings
    resolvent = 1.0 / (penalty + curvature * s)
    np.testing.assert_allclose(proximal, counts @ (s * resolvent) / n, rtol=1e-8)
    np.testing.assert_allclose(m, mean * (t @ resolvent), rtol=1e-8)
    noise = variance / n * (counts @ (s * resolvent) ** 2)
    np.testing.assert_allclose(q, mean**2 * (t @ (s * resolvent**2)) + noise, rtol=1e-8)
    np.testing.assert_allclose(found.test_error, wrong, rtol=1e-8)


def density(z: float) -> float:
    return exp(-0.5 * z * z) / sqrt(2.0 * pi)


def test_a_plain_state_evolution() -> None:
    found = predict_classifier(BENCHMARKED, PLAIN, Logistic(), n_samples=800.0, penalty=0.1)
    plain = straightforward_state_evolution(BENCHMARKED, 800.0, 0.1, reference=found, accuracy=1e-5)
    # Its minimiser is good to 1e-7 of the proximal operator.
    np.testing.assert_allclose(plain[:3], (found.mean_margin, found.score_variance, found.proximal), rtol=1e-5)
