"""Validations that are refused before anything is queued, with the place at fault."""

import itertools
from typing import Any

import pytest

from api_schemas.validation import ValidationRequest
from tests.workers.requests import LEARNER_EXAMPLES, MINIMAL, REGIME_EXAMPLES
from workers.refusals import Refused, Unsupported
from workers.registry import goes_together
from workers.validations import check

WITHOUT_THEORY = [
    kinds for kinds in itertools.product(MINIMAL, LEARNER_EXAMPLES, REGIME_EXAMPLES) if not goes_together(*kinds)
]


def validation(features: Any, learner: Any, regime: Any) -> ValidationRequest:
    request = {"model": {"features": features, "learner": learner}, "regime": regime}
    return ValidationRequest.model_validate({"request": request})


@pytest.mark.parametrize(("features", "learner", "regime"), WITHOUT_THEORY)
def test_what_has_no_theory_is_not_simulated(features: str, learner: str, regime: str) -> None:
    asked = validation(MINIMAL[features], LEARNER_EXAMPLES[learner], REGIME_EXAMPLES[regime])
    with pytest.raises(Unsupported) as caught:
        check(asked)
    assert caught.value.pointer.startswith("/request/model/")


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"n_samples": 100.5}, "/request/regime/n_samples"),
        ({"n_features": 100.5}, "/request/regime/n_features"),
        ({"positive_fraction": 0.001}, "/request/regime/positive_fraction"),
        ({"n_samples": 10**6, "n_features": 10**4}, "/request/regime/n_samples"),
        ({"n_samples": 100, "n_features": 10**7}, "/request/regime/n_features"),
    ],
)
def test_what_cannot_be_drawn_is_refused(changes: dict[str, Any], pointer: str) -> None:
    with pytest.raises(Refused) as caught:
        check(validation(MINIMAL["linear"], LEARNER_EXAMPLES["ridge"], {**REGIME_EXAMPLES["mixture"], **changes}))
    assert caught.value.pointer == pointer


@pytest.mark.parametrize(
    ("learner", "changes", "place"),
    [
        ("hinge", {}, "hinge"),
        ("ridge", {"mean_norm": 1e20}, "/request/regime/mean_norm is 1e"),
        (
            "ridge",
            {"covariance": {"kind": "isotropic", "variance": 1e-40}},
            "/request/regime/covariance/variance is 1e-40",
        ),
    ],
)
def test_what_single_precision_cannot_hold_is_refused(learner: str, changes: dict[str, Any], place: str) -> None:
    asked = validation(MINIMAL["linear"], LEARNER_EXAMPLES[learner], {**REGIME_EXAMPLES["mixture"], **changes})
    with pytest.raises(Refused, match=place) as caught:
        check(asked.model_copy(update={"dtype": "float32"}))
    assert caught.value.pointer == "/dtype"
    check(asked)


def test_what_diverges_has_nothing_to_compare_with() -> None:
    regime = {"kind": "regression", "n_samples": 400, "n_features": 400, "noise_variance": 0.1}
    with pytest.raises(Refused, match="divergent"):
        check(validation(MINIMAL["linear"], {"kind": "ridge", "penalty": 0}, regime))
