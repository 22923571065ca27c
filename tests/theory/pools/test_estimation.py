"""A pool's tables against dense linear algebra and refits."""

import io

import numpy as np
import pytest

from tests.theory.pools.pools import Population, scores
from theory.pools import Pool, pool_of_kernel, pool_of_rows, predict_pool


def _problem(n_rows=24, n_features=9, n_targets=3, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n_rows, n_features)) * np.geomspace(1.0, 0.1, n_features)
    return rows, rows @ rng.standard_normal((n_features, n_targets)) + rng.standard_normal((n_rows, n_targets))


def _rbf(rows):
    squares = ((rows[:, None] - rows) ** 2).sum(axis=2)
    return np.exp(-squares / rows.shape[1])


@pytest.mark.parametrize("fit_intercept", [False, True])
@pytest.mark.parametrize("kind", ["kernel", "rows"])
def test_leave_one_out_is_that_of_refits(kind, fit_intercept):
    rows, targets = _problem()
    kernel = _rbf(rows) if kind == "kernel" else rows @ rows.T
    make = (
        pool_of_kernel(kernel, targets, fit_intercept=fit_intercept)
        if kind == "kernel"
        else pool_of_rows(rows, targets, fit_intercept=fit_intercept)
    )
    n = rows.shape[0]
    for place in range(30, make.ridges.size, 20):
        losses, cross = [], []
        for row in range(n):
            others = np.delete(np.arange(n), row)
            score = scores(
                kernel[np.ix_(others, others)],
                targets[others],
                kernel[[row]][:, others],
                n * make.ridges[place],
                fit_intercept=fit_intercept,
            )
            residual = targets[row] - score[0]
            losses.append((residual**2).sum())
            cross.append(residual @ (targets[row] - fit_intercept * targets.mean(axis=0)))
        assert make.loo[place] == pytest.approx(np.mean(losses), rel=1e-8)
        assert make.loo_deviation[place] == pytest.approx(np.std(losses), rel=1e-8)
        assert make.cross[place] == pytest.approx(np.mean(cross), rel=1e-7)
        assert np.mean(make.group_losses[:, place]) == pytest.approx(make.loo[place], rel=0.2)


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_tables_are_those_of_dense_algebra(fit_intercept):
    rows, targets = _problem()
    kernel = _rbf(rows)
    n = rows.shape[0]
    pool = pool_of_kernel(kernel, targets, fit_intercept=fit_intercept)
    centring = np.eye(n) - fit_intercept / n
    centred, target = centring @ kernel @ centring / n, centring @ targets
    for place in range(40, pool.ridges.size, 12):
        ridge = pool.ridges[place]
        hat = centred @ np.linalg.inv(centred + ridge * np.eye(n))
        residual = target - hat @ target
        free = 1.0 - np.diag(hat) - fit_intercept / n
        assert pool.df1[place] == pytest.approx(np.trace(hat), rel=1e-8)
        # Generalised cross-validation is the kernel alignment risk estimate of Jacot et al., arXiv:2006.09796.
        gcv = (residual**2).sum() / n / free.mean() ** 2
        assert pool.gcv[place] == pytest.approx(gcv, rel=1e-6)  # the dense 1 - h cancels
        leverage = (1.0 - fit_intercept / n) / free - 1.0
        assert pool.effective_ridge[place] == pytest.approx(ridge * n * leverage.mean() / np.trace(hat), rel=1e-6)
    # df2 = df1 + d df1 / d log kappa.
    slope = np.gradient(pool.df1, np.log(pool.effective_ridge))[40:-2]
    np.testing.assert_allclose(pool.df2[40:-2], (pool.df1[40:-2] + slope), atol=0.03 * pool.df1.max())


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_covariance_and_kernel_of_the_rows_give_one_pool(fit_intercept):
    rows, targets = _problem()
    primal = pool_of_rows(rows, targets, fit_intercept=fit_intercept)
    dual = pool_of_kernel(rows @ rows.T, targets, fit_intercept=fit_intercept)
    here = slice(16, None)  # below, rounding of eigenvalues that are 0 is felt in the kernel
    for name in ("loo", "gcv", "df1", "df2", "effective_ridge", "estimation", "cross"):
        np.testing.assert_allclose(getattr(primal, name)[here], getattr(dual, name)[here], rtol=1e-5, err_msg=name)
    n, penalty = np.array([5.0, 9.0, 15.0, 24.0]), 0.01
    np.testing.assert_allclose(
        predict_pool(primal, n, penalty).test_error, predict_pool(dual, n, penalty).test_error, rtol=1e-6
    )


def test_more_features_than_rows_go_through_the_kernel():
    rows, targets = _problem(n_rows=12, n_features=30)
    pool = pool_of_rows(rows, targets, fit_intercept=True)
    assert pool.n_features == 30
    assert pool.eigenvalues.shape == (11,)


def test_arrays_survive_a_file():
    rows, _ = _problem()
    labels = np.arange(24) % 3
    pool = pool_of_kernel(_rbf(rows), np.eye(3)[labels], fit_intercept=True, labels=labels)
    file = io.BytesIO()
    np.savez(file, **pool.arrays())
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        again = Pool.of_arrays(dict(arrays))
    assert again.n_classes == 3
    assert again.fit_intercept is True
    before, after = (predict_pool(one, 10.0, 1e-3) for one in (pool, again))
    assert before == after or str(before) == str(after)


def test_other_arrays_are_no_pool():
    rows, targets = _problem()
    arrays = pool_of_rows(rows, targets, fit_intercept=False).arrays()
    with pytest.raises(ValueError, match="loo missing; estimate it again"):
        Pool.of_arrays({name: value for name, value in arrays.items() if name != "loo"})
    with pytest.raises(ValueError, match="version 99"):
        Pool.of_arrays(arrays | {"version": np.asarray(99)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kernel": np.ones(5)}, "two axes"),
        ({"kernel": np.ones((3, 3)), "targets": np.arange(3.0)}, "at least 4 rows, got 3"),
        ({"kernel": np.ones((5, 4))}, r"must be \(5, 5\), got \(5, 4\)"),
        ({"targets": np.arange(6.0)}, "must have 5 rows"),
        ({"labels": np.arange(4)}, "must have 5 rows"),
        ({"kernel": np.full((5, 5), np.nan)}, "finite"),
        ({"targets": np.array([0.0, 1.0, 2.0, np.inf, 3.0])}, "finite"),
        ({"targets": np.full(5, 2.0)}, "targets do not vary"),
        ({"kernel": np.ones((5, 5))}, "rows do not vary"),
        ({"kernel": np.zeros((5, 5))}, "rows do not vary"),
    ],
)
def test_what_is_no_pool_is_refused(change, message):
    asked = {"kernel": np.eye(5), "targets": np.arange(5.0)} | change
    kernel, targets = asked.pop("kernel"), asked.pop("targets")
    with pytest.raises(ValueError, match=message):
        pool_of_kernel(kernel, targets, fit_intercept=True, **asked)


def test_a_matrix_that_is_no_kernel_is_refused():
    with pytest.raises(ArithmeticError, match="not positive semidefinite"):
        pool_of_kernel(np.diag([1.0, 1.0, -1.0, 1.0, 1.0]), np.arange(5.0), fit_intercept=False)


def test_the_kernel_is_left_alone_unless_it_may_be_overwritten():
    rows, targets = _problem()
    kernel = _rbf(rows)
    before = kernel.copy()
    kept = pool_of_kernel(kernel, targets, fit_intercept=True)
    np.testing.assert_array_equal(kernel, before)
    given = pool_of_kernel(kernel, targets, fit_intercept=True, overwrite=True)
    np.testing.assert_array_equal(kept.loo, given.loo)


def test_noise_and_ranks():
    population = Population()
    rows, targets = population.draw(600, np.random.default_rng(0))
    pool = pool_of_rows(rows, targets, fit_intercept=False)
    # The residual variance of 540 degrees of freedom.
    assert pool.noise_variance == pytest.approx(population.noise_variance, rel=4.0 * np.sqrt(2.0 / 540.0))
    ranks = population.eigenvalues.sum(), population.eigenvalues.sum() ** 2 / (population.eigenvalues**2).sum()
    np.testing.assert_allclose(pool.effective_ranks, ranks, rtol=0.2)
    assert np.abs(pool.reliability).max() < 0.1
