"""Requests for every feature map: what they say beside their numbers, and what is refused, with the place at fault."""

from contextlib import suppress
from typing import Any

import pytest
from pydantic import ValidationError

from api_schemas.prediction import Prediction, PredictionRequest
from tests.workers.requests import FOURIER, LINEAR, MINIMAL, PROJECTION, REGIME_EXAMPLES, RELU
from workers.predictions import key_of, predict
from workers.refusals import Refused, Unsupported
from workers.registry import FEATURES, NUMBERS, builder

TANH = {"kind": "random_features", "layers": [{"activation": "tanh", "width": 600}]}


def kernel(kind: str, **parameters: Any) -> dict[str, Any]:
    return {"kind": "kernel", "kernel": {"kind": kind, **parameters}}


def request(features: Any, penalty: float = 0.1, fit_intercept: bool = False, **regime: Any) -> PredictionRequest:
    return PredictionRequest.model_validate(
        {
            "model": {"features": features, "fit_intercept": fit_intercept, "learner": {"penalty": penalty}},
            "regime": {**REGIME_EXAMPLES[regime.pop("kind", "regression")], **regime},
        }
    )


def answer(*arguments: Any, **options: Any) -> Prediction:
    return predict(request(*arguments, **options))


def codes(*arguments: Any, **options: Any) -> set[str]:
    return {warning.code for warning in answer(*arguments, **options).warnings}


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("regime", NUMBERS)
def test_every_combination_has_an_answer_or_says_what_has(features: str, regime: str) -> None:
    if builder(features, regime) is None:
        with pytest.raises(Unsupported) as caught:
            answer(MINIMAL[features], kind=regime)
        assert caught.value.pointer == "/model/features/kind"
        for name in FEATURES:
            listed = caught.value.detail.split("that regime takes ")[1].split(", and these")[0].split(", ")
            assert (name in listed) == (builder(name, regime) is not None)
    else:
        prediction = answer(MINIMAL[features], kind=regime)
        assert prediction.status == "converged"
        assert prediction.test_error is not None
        named = {source.reference for source in prediction.sources}
        assert {source.reference for source in FEATURES[features].sources} <= named


SHORT = {"kind": "spiked", "spikes": [300.0] * 5, "bulk_variance": 1.0}  # tr / largest = (295 + 1500) / 300


class TestWarnings:
    """Each where it should be, and not beside it."""

    def test_quiet_in_ordinary_regimes(self) -> None:
        for features in (RELU, TANH, FOURIER, PROJECTION, kernel("rbf"), kernel("laplace")):
            assert codes(features) == set()

    def test_low_effective_rank_is_for_nonlinear_features(self) -> None:
        for features in (RELU, FOURIER, kernel("rbf")):
            assert "low_effective_rank" in codes(features, covariance=SHORT)
        for features in (LINEAR, PROJECTION):
            assert "low_effective_rank" not in codes(features, covariance=SHORT)

    @pytest.mark.parametrize(("largest", "low"), [(11.0, True), (9.0, False)])
    def test_low_effective_rank_begins_at_thirty(self, largest: float, low: bool) -> None:
        covariance = {"kind": "spiked", "spikes": [largest]}  # (299 + largest) / largest
        [*found] = [w for w in answer(RELU, covariance=covariance).warnings if w.code == "low_effective_rank"]
        assert bool(found) == low
        if low:
            assert f"{(299 + largest) / largest:.3g}" in found[0].detail

    @pytest.mark.parametrize(("n_samples", "warned"), [(8999, False), (9000, True)])
    def test_polynomial_regime_by_samples(self, n_samples: float, warned: bool) -> None:
        assert ("polynomial_regime" in codes(kernel("rbf"), n_samples=n_samples)) == warned
        assert ("polynomial_regime" in codes(TANH, n_samples=n_samples)) == warned
        assert "polynomial_regime" not in codes(LINEAR, n_samples=n_samples)

    @pytest.mark.parametrize(("width", "warned"), [(8999, False), (9000, True)])
    def test_polynomial_regime_by_width(self, width: float, warned: bool) -> None:
        wide = {"kind": "random_features", "layers": [{"activation": "tanh", "width": width}]}
        assert ("polynomial_regime" in codes(wide)) == warned

    @pytest.mark.parametrize(("width", "warned"), [(99, True), (100, False)])
    def test_narrow_features(self, width: float, warned: bool) -> None:
        layers = [{"activation": "tanh", "width": 500}, {"activation": "tanh", "width": width}]
        assert ("narrow_features" in codes({"kind": "random_features", "layers": layers})) == warned
        assert ("narrow_features" in codes({"kind": "random_fourier", "frequencies": width / 2})) == warned
        assert "narrow_features" not in codes({"kind": "random_projection", "width": width})

    def test_scattered_lengths_of_kernels_whose_diagonal_depends_on_them(self) -> None:
        cubic = kernel("polynomial", degree=3)
        assert "scattered_lengths" in codes(cubic, 1e-3)
        assert "scattered_lengths" not in codes(cubic, 10.0)  # the penalty drowns it
        assert "scattered_lengths" not in codes(cubic, 1e-3, n_features=30_000, n_samples=40_000)
        assert "scattered_lengths" not in codes(kernel("rbf"), 1e-3)
        assert "scattered_lengths" not in codes(cubic, 0.0)  # no training error to be off
        assert "scattered_lengths" not in codes(cubic, 1e-3, kind="sphere")

    def test_small_train_error(self) -> None:
        assert "small_train_error" in codes(TANH, 1e-8)
        assert "small_train_error" not in codes(TANH, 0.0)
        assert "small_train_error" not in codes(LINEAR, 1e-8, n_samples=100)

    def test_signal_blocked(self) -> None:
        even = {"kind": "random_features", "layers": [{"activation": "abs", "width": 500}]}
        opened = {"kind": "random_features", "layers": [{"activation": "abs", "width": 500, "bias_variance": 0.1}]}
        assert "signal_blocked" in codes(even)
        assert "signal_blocked" not in codes(opened)
        assert "signal_blocked" not in codes(even, target={"signal_variance": 0.0})
        assert "signal_blocked" in codes(kernel("polynomial", degree=2, offset=0.0))
        assert "signal_blocked" in codes(even, target={"mean": 1.0})  # the mean is learned, the signal is not
        for activation in ("linear", "tanh", "relu"):
            biased = [{"activation": activation, "width": 300, "bias_variance": 0.1}] * 2
            for layers in (biased[:1], biased):
                assert "signal_blocked" not in codes(
                    {"kind": "random_features", "layers": layers}, target={"mean": 10.0}
                )

    @pytest.mark.parametrize(
        ("features", "learned"),
        [
            *((LINEAR, False), (TANH, False), (PROJECTION, False), (RELU, True), (FOURIER, True)),
            *((kernel("rbf"), True), (kernel("ck", layers=[{"activation": "erf"}]), False)),
        ],
    )
    def test_mean_without_intercept(self, features: Any, learned: bool) -> None:
        target = {"mean": 2.0}
        assert ("mean_without_intercept" in codes(features, target=target)) != learned
        assert "mean_without_intercept" not in codes(features, target=target, fit_intercept=True)

    def test_near_the_width_s_threshold(self) -> None:
        features = {"kind": "random_features", "layers": [{"activation": "tanh", "width": 410}]}
        assert "near_threshold" in codes(features, 0.0)
        at = {"kind": "random_features", "layers": [{"activation": "tanh", "width": 400}]}
        assert codes(at, 0.0) == {"interpolation_threshold"}


@pytest.mark.parametrize(
    ("features", "regime", "pointer", "way_out"),
    [
        (kernel("ntk", layers=[{"activation": "sign"}]), {}, "/model/features/kernel/layers/0/activation", "'ck'"),
        (
            {"kind": "random_features", "layers": [{"activation": {"kind": "ternary", "low": 0.9}, "width": 9}]},
            {},
            "/model/features/layers/0/activation/low",
            "'sign'",
        ),
        (kernel("rbf"), {"kind": "sphere", "n_features": 2}, "/regime/n_features", "at least 3"),
        (kernel("rbf"), {"kind": "sphere", "n_features": 24.5}, "/regime/n_features", "whole number"),
        (
            TANH,
            {"covariance": {"kind": "explicit", "eigenvalues": [1.0]}},
            "/regime/covariance/eigenvalues",
            "discrete",
        ),
    ],
)
def test_refusals_point_to_the_part_at_fault(features: Any, regime: Any, pointer: str, way_out: str) -> None:
    with pytest.raises(Refused) as caught:
        answer(features, **regime)
    assert caught.value.pointer == pointer
    assert way_out in caught.value.detail


def test_an_activation_spelt_as_an_object_has_the_same_key() -> None:
    def spelt(activation: Any) -> str:
        return key_of(request({"kind": "random_features", "layers": [{"activation": activation, "width": 100}]}))

    assert spelt("leaky_relu") == spelt({"kind": "leaky_relu"}) == spelt({"kind": "leaky_relu", "negative_slope": 0.01})
    assert spelt("leaky_relu") != spelt({"kind": "leaky_relu", "negative_slope": 0.02})
    assert spelt("ternary") == spelt({"kind": "ternary", "high": 0.5})


def test_a_whole_number_is_one_however_it_is_written() -> None:
    keys = {key_of(request(kernel("polynomial", degree=degree))) for degree in (3, 3.0)}
    assert len(keys) == 1
    with pytest.raises(ValidationError, match="valid integer"):
        request(kernel("polynomial", degree=2.5))


def test_the_ridges_of_random_features() -> None:
    prediction = answer(TANH, 0.1)
    assert prediction.effective.ridge is not None
    assert prediction.effective.target_ridge is not None
    penalty = prediction.effective.ridge * (1.0 - prediction.effective.df1 / 400.0)
    assert abs(penalty / 0.1 - 1.0) < 1e-12
    assert prediction.effective.target_ridge > prediction.effective.ridge
    linear = answer(LINEAR, 0.1)
    assert linear.effective.ridge == linear.effective.target_ridge


@pytest.mark.parametrize("fit_intercept", [False, True])
def test_short_length_scales_learn_nothing(fit_intercept: bool) -> None:
    """Their responses fall like ``exp(-1 / length_scale^2)``, from 1e-68 over 1e-120 to what is no number any more."""
    target = {"signal_variance": 1.0, "mean": 0.5}
    for length_scale in (0.08, 0.06, 0.05, 0.04, 0.03, 1e-3):
        for features in (kernel("rbf", length_scale=length_scale), {**FOURIER, "length_scale": length_scale}):
            found = answer(features, 1e3, fit_intercept, target=target, noise_variance=0.25)
            # What is left is a constant from 400 labels, if anything.
            expected = 1.25 / (1.0 - 1.0 / 400.0) if fit_intercept else 1.5
            assert found.test_error == pytest.approx(expected, rel=1e-5), (features, length_scale)


def test_absurd_layers_have_an_answer_or_are_refused() -> None:
    """Found by fuzzing: many layers of huge biases, next to widths of one, took the chain out of double precision."""
    kinds = ["sign", "leaky_relu", "leaky_relu", "gelu", "tanh", "ternary", "relu", "quadratic", "abs", "leaky_relu"]
    layers = [
        {"activation": kind, "width": 1.0 if place % 2 else 1e12, "weight_variance": 1e6, "bias_variance": 1e6}
        for place, kind in enumerate(kinds)
    ]
    for depth in range(1, len(layers) + 1):
        for penalty in (0.0, 1e-100, 1e16, 1e100):
            # Anything else than an answer, whose model admits no number that is not finite, or a refusal is an error here.
            with suppress(Refused):
                prediction = answer({"kind": "random_features", "layers": layers[:depth]}, penalty, n_samples=5e11)
                assert prediction.status in ("converged", "divergent", "not_converged")
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        request({"kind": "random_features", "layers": [{"activation": "relu", "width": 0.5}]})
