"""Learners: how the read-out is trained; one class a kind, one line in the union."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from typing_extensions import TypeAliasType

from api_schemas.base import LARGEST, Schema, Whole, described

MOST_STEPS = 1_000_000_000


def _penalty(description: str, **more: Any) -> Any:
    return described(description, unit="input^2", example=0.1, ge=0, le=LARGEST, **more)


def _step_size() -> Any:
    return described("Factor of the gradient in each step.", unit="1/input^2", example=0.1, gt=0, le=LARGEST)


class RidgeLearner(Schema):
    """Minimises (1/n) ||y - f||^2 + penalty ||theta||^2; scikit-learn's Ridge has alpha = n * penalty."""

    kind: Literal["ridge"] = "ridge"
    penalty: float = _penalty(
        "Weight of ||theta||^2; 0 is the ridgeless limit: least squares, or the interpolator of least norm."
    )


class GradientFlowLearner(Schema):
    """d theta / dt = -grad of (1/2n) ||y - f||^2 + (penalty/2) ||theta||^2, from theta = 0."""

    kind: Literal["gradient_flow"]
    time: float = described("How long the flow runs.", unit="1/input^2", example=10.0, ge=0, le=LARGEST)
    penalty: float = _penalty("Weight of ||theta||^2 / 2 in the objective that flows.", default=0.0)


class GradientDescentLearner(Schema):
    """Full-batch steps theta <- theta - step_size * grad of the objective of gradient_flow, from theta = 0."""

    kind: Literal["gradient_descent"]
    step_size: float = _step_size()
    steps: Whole = described("How many steps.", unit="steps", example=100, ge=0, le=MOST_STEPS)
    penalty: float = _penalty("Weight of ||theta||^2 / 2 in the objective that descends.", default=0.0)


class SgdLearner(Schema):
    """One pass over the samples, a step for each: theta <- theta - step_size * grad of (y - f)^2 / 2, from theta = 0."""

    kind: Literal["sgd"]
    step_size: float = _step_size()


class LogisticLearner(Schema):
    """Minimises mean log(1 + exp(-y f)) + (penalty/2) ||theta||^2; LogisticRegression has C = 1 / (n * penalty)."""

    kind: Literal["logistic"]
    penalty: float = _penalty("Weight of ||theta||^2 / 2; 0 is maximum likelihood, where it exists.")


class HingeLearner(Schema):
    """Minimises mean max(0, 1 - y f) + (penalty/2) ||theta||^2: the support vector machine with C = 1 / (n * penalty)."""

    kind: Literal["hinge"]
    penalty: float = _penalty(
        "Weight of ||theta||^2 / 2; 0 is the machine of hard margin, where classes are separable."
    )


class LdaLearner(Schema):
    """Regularised linear discriminant analysis: theta = (S + penalty I)^-1 (difference of class means), S pooled."""

    kind: Literal["lda"]
    penalty: float = _penalty("Added to the eigenvalues of the pooled covariance; 0 is Fisher's discriminant.")


def _ridge_by_default(value: Any) -> Any:
    """A learner without a kind is ridge."""
    return {"kind": "ridge", **value} if isinstance(value, dict) and "kind" not in value else value


Learner = TypeAliasType(
    "Learner",
    Annotated[
        Annotated[
            RidgeLearner
            | GradientFlowLearner
            | GradientDescentLearner
            | SgdLearner
            | LogisticLearner
            | HingeLearner
            | LdaLearner,
            Field(discriminator="kind"),
        ],
        BeforeValidator(_ridge_by_default),
    ],
)
