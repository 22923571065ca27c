"""``POST /v1/predictions``: the request and the answer."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from api_schemas.base import Schema, described
from api_schemas.model import Model
from api_schemas.regime import Regime

EXAMPLE_REQUEST: dict[str, Any] = {
    "model": {"features": {"kind": "linear"}, "learner": {"kind": "ridge", "penalty": 0.1}},
    "regime": {"kind": "regression", "n_samples": 800, "n_features": 400, "noise_variance": 0.25},
}


def _is_empty(value: Any) -> bool:
    """Nothing beyond the prediction was asked for: the canonical form leaves the field out, and so does the answer."""
    return not value


class PredictionRequest(Schema):
    """If I train this model in this regime, how well will it do?"""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_REQUEST]})

    model: Model = Field(
        description="What the user chooses: features and learner.", examples=[EXAMPLE_REQUEST["model"]]
    )
    regime: Regime = Field(
        description="What the user has: the data and its sizes.", examples=[EXAMPLE_REQUEST["regime"]]
    )
    include: list[Literal["gradient"]] = Field(
        default=[],
        description="What to answer beyond the prediction: gradient, the exact derivatives of test_error.",
        examples=[[]],
        max_length=1,
        exclude_if=_is_empty,
        json_schema_extra={"x-unit": "1"},
    )


class Effective(Schema):
    """What the fixed point says of the model as a smoother."""

    ridge: float | None = described(
        "The penalty that acts on the population problem, with penalty = ridge (1 - df1 / n); null where it is infinite.",
        unit="feature^2",
        example=0.17417,
    )
    target_ridge: float | None = described(
        "The ridge by which the target's modes are shrunk, in units of the inputs' eigenvalues or the kernel's; ridge unless"
        " random features lie between. Null where it is infinite.",
        unit="input^2",
        example=0.17417,
    )
    df1: float | None = described(
        "Trace of the hat matrix: effective degrees of freedom. Null where the learner has none.",
        unit="1",
        example=340.67,
    )
    df2: float | None = described(
        "Trace of its square on the population; null where the learner has none.", unit="1", example=290.14
    )


class Numerics(Schema):
    """How the answer was reached."""

    residual: float = described(
        "Relative error of effective.ridge, as one more Newton step estimates it.", unit="1", example=1e-16
    )
    iterations: int = described("Evaluations of the sums over the modes.", unit="1", example=5)


class PredictionWarning(Schema):
    """Something a careful reader should know of this answer."""

    code: str = described("A fixed name, documented in docs/warnings.md.", unit="1", example="near_threshold")
    detail: str = described(
        "One sentence with the number that caused it.", unit="1", example="n_samples - df2 = 3.2 ..."
    )


class Source(Schema):
    """A publication the answer rests on."""

    title: str = described(
        "Title, with authors.", unit="1", example="Hastie et al.: Surprises in high-dimensional ridgeless least squares"
    )
    reference: str = described("An identifier.", unit="1", example="arXiv:1903.08560")


class Separability(Schema):
    """Whether a hyperplane tells the training classes apart, and how far that is from changing."""

    separable: bool = described(
        "Whether it does, as sizes grow: the unpenalised logistic loss then has no minimiser.", unit="1", example=False
    )
    threshold: float = described(
        "The ratio of the features' directions to n_samples from which it does.",
        unit="features/samples",
        example=0.3449,
    )
    distance: float | None = described(
        "Directions of the features over n_samples, less the threshold; null where kernels have infinitely many.",
        unit="features/samples",
        example=-0.0949,
    )


class NetworkState(Schema):
    """Where the hidden units of a trained network have come."""

    self_overlaps: list[list[float]] = described(
        "Covariance of the students' fields w_k . x / sqrt(d).", unit="input^2", example=[[1.02, 0.01], [0.01, 0.98]]
    )
    overlaps: list[list[float]] = described(
        "Covariance of the students' fields with the teachers'.", unit="input^2", example=[[1.0, 0.0], [0.0, 0.99]]
    )
    readout: list[float] = described("Weights of the read-out.", unit="label", example=[1.0, 1.0])
    specialisation: float = described(
        "Mean over hidden units of the largest less the second largest correlation with one of the teacher's: 0 on the"
        " symmetric plateau, 1 when each has found its own.",
        unit="1",
        example=0.99,
    )


class PoolState(Schema):
    """What a prediction on a data set rests on."""

    dataset_id: str = described("The data set.", unit="1", example="5f2b...")
    n_rows: int = described("Rows of the data set.", unit="samples", example=1797)
    n_used: int = described(
        "Rows that the estimate was made from: all, or as many as its memory allows.", unit="samples", example=1797
    )
    reliability: float | None = described(
        "Exact leave-one-out over generalised cross-validation, less 1, at the effective ridge: near 0 where the rows behave"
        " like Gaussian ones.",
        unit="1",
        example=0.03,
    )
    correction: float | None = described(
        "Factor that models tried on parts of the rows put to the square error (test_error of numbers, test_loss of classes)"
        " which one decomposition of the rows gives; null without trials.",
        unit="1",
        example=1.02,
    )
    extrapolated: bool = described(
        "Whether n_samples exceeds the rows used, so that power laws were continued.", unit="1", example=False
    )


def _is_absent(value: Any) -> bool:
    """It was not asked for."""
    return value is None


class Prediction(Schema):
    """The asymptotic performance of a model in a regime. Errors are null where the status is "divergent"."""

    key: str = described(
        "Content address of the canonical request and of the solver's version; also the ETag.",
        unit="1",
        example="9f2c...",
    )
    status: Literal["converged", "divergent", "not_converged"] = described(
        "divergent: there is no finite error; not_converged: the numbers are the best found.",
        unit="1",
        example="converged",
    )
    metric: Literal["squared_error", "misclassification"] = described(
        "What test_error and train_error measure.", unit="1", example="squared_error"
    )
    test_error: float | None = described(
        "Expected error against a fresh noisy label; of classes the rate of misclassification.",
        unit="label^2",
        example=0.42678,
    )
    interval: list[float] | None = described(
        "[low, high], which holds what test_error means with a probability of 90 %, on a data set; null elsewhere, where"
        " nothing is estimated.",
        unit="label^2",
        example=None,
        default=None,
    )
    excess_risk: float | None = described(
        "test_error - noise_variance; null where labels are classes, and on a data set, whose noise is not known.",
        unit="label^2",
        example=0.17678,
    )
    train_error: float | None = described(
        "Mean error over the training set, without the penalty.", unit="label^2", example=0.1407
    )
    train_loss: float | None = described(
        "Mean loss over the training set, where labels are classes.", unit="1", example=None, default=None
    )
    test_loss: float | None = described(
        "Expected loss on a fresh label, where labels are classes.", unit="1", example=None, default=None
    )
    bias: float | None = described(
        "Squared bias of the predictor averaged over data and features, with what the features cannot express; null on a"
        " data set.",
        unit="label^2",
        example=0.022,
    )
    variance: float | None = described(
        "excess_risk - bias; on a data set, where neither is known, their difference is.",
        unit="label^2",
        example=0.15478,
    )
    estimator_norm_squared: float | None = described(
        "||theta||^2 without an unpenalised constant; null where it is infinite.", unit="label^2/input^2", example=0.88
    )
    effective: Effective = Field(description="Effective ridge and degrees of freedom.")
    critical_step_size: float | None = described(
        "Step size from which the learner diverges, for learners that take steps; of a single neuron, from which it does not"
        " stay at the teacher's weights.",
        unit="1/input^2",
        example=None,
        default=None,
    )
    separability: Separability | None = Field(
        default=None, description="Of the classes; for losses other than square.", examples=[None]
    )
    network: NetworkState | None = Field(
        default=None, description="Of a trained network of several hidden units.", examples=[None]
    )
    gradient: dict[str, float | None] | None = Field(
        default=None,
        description="d test_error by every continuous number of the request, by its dotted path with defaults filled in; null"
        " where there is no derivative. There only where the request includes it.",
        examples=[{"model.learner.penalty": -0.21, "regime.n_samples": -0.00037}],
        exclude_if=_is_absent,
    )
    pool: PoolState | None = Field(
        default=None,
        description="What the prediction rests on, where the regime is a data set.",
        examples=[None],
        exclude_if=_is_absent,
    )
    phase: Literal["underparameterized", "threshold", "overparameterized"] = described(
        "Whether samples outnumber parameters.", unit="1", example="underparameterized"
    )
    numerics: Numerics = Field(description="How the answer was reached.")
    warnings: list[PredictionWarning] = Field(description="What a careful reader should know.", examples=[[]])
    sources: list[Source] = Field(description="Publications the answer rests on.")
