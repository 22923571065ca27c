"""Batches: each request's answer is that of a single one, whatever else is in the batch."""

import itertools
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api_schemas.prediction import Prediction, PredictionRequest
from tests.workers.grids import DEEP, LINEAR, MIXTURE, POWER_LAW, SHALLOW, changed
from workers.batches import predict_all
from workers.predictions import key_of, predict
from workers.refusals import Refused

BASES = {
    "linear": LINEAR,
    "intercept": changed(LINEAR, model__fit_intercept=True, regime__target__mean=2.0),
    "power law": changed(LINEAR, regime__covariance=POWER_LAW),
    "shallow": changed(LINEAR, model__features=SHALLOW),
    "projection": changed(LINEAR, model__features={"kind": "random_projection", "width": 300}),
    "deep": changed(LINEAR, model__features=DEEP),
    "kernel": changed(LINEAR, model__features={"kind": "kernel", "kernel": {"kind": "laplace"}}),
    "mixture": MIXTURE,
    "refused": changed(LINEAR, regime__covariance={"kind": "ar1", "correlation": 0.5}, regime__n_features=10.5),
    "unsupported": changed(LINEAR, model__learner={"kind": "hinge", "penalty": 1}),
    "flow": changed(LINEAR, model__learner={"kind": "gradient_flow", "time": 3}),
    "sgd": changed(LINEAR, model__learner={"kind": "sgd", "step_size": 0.1}),
}


def answers(requests: list[PredictionRequest]) -> list[Prediction | Refused]:
    found: list[Any] = [None] * len(requests)
    for position, answer in predict_all(requests, [key_of(request) for request in requests]):
        assert found[position] is None, "answered once"
        found[position] = answer
    return found


def single(request: PredictionRequest) -> Prediction | Refused:
    try:
        return predict(request)
    except Refused as refusal:
        return refusal


def assert_same(found: Prediction | Refused, request: PredictionRequest) -> None:
    expected = single(request)
    if isinstance(expected, Refused):
        assert isinstance(found, Refused)
        assert (type(found), found.pointer, found.detail) == (type(expected), expected.pointer, expected.detail)
        return
    assert isinstance(found, Prediction)
    one, other = found.model_dump(), expected.model_dump()
    for part in ("", "effective"):
        numbers, others = (one[part], other[part]) if part else (one, other)
        for name, value in others.items():
            if isinstance(value, float):
                np.testing.assert_allclose(numbers[name], value, rtol=1e-13, err_msg=name)
                numbers[name] = value
    assert abs(one["numerics"].pop("residual") - other["numerics"].pop("residual")) <= 1e-9
    # Sentences of warnings give a few digits.
    assert one == other


def test_requests_of_all_sorts_in_one_batch() -> None:
    bodies = []
    for base in BASES.values():
        for n_samples, penalty, noise in itertools.product((1.0, 400.0, 900.5), (0.0, 0.1), (0.25, 1.0)):
            body = changed(base, regime__n_samples=n_samples)
            if "penalty" in body["model"]["learner"]:
                body["model"]["learner"]["penalty"] = penalty
            if body["regime"]["kind"] == "regression":
                body["regime"]["noise_variance"] = noise
            bodies.append(body)
    requests = [PredictionRequest.model_validate(body) for body in bodies]
    order = np.random.default_rng(0).permutation(len(requests)).tolist()
    shuffled = [requests[position] for position in order]
    for request, found in zip(shuffled, answers(shuffled), strict=True):
        assert_same(found, request)


EXTREMES = st.sampled_from([0.0, 1e-120, 1e-100, 1e-30, 0.1, 1.0, 1e30, 1e99, 1e100])
SIZES = st.sampled_from([1e-120, 1e-12, 0.5, 1.0, 2.0, 400.0, 401.0, 1e12])


@settings(max_examples=25)
@given(
    st.lists(st.tuples(SIZES, EXTREMES, EXTREMES), min_size=2, max_size=12), st.sampled_from(["linear", "intercept"])
)
def test_extreme_numbers_are_answered_and_refused_as_by_themselves(
    rows: list[tuple[float, float, float]], base: str
) -> None:
    requests = [
        PredictionRequest.model_validate(
            changed(BASES[base], regime__n_samples=n, model__learner__penalty=penalty, regime__noise_variance=noise)
        )
        for n, penalty, noise in rows
    ]
    for request, found in zip(requests, answers(requests), strict=True):
        assert_same(found, request)


def test_many_learners_share_what_was_built() -> None:
    bodies = [changed(MIXTURE, regime__n_samples=float(n)) for n in (100, 200, 900)]
    requests = [PredictionRequest.model_validate(body) for body in bodies]
    for request, found in zip(requests, answers(requests), strict=True):
        assert_same(found, request)


def test_after_the_deadline_nothing_more_is_answered() -> None:
    requests = [
        PredictionRequest.model_validate(changed(BASES["deep"], regime__n_samples=float(n))) for n in range(1, 200)
    ]
    keys = [key_of(request) for request in requests]
    found = list(predict_all(requests, keys, deadline=time.monotonic() - 1.0))
    assert 0 < len(found) < len(requests)


@pytest.mark.parametrize("base", ["linear", "shallow"])
def test_a_family_of_one_path(base: str) -> None:
    requests = [
        PredictionRequest.model_validate(changed(BASES[base], model__learner__penalty=penalty))
        for penalty in np.geomspace(1e-8, 1e3, 50).tolist()
    ]
    for request, found in zip(requests, answers(requests), strict=True):
        assert_same(found, request)
