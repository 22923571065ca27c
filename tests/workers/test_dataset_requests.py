"""Requests on data sets: what is trained on their rows agrees, wherever they are asked; and what is refused, with the place."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from api_schemas.optima import OptimumRequest
from api_schemas.prediction import Prediction, PredictionRequest
from api_schemas.requirement import RequirementRequest
from api_schemas.spectra import SpectrumRequest
from api_schemas.sweep import SweepRequest
from api_schemas.validation import Validation, ValidationRequest
from tests.datasets import BINARY, DIABETES, DIGITS, MISSING, diabetes, digits, keep
from tests.datasets import codes as coded
from tests.running import EXAMPLE
from workers import estimation, optima, requirements, spectra, sweeps, validations
from workers import pools as estimates
from workers.batches import predict_all
from workers.data_store import DataStore, open_store
from workers.predictions import key_of, predict
from workers.refusals import Refused, UnknownDataset, Unsupported
from workers.validations import chunks_of, conclude, run_chunk

pytestmark = pytest.mark.usefixtures("stored")

LINEAR = {"kind": "linear"}
RBF = {"kind": "kernel", "kernel": {"kind": "rbf", "length_scale": 1.0}}
LAPLACE = {"kind": "kernel", "kernel": {"kind": "laplace", "length_scale": 1.0}}
NTK = {"kind": "kernel", "kernel": {"kind": "ntk", "layers": [{"activation": "relu"}]}}
RELU = {"kind": "random_features", "layers": [{"activation": "relu", "width": 150}]}
PROJECTION = {"kind": "random_projection", "width": 6}


def body(
    features: Any = LINEAR, dataset_id: str = DIABETES, n_samples: float = 150, penalty: float = 0.05, **model: Any
) -> dict[str, Any]:
    return {
        "model": {"features": features, "learner": {"kind": "ridge", "penalty": penalty}, **model},
        "regime": {"kind": "dataset", "dataset_id": dataset_id, "n_samples": n_samples},
    }


def request(*arguments: Any, **options: Any) -> PredictionRequest:
    return PredictionRequest.model_validate(body(*arguments, **options))


def answer(*arguments: Any, **options: Any) -> Prediction:
    return predict(request(*arguments, **options))


def codes(*arguments: Any, **options: Any) -> set[str]:
    return {warning.code for warning in answer(*arguments, **options).warnings}


def validated(asked: dict[str, Any], **options: Any) -> Validation:
    whole = ValidationRequest.model_validate({"request": asked, "replicates": 30, **options})
    validations.check(whole)
    chunks = [run_chunk(whole, chunk) for chunk in chunks_of(whole)]
    return conclude(whole, chunks, backend="numpy", device="cpu")


CASES: list[tuple[str, Any, float, float]] = [
    (DIABETES, LINEAR, 150, 0.05),
    (DIABETES, RBF, 300, 0.01),
    (DIABETES, PROJECTION, 100, 0.05),
    (DIGITS, LINEAR, 200, 0.01),
    (DIGITS, LAPLACE, 300, 0.001),
    (DIGITS, RELU, 200, 0.01),
    (BINARY, NTK, 200, 0.01),
]
SHORT = ((0, True), (2, False), (5, True), (6, False))


@pytest.mark.parametrize(
    ("case", "fit_intercept"),
    [
        pytest.param(case, constant, marks=() if (case, constant) in SHORT else pytest.mark.slow)
        for case in range(len(CASES))
        for constant in (False, True)
    ],
)
def test_what_is_trained_on_splits_agrees(case: int, fit_intercept: bool) -> None:
    dataset_id, features, n_samples, penalty = CASES[case]
    asked = body(features, dataset_id, n_samples, penalty, fit_intercept=fit_intercept)
    found = validated(asked)
    if not found.agrees:  # chance does not strike twice
        found = validated(asked, seed=1, replicates=120)
    assert found.agrees, found.quantities
    named = {"test_error", "train_error"} if dataset_id == DIABETES else {"test_error", "test_loss", "train_loss"}
    assert named <= found.quantities.keys()


@pytest.mark.parametrize(("end", "outwards"), [(0, 0.98), (1, 1.02)])
def test_what_is_trained_agrees_within_the_interval_and_not_beyond(end: int, outwards: float) -> None:
    asked = body(RBF, DIABETES, 40, 1e-5)  # whose interval is wide, and wider above than below
    interval = predict(PredictionRequest.model_validate(asked)).interval
    assert interval is not None
    whole = ValidationRequest.model_validate({"request": asked, "replicates": 30})
    measured = interval[end] * (1.0 + 1e-3 * np.linspace(-1.0, 1.0, 30))
    for factor, agrees in ((1.0, True), (outwards, False)):
        found = conclude(whole, [{"test_error": (factor * measured).tolist()}], backend="numpy", device="cpu")
        assert found.quantities["test_error"].agrees is agrees


@pytest.mark.parametrize("dataset_id", [DIABETES, DIGITS, BINARY])
def test_the_answer_says_what_it_rests_on(dataset_id: str) -> None:
    found = answer(RBF, dataset_id)
    assert found.status == "converged"
    assert found.metric == ("squared_error" if dataset_id == DIABETES else "misclassification")
    assert found.interval is not None
    low, high = found.interval
    assert found.test_error is not None
    assert low < found.test_error < high
    assert found.excess_risk is None
    assert found.bias is None
    assert found.pool is not None
    rows = 442 if dataset_id == DIABETES else 500
    assert (found.pool.dataset_id, found.pool.n_rows, found.pool.n_used) == (dataset_id, rows, rows)
    assert not found.pool.extrapolated
    assert (found.test_loss is None) == (dataset_id == DIABETES)
    assert "arXiv:2006.09796" in {source.reference for source in found.sources}


def test_other_regimes_have_no_interval_and_no_pool() -> None:
    plain = predict(
        PredictionRequest.model_validate(
            {
                "model": {"learner": {"kind": "ridge", "penalty": 0.1}},
                "regime": {"kind": "regression", "n_samples": 20, "n_features": 10},
            }
        )
    )
    assert plain.interval is None
    assert b'"pool"' not in plain.model_dump_json().encode()


def test_beyond_the_rows_the_answer_warns_and_the_interval_widens() -> None:
    within, beyond = answer(RBF, DIGITS, 400, 0.01), answer(RBF, DIGITS, 6000, 0.01)
    assert beyond.pool is not None
    assert beyond.pool.extrapolated
    assert "beyond_pool" in {warning.code for warning in beyond.warnings}
    assert "beyond_pool" not in {warning.code for warning in within.warnings}

    def width(found: Prediction) -> float:
        assert found.interval is not None
        assert found.test_error is not None
        return (found.interval[1] - found.interval[0]) / found.test_error

    assert width(beyond) > width(within)


def test_fewer_rows_than_there_are_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "subsampled_pool" not in codes(RBF, DIGITS)
    monkeypatch.setattr(estimates, "_memory", int(estimation.COPIES * 8 * 300**2))
    found = answer(RBF, DIGITS, 400)
    assert found.pool is not None
    assert (found.pool.n_used, found.pool.extrapolated) == (300, True)
    assert {"subsampled_pool", "beyond_pool"} <= {warning.code for warning in found.warnings}


def test_how_much_memory_estimates_may_take_is_part_of_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    axis = {"path": "regime.n_samples", "values": [10, 20]}
    over = {"path": "model.learner.penalty", "lower": 0.01, "upper": 1.0}
    reach = {"path": "regime.n_samples", "lower": 10, "upper": 100, "reach": {"test_error": 0.5}}
    asked: list[tuple[Any, Any]] = [
        (key_of, request()),
        (sweeps.key_of, SweepRequest.model_validate({"request": body(), "axes": [axis]})),
        (optima.key_of, OptimumRequest.model_validate({"request": body(), "over": [over]})),
        (requirements.key_of, RequirementRequest.model_validate({"request": body(), **reach})),
        (validations.key_of, ValidationRequest.model_validate({"request": body()})),
    ]
    before = [address(one) for address, one in asked]
    elsewhere = PredictionRequest.model_validate(EXAMPLE)
    other = key_of(elsewhere)
    monkeypatch.setattr(estimates, "_memory", 2**20)
    assert all(address(one) != key for (address, one), key in zip(asked, before, strict=True))
    assert key_of(elsewhere) == other


@contextmanager
def another_store(stored: DataStore, folder: Path) -> Iterator[None]:
    """Have this process look for data sets elsewhere, for a while."""
    open_store(folder)
    try:
        yield
    finally:
        open_store(stored.folder)
        estimates.forget_all()


def test_few_rows_and_unreliable_rows_are_said(stored: DataStore, tmp_path: Path) -> None:
    rows, targets = diabetes()
    keep(tmp_path, MISSING, rows[:100], targets[:100])
    pictures, labels = digits(400, (3, 8))
    keep(tmp_path, DIGITS, pictures, coded(labels), labels)
    with another_store(stored, tmp_path):
        assert "few_rows" in codes(LINEAR, MISSING, 50)
        assert "unreliable_pool" in codes(RBF, DIGITS, 300, 1e-7)
        assert "unreliable_pool" not in codes(RBF, DIGITS, 300, 0.1)
    assert "small_train_error" in codes(LAPLACE, DIABETES, 100, 1e-5)
    assert "small_train_error" not in codes(LAPLACE, DIABETES, 100, 1.0)


class TestTogether:
    """What is solved in one go is what single predictions are."""

    def test_a_batch(self) -> None:
        asked = [
            request(features, dataset_id, n_samples, penalty)
            for features in (LINEAR, RELU, PROJECTION)
            for dataset_id in (DIABETES, BINARY)
            for n_samples in (20, 300.5, 5000)
            for penalty in (0.0, 1e-3, 10.0)
        ]
        asked.append(request(LINEAR, MISSING))
        found = dict(predict_all(asked, [key_of(one) for one in asked]))
        assert isinstance(found.pop(len(asked) - 1), UnknownDataset)
        for position, got in found.items():
            single = predict(asked[position])
            assert isinstance(got, Prediction)
            assert got.status == single.status
            np.testing.assert_allclose(got.test_error or 0.0, single.test_error or 0.0, rtol=1e-12)
            np.testing.assert_allclose(got.interval or [], single.interval or [], rtol=1e-12)
            assert got.model_copy(update=dict.fromkeys(COMPUTED)) == single.model_copy(update=dict.fromkeys(COMPUTED))

    def test_a_sweep(self) -> None:
        columns = ["test_error", "interval_low", "interval_high", "effective.df1", "variance"]
        asked = {
            "request": body(RELU, DIGITS),
            "axes": [
                {"path": "regime.n_samples", "start": 10, "stop": 1000, "num": 5, "scale": "log"},
                {"path": "model.features.layers.0.width", "values": [20, 1000]},
                {"path": "model.learner.penalty", "values": [1e-4, 1.0]},
            ],
            "columns": columns,
        }
        found = sweeps.sweep(SweepRequest.model_validate(asked))
        for point in range(found.grid.size):
            single = predict(found.grid.request_at(point))
            assert single.interval is not None
            expected = [single.test_error, *single.interval, single.effective.df1, single.variance]
            got = [found.table.columns[name].flat[point] for name in columns]
            np.testing.assert_allclose(got, np.array(expected, float), rtol=1e-12)

    def test_a_sweep_over_kernels_makes_an_estimate_for_each(self) -> None:
        path = "model.features.kernel.length_scale"
        asked = {"request": body(RBF), "axes": [{"path": path, "values": [0.5, 2.0]}]}
        errors = sweeps.sweep(SweepRequest.model_validate(asked)).table.columns["test_error"]
        for scale, error in zip((0.5, 2.0), errors, strict=True):
            kernel = {"kind": "rbf", "length_scale": scale}
            assert answer({"kind": "kernel", "kernel": kernel}).test_error == pytest.approx(error, rel=1e-12)


COMPUTED = ("test_error", "interval", "train_error", "test_loss", "train_loss", "variance", "estimator_norm_squared",
            "effective", "numerics", "pool", "warnings")  # fmt: skip
"""Fields of which elementary functions of arrays and of single numbers leave different last bits."""


class TestSearches:
    def test_the_best_penalty(self) -> None:
        over = [{"path": "model.learner.penalty", "lower": 1e-6, "upper": 10, "scale": "log"}]
        found = optima.optima(OptimumRequest.model_validate({"request": body(RBF, DIGITS), "over": over}))
        best = found.optimum.prediction.test_error
        assert best is not None
        for penalty in np.geomspace(1e-6, 10, 30):
            assert (answer(RBF, DIGITS, penalty=float(penalty)).test_error or 0.0) >= best * (1.0 - 1e-9)

    def test_width_and_penalty_within_a_budget(self) -> None:
        over = [
            {"path": "model.learner.penalty", "lower": 1e-5, "upper": 1, "scale": "log"},
            {"path": "model.features.layers.0.width", "lower": 10, "upper": 1000, "scale": "log"},
        ]
        budget = {"expression": "n_samples * width", "at_most": 30_000}
        asked = {"request": body(RELU, DIGITS), "over": over, "budget": budget}
        found = optima.optima(OptimumRequest.model_validate(asked))
        assert found.optimum.values["model.features.layers.0.width"] <= 200.0 * (1.0 + 1e-9)

    def test_samples_that_reach_a_target(self) -> None:
        asked = {
            "request": body(LINEAR, DIABETES, penalty=0.1),
            "path": "regime.n_samples",
            "lower": 15,
            "upper": 440,
            "scale": "log",
            "reach": {"test_error": 0.55},
        }
        found = requirements.requirement(RequirementRequest.model_validate(asked))
        assert found.reachable
        assert found.value is not None
        assert answer(LINEAR, DIABETES, found.value, 0.1).test_error == pytest.approx(0.55, rel=1e-9)


class TestRefusals:
    @pytest.mark.parametrize(
        ("asked", "kind", "pointer"),
        [
            (body(dataset_id=MISSING), UnknownDataset, "/regime/dataset_id"),
            (
                body({"kind": "random_features", "layers": [{"activation": "relu", "width": 9}] * 2}),
                Unsupported,
                "/model/features/layers",
            ),
            (body({"kind": "random_fourier", "frequencies": 9}), Unsupported, "/model/features/kind"),
        ],
    )
    def test_predictions(self, asked: Any, kind: Any, pointer: str) -> None:
        with pytest.raises(kind) as refusal:
            predict(PredictionRequest.model_validate(asked))
        assert refusal.value.pointer == pointer

    @pytest.mark.parametrize(
        ("asked", "options", "pointer"),
        [
            (body(n_samples=150.5), {}, "/request/regime/n_samples"),
            (body(n_samples=398), {}, "/request/regime/n_samples"),
            (body({**PROJECTION, "width": 5.5}), {}, "/request/model/features/width"),
            (body(dataset_id=MISSING), {}, "/request/regime/dataset_id"),
        ],
    )
    def test_validations(self, asked: Any, options: Any, pointer: str) -> None:
        with pytest.raises(Refused) as refusal:
            validations.check(ValidationRequest.model_validate({"request": asked, **options}))
        assert refusal.value.pointer == pointer

    @pytest.mark.parametrize("matrix", ["sample_covariance", "kernel_matrix", "inner_product_kernel"])
    @pytest.mark.parametrize("features", [LINEAR, RBF, RELU])
    def test_spectra(self, matrix: str, features: Any) -> None:
        whole = body(features)
        asked = {"matrix": matrix, "regime": whole["regime"], "model": {"features": features}}
        with pytest.raises(Refused):
            spectra.check(SpectrumRequest.model_validate(asked))


def test_single_precision_agrees() -> None:
    found = validated(body(RBF, DIGITS, 200, 0.01), dtype="float32")
    assert found.agrees
    assert 0.0 < found.quantities["test_loss"].rounding < 1e-4


def test_rows_that_single_precision_cannot_hold_are_refused(stored: DataStore, tmp_path: Path) -> None:
    rows, targets = diabetes()
    keep(tmp_path, DIABETES, 1e16 * rows, targets)
    asked = {"request": body(penalty=1e31), "dtype": "float32"}
    with another_store(stored, tmp_path), pytest.raises(Refused) as refusal:
        validations.check(ValidationRequest.model_validate(asked))
    assert refusal.value.pointer == "/dtype"


def test_constants_that_drown_the_scores_are_said() -> None:
    assert "noisy_intercept" in codes(RBF, DIGITS, 100, 1.0, fit_intercept=True)
    for asked in ({"penalty": 0.01, "fit_intercept": True}, {"penalty": 1.0, "fit_intercept": False}):
        assert "noisy_intercept" not in codes(RBF, DIGITS, 100, **asked)
    assert "noisy_intercept" not in codes(RBF, DIABETES, 100, 1.0, fit_intercept=True)


def test_rows_of_which_few_decide_are_said(stored: DataStore, tmp_path: Path) -> None:
    for n_samples, penalty in ((40, 1e-3), (150, 1e-5), (400, 0.1)):
        assert "uneven_rows" not in codes(LINEAR, DIABETES, n_samples, penalty, fit_intercept=True)
        assert "uneven_rows" not in codes(RBF, DIGITS, n_samples, penalty, fit_intercept=True)
    rng = np.random.default_rng(0)
    rows = np.hstack([rng.standard_normal((300, 5)), np.zeros((300, 12))])
    for column in range(5, 17):  # which only some four rows have, each to another degree
        rows[rng.choice(300, 4, replace=False), column] = rng.integers(1, 17, 4) / 16.0
    keep(tmp_path, DIABETES, rows, (10.0 + rows[:, 0] + rng.standard_normal(300))[:, None])
    with another_store(stored, tmp_path):
        estimates.forget_all()
        few = {"n_samples": 100, "penalty": 1e-8, "fit_intercept": False}
        found = answer(LINEAR, DIABETES, **few)
        assert "uneven_rows" in {warning.code for warning in found.warnings}
        assert "uneven_rows" not in codes(LINEAR, DIABETES, **(few | {"penalty": 1.0}))
        assert validated(body(LINEAR, DIABETES, **few)).quantities["test_error"].agrees


def test_no_samples_beside_the_intercept_diverge_as_elsewhere() -> None:
    found = answer(LINEAR, DIABETES, 1.0, fit_intercept=True)
    assert (found.status, found.test_error, found.interval) == ("divergent", None, None)
    assert "no_samples_left" in {warning.code for warning in found.warnings}
    axes = [{"path": "regime.n_samples", "values": [0.5, 1, 50]}]
    swept = sweeps.sweep(SweepRequest.model_validate({"request": body(fit_intercept=True), "axes": axes}))
    assert swept.to_json().count(b"divergent") == 2


@pytest.mark.parametrize("penalty", [0.0, 1e-3])
def test_the_interpolation_threshold(penalty: float) -> None:
    axes = [{"path": "regime.n_samples", "start": 4, "stop": 40, "num": 20, "scale": "log"}]
    swept = sweeps.sweep(SweepRequest.model_validate({"request": body(penalty=penalty), "axes": axes}))
    assert [item.at for item in swept.divergences.found] == ([10.0] if penalty == 0.0 else [])
    if penalty == 0.0:
        at = answer(LINEAR, DIABETES, 10, penalty)
        assert at.status == "divergent"
        assert {"interpolation_threshold"} <= {warning.code for warning in at.warnings}


@pytest.mark.parametrize(
    "kernel",
    [
        {"kind": "polynomial", "degree": 30, "offset": 1e6},
        {"kind": "rbf", "length_scale": 1e-6},
        {"kind": "rbf", "length_scale": 1e6},
    ],
)
def test_kernels_of_absurd_scales_have_an_answer_or_are_refused(kernel: Any) -> None:
    features = {"kind": "kernel", "kernel": kernel}
    for penalty in (0.0, 1e90):
        asked = request(features, penalty=penalty, fit_intercept=True)
        [(_, found)] = predict_all([asked], [key_of(asked)])
        if isinstance(found, Refused):
            assert found.pointer == "/model/features"
        else:
            assert isinstance(found, Prediction)
            assert found.model_dump_json()


class TestClusters:
    """Losses that rows themselves have no theory for."""

    LOGISTIC: ClassVar = {"kind": "logistic", "penalty": 0.01}

    def asked(self, dataset_id: str = BINARY, features: Any = LINEAR, **learner: Any) -> dict[str, Any]:
        whole = body(features, dataset_id, 250, fit_intercept=True)
        whole["model"]["learner"] = {**self.LOGISTIC, **learner}
        return whole

    @pytest.mark.parametrize("kind", ["logistic", "hinge"])
    def test_two_classes_are_answered_with_the_flag(self, kind: str) -> None:
        found = predict(PredictionRequest.model_validate(self.asked(kind=kind)))
        assert found.status == "converged"
        assert found.interval is None
        assert found.pool is not None
        assert "gaussian_clusters" in {warning.code for warning in found.warnings}
        measured = validated(self.asked(kind=kind), replicates=20).quantities["test_error"]
        assert measured.mean is not None
        assert found.test_error == pytest.approx(measured.mean, rel=0.15)  # as docs/real-data.md has it of digits

    def test_small_errors_have_a_warning_of_their_own(self, tmp_path: Any, stored: DataStore) -> None:
        rows, labels = digits(300, (0, 1))
        with another_store(stored, tmp_path):
            keep(tmp_path, MISSING, rows, coded(labels), labels)
            found = predict(PredictionRequest.model_validate(self.asked(MISSING)))
        assert {"gaussian_clusters", "small_error_of_clusters"} <= {warning.code for warning in found.warnings}

    @pytest.mark.parametrize(
        ("dataset_id", "features", "pointer"),
        [
            (DIABETES, LINEAR, "/model/learner/kind"),
            (DIGITS, LINEAR, "/model/learner/kind"),
            (BINARY, RBF, "/model/learner/kind"),
        ],
    )
    def test_anything_else_is_refused(self, dataset_id: str, features: Any, pointer: str) -> None:
        with pytest.raises(Refused) as refusal:
            predict(PredictionRequest.model_validate(self.asked(dataset_id, features)))
        assert refusal.value.pointer == pointer

    def test_a_sweep_answers_point_by_point(self) -> None:
        axes = [{"path": "model.learner.penalty", "values": [0.001, 0.1]}]
        swept = sweeps.sweep(SweepRequest.model_validate({"request": self.asked(), "axes": axes}))
        one = predict(PredictionRequest.model_validate(self.asked(penalty=0.1)))
        assert swept.table.columns["test_error"][1] == pytest.approx(one.test_error, rel=1e-9)
