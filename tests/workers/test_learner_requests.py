"""Requests for every learner: numbers from the literature, what they say beside them, and what is refused, with the place."""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from api_schemas.prediction import Prediction, PredictionRequest
from tests.datasets import BINARY
from tests.workers.requests import LEARNER_EXAMPLES, MINIMAL, REGIME_EXAMPLES
from workers.predictions import key_of, predict
from workers.refusals import Refused, Unsupported
from workers.registry import COMBINATIONS, FEATURES, LEARNERS, REGIMES, goes_together

TWO_ATOMS = {"kind": "discrete", "eigenvalues": [0.5, 2.0], "weights": [0.5, 0.5]}
MIXTURE = {
    "kind": "mixture",
    "n_samples": 800,
    "n_features": 400,
    "covariance": TWO_ATOMS,
    "mean_norm": 2**0.5,
    "mean_alignment": {"kind": "energies", "values": [0.5, 0.5]},
    "positive_fraction": 0.7,
}
TEACHER = {"kind": "teacher_classification", "n_samples": 400, "n_features": 200, "link": "sign"}
NETWORK = {"kind": "teacher_network", "hidden_units": 2, "n_samples": 400, "n_features": 400}
COMMITTEE = {"kind": "two_layer", "hidden_units": 2, "initial_overlaps": [[0.1, 0.0], [0.0, 0.05]]}
TWO_CLASSES = {"kind": "dataset", "dataset_id": BINARY, "n_samples": 200}
RELU = {"kind": "random_features", "layers": [{"activation": "relu", "width": 300}]}


def request(learner: Any, regime: Any, features: Any = None, *, fit_intercept: bool = False) -> PredictionRequest:
    model = {"features": features or {"kind": "linear"}, "fit_intercept": fit_intercept, "learner": learner}
    return PredictionRequest.model_validate({"model": model, "regime": regime})


def answer(*arguments: Any, **options: Any) -> Prediction:
    return predict(request(*arguments, **options))


def codes(*arguments: Any, **options: Any) -> set[str]:
    return {warning.code for warning in answer(*arguments, **options).warnings}


def by(kind: str, **parameters: Any) -> dict[str, Any]:
    return {"kind": kind, **parameters}


@pytest.mark.usefixtures("stored")
@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("learner", LEARNERS)
@pytest.mark.parametrize("regime", REGIMES)
def test_every_combination_has_an_answer_or_says_what_has(features: str, learner: str, regime: str) -> None:
    of_classes = regime == "dataset" and learner in ("logistic", "hinge")
    asked = request(
        LEARNER_EXAMPLES[learner], TWO_CLASSES if of_classes else REGIME_EXAMPLES[regime], MINIMAL[features]
    )
    together = {"features": features, "learner": learner, "regime": regime} in COMBINATIONS
    assert together == goes_together(features, learner, regime)
    if not together:
        with pytest.raises(Unsupported) as caught:
            predict(asked)
        assert caught.value.pointer in ("/model/features/kind", "/model/learner/kind")
        return
    prediction = predict(asked)
    assert prediction.status == "converged"
    assert prediction.metric == (REGIMES[regime].metric or ("misclassification" if of_classes else "squared_error"))
    assert prediction.test_error is not None
    assert 0.0 < prediction.test_error < (1.0 if prediction.metric == "misclassification" else np.inf)
    named = {source.reference for source in prediction.sources}
    assert {source.reference for source in (*LEARNERS[learner].sources, *REGIMES[regime].sources)} <= named


@pytest.mark.parametrize(
    ("learner", "regime", "expected"),
    [
        (by("ridge", penalty=0.1), MIXTURE, {"test_error": 0.11585582, "train_loss": 0.07242879}),
        (by("logistic", penalty=0.1), MIXTURE, {"test_error": 0.11279129, "train_loss": 0.15907690}),
        (by("logistic", penalty=0.001), MIXTURE, {"test_error": 0.11932262, "train_loss": 0.00783817}),
        (by("hinge", penalty=0.1), MIXTURE, {"test_error": 0.12422782, "train_loss": 0.02382282}),
        (by("hinge", penalty=0), {**MIXTURE, "positive_fraction": 0.5}, {"test_error": 0.14648932}),
        (by("ridge", penalty=0.1), TEACHER, {"test_error": 0.19051256, "train_loss": 0.09760391}),
        (
            by("logistic", penalty=0.1),
            TEACHER,
            {"test_error": 0.18532890, "test_loss": 0.42561633, "train_loss": 0.24913917},
        ),
        (by("logistic", penalty=1e-4), {**TEACHER, "n_samples": 100}, {"test_error": 0.32514167}),
    ],
)
def test_reference_numbers_of_classes(learner: Any, regime: Any, expected: dict[str, float]) -> None:
    prediction = answer(learner, regime, fit_intercept=regime["kind"] == "mixture")
    for name, value in expected.items():
        # Half a unit in the eighth place; the last figure of the hard margin is that of a penalty of 1e-6.
        np.testing.assert_allclose(getattr(prediction, name), value, rtol=0, atol=0.501e-8, err_msg=name)
    assert prediction.excess_risk is None
    assert prediction.bias is None


@pytest.mark.parametrize(("alpha", "half_excess"), [(1, 0.20003414), (10, 0.01568635), (50, 0.01328304)])
def test_a_committee_machine_learns_as_saad_and_solla_found(alpha: float, half_excess: float) -> None:
    regime = {**NETWORK, "n_samples": 400 * alpha, "noise_variance": 0.0}
    prediction = answer(by("sgd", step_size=0.5), regime, COMMITTEE)
    # The printed numbers were integrated to a relative 1e-7.
    np.testing.assert_allclose(prediction.excess_risk, 2.0 * half_excess, rtol=1e-7, atol=1.01e-8)
    assert prediction.network is not None
    assert len(prediction.network.overlaps) == 2


def test_the_scale_of_pre_activations_is_that_of_the_weights() -> None:
    """f depends on sqrt(weight_variance) w: a larger scale with smaller weights and steps is the same network."""
    plain = answer(by("sgd", step_size=0.5), NETWORK, {"kind": "two_layer", "hidden_units": 2})
    features = {"kind": "two_layer", "hidden_units": 2, "weight_variance": 2.0, "initial_variance": 0.25 / 4.0}
    scaled = answer(by("sgd", step_size=0.5 / 4.0), NETWORK, features)
    np.testing.assert_allclose(scaled.test_error, plain.test_error, rtol=1e-8)
    one, other = plain.network, scaled.network
    assert one is not None
    assert other is not None
    np.testing.assert_allclose(2.0 * np.array(other.overlaps), one.overlaps, rtol=1e-6)


def test_a_single_erf_unit_is_a_single_index_model() -> None:
    """tanh(1e-4 u) is linear: a neuron of it is least squares by one pass of SGD."""
    features = {"kind": "two_layer", "hidden_units": 1, "activation": "tanh", "weight_variance": 1e-8}
    regime = {**NETWORK, "hidden_units": 1, "activation": "tanh", "weight_variance": 1e-8, "noise_variance": 1e-10}
    features["initial_overlaps"] = [[0.0]]
    features["initial_variance"] = 0.0
    neuron = answer(by("sgd", step_size=3e7), regime, features)
    linear = {"kind": "regression", "n_samples": 400, "n_features": 400, "target": {"signal_variance": 1e-8}}
    least_squares = answer(by("sgd", step_size=3e7 * 1e-8 / 400), {**linear, "noise_variance": 1e-10})
    np.testing.assert_allclose(neuron.excess_risk, least_squares.excess_risk, rtol=1e-6)


class TestSteps:
    """Critical step sizes: in the answer, and as a refusal."""

    def test_descent(self) -> None:
        regime = {"kind": "regression", "n_samples": 400, "n_features": 400}
        stable = answer(by("gradient_descent", step_size=0.49, steps=10), regime)
        np.testing.assert_allclose(stable.critical_step_size, 0.5, rtol=1e-12)  # the edge of Marchenko and Pastur is 4
        with pytest.raises(Refused, match=r"below 0\.5 .* got 0\.51") as caught:
            answer(by("gradient_descent", step_size=0.51, steps=10), regime)
        assert caught.value.pointer == "/model/learner/step_size"

    def test_one_pass(self) -> None:
        regime = {"kind": "regression", "n_samples": 400, "n_features": 400}
        stable = answer(by("sgd", step_size=0.0049), regime)
        np.testing.assert_allclose(stable.critical_step_size, 0.005, rtol=1e-12)
        assert stable.train_error is None
        with pytest.raises(Refused, match=r"below 0\.005 .* got 0\.0051") as caught:
            answer(by("sgd", step_size=0.0051), regime)
        assert caught.value.pointer == "/model/learner/step_size"

    def test_descent_for_ever_is_ridge(self) -> None:
        """Also where every step shrinks the largest eigenvalue's error by little, to alternating signs."""
        regime = {"kind": "regression", "n_samples": 100, "n_features": 200, "noise_variance": 0.1}
        ridgeless = answer(by("ridge", penalty=0), regime)
        for share in (0.1, 0.99):
            learner = by("gradient_descent", step_size=share * 0.3431457505, steps=10**9)
            found = answer(learner, regime)
            assert found.status == "converged"
            np.testing.assert_allclose(found.test_error, ridgeless.test_error, rtol=1e-9)

    @pytest.mark.parametrize("activation", ["abs", "cos", "quadratic"])
    def test_descent_where_no_signal_arrives(self, activation: str) -> None:
        features = {"kind": "random_features", "layers": [{"activation": activation, "width": 300}]}
        found = answer(by("gradient_descent", step_size=1e-4, steps=100), REGIME_EXAMPLES["regression"], features)
        assert "signal_blocked" in {warning.code for warning in found.warnings}

    def test_flow_has_none(self) -> None:
        assert answer(by("gradient_flow", time=1), REGIME_EXAMPLES["regression"]).critical_step_size is None

    @pytest.mark.parametrize(
        "covariance", [{"kind": "ar1", "correlation": 0.5}, {"kind": "power_law", "exponent": 1.0}]
    )
    def test_descent_on_features_with_a_mean_is_flow_in_small_steps(self, covariance: Any) -> None:
        regime = {"kind": "regression", "n_samples": 90, "n_features": 45, "covariance": covariance}
        descent = answer(by("gradient_descent", step_size=1e-4, steps=20_000), regime, RELU)
        flow = answer(by("gradient_flow", time=2.0), regime, RELU)
        for name in ("test_error", "train_error", "estimator_norm_squared"):
            assert getattr(descent, name) == pytest.approx(getattr(flow, name), rel=1e-4)
        assert descent.critical_step_size is not None


class TestSeparability:
    def test_maximum_likelihood_exists_below_the_threshold(self) -> None:
        regime = {**TEACHER, "link": "logistic", "target": {"signal_variance": 4.0}}
        # Candes and Sur: d / n = .34493013 for a latent of deviation 2.
        below = answer(by("logistic", penalty=0), {**regime, "n_samples": 200 / 0.30})
        assert below.status == "converged"
        assert below.separability is not None
        np.testing.assert_allclose(below.separability.threshold, 0.34493013, rtol=0, atol=0.501e-8)
        assert not below.separability.separable
        np.testing.assert_allclose(below.separability.distance, 0.3 - 0.34493013, atol=1e-8)
        above = answer(by("logistic", penalty=0), {**regime, "n_samples": 200 / 0.40})
        assert above.status == "divergent"
        assert above.test_error is None
        assert {warning.code for warning in above.warnings} == {"separable_classes"}
        assert answer(by("logistic", penalty=1e-3), {**regime, "n_samples": 200 / 0.40}).status == "converged"
        assert answer(by("hinge", penalty=0), {**regime, "n_samples": 200 / 0.40}).status == "converged"

    @pytest.mark.parametrize("learner", ["logistic", "hinge"])
    def test_exactly_at_it_weights_are_unbounded(self, learner: str) -> None:
        """Without a signal the threshold is 1/2 (Cover); rounding must not decide."""
        for share in (0.0, 1e-12, -1e-12):
            regime = {"kind": "mixture", "n_samples": 400, "n_features": 200 * (1.0 + share), "mean_norm": 0.0}
            assert answer(by(learner, penalty=0), regime).status == "divergent"

    def test_near_it_finite_sets_may_be_either(self) -> None:
        regime = {**TEACHER, "link": "logistic", "target": {"signal_variance": 4.0}}
        assert "near_separability" in codes(by("logistic", penalty=0.1), {**regime, "n_samples": 200 / 0.35})
        assert "near_separability" not in codes(by("logistic", penalty=0.1), {**regime, "n_samples": 200 / 0.25})

    def test_square_loss_does_not_care(self) -> None:
        assert answer(by("ridge", penalty=0.1), TEACHER).separability is None


class TestMixtures:
    def test_without_a_constant_the_sizes_of_the_classes_do_not_matter(self) -> None:
        for learner in (by("ridge", penalty=0.1), by("logistic", penalty=0.1), by("gradient_flow", time=2.0)):
            one, other = (
                answer(learner, {**MIXTURE, "positive_fraction": share}, fit_intercept=False) for share in (0.5, 0.9)
            )
            np.testing.assert_allclose(one.test_error, other.test_error, rtol=1e-12)

    @pytest.mark.parametrize("learner", [by("ridge", penalty=0.1), by("hinge", penalty=0.1), by("lda", penalty=0.1)])
    def test_classes_can_be_swapped(self, learner: Any) -> None:
        one, other = (
            answer(learner, {**MIXTURE, "positive_fraction": share}, fit_intercept=True) for share in (0.2, 0.8)
        )
        np.testing.assert_allclose(one.test_error, other.test_error, rtol=1e-9)

    def test_features_with_a_mean_take_the_place_of_an_intercept(self) -> None:
        """At next to no penalty their constant is free; square loss knows what it costs, other losses are refused."""
        regime = {"kind": "mixture", "n_samples": 400, "n_features": 300, "positive_fraction": 0.3, "mean_norm": 2.0}
        own, fitted = (
            answer(by("ridge", penalty=1e-7), regime, RELU, fit_intercept=intercept) for intercept in (False, True)
        )
        np.testing.assert_allclose(own.test_error, fitted.test_error, rtol=5e-3)
        for kind in ("logistic", "hinge"):
            with pytest.raises(Unsupported) as caught:
                answer(by(kind, penalty=0.1), regime, RELU)
            assert caught.value.pointer == "/model/fit_intercept"
            assert answer(by(kind, penalty=0.1), {**regime, "positive_fraction": 0.5}, RELU).status == "converged"

    def test_flow_for_ever_is_ridge(self) -> None:
        for features in (None, RELU):
            for intercept in (False, True):
                one = answer(by("ridge", penalty=0.01), MIXTURE, features, fit_intercept=intercept)
                other = answer(by("gradient_flow", time=1e9, penalty=0.01), MIXTURE, features, fit_intercept=intercept)
                for name in ("test_error", "train_error", "test_loss", "train_loss", "estimator_norm_squared"):
                    np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6, err_msg=name)

    def test_strong_means_are_said_of_nonlinear_features(self) -> None:
        regime = {"kind": "mixture", "n_samples": 400, "n_features": 300, "mean_norm": 6.0}
        assert "strong_means" in codes(by("ridge", penalty=0.1), regime, RELU)
        assert "strong_means" not in codes(by("ridge", penalty=0.1), {**regime, "mean_norm": 3.0}, RELU)
        assert "strong_means" not in codes(by("ridge", penalty=0.1), regime)

    @pytest.mark.parametrize("learner", ["ridge", "logistic", "hinge"])
    def test_a_constant_scatters_beside_small_scores(self, learner: str) -> None:
        """So large a penalty leaves scores of 1e-4, where the constant still varies by 1 / sqrt(n)."""
        assert "noisy_intercept" in codes(by(learner, penalty=1e4), MIXTURE, fit_intercept=True)
        assert "noisy_intercept" not in codes(by(learner, penalty=0.1), MIXTURE, fit_intercept=True)
        assert "noisy_intercept" not in codes(by(learner, penalty=1e4), MIXTURE)
        assert "noisy_intercept" in codes(by(learner, penalty=1e4), TEACHER, fit_intercept=True)
        assert "noisy_intercept" not in codes(by(learner, penalty=1e-2), TEACHER, fit_intercept=True)

    @pytest.mark.parametrize("regime", [{**MIXTURE, "positive_fraction": 0.5}, TEACHER], ids=["mixture", "teacher"])
    @pytest.mark.parametrize("learner", ["ridge", "logistic", "hinge"])
    def test_an_intercept_takes_the_place_of_the_features_mean(self, learner: str, regime: Any) -> None:
        """What a kernel's offset adds is a constant, which a fitted one makes redundant; without one it matters."""

        def attained(offset: float, *, fit_intercept: bool) -> list[float | None]:
            kernel = {"kind": "kernel", "kernel": {"kind": "polynomial", "degree": 1, "offset": offset}}
            found = answer(by(learner, penalty=0.1), regime, kernel, fit_intercept=fit_intercept)
            return [found.test_error, found.train_error, found.test_loss, found.estimator_norm_squared]

        np.testing.assert_allclose(attained(3.0, fit_intercept=True), attained(0.0, fit_intercept=True), rtol=1e-9)
        assert attained(3.0, fit_intercept=False)[0] > 1.0001 * attained(0.0, fit_intercept=False)[0]

    def test_the_mean_of_features_shifts_all_scores_alike(self) -> None:
        """The error is .240 +- .010 in simulation; where the hinge is linear, or does not see a constant, theory is right."""
        regime = {"kind": "mixture", "n_samples": 160, "n_features": 120, "mean_norm": 2.0}
        kernel = {"kind": "kernel", "kernel": {"kind": "exponential"}}
        found = answer(by("hinge", penalty=0.1), regime, kernel)
        assert found.test_error == pytest.approx(0.157, abs=1e-3)
        assert "common_noise" in [warning.code for warning in found.warnings]
        assert "common_noise" not in codes(by("hinge", penalty=0.1), regime, kernel, fit_intercept=True)
        assert "common_noise" not in codes(by("hinge", penalty=100.0), regime, kernel)
        for learner in ("hinge", "logistic"):
            assert "common_noise" not in codes(by(learner, penalty=0.1), regime)

    def test_means_where_the_inputs_do_not_vary_are_refused(self) -> None:
        covariance = {"kind": "discrete", "eigenvalues": [0.0, 1.0], "weights": [0.5, 0.5]}
        regime = {"kind": "mixture", "n_samples": 400, "n_features": 300, "covariance": covariance}
        with pytest.raises(Refused) as caught:
            answer(by("ridge", penalty=0.1), regime)
        assert caught.value.pointer.startswith("/regime/mean_alignment")
        aligned = {**regime, "mean_alignment": {"kind": "energies", "values": [0, 1]}}
        assert answer(by("ridge", penalty=0.1), aligned).status == "converged"

    def test_classes_of_one_mean_cannot_be_told_apart(self) -> None:
        for kind in ("ridge", "logistic", "hinge", "lda"):
            prediction = answer(
                by(kind, penalty=0.1), {"kind": "mixture", "n_samples": 300, "n_features": 200, "mean_norm": 0}
            )
            np.testing.assert_allclose(prediction.test_error, 0.5, rtol=1e-12)


class TestTeachers:
    @pytest.mark.parametrize("name", ["nonlinear_variance", "mean"])
    def test_a_latent_is_linear(self, name: str) -> None:
        with pytest.raises(Refused) as caught:
            answer(by("ridge", penalty=0.1), {**TEACHER, "target": {name: 1.0}})
        assert caught.value.pointer == f"/regime/target/{name}"

    def test_noise_is_the_sign_link_s(self) -> None:
        with pytest.raises(Refused) as caught:
            answer(by("ridge", penalty=0.1), {**TEACHER, "link": "logistic", "noise_variance": 0.5})
        assert caught.value.pointer == "/regime/noise_variance"

    @pytest.mark.parametrize("kind", ["ridge", "gradient_flow", "gradient_descent", "logistic", "hinge"])
    def test_the_sign_of_nothing_is_a_coin(self, kind: str) -> None:
        prediction = answer(LEARNER_EXAMPLES[kind], {**TEACHER, "target": {"signal_variance": 0.0}})
        np.testing.assert_allclose(prediction.test_error, 0.5, rtol=1e-14)
        assert 0.0 < (prediction.train_error or 0.0) < 0.5

    def test_flow_for_ever_is_ridge(self) -> None:
        for features in (None, RELU):
            for link in ("sign", "logistic"):
                regime = {**TEACHER, "link": link}
                one = answer(by("ridge", penalty=0.01), regime, features)
                other = answer(by("gradient_flow", time=1e9, penalty=0.01), regime, features)
                for name in ("test_error", "train_error", "test_loss", "train_loss", "estimator_norm_squared"):
                    np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-6, err_msg=name)


class TestNetworks:
    @pytest.mark.parametrize(
        ("features", "regime", "pointer"),
        [
            ({"initial_overlaps": [[0.1, 0.1], [0.1, 0.1]]}, {}, "/model/features/initial_overlaps"),
            ({"initial_overlaps": [[0.1, 0.1, 0.1]] * 2}, {}, "/model/features/initial_overlaps"),
            ({"initial_overlaps": [[0.1], [0.1, 0.2]]}, {}, "/model/features/initial_overlaps"),
            ({"initial_overlaps": [[0.9, 0.1], [0.1, 0.8]]}, {}, "/model/features/initial_overlaps"),
            ({"readout": [1.0]}, {}, "/model/features/readout"),
            ({"activation": "relu"}, {}, "/model/features/activation"),
            ({}, {"overlaps": [[1.0, 2.0], [2.0, 1.0]]}, "/regime/overlaps"),
            ({}, {"overlaps": [[-1.0, 0.0], [0.0, -1.0]]}, "/regime/overlaps"),
            ({"initial_self_overlaps": [[-1.0, 0.0], [0.0, -1.0]]}, {}, "/model/features/initial_self_overlaps"),
            ({}, {"covariance": {"kind": "power_law", "exponent": 0.5}, "n_features": 2000}, "/regime/covariance"),
        ],
    )
    def test_what_does_not_fit_is_refused_with_the_place(self, features: Any, regime: Any, pointer: str) -> None:
        with pytest.raises(Refused) as caught:
            answer(
                by("sgd", step_size=0.5), {**NETWORK, **regime}, {"kind": "two_layer", "hidden_units": 2, **features}
            )
        assert caught.value.pointer == pointer

    def test_no_intercept(self) -> None:
        with pytest.raises(Unsupported) as caught:
            answer(by("sgd", step_size=0.5), NETWORK, {"kind": "two_layer", "hidden_units": 2}, fit_intercept=True)
        assert caught.value.pointer == "/model/fit_intercept"

    def test_weights_that_grow_without_bound_are_said_to(self) -> None:
        regime = {**NETWORK, "hidden_units": 1, "activation": "linear", "n_samples": 40_000}
        features = {"kind": "two_layer", "hidden_units": 1, "activation": "linear"}
        prediction = answer(by("sgd", step_size=30.0), regime, features)
        assert (prediction.status, prediction.test_error) == ("divergent", None)
        assert {warning.code for warning in prediction.warnings} == {"unstable_step"}


@pytest.mark.parametrize(
    "learner",
    [
        {"kind": "gradient_flow"},
        {"kind": "gradient_flow", "time": -1},
        {"kind": "gradient_flow", "time": 1, "steps": 3},
        {"kind": "gradient_descent", "step_size": 0.1},
        {"kind": "gradient_descent", "step_size": 0.1, "steps": 1.5},
        {"kind": "gradient_descent", "step_size": 0, "steps": 1},
        {"kind": "sgd", "step_size": 0},
        {"kind": "sgd", "step_size": 0.1, "penalty": 0.1},
        {"kind": "logistic", "penalty": -1},
        {"kind": "hinge"},
        {"kind": "lda", "penalty": "0.1"},
        {"kind": "lasso", "penalty": 0.1},
        {},
        [],
        "ridge",
    ],
)
def test_learners_that_do_not_fit_the_schema(learner: Any) -> None:
    with pytest.raises(ValidationError):
        request(learner, REGIME_EXAMPLES["regression"])


def test_a_learner_without_a_kind_is_ridge() -> None:
    one, other = (request(learner, TEACHER) for learner in ({"penalty": 0.1}, {"kind": "ridge", "penalty": 0.1}))
    assert key_of(one) == key_of(other)


def test_defaults_make_no_difference_to_the_key() -> None:
    spelled = {**MIXTURE, "positive_fraction": 0.5, "mean_norm": 1.5, "mean_alignment": {"kind": "isotropic"}}
    brief = {
        name: value
        for name, value in spelled.items()
        if name not in ("positive_fraction", "mean_norm", "mean_alignment")
    }
    learner = by("gradient_flow", time=1)
    assert key_of(request(learner, spelled)) == key_of(request({**learner, "penalty": 0.0, "time": 1.0}, brief))
