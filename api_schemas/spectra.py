"""``POST /v1/spectra``: the request and the answer."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator
from typing_extensions import TypeAliasType

from api_schemas.base import LARGEST, Schema, Whole, described
from api_schemas.features import Features, LinearFeatures
from api_schemas.learner import Learner
from api_schemas.prediction import PredictionWarning, Source
from api_schemas.regime import Regime

MAX_POINTS = 10_000
MAX_TRANSFORMS = 1000
MAX_STATISTICS = 32
MAX_ORDER = 32
MAX_EXPRESSION = 500

EXAMPLE_REQUEST: dict[str, Any] = {
    "matrix": "sample_covariance",
    "regime": {
        "kind": "regression",
        "n_samples": 2000,
        "n_features": 200,
        "covariance": {"kind": "discrete", "eigenvalues": [1, 3, 10], "weights": [0.4, 0.4, 0.2]},
    },
    "grid": {"num": 1000},
    "stieltjes": [[-1.0, 0.0], [2.0, 0.1]],
    "statistics": [{"name": "log_det", "shift": 0.1}, {"expression": "x/(1+x)"}],
}


class SpectrumModel(Schema):
    """The features whose matrix is asked for. A learner may be there, as in a prediction, but has no bearing on it."""

    features: Features = Field(
        default=LinearFeatures(), description="The map from inputs to features.", examples=[{"kind": "linear"}]
    )
    fit_intercept: bool = Field(
        default=False,
        description="Has no bearing on a spectrum; admitted so that a model can be reused.",
        examples=[False],
    )
    learner: Learner | None = Field(
        default=None,
        description="Has no bearing on a spectrum; admitted so that a model can be reused.",
        examples=[{"kind": "ridge", "penalty": 0.1}],
    )

    @model_validator(mode="after")
    def _without_bearing(self) -> "SpectrumModel":
        """Forget what does not matter, so that it makes no difference to the key."""
        if self.learner is None and not self.fit_intercept:
            return self
        return self.model_copy(update={"learner": None, "fit_intercept": False})


class Grid(Schema):
    """Where the density is given: from end to end of each interval of the support, closer together near the ends."""

    num: Whole = described(
        "Number of points; every interval of the support gets at least 3. 0 for no density.",
        unit="points",
        example=1000,
        default=1000,
        ge=0,
        le=MAX_POINTS,
    )


class LogDetStatistic(Schema):
    """The sum of log(eigenvalue + shift)."""

    name: Literal["log_det"]
    shift: float = described(
        "Added to each eigenvalue; positive where some are 0.",
        unit="matrix",
        example=0.1,
        default=0.0,
        ge=0,
        le=LARGEST,
    )


class TraceInverseStatistic(Schema):
    """The sum of 1 / (eigenvalue + shift)."""

    name: Literal["trace_inverse"]
    shift: float = described(
        "Added to each eigenvalue; positive where some are 0.",
        unit="matrix",
        example=0.1,
        default=0.0,
        ge=0,
        le=LARGEST,
    )


class MomentStatistic(Schema):
    """The sum of eigenvalue^order."""

    name: Literal["moment"]
    order: Whole = described("The power.", unit="1", example=2, ge=1, le=MAX_ORDER)


class EffectiveDimensionStatistic(Schema):
    """The sum of eigenvalue / (eigenvalue + ridge)."""

    name: Literal["effective_dimension"]
    ridge: float = described("Against which eigenvalues count.", unit="matrix", example=0.1, ge=0, le=LARGEST)


class ExpressionStatistic(Schema):
    """The sum of a function of the eigenvalues."""

    expression: str = described(
        "The function, in x: numbers, pi, e, + - * / **, brackets, and exp log sqrt sin cos tan sinh cosh tanh arctan expm1"
        " log1p.",
        unit="1",
        example="x/(1+x)",
        min_length=1,
        max_length=MAX_EXPRESSION,
    )


AN_EXPRESSION = "an expression instead"


def name(value: Any) -> Any:
    """Tell statistics apart: by name, or as an expression; named like the field, for messages that say where it is."""
    if isinstance(value, dict):
        return value["name"] if isinstance(value.get("name"), str) else AN_EXPRESSION
    return getattr(value, "name", AN_EXPRESSION) if isinstance(value, Schema) else None


Statistic = TypeAliasType(
    "Statistic",
    Annotated[
        Annotated[LogDetStatistic, Tag("log_det")]
        | Annotated[TraceInverseStatistic, Tag("trace_inverse")]
        | Annotated[MomentStatistic, Tag("moment")]
        | Annotated[EffectiveDimensionStatistic, Tag("effective_dimension")]
        | Annotated[ExpressionStatistic, Tag(AN_EXPRESSION)],
        Discriminator(name),
    ],
)

Coordinate = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
ComplexNumber = Annotated[list[Coordinate], Field(min_length=2, max_length=2)]


class SpectrumRequest(Schema):
    """What is the spectrum of this matrix, at these sizes?"""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_REQUEST]})

    matrix: Literal["sample_covariance", "kernel_matrix", "inner_product_kernel"] = described(
        "sample_covariance: X'X/n of the inputs, d x d. kernel_matrix: inner products of the model's features, n x n."
        " inner_product_kernel: f(x_i.x_j/sqrt(d))/sqrt(d) off the diagonal, 0 on it, f the model's activation.",
        unit="1",
        example="sample_covariance",
    )
    regime: Regime = Field(description="The data and its sizes.", examples=[EXAMPLE_REQUEST["regime"]])
    model: SpectrumModel = Field(
        default=SpectrumModel(),
        description="The features, for a kernel_matrix; whose activation is f, for an inner_product_kernel.",
        examples=[{"features": {"kind": "random_features", "layers": [{"activation": "tanh", "width": 600}]}}],
    )
    grid: Grid = Field(default=Grid(), description="Where the density is given.", examples=[{"num": 1000}])
    stieltjes: list[ComplexNumber] = described(
        "Points z, as real and imaginary part, at which m(z) = (1/dimension) tr (M - z)^-1 is given; real ones must lie"
        " outside the support.",
        unit="matrix",
        example=[[-1.0, 0.0], [2.0, 0.1]],
        default=[],
        max_length=MAX_TRANSFORMS,
        fail_fast=True,
    )
    statistics: list[Statistic] = Field(
        default=[],
        description="Sums over the eigenvalues: named ones, or expressions.",
        examples=[EXAMPLE_REQUEST["statistics"]],
        max_length=MAX_STATISTICS,
    )


class Atom(Schema):
    """An eigenvalue that a positive share of all eigenvalues has."""

    at: float = described("The eigenvalue.", unit="matrix", example=0.0)
    mass: float = described("Its share.", unit="1", example=0.5)


class Density(Schema):
    """The density of the eigenvalues; with the atoms its total mass is 1."""

    x: list[float] = described("Points, ascending.", unit="matrix", example=[0.58, 0.59])
    y: list[float | None] = described(
        "Density there; null where no certified value was found.", unit="1/matrix", example=[0.0, 0.9]
    )


class SpectrumOutlier(Schema):
    """An eigenvalue that may leave the bulk."""

    origin: Literal["spike", "mean", "class_means", "norms"] = described(
        "spike: of the population; mean: of the features; class_means: of two classes; norms: spurious, from fluctuations of"
        " the inputs' lengths.",
        unit="1",
        example="spike",
    )
    population: float | None = described(
        "Its value without sampling noise: the population eigenvalue of a spike, the strength of a mean, ||mu||^2 of classes.",
        unit="matrix",
        example=20.0,
    )
    at: float | None = described(
        "Where the eigenvalue is; if hidden, the end of the bulk that it sticks to.", unit="matrix", example=20.583
    )
    alignment: float | None = described(
        "Squared cosine between its eigenvector and the direction it comes from; null where not known.",
        unit="1",
        example=0.951,
    )
    visible: bool = Field(description="Whether it leaves the bulk.", examples=[True])
    misclassification: float | None = described(
        "Share of the samples on the wrong side when classes are told apart by the signs of the n x n matrix's eigenvector.",
        unit="1",
        example=None,
        default=None,
    )
    threshold: float | None = described(
        "The value of population from which it shows; null where there is none or it is not known.",
        unit="matrix",
        example=None,
        default=None,
    )


class StatisticValue(Schema):
    """A sum over all eigenvalues: dimension * per_dimension + mean_correction, give or take its standard deviation."""

    name: str | None = described("As asked; null for an expression.", unit="1", example="log_det", default=None)
    expression: str | None = described("As asked; null for a name.", unit="1", example=None, default=None)
    per_dimension: float | None = described(
        "Limit of the sum divided by the dimension.", unit="statistic", example=0.85
    )
    mean_correction: float | None = described(
        "By how much the mean of the sum exceeds dimension * per_dimension, for real Gaussian data.",
        unit="statistic",
        example=-0.35,
    )
    standard_deviation: float | None = described("Of the sum, for real Gaussian data.", unit="statistic", example=1.18)
    detail: str | None = described(
        "Why a number is null.", unit="1", example="log_det needs a positive shift ...", default=None
    )


class Spectrum(Schema):
    """The limiting spectrum of a matrix at its sizes."""

    key: str = described(
        "Content address of the canonical request and of the solver's version; also the ETag.",
        unit="1",
        example="9f2c...",
    )
    status: Literal["converged", "not_converged"] = described(
        "not_converged: some values of the density are null, or its mass is off.", unit="1", example="converged"
    )
    dimension: float = described("Of the matrix.", unit="eigenvalues", example=400)
    support: list[list[float]] = described(
        "Intervals that carry a density, ascending.", unit="matrix", example=[[0.58, 1.33], [1.93, 4.26]]
    )
    atoms: list[Atom] = Field(description="Eigenvalues that a positive share of all eigenvalues has.")
    density: Density = Field(description="On the grid.")
    outliers: list[SpectrumOutlier] = Field(description="Eigenvalues that may leave the bulk.")
    stieltjes: list[list[float]] = described(
        "m(z) at the points asked for, as real and imaginary part.", unit="1/matrix", example=[[0.33, 0.0]]
    )
    statistics: list[StatisticValue] = Field(description="The statistics asked for, in order.")
    warnings: list[PredictionWarning] = Field(description="What a careful reader should know.")
    sources: list[Source] = Field(description="Publications the answer rests on.")
