"""From rows, or a kernel between them, to a pool: exact leave-one-out along the ridge after one tridiagonalisation."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.pools.classes import SPREAD, misclassified
from theory.pools.corrections import corrected
from theory.pools.pool import Pool
from theory.pools.resolvents import Tridiagonal, quadratic_forms, solve, tridiagonalise
from theory.pools.rows import LOADS, RowTable
from theory.pools.trials import Kernel, Rows, Trials, hold_out

Array = NDArray[np.float64]
LOWEST, HIGHEST, PER_DECADE = 1e-11, 1e3, 8
"""Ridges, in units of the largest eigenvalue: rounding is all that is left below, powers of the ridge above."""
FEWEST_SHARING, LEAST_SHARING = 30.0, 0.25
"""Rows that share in all leverages where the table begins, or their share of the most that do anywhere."""
FEWEST_ROWS = 4
MOST_ESTIMATION = 0.999


def pool_of_kernel(
    kernel: Array,
    targets: Array,
    *,
    fit_intercept: bool,
    labels: NDArray[np.integer[Any]] | None = None,
    overwrite: bool = False,
    n_groups: int = 10,
    seed: int = 0,
) -> Pool:
    """Estimate a pool from the kernel between its rows.

    Args:
        kernel: (N, N), symmetric and positive semidefinite, not divided by anything.
        targets: (N,) or (N, C): values, or codes of classes (+-1, or one-hot for more than two).
        fit_intercept: whether models fit a constant that is not penalised.
        labels: (N,), classes 0, 1, ...; given, rates of misclassification are estimated too.
        overwrite: whether the kernel's memory may be used; a copy is made otherwise.
        n_groups: random groups of rows whose losses are kept apart.
        seed: of the groups and of Gaussian numbers.

    Returns:
        Tables. It takes one tridiagonalisation and O(N^2) for each of about a hundred ridges, and little memory beside
        the kernel's.

    Raises:
        ValueError: shapes do not fit, something is not finite, there are fewer than 4 rows, or neither rows nor targets vary.
        ArithmeticError: the kernel is not positive semidefinite.

    Source: docs/theory.md, "Real rows".
    """
    n_rows = _check("kernel", kernel, targets, labels)
    if kernel.shape != (n_rows, n_rows):
        raise ValueError(f"a kernel between {n_rows} rows must be ({n_rows}, {n_rows}), got {kernel.shape}")
    # A symmetric array in C's order is its own transpose in Fortran's.
    matrix = kernel if overwrite and kernel.dtype == np.float64 else np.array(kernel, dtype=np.float64)
    matrix = matrix if matrix.flags.f_contiguous else matrix.T
    matrix = matrix if matrix.flags.f_contiguous else np.asfortranarray(matrix)
    matrix /= n_rows
    codes = np.asarray(targets, dtype=np.float64).reshape(n_rows, -1)
    constant = 0.0
    if fit_intercept:
        means = matrix.mean(axis=0)
        mean = means.mean()
        matrix -= means
        matrix -= means[:, None]
        matrix += mean
    trials = hold_out(Kernel(matrix), codes, fit_intercept=fit_intercept, labels=labels, seed=seed)
    if fit_intercept:
        # The constant is given an eigenvalue above all others, and taken out again exactly: at its own, 0, its share of the
        # resolvent would drown that of small eigenvalues in rounding.
        constant = max(float(np.trace(matrix)), 0.0)
        matrix += constant / n_rows
    form = tridiagonalise(matrix)
    eigenvalues = form.eigenvalues()[::-1]
    return _pool(
        form,
        form.basis,
        eigenvalues[1:] if fit_intercept else eigenvalues,
        codes,
        trials,
        constant=constant if fit_intercept else None,
        dual=True,
        n_features=0,
        labels=labels,
        n_groups=n_groups,
        seed=seed,
    )


def pool_of_rows(
    rows: Array,
    targets: Array,
    *,
    fit_intercept: bool,
    labels: NDArray[np.integer[Any]] | None = None,
    n_groups: int = 10,
    seed: int = 0,
) -> Pool:
    """Estimate a pool for linear features, through the smaller of the covariance and the kernel of the rows.

    Args:
        rows: (N, d).
        targets: (N,) or (N, C), as in :func:`pool_of_kernel`.
        fit_intercept: whether models fit a constant that is not penalised.
        labels: (N,), of classes.
        n_groups: random groups of rows whose losses are kept apart.
        seed: of the groups and of Gaussian numbers.

    Raises:
        ValueError: as :func:`pool_of_kernel`.
    """
    n_rows = _check("rows", rows, targets, labels)
    n_features = rows.shape[1]
    rows = rows - rows.mean(axis=0) if fit_intercept else np.asarray(rows, dtype=np.float64)
    if n_features >= n_rows - fit_intercept:
        found = pool_of_kernel(
            rows @ rows.T,
            targets,
            fit_intercept=fit_intercept,
            labels=labels,
            overwrite=True,
            n_groups=n_groups,
            seed=seed,
        )
        return replace(found, n_features=n_features)
    if n_features == 1:
        rows = np.hstack([rows, np.zeros_like(rows)])  # LAPACK has no tridiagonal matrices of one entry
    codes = np.asarray(targets, dtype=np.float64).reshape(n_rows, -1)
    trials = hold_out(Rows(rows), codes, fit_intercept=fit_intercept, labels=labels, seed=seed)
    form = tridiagonalise(np.asfortranarray(rows.T @ rows / n_rows))
    return _pool(
        form,
        rows @ form.basis / np.sqrt(n_rows),
        form.eigenvalues()[::-1],
        codes,
        trials,
        constant=0.0 if fit_intercept else None,
        dual=False,
        n_features=n_features,
        labels=labels,
        n_groups=n_groups,
        seed=seed,
    )


def _first_with_shared_leverage(leverages: Array) -> int:
    """Return the first ridge from which on the leverages, (L, N), are those of more than a few rows.

    At the low end of fewer directions than rows, a row that is alone in one of them takes all leverage: what a pool would say
    there it would say of that row.
    """
    sharing = leverages.sum(axis=1) ** 2 / np.square(leverages).sum(axis=1)
    return int(np.argmax(sharing >= min(FEWEST_SHARING, LEAST_SHARING * sharing.max())))


def _free(
    factors: list[tuple[Array, Array]], vectors: Array, ridges: Array, constant: float | None, *, dual: bool
) -> tuple[Array, Array]:
    """Return ``1 - h`` of every row at every ridge, and its derivative by the ridge's logarithm: (L, N) each."""
    n_rows = vectors.shape[0]
    kept = 1.0 - (constant is not None) / n_rows
    free, slope = np.empty((2, ridges.size, n_rows))
    for rows, once, twice in quadratic_forms(factors, vectors):
        if dual:
            free[:, rows] = ridges[:, None] * once
            slope[:, rows] = free[:, rows] - ridges[:, None] ** 2 * twice
        else:
            free[:, rows] = kept - once
            slope[:, rows] = ridges[:, None] * twice
    if dual and constant is not None:
        free -= (ridges / (constant + ridges) / n_rows)[:, None]
        slope -= (ridges * constant / (constant + ridges) ** 2 / n_rows)[:, None]
    # Rounding must not make it negative, nor the leverage of a row that is alone in a direction infinite.
    return np.clip(free, 1e-12, kept * (1.0 - 1e-12)), slope


def _no_corrections(n_rows: int, ridges: Array, *, classes: bool) -> dict[str, Array]:
    nothing = np.zeros((2, ridges.size))
    return {
        "trial_sizes": np.array([0.5 * n_rows, n_rows]),
        "trial_penalties": ridges,
        "corrections": nothing,
        "correction_errors": nothing,
        "trial_luck": nothing,
        "rate_corrections": nothing if classes else np.empty((0, 0)),
        "rate_correction_errors": nothing if classes else np.empty((0, 0)),
    }


def _check(name: str, values: Array, targets: Array, labels: NDArray[np.integer[Any]] | None) -> int:
    if values.ndim != 2:
        raise ValueError(f"{name} must have two axes, got {values.ndim}")
    n_rows = int(values.shape[0])
    if n_rows < FEWEST_ROWS:
        raise ValueError(f"a pool needs at least {FEWEST_ROWS} rows, got {n_rows}")
    if targets.shape[0] != n_rows or (labels is not None and labels.shape != (n_rows,)):
        raise ValueError(f"targets and labels must have {n_rows} rows, as {name} has")
    if not (np.isfinite(values).all() and np.isfinite(targets).all()):
        raise ValueError(f"{name} and targets must be finite")
    return n_rows


def _pool(
    form: Tridiagonal,
    vectors: Array,
    eigenvalues: Array,
    codes: Array,
    trials: Trials,
    *,
    constant: float | None,
    dual: bool,
    n_features: int,
    labels: NDArray[np.integer[Any]] | None,
    n_groups: int,
    seed: int,
) -> Pool:
    """Build the tables.

    Args:
        form: of ``K / N`` (``dual``) or of the covariance.
        vectors: (N, m); the rows of the basis, or those of the data in the basis of their covariance, over ``sqrt(N)``.
        eigenvalues: descending, the constant's left out.
        codes: (N, C), the targets.
        trials: on parts of the rows.
        constant: the eigenvalue given to the intercept's direction, which only a kernel has; None without an intercept.
        dual: whether the form is the kernel's.
        n_features: kept for the reader.
        labels: (N,) or None.
        n_groups: of rows.
        seed: of the groups and of Gaussian numbers.
    """
    n_rows = vectors.shape[0]
    n_unpenalised = int(constant is not None)
    targets = codes - codes.mean(axis=0) if n_unpenalised else codes
    eigenvalues = np.maximum(eigenvalues, 0.0)
    largest = float(eigenvalues[0]) if eigenvalues.size else 0.0
    target_variance = float(np.vdot(targets, targets)) / n_rows
    if largest <= 0.0 or target_variance <= 0.0:
        what = "rows" if largest <= 0.0 else "targets"
        raise ValueError(f"the {what} do not vary, so there is nothing to learn; add columns that do")
    decades = np.log10(HIGHEST / LOWEST)
    ridges = largest * np.geomspace(LOWEST, HIGHEST, round(decades * PER_DECADE) + 1)
    factors = form.factors(ridges)

    kept = 1.0 - n_unpenalised / n_rows
    free, slope = _free(factors, vectors, ridges, constant, dual=dual)
    first = _first_with_shared_leverage(kept / free - 1.0)
    projected = np.asfortranarray(vectors.T @ targets)

    def residual(factor: tuple[Array, Array], ridge: float) -> Array:
        answer = vectors @ solve(factor, projected)
        return np.asarray(ridge * answer if dual else targets - answer)

    below = ridges[:first]
    losses_below, wrong_below = np.empty((2, first))
    for index in range(first):
        left_out = residual(factors[index], ridges[index]) / free[index][:, None]
        losses_below[index] = np.square(left_out).sum(axis=1).mean()
        if labels is not None:
            wrong_below[index] = misclassified(codes - left_out, labels).mean()
    ridges, factors, free, slope = ridges[first:], factors[first:], free[first:], slope[first:]

    left = ridges[:, None] / (eigenvalues + ridges[:, None])
    n_free = n_rows - n_unpenalised
    df1, falling = (1.0 - left).sum(axis=1), (left * (1.0 - left)).sum(axis=1)
    df1 = np.where(ridges > largest, (eigenvalues / (eigenvalues + ridges[:, None])).sum(axis=1), df1)
    n_idle = n_free - eigenvalues.size
    classical_ridge = ridges * n_rows / (left.sum(axis=1) + n_idle)
    classical_df2 = n_free - (n_rows * ridges / classical_ridge) ** 2 / (np.square(left).sum(axis=1) + n_idle)
    squares = np.square(left)
    effective_rows = (squares.sum(axis=1) + n_idle) ** 2 / (np.square(squares).sum(axis=1) + n_idle)
    mean_leverage = (kept / free - 1.0).mean(axis=1)
    effective_ridge = ridges * n_rows * mean_leverage / df1
    # d log kappa / d log l, from the exact derivatives of both.
    stretch = 1.0 - (kept * slope / free**2).mean(axis=1) / mean_leverage + falling / df1
    df2 = np.clip(df1 - falling / np.maximum(stretch, 1e-12), 1e-12 * df1, df1)

    table = RowTable(ridges.size, codes, kept=kept, labels=labels, n_groups=n_groups, seed=seed)
    for index, factor in enumerate(factors):
        table.fill(index, residual(factor, ridges[index]), free[index], targets, df2[index])
    # Rows that are alone in a direction, and duplicates, have leverages that say nothing of others: what is estimated must not
    # leave less than nothing. It is df2 that gives way, so that at the pool's own size leave-one-out stays what is predicted.
    df2 = np.minimum(df2, MOST_ESTIMATION * kept * table.loo * n_rows / np.maximum(table.estimation, 1e-300))
    found = Pool(
        n_rows=n_rows,
        n_features=n_features,
        n_classes=0 if labels is None else int(labels.max()) + 1,
        fit_intercept=bool(n_unpenalised),
        ridges=ridges,
        eigenvalues=eigenvalues,
        effective_ridge=effective_ridge,
        df1=df1,
        df2=df2,
        loo=table.loo,
        gcv=table.train * (classical_ridge / ridges) ** 2,
        loo_deviation=table.loo_deviation,
        group_losses=table.group_losses,
        estimation=df2 / n_rows * table.estimation,
        effective_rows=effective_rows,
        cross=table.cross,
        classical_effective_ridge=classical_ridge,
        classical_df2=classical_df2,
        loads=LOADS,
        used=table.used,
        moments=table.moments,
        spread=SPREAD,
        rates=table.rates,
        feature_rates=table.feature_rates,
        rate_ridges=ridges[table.rated],
        target_variance=target_variance,
        **_no_corrections(n_rows, ridges, classes=labels is not None),
    )
    return corrected(found, trials, below=below, losses_below=losses_below, wrong_below=wrong_below)
