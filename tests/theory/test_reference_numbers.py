"""The numbers printed in the theory notes, each to all the digits printed there."""

import numpy as np
import pytest
from scipy.special import eval_gegenbauer, gammaln

import theory
from tests.theory.oracles import assert_printed

RELU_MU0, RELU_MU1, RELU_MU_STAR_SQUARED = 1.0 / np.sqrt(2.0 * np.pi), 0.5, 0.25 - 1.0 / (2.0 * np.pi)

ISOTROPIC = theory.Modes(eigenvalues=[1.0], multiplicities=[1.0], energies=[1.0], noise_variance=0.25)
TWO_ATOMS = theory.Modes(eigenvalues=[1.0, 5.0], multiplicities=[0.5, 0.5], energies=[1.5, 0.5], noise_variance=0.5)

LINEAR = """
    ISOTROPIC 2   .1  .1741657387  .8516685226 .7253392725 .4267837257  .1406962098 .8801207710
    ISOTROPIC .5  .1  1.1844288770 .4577855615 .2095676203 .9365286644  .0066757967 .6020997874
    ISOTROPIC .5  0   1            .5          .25         1.0          0           .75
    ISOTROPIC 1   .01 .1051249220  .9048750780 .8187989068 1.4296202427 .0129362773 1.9893703987
    ISOTROPIC 2   0   0            1           1           .5           .125        1.25
    TWO_ATOMS .5  0   2.2360679775 .5          .2864745084 2.9596747752 0           .7562305899
    TWO_ATOMS .5  .3  2.8605131325 .4475618558 .2358547734 2.6306802688 .0289349466 .5305024549
    TWO_ATOMS 1   .05 .3258144856  .8465384377 .7251438662 2.1555218915 .0507635129 1.7446077240
    TWO_ATOMS 1.5 1   1.6120645922 .5695161923 .3591970955 1.4477336522 .5570879843 .4029510181
"""


@pytest.mark.parametrize("row", LINEAR.strip().splitlines())
def test_linear_ridge(row: str) -> None:
    table, n_samples, penalty, *printed = row.split()
    modes = {"ISOTROPIC": ISOTROPIC, "TWO_ATOMS": TWO_ATOMS}[table]
    prediction = theory.predict_ridge(modes, float(n_samples), float(penalty))
    names = ("effective_ridge", "df1", "df2", "test_error", "train_error", "estimator_norm_squared")
    for name, digits in zip(names, printed, strict=True):
        assert_printed(getattr(prediction, name), digits)


@pytest.mark.parametrize(
    ("n_samples", "penalty", "width", "printed"),
    [
        (150, 0.0, np.inf, {"effective_ridge": ".00203698", "test_error": ".08224400"}),
        (1000, 1e-3, np.inf, {"effective_ridge": ".00126062", "test_error": ".05734725", "train_error": ".03608648"}),
        (1000, 1e-4, 500, {"test_error": ".07566515", "train_error": ".03110939"}),
    ],
)
def test_infinite_power_law(n_samples: float, penalty: float, width: float, printed: dict[str, str]) -> None:
    # The digits printed are those of 1e5 modes and a tail; the limit differs by 1.5e-7 of the value at most.
    prediction = theory.predict_ridge(_power_law_and_tail(10**5), n_samples, penalty, width=width)
    for name, digits in printed.items():
        assert_printed(getattr(prediction, name), digits)
    limit = theory.predict_ridge(_power_law_and_tail(10**10), n_samples, penalty, width=width)
    for name in printed:
        np.testing.assert_allclose(getattr(prediction, name), getattr(limit, name), rtol=2e-7)
    # Taking the modes past D as infinitesimal neglects (D^-1.5 / k)^2 D ~ D^-2 of their energy.
    larger = theory.predict_ridge(_power_law_and_tail(10**9), n_samples, penalty, width=width)
    for name in printed:
        np.testing.assert_allclose(getattr(larger, name), getattr(limit, name), rtol=1e-12)


def _power_law_and_tail(count: int) -> theory.Modes:
    alpha, r = 1.5, 0.4
    spectrum = theory.covariance.power_law(count, exponent=alpha)
    return theory.Modes(
        eigenvalues=spectrum.eigenvalues,
        multiplicities=spectrum.multiplicities,
        energies=spectrum.index ** -(1 + 2 * alpha * r) * spectrum.multiplicities,
        tail_trace=(count + 0.5) ** (1 - alpha) / (alpha - 1),
        unlearnable_variance=(count + 0.5) ** (-2 * alpha * r) / (2 * alpha * r),
        noise_variance=0.05,
    )


RANDOM_FEATURES = """
    2   1 0                   .2028216082 1           0           1.2958124107 .3239531027 4.9482658907
    2   4 0                   .0739600032 2           .587461435  .7873237971  0           11.5819302147
    2   2 .15                 .3456659548 .6825100182 .722366194  .7180883673  .3116108300 1.3493932911
    1.5 3 .06666666666666667  .2367450529 .8973411629 .7684598469 .6806896946  .1098777395 2.4883883240
"""


@pytest.mark.parametrize("row", RANDOM_FEATURES.strip().splitlines())
def test_relu_random_features(row: str) -> None:
    n_samples, width, penalty, ridge, df1, rho, *errors = row.split()
    modes = theory.Modes(
        eigenvalues=[RELU_MU1**2],
        multiplicities=[1.0],
        energies=[1.0],
        tail_trace=RELU_MU_STAR_SQUARED,
        noise_variance=0.2,
    )
    prediction = theory.predict_ridge(modes, float(n_samples), float(penalty), width=float(width))
    assert_printed(prediction.effective_ridge, ridge)
    assert_printed(prediction.df1, df1)
    inner_df2 = (RELU_MU1**2 / (RELU_MU1**2 + prediction.effective_ridge)) ** 2
    assert_printed((float(width) - prediction.df1) / (float(width) - inner_df2), rho)
    for name, digits in zip(("test_error", "train_error", "estimator_norm_squared"), errors, strict=True):
        assert_printed(getattr(prediction, name), digits)


@pytest.mark.parametrize(
    ("n_samples", "width", "penalty", "printed"),
    [(2, 1, 0.0, "1.29936"), (2, 4, 0.0, ".78939"), (2, 2, 0.15, ".72101"), (1.5, 3, 1 / 15, ".68412")],
)
def test_relu_random_features_with_the_constant_mode(
    n_samples: float, width: float, penalty: float, printed: str
) -> None:
    d = 200
    modes = theory.Modes(
        eigenvalues=[RELU_MU1**2 / d, RELU_MU0**2],
        multiplicities=[d, 1.0],
        energies=[1.0, 0.0],
        tail_trace=RELU_MU_STAR_SQUARED,
        noise_variance=0.2,
    )
    assert_printed(theory.predict_ridge(modes, n_samples * d, penalty / d, width=width * d).test_error, printed)


@pytest.mark.parametrize(
    ("n_samples", "alpha", "printed"),
    [
        (400, 0.0, {"effective_ridge": ".000983473", "test_error": ".2819328"}),
        (400, 0.5, {"effective_ridge": ".00244116", "test_error": ".4697608", "train_error": ".1231697"}),
        (100, 0.5, {"test_error": ".8768468", "train_error": ".1846524"}),
    ],
)
def test_rbf_kernel(n_samples: float, alpha: float, printed: dict[str, str]) -> None:
    slope = np.exp(-1.0)
    modes = theory.Modes(
        eigenvalues=[slope / 200, slope],
        multiplicities=[200.0, 1.0],
        energies=[1.0, 0.0],
        tail_trace=1.0 - 2.0 * slope,
        noise_variance=0.1,
    )
    prediction = theory.predict_ridge(modes, n_samples, alpha / n_samples)
    for name, digits in printed.items():
        assert_printed(getattr(prediction, name), digits)


@pytest.mark.parametrize(
    ("n_samples", "test_error", "ridge"),
    [
        (12, ".985385", ".526149"),
        (24, ".887679", ".244227"),
        (100, ".584365", ".0464328"),
        (299, ".329393", ".0120837"),
        (1000, ".115074", ".00247339"),
    ],
)
def test_exponential_kernel_on_the_sphere(n_samples: float, test_error: str, ridge: str) -> None:
    d, degrees = 24, np.arange(13)
    # The law of one coordinate is proportional to (1 - t^2)^((d - 3) / 2); Gegenbauer polynomials scaled to 1 at 1.
    nodes, weights = np.polynomial.legendre.leggauss(200)
    weights = weights * (1.0 - nodes**2) ** ((d - 3) / 2)
    index = (d - 2) / 2
    polynomials = np.array([eval_gegenbauer(n, index, nodes) / eval_gegenbauer(n, index, 1.0) for n in degrees])
    eigenvalues = polynomials @ (np.exp(2.0 * nodes) * weights) / weights.sum()
    later = degrees[1:]
    harmonics = (2 * later + d - 2) / later * np.exp(gammaln(later + d - 2) - gammaln(later) - gammaln(d - 1))
    multiplicities = np.concatenate([[1.0], harmonics])
    modes = theory.Modes(
        eigenvalues=eigenvalues,
        multiplicities=multiplicities,
        energies=np.where((degrees == 1) | (degrees == 2), 0.5, 0.0),
        tail_trace=np.exp(2.0) - eigenvalues @ multiplicities,
        noise_variance=0.05,
    )
    prediction = theory.predict_ridge(modes, n_samples, 0.0)
    assert_printed(prediction.test_error, test_error)
    assert_printed(prediction.effective_ridge, ridge)
