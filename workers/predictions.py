"""From a prediction request to its answer: build the equivalent, solve, and say what a careful reader should know."""

from typing import Any

import numpy as np

import theory
from api_schemas.features import KernelFeatures
from api_schemas.prediction import (
    Effective,
    NetworkState,
    Numerics,
    PoolState,
    Prediction,
    PredictionRequest,
    Separability,
    Source,
)
from api_schemas.regime import RegressionRegime
from theory import InadmissibleProblem
from workers.addresses import address_of
from workers.answers import Answer, Built
from workers.building import build, inadmissible, too_far_apart
from workers.deadlines import check_time
from workers.gradients import gradient_of
from workers.kinds import Kind
from workers.pools import PoolSource
from workers.registry import ALIGNMENTS, COVARIANCES, FEATURES, KERNELS, LEARNERS, REGIMES
from workers.warnings import warnings_for

KEY_PREFIX = f"foretell/{theory.SOLVER_VERSION}"


def key_of(request: PredictionRequest) -> str:
    """Return the content address of a request's answer."""
    return address_of(request, solver=KEY_PREFIX)


def predict(request: PredictionRequest, *, key: str | None = None) -> Prediction:
    """Answer a request.

    Args:
        request: validated against its schema.
        key: of the request, when the caller has it already.

    Raises:
        Refused: the theory's assumptions do not hold for it.
    """
    built = build(request)
    return prediction_of(request, built, answer_of(request, built), key=key)


def answer_of(request: PredictionRequest, built: Built) -> Answer:
    """Work out what a learner attains.

    Args:
        request: validated against its schema.
        built: of it, or of a request that differs in what is not built.

    Raises:
        Refused: the theory's assumptions do not hold for it.
    """
    check_time()
    learner = LEARNERS[request.model.learner.kind]
    try:
        # What leaves double precision here raises an error or is refused below.
        with np.errstate(all="ignore"):
            answer: Answer = learner.answers[request.regime.kind](request, built)
    except ArithmeticError:
        raise too_far_apart("/model") from None
    except InadmissibleProblem as problem:
        raise inadmissible(request, problem) from None
    if not np.isfinite(sum(value for value in (answer.df1, answer.df2, answer.residual) if value is not None)):
        raise too_far_apart("/model")
    return answer


def prediction_of(request: PredictionRequest, built: Built, answer: Answer, *, key: str | None = None) -> Prediction:
    """Write an answer as the wire has it, with what a careful reader should know."""
    return Prediction(
        key=key or key_of(request),
        status=answer.status,
        metric=REGIMES[request.regime.kind].metric or _pool(built).metric,
        test_error=_finite(answer.test_error),
        interval=_interval(answer),
        excess_risk=_finite(answer.excess_risk),
        train_error=_finite(answer.train_error),
        train_loss=_finite(answer.train_loss),
        test_loss=_finite(answer.test_loss),
        bias=_finite(answer.bias),
        variance=_finite(answer.variance),
        estimator_norm_squared=_finite(answer.estimator_norm_squared),
        effective=Effective(
            ridge=_finite(answer.ridge), target_ridge=_finite(answer.target_ridge), df1=answer.df1, df2=answer.df2
        ),
        critical_step_size=_finite(answer.critical_step_size),
        separability=None if answer.separability is None else separability_of(answer.separability),
        network=None if answer.network is None else NetworkState(**answer.network),
        gradient=gradient_of(request, built, answer) if request.include else None,
        pool=None if built.pool is None else _pool_state(built.pool, answer),
        phase=answer.phase,
        numerics=Numerics(residual=answer.residual, iterations=answer.iterations),
        warnings=warnings_for(request, built, answer),
        sources=sources_of(request),
    )


def separability_of(found: Any) -> Separability:
    """Return what is said of separability on the wire."""
    return Separability(
        separable=bool(found.separable), threshold=float(found.threshold), distance=_finite(float(found.distance))
    )


def sources_of(request: PredictionRequest) -> list[Source]:
    """Collect the publications behind every kind that a request names."""
    kinds: list[Kind] = [
        LEARNERS[request.model.learner.kind],
        FEATURES[request.model.features.kind],
        REGIMES[request.regime.kind],
    ]
    if isinstance(request.model.features, KernelFeatures):
        kinds.append(KERNELS[request.model.features.kernel.kind])
    if isinstance(request.regime, RegressionRegime):
        kinds += [COVARIANCES[request.regime.covariance.kind], ALIGNMENTS[request.regime.target.alignment.kind]]
    return list({source.reference: source for kind in kinds for source in kind.sources}.values())


def _interval(answer: Answer) -> list[float] | None:
    low, high = _finite(answer.interval_low), _finite(answer.interval_high)
    return None if low is None or high is None else [low, high]


def _pool(built: Built) -> PoolSource:
    assert built.pool is not None
    return built.pool


def _pool_state(source: PoolSource, answer: Answer) -> PoolState:
    return PoolState(
        dataset_id=source.dataset_id,
        n_rows=source.n_rows,
        n_used=answer.n_used or source.n_rows,
        reliability=_finite(answer.reliability),
        correction=_finite(answer.correction),
        extrapolated=bool(answer.extrapolated),
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and -np.inf < value < np.inf else None
