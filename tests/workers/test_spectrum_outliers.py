"""Outliers as a request asks for them: spikes and class means, through every kind of features."""

from typing import Any

import numpy as np
import pytest

from api_schemas.spectra import Spectrum, SpectrumOutlier, SpectrumRequest
from workers.refusals import Refused
from workers.spectra import spectrum

MIXTURE = {"kind": "mixture", "n_samples": 1200, "n_features": 600, "mean_norm": 3**0.5}
SPIKED = {
    "kind": "regression",
    "n_samples": 1200,
    "n_features": 600,
    "covariance": {"kind": "spiked", "spikes": [10.0]},
}
LINEAR = {"kind": "linear"}


def layers(*layers: tuple[str, float], bias_variance: float = 0.0) -> dict[str, Any]:
    return {
        "kind": "random_features",
        "layers": [{"activation": name, "width": width, "bias_variance": bias_variance} for name, width in layers],
    }


def kernel(kind: str, **parameters: Any) -> dict[str, Any]:
    return {"kind": "kernel", "kernel": {"kind": kind, **parameters}}


SHAPES = {
    "one layer": layers(("tanh", 2400)),
    "two layers with biases": layers(("relu", 2400), ("relu", 2000), bias_variance=0.1),
    "three layers": layers(("erf", 2000), ("tanh", 2000), ("erf", 2000)),
    "fourier": {"kind": "random_fourier", "frequencies": 1500},
    "projection": {"kind": "random_projection", "width": 1500},
    "rbf": kernel("rbf"),
    "ck": kernel("ck", layers=[{"activation": "relu"}]),
    "ntk": kernel("ntk", layers=[{"activation": "erf"}]),
}


def ask(regime: dict[str, Any], features: Any = LINEAR, matrix: str = "kernel_matrix") -> Spectrum:
    asked = {"matrix": matrix, "regime": regime, "model": {"features": features}, "grid": {"num": 20}}
    return spectrum(SpectrumRequest.model_validate(asked))


def the(origin: str, found: Spectrum) -> SpectrumOutlier:
    [outlier] = [one for one in found.outliers if one.origin == origin]
    return outlier


def test_spectral_clustering_of_isotropic_classes() -> None:
    """rho > sqrt(d / n), a = (rho^2 - c) / (rho (1 + rho)): the closed form of one bulk."""
    rho, c = 3.0, 0.5
    both = the("class_means", ask(MIXTURE))
    np.testing.assert_allclose(both.alignment, (rho**2 - c) / (rho * (1.0 + rho)), rtol=1e-12)
    np.testing.assert_allclose(both.threshold, c**0.5, rtol=1e-9)
    np.testing.assert_allclose(both.at, 1200.0 * (1.0 + rho) * (1.0 + c / rho), rtol=1e-12)
    inputs = the("class_means", ask(MIXTURE, matrix="sample_covariance"))
    np.testing.assert_allclose(inputs.at, (1.0 + rho) * (1.0 + c / rho), rtol=1e-12)
    hidden = the("class_means", ask({**MIXTURE, "mean_norm": 0.7**0.5 * 0.5**0.25}))
    assert not hidden.visible
    assert (hidden.alignment, hidden.misclassification) == (0.0, 0.5)


def test_reference_numbers_of_random_features_and_of_an_inner_product_kernel() -> None:
    one = the("class_means", ask(MIXTURE, SHAPES["one layer"]))
    assert (round(one.at or 0.0, 3), round(one.alignment or 0.0, 4)) == (3.755, 0.6145)
    regime = {**MIXTURE, "n_samples": 600, "n_features": 300, "mean_norm": 2.0}
    other = the("class_means", ask(regime, layers(("tanh", 1)), "inner_product_kernel"))
    assert (round(other.at or 0.0, 4), round(other.alignment or 0.0, 4)) == (6.2175, 0.7738)
    np.testing.assert_allclose(other.threshold, 0.71165917, atol=1e-6)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("regime", [MIXTURE, SPIKED], ids=["mixture", "spiked"])
def test_features_let_less_through_than_inputs_and_never_more(shape: str, regime: dict[str, Any]) -> None:
    origin = "class_means" if regime is MIXTURE else "spike"
    seen, inputs = the(origin, ask(regime, SHAPES[shape])), the(origin, ask(regime))
    assert seen.visible
    assert seen.alignment is not None
    # The bulk beside a spike has d - 1 directions of layers and kernels, d of linear features.
    rounding = 1.0 / 600.0
    assert 0.0 < seen.alignment <= (inputs.alignment or 0.0) * (1.0 + rounding)
    assert (seen.threshold or 0.0) >= (inputs.threshold or 0.0) * (1.0 - rounding)


@pytest.mark.parametrize("regime", [MIXTURE, SPIKED], ids=["mixture", "spiked"])
@pytest.mark.parametrize(
    "features",
    [layers(("abs", 2400)), layers(("abs", 2400), ("relu", 2400)), kernel("ck", layers=[{"activation": "abs"}])],
    ids=["one layer", "two layers", "kernel"],
)
def test_even_activations_let_nothing_through(features: Any, regime: dict[str, Any]) -> None:
    found = ask(regime, features)
    blocked = the("class_means" if regime is MIXTURE else "spike", found)
    assert not blocked.visible
    assert blocked.alignment == 0.0


def test_width_to_infinity_is_the_kernel() -> None:
    wide, limit = (
        the("class_means", ask(MIXTURE, features))
        for features in (layers(("erf", 1e10)), kernel("ck", layers=[{"activation": "erf"}]))
    )
    np.testing.assert_allclose(wide.at, limit.at, rtol=1e-6)
    np.testing.assert_allclose(wide.alignment, limit.alignment, rtol=1e-6)


def test_classes_of_one_mean_make_nothing() -> None:
    for matrix in ("sample_covariance", "kernel_matrix"):
        assert ask({**MIXTURE, "mean_norm": 0.0}, matrix=matrix).outliers == []


def test_statistics_of_classes_have_no_gaussian_corrections() -> None:
    asked = {"matrix": "sample_covariance", "regime": MIXTURE, "statistics": [{"name": "log_det", "shift": 0.1}]}
    [value] = spectrum(SpectrumRequest.model_validate(asked)).statistics
    assert value.per_dimension is not None
    assert value.mean_correction is None


def test_a_spike_that_the_mean_has_a_part_of_is_none_itself() -> None:
    """Of Sigma + mu mu' the mean's root is an eigenvalue, the spike is not; a spike apart from the mean is."""
    covariance = {"kind": "spiked", "spikes": [6.0]}
    shared, apart = (
        ask({**MIXTURE, "covariance": covariance, "mean_alignment": {"kind": "energies", "values": values}}).outliers
        for values in ([0.0, 1.0], [1.0, 0.0])
    )
    assert [one.origin for one in shared] == ["class_means"]
    assert sorted(one.origin for one in apart) == ["class_means", "spike"]


def test_classes_of_different_sizes_and_features_with_a_mean_are_refused() -> None:
    for features in (SHAPES["two layers with biases"], SHAPES["rbf"]):
        with pytest.raises(Refused) as caught:
            ask({**MIXTURE, "positive_fraction": 0.2}, features)
        assert caught.value.pointer == "/regime/positive_fraction"
    centred = (ask({**MIXTURE, "positive_fraction": share}, SHAPES["one layer"]) for share in (0.2, 0.5))
    one, other = (the("class_means", found) for found in centred)
    assert one == other


def test_strong_means_are_said() -> None:
    found = ask({**MIXTURE, "mean_norm": 30.0}, SHAPES["one layer"])
    assert "strong_means" in {warning.code for warning in found.warnings}


@pytest.mark.parametrize(
    ("features", "num", "pointer"),
    [
        (layers(("tanh", 1e12)), 20, "/model/features/layers/0/width"),
        (layers(*[("tanh", 300)] * 16), 10_000, "/grid/num"),
    ],
)
def test_what_is_too_much_is_refused_with_the_place(features: Any, num: int, pointer: str) -> None:
    asked = {"matrix": "kernel_matrix", "regime": MIXTURE, "model": {"features": features}, "grid": {"num": num}}
    with pytest.raises(Refused) as caught:
        spectrum(SpectrumRequest.model_validate(asked))
    assert caught.value.pointer == pointer


def test_shares_that_do_not_fit_are_refused_with_the_place() -> None:
    regime = {**MIXTURE, "mean_alignment": {"kind": "energies", "values": [1.0, 2.0, 3.0]}}
    with pytest.raises(Refused) as caught:
        ask(regime)
    assert caught.value.pointer == "/regime/mean_alignment/values"
