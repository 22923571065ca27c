"""The resolvent of a large matrix at many ridges with hardly more memory than the matrix: one tridiagonalisation, in place."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

Array = NDArray[np.float64]
BLOCK = 64
"""Columns solved at a time, so that they stay in the cache over all ridges."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tridiagonal:
    """``matrix = basis T basis'`` with an orthogonal basis and a tridiagonal T.

    Attributes:
        basis: (m, m), in Fortran's order, written over the matrix.
        diagonal, beside: (m,), (m - 1,), of T.
    """

    basis: Array
    diagonal: Array
    beside: Array

    def eigenvalues(self) -> Array:
        """Return the eigenvalues, ascending: (m,)."""
        values, failed = lapack.dsterf(self.diagonal, self.beside)
        if failed:
            raise ArithmeticError(f"{failed} eigenvalues did not converge; are the rows finite and of sensible size?")
        return np.asarray(values)

    def factors(self, ridges: Array) -> list[tuple[Array, Array]]:
        """Return what :func:`solve` needs of ``T + l`` for each of the ridges."""
        found = []
        for ridge in ridges:
            diagonal, beside, failed = lapack.dpttrf(self.diagonal + ridge, self.beside)
            if failed:
                raise ArithmeticError(f"the matrix is not positive semidefinite to a share of {ridge:.1e} of its scale")
            found.append((diagonal, beside))
        return found


def solve(factor: tuple[Array, Array], right: Array) -> Array:
    """Return ``(T + l)^-1 right``: (m, columns)."""
    solution, _ = lapack.dpttrs(*factor, right)
    return np.asarray(solution)


def tridiagonalise(matrix: Array) -> Tridiagonal:
    """Bring a symmetric matrix to tridiagonal form, writing the basis over it.

    Eigenvectors would take two or three times the matrix in memory; solving with T costs O(m) a column and a ridge, which is
    all that diagonals of resolvents need.

    Args:
        matrix: (m, m) with m > 1, symmetric, in Fortran's order (a symmetric array's transpose will do); destroyed.
    """
    size = matrix.shape[0]
    work: Any = lapack.dsytrd_lwork(size, lower=1)[0]
    reflectors, diagonal, beside, tau, _ = lapack.dsytrd(matrix, lower=1, lwork=int(work), overwrite_a=1)
    # LAPACK's orghr takes its reflectors from where a lower sytrd leaves them, and SciPy has no orgtr.
    work = lapack.dorghr_lwork(size)[0]
    basis, _ = lapack.dorghr(reflectors, tau, lwork=int(work), overwrite_a=1)
    return Tridiagonal(basis=basis, diagonal=diagonal, beside=beside)


def quadratic_forms(factors: list[tuple[Array, Array]], vectors: Array) -> Iterator[tuple[slice, Array, Array]]:
    """Go through the rows v of ``vectors`` in blocks, with ``v' (T + l)^-1 v`` and ``v' (T + l)^-2 v``.

    Args:
        factors: of L ridges.
        vectors: (N, m).

    Yields:
        The block's rows, and the two forms, each (L, rows).
    """
    for start in range(0, vectors.shape[0], BLOCK):
        rows = slice(start, start + BLOCK)
        block = np.asfortranarray(vectors[rows].T)
        once, twice = np.empty((2, len(factors), block.shape[1]))
        for index, factor in enumerate(factors):
            solution = solve(factor, block)
            np.einsum("mr,mr->r", block, solution, out=once[index])
            np.einsum("mr,mr->r", solution, solution, out=twice[index])
        yield rows, once, twice
