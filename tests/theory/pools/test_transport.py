"""Predictions from pools: against the theory of the population, simulation of other rows, limits and invariances."""

import numpy as np
import pytest

import theory
from tests.theory.pools.pools import Population, scores, uncorrected
from theory.pools import pool_of_kernel, pool_of_rows, predict_pool

SIZES = np.array([20, 40, 80, 150, 200, 400, 40, 100, 150, 30, 80, 80, 200])
PENALTIES = np.array([0.1, 0.01, 1e-3, 1e-3, 1e-3, 1e-3, 0, 0, 0, 1e-2, 0, 1e-3, 1e-2])
WIDTHS = np.array([np.inf] * 9 + [50, 40, 30, 100])


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_gaussian_rows_give_the_theory_of_their_population(fit_intercept):
    population, rng = Population(), np.random.default_rng(0)
    exact = theory.predict_ridge(population.modes(fit_intercept=fit_intercept), SIZES, PENALTIES, width=WIDTHS)
    found = []
    for _ in range(16):
        pool = pool_of_rows(*population.draw(200, rng, mean=3.0 * fit_intercept), fit_intercept=fit_intercept)
        found.append(predict_pool(pool, SIZES, PENALTIES, width=WIDTHS))
    for name in ("test_error", "variance", "df1"):
        values = np.array([getattr(one, name) for one in found])
        error = values.std(axis=0, ddof=1) / np.sqrt(16)
        # The theory neglects O(1/n) of itself, at the pool and at n.
        neglected = np.abs(getattr(exact, name)) * (1.0 / 200 + 1.0 / SIZES)
        assert (np.abs(values.mean(axis=0) - getattr(exact, name)) <= 4.0 * error + neglected).all(), name
    one = found[0]
    assert (one.status == "converged").all()
    assert (one.phase == exact.phase).all()
    assert (one.extrapolated == (SIZES > 200)).all()
    assert (one.residual < 1e-4).all()  # at no penalty and more rows than features the root is where these run out


def test_rows_of_unequal_length():
    """Elliptical rows, where generalised cross-validation fails: leverages are taken into account."""
    rng = np.random.default_rng(2)
    population = Population(40, exponent=0.5, noise_variance=0.3)

    def draw(n_rows):
        lengths = np.exp(0.7 * rng.standard_normal(n_rows))
        rows, _ = population.draw(n_rows, rng)
        rows *= lengths[:, None]
        return rows, (rows @ population.weights + np.sqrt(0.3) * rng.standard_normal(n_rows))[:, None]

    sizes, penalty = np.array([30, 60]), 0.02
    pools = [pool_of_rows(*draw(300), fit_intercept=False) for _ in range(16)]
    found = np.array([predict_pool(pool, sizes, penalty).squared_error for pool in pools])
    trained = []
    for size in sizes:
        losses = []
        for _ in range(200):
            (rows, targets), (others, answers) = draw(size), draw(400)
            score = scores(rows @ rows.T, targets, others @ rows.T, size * penalty, fit_intercept=False)
            losses.append(((answers - score) ** 2).mean())
        trained.append((np.mean(losses), np.std(losses) / np.sqrt(200)))
    mean, error = np.array(trained).T
    allowed = 4.0 * np.hypot(error, found.std(axis=0, ddof=1) / np.sqrt(16)) + mean / sizes
    assert (np.abs(found.mean(axis=0) - mean) <= allowed).all()


def _pool(fit_intercept=True, n_rows=60, seed=0, **changes):
    population = Population(20)
    rows, targets = population.draw(n_rows, np.random.default_rng(seed))
    return pool_of_rows(
        rows * changes.get("rows", 1.0),
        targets * changes.get("targets", 1.0) + changes.get("mean", 0.0),
        fit_intercept=fit_intercept,
    )


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_at_the_pools_own_size_it_is_leave_one_out(fit_intercept):
    pool = _pool(fit_intercept)
    inside = slice(30, None, 7)
    found = predict_pool(pool, 60.0, pool.ridges[inside])
    np.testing.assert_allclose(found.test_error, pool.loo[inside], rtol=1e-5)
    np.testing.assert_allclose(found.reliability, pool.reliability[inside], atol=1e-5)
    np.testing.assert_allclose(found.effective_ridge, pool.effective_ridge[inside], rtol=1e-5)
    np.testing.assert_allclose(found.df1 - fit_intercept, pool.df1[inside], rtol=1e-5)


def test_units():
    n, penalty = np.array([10.0, 30.0, 60.0, 90.0]), 0.01
    here, scaled = _pool(), _pool(rows=10.0, targets=3.0)
    one = predict_pool(here, n, penalty)
    other = predict_pool(scaled, n, 100.0 * penalty)
    for name in ("test_error", "low", "high", "train_error", "variance"):
        np.testing.assert_allclose(getattr(other, name), 9.0 * getattr(one, name), rtol=1e-6, err_msg=name)
    moved = predict_pool(_pool(mean=100.0), n, penalty)
    np.testing.assert_allclose(moved.test_error, one.test_error, rtol=1e-9)


def test_order_of_rows_and_rotation_of_targets():
    rng = np.random.default_rng(0)
    rows, kernel_rows = rng.standard_normal((50, 8)), rng.standard_normal((50, 60))
    targets = rows @ rng.standard_normal((8, 3)) + rng.standard_normal((50, 3))
    rotation = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    order = rng.permutation(50)
    kernel = kernel_rows @ kernel_rows.T / 60 + rows @ rows.T
    n, penalty = np.array([10.0, 25.0, 50.0]), 0.1
    one, other = (
        pool_of_kernel(*given, fit_intercept=True)
        for given in ((kernel, targets), (kernel[np.ix_(order, order)], (targets @ rotation)[order]))
    )
    plain, moved = (predict_pool(uncorrected(pool), n, penalty) for pool in (one, other))
    np.testing.assert_allclose(moved.test_error, plain.test_error, rtol=1e-7)
    columns = [
        predict_pool(uncorrected(pool_of_kernel(kernel, column, fit_intercept=True)), n, penalty)
        for column in targets.T
    ]
    # Of tables interpolated by cubic splines.
    np.testing.assert_allclose(sum(one.test_error for one in columns), plain.test_error, rtol=1e-5)
    # Parts of the rows on which models are tried are drawn by their places: other ones agree within what they are said to.
    plain, moved = (predict_pool(pool, n, penalty) for pool in (one, other))
    assert (np.maximum(plain.low, moved.low) <= np.minimum(plain.high, moved.high)).all()


def test_many_features_are_infinitely_many():
    pool = _pool()
    n, penalty = np.array([10.0, 15.0, 40.0]), np.array([0.0, 1e-3, 1e-2])
    wide, infinite = predict_pool(pool, n, penalty, width=1e9), predict_pool(pool, n, penalty)
    np.testing.assert_allclose(wide.test_error, infinite.test_error, rtol=1e-6)


def test_divergence_where_the_features_run_out():
    pool = _pool(fit_intercept=False)
    peak = predict_pool(pool, np.array([9.0, 12.0, 15.0, 20.0]), 0.0, width=np.array([12.0, 12.0, 12.0, np.inf]))
    assert list(peak.status) == ["converged", "divergent", "converged", "divergent"]
    assert list(peak.phase) == ["overparameterized", "threshold", "underparameterized", "threshold"]
    assert np.isinf(peak.test_error[[1, 3]]).all()
    assert np.isfinite(peak.test_error[[0, 2]]).all()


def test_least_squares_has_its_closed_form():
    """Of n Gaussian rows in d dimensions: noise n / (n - d), from a pool that has seen all directions."""
    population, rng = Population(20), np.random.default_rng(3)
    pools = [pool_of_rows(*population.draw(200, rng), fit_intercept=False) for _ in range(16)]
    n = np.array([40.0, 100.0, 1000.0])
    found = [predict_pool(pool, n, 0.0) for pool in pools]
    values = np.array([one.test_error for one in found])
    error = values.std(axis=0, ddof=1) / np.sqrt(16)
    exact = population.noise_variance * n / (n - 20.0)
    assert (np.abs(values.mean(axis=0) - exact) <= 4.0 * error + exact / n).all()
    assert not found[0].extrapolated[0]
    np.testing.assert_allclose(found[0].df1, 20.0, rtol=1e-6)


def test_beyond_what_the_pool_identifies():
    population, rng = Population(800, exponent=1.5), np.random.default_rng(4)
    n, penalty = np.array([200.0, 400.0]), 1e-5
    exact = theory.predict_ridge(population.modes(fit_intercept=False), n, penalty)
    found = [predict_pool(pool_of_rows(*population.draw(100, rng), fit_intercept=False), n, penalty) for _ in range(12)]
    assert all(one.extrapolated.all() for one in found)
    widths = np.log(found[0].high / found[0].low)
    assert widths[1] > widths[0] > np.log(_ratio(predict_pool(_pool(), 60.0, 0.01)))
    inside = np.mean([(one.low <= exact.test_error) & (exact.test_error <= one.high) for one in found], axis=0)
    # 90 % is meant: fewer than 8 of 12 has a probability of 0.4 % then.
    assert (inside >= 8 / 12).all()


def _ratio(prediction):
    return prediction.high / prediction.low


def test_a_number_for_a_number_and_broadcasting():
    pool = _pool()
    one = predict_pool(pool, 20, 0.1)
    assert isinstance(one.test_error, float)
    assert one.status == "converged"
    many = predict_pool(pool, np.array([[10.0], [20.0]]), np.array([0.01, 0.1, 1.0]))
    assert many.test_error.shape == (6,)
    assert many.test_error[4] == pytest.approx(one.test_error, rel=1e-12)


@pytest.mark.parametrize(
    ("n", "penalty", "width", "message"),
    [
        (1, 0.1, np.inf, "n_samples must be finite and exceed 1, got 1"),
        (np.inf, 0.1, np.inf, "n_samples must be finite"),
        (np.nan, 0.1, np.inf, "n_samples must be finite"),
        (10, -1.0, np.inf, "penalty must be finite and not negative"),
        (10, np.nan, np.inf, "penalty must be finite and not negative"),
        (10, 0.1, 0.0, "width must exceed 0"),
        (10, 0.1, np.nan, "width must exceed 0"),
    ],
)
def test_bad_questions_are_refused(n, penalty, width, message):
    with pytest.raises(ValueError, match=message):
        predict_pool(_pool(), n, penalty, width=width)


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("kind", ["duplicates", "alone", "rank one", "one hot", "noiseless", "huge", "tiny"])
def test_awkward_pools_answer_with_numbers_or_say_that_they_diverge(kind, fit_intercept):
    rng = np.random.default_rng(5)
    rows, targets = rng.standard_normal((30, 6)), rng.standard_normal(30)
    match kind:
        case "duplicates":
            rows, targets = np.repeat(rows[:10], 3, axis=0), np.repeat(targets[:10], 3)
        case "alone":
            rows = np.hstack([rows, np.eye(30)[:, :1]])
        case "rank one":
            rows = rows[:, :1]
        case "one hot":
            rows = np.eye(5)[np.arange(30) % 5]
        case "noiseless":
            targets = rows @ np.ones(6)
        case "huge":
            rows, targets = 1e60 * rows, 1e60 * targets
        case "tiny":
            rows, targets = 1e-60 * rows, 1e-60 * targets
    pools = [
        pool_of_rows(rows, targets, fit_intercept=fit_intercept),
        pool_of_kernel(rows @ rows.T, targets, fit_intercept=fit_intercept),
    ]
    n = np.array([2.0, 3.0, 5.0, 7.0, 29.0, 30.0, 31.0, 300.0])[:, None, None]
    scale = np.linalg.norm(rows) ** 2 / 30
    penalties = scale * np.array([0.0, 1e-14, 1e-6, 1.0, 1e6])[:, None]
    for pool in pools:
        found = predict_pool(pool, n, penalties, width=np.array([1.0, 6.0, np.inf]))
        fine = found.status == "converged"
        assert fine.any()
        for name in ("test_error", "low", "high", "train_error", "variance", "df1", "df2", "effective_ridge"):
            values = getattr(found, name)
            assert np.isfinite(values[fine]).all(), name
            assert (values >= 0.0).all(), name
        assert (found.low <= found.test_error).all()
        assert (found.test_error <= found.high).all()


def test_duplicates_of_categories_meet_leave_one_out():
    # Few rows of many kinds, many of a few: leverages say more was estimated than leave-one-out has in all.
    rng, weights = np.random.default_rng(0), np.arange(1.0, 121.0) ** -1.2
    kinds = rng.choice(120, 300, p=weights / weights.sum())
    targets = rng.standard_normal(300)
    points = rng.standard_normal((120, 5))[kinds]
    distances = np.sqrt(np.square(points[:, None] - points).sum(axis=2))
    pool = pool_of_kernel(np.exp(-distances), targets, fit_intercept=True)
    places = np.arange(4, pool.ridges.size, 9)
    np.testing.assert_allclose(predict_pool(pool, 300.0, pool.ridges[places]).test_error, pool.loo[places], rtol=1e-4)
    assert (pool.level >= 0.0).all()
