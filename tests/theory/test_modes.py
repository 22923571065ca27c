"""The mode table: what it derives and what it refuses."""

import numpy as np
import pytest

import theory
from tests.theory.oracles import OUTPUTS


def test_derived_quantities() -> None:
    modes = theory.Modes(eigenvalues=[1.0, 4.0, 0.0], multiplicities=[6.0, 2.0, 9.0], energies=[1.0, 2.0, 5.0])
    assert modes.n_modes == modes.rank == 8.0
    assert modes.trace == 14.0
    assert modes.arithmetic_mean == 14.0 / 8.0
    assert modes.harmonic_mean == 8.0 / 6.5
    assert modes.signal_variance == 3.0
    assert modes.unlearnable_variance == 5.0
    tailed = theory.Modes(eigenvalues=[1.0], multiplicities=[6.0], energies=[1.0], tail_trace=2.0)
    assert (tailed.rank, tailed.trace, tailed.n_modes) == (np.inf, 8.0, 6.0)


def test_derived_quantities_of_a_batch() -> None:
    modes = theory.Modes(
        eigenvalues=np.array([[1.0, 4.0], [0.0, 2.0]]),
        multiplicities=np.array([[6.0, 2.0], [3.0, 5.0]]),
        energies=np.array([[1.0, 2.0], [0.5, 3.0]]),
        tail_trace=np.array([0.0, 1.0]),
    )
    assert modes.n_modes.tolist() == [8.0, 5.0]
    assert modes.rank.tolist() == [8.0, np.inf]
    assert modes.trace.tolist() == [14.0, 11.0]
    assert modes.unlearnable_variance.tolist() == [0.0, 0.5]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"eigenvalues": [1.0, -1.0]}, "eigenvalues must be finite and at least 0"),
        ({"eigenvalues": [1.0, np.nan]}, "eigenvalues must be finite"),
        ({"eigenvalues": [1.0, np.inf]}, "eigenvalues must be finite"),
        ({"multiplicities": [1.0, -2.0]}, "multiplicities must be finite and at least 0"),
        ({"energies": [np.inf, 0.0]}, "energies must be finite"),
        ({"energies": [-1.0, 0.0]}, "energies must be finite and at least 0"),
        ({"tail_trace": -1.0}, "tail_trace must be finite and at least 0"),
        ({"unlearnable_variance": np.nan}, "unlearnable_variance must be finite"),
        ({"noise_variance": -0.1}, "noise_variance must be finite and at least 0"),
        ({"energies": [1.0]}, "need one shape"),
        ({"eigenvalues": 1.0}, "need one shape"),
        ({"eigenvalues": [], "multiplicities": [], "energies": []}, "need one shape"),
    ],
)
def test_inadmissible_tables_say_which_field(change: dict[str, object], message: str) -> None:
    fields = {"eigenvalues": [1.0, 2.0], "multiplicities": [3.0, 4.0], "energies": [1.0, 1.0]} | change
    with (
        np.errstate(all="ignore"),
        pytest.raises(theory.InadmissibleProblem, match=message),
    ):
        theory.Modes(**fields)


def test_one_bad_row_refuses_the_batch() -> None:
    table = np.ones((3, 2))
    bad = table.copy()
    bad[1, 1] = -1.0
    with pytest.raises(theory.InadmissibleProblem, match="energies must be finite and at least 0"):
        theory.Modes(eigenvalues=table, multiplicities=table, energies=bad)


@pytest.mark.parametrize(
    ("n_samples", "penalty", "width", "message"),
    [
        (0.0, 0.1, np.inf, "n_samples and width must exceed 0"),
        (-1.0, 0.1, np.inf, "n_samples and width must exceed 0"),
        (np.nan, 0.1, np.inf, "n_samples and width must exceed 0"),
        (1.0, 0.1, 0.0, "n_samples and width must exceed 0"),
        (1.0, -0.1, np.inf, "penalty must not be negative"),
        (1.0, np.nan, np.inf, "penalty must not be negative"),
        (np.array([1.0, 0.0]), 0.1, np.inf, "n_samples and width must exceed 0"),
        (1.0, np.array([0.1, -0.1]), np.inf, "penalty must not be negative"),
    ],
)
def test_inadmissible_sizes_say_which_rule_they_break(
    n_samples: object, penalty: object, width: object, message: str
) -> None:
    modes = theory.Modes(eigenvalues=[1.0], multiplicities=[1.0], energies=[1.0])
    with pytest.raises(ValueError, match=message):
        theory.predict_ridge(modes, n_samples, penalty, width=width)


def test_long_batches_are_worked_off_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    modes = theory.Modes(
        eigenvalues=rng.random((50, 7)),
        multiplicities=rng.integers(1, 9, (50, 7)).astype(float),
        energies=rng.random((50, 7)),
        noise_variance=rng.random(50),
        unlearnable_variance=0.3,
        tail_trace=rng.random(50),
    )
    n_samples = rng.integers(1, 90, 50).astype(float)
    whole = theory.predict_ridge(modes, n_samples, 1e-2, width=40.0)
    monkeypatch.setattr("theory.equivalents.modal.CHUNK_ENTRIES", 60)
    pieces = theory.predict_ridge(modes, n_samples, 1e-2, width=40.0)
    for name in OUTPUTS:
        np.testing.assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=1e-14)
    assert pieces.status.tolist() == whole.status.tolist()


def test_one_table_serves_a_sweep() -> None:
    modes = theory.Modes(eigenvalues=[1.0, 3.0], multiplicities=[5.0, 5.0], energies=[1.0, 1.0], noise_variance=0.1)
    curve = theory.predict_ridge(modes, np.array([3.0, 30.0]), np.array([0.1, 0.0]))
    assert curve.test_error.shape == (2,)
    np.testing.assert_allclose(curve.test_error[1], 0.1 / (1 - 10 / 30), rtol=1e-14)


def test_the_types_of_a_single_answer_are_plain() -> None:
    modes = theory.Modes(eigenvalues=[1.0], multiplicities=[5.0], energies=[1.0], noise_variance=0.1)
    prediction = theory.predict_ridge(modes, 7, 0)
    assert all(type(getattr(prediction, name)) is float for name in OUTPUTS)
    assert type(prediction.status) is str
    assert type(prediction.iterations) is int
