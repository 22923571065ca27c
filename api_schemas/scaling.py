"""``POST /v1/scaling-laws``: the request and the answer."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from typing_extensions import TypeAliasType

from api_schemas.base import LARGEST, Nonnegative, Positive, Schema, Whole, described
from api_schemas.prediction import PredictionWarning, Source

LARGEST_BUDGET = 1e18
MOST_BUDGETS = 20
STEEPEST = 10.0

EXAMPLE_REQUEST: dict[str, Any] = {
    "spectrum": {"kind": "power_law", "exponent": 1.5, "source_exponent": 0.3},
    "noise_variance": 0.0,
    "budgets": [1e6, 1e9],
}


class PowerLawSpectrum(Schema):
    """Infinitely many modes: eigenvalues scale * i^-exponent, energies proportional to i^-(1 + 2 exponent source_exponent)."""

    kind: Literal["power_law"]
    exponent: float = described(
        "How fast the eigenvalues decay; above 1 their sum is finite.", unit="1", example=1.5, gt=1, le=STEEPEST
    )
    source_exponent: float = described(
        "r of the source condition: how well the target lies along the leading modes.",
        unit="1",
        example=0.3,
        gt=0,
        le=STEEPEST,
    )
    scale: float = described("The largest eigenvalue.", unit="feature^2", example=1.0, default=1.0, ge=1e-30, le=1e30)
    signal_variance: float = described(
        "Sum of the energies: the variance of the target.",
        unit="label^2",
        example=1.0,
        default=1.0,
        ge=1e-30,
        le=1e30,
    )


class ExplicitSpectrum(Schema):
    """Modes with the target's energy on each, to which power laws are fitted. The kind may be left out."""

    kind: Literal["explicit"] = "explicit"
    eigenvalues: list[Nonnegative] = described(
        "Population eigenvalues, in any order.",
        unit="feature^2",
        example=[1.0, 0.35, 0.19],
        min_length=1,
        fail_fast=True,
    )
    energies: list[Nonnegative] = described(
        "E[(projection of the target)^2], summed over each group of modes.",
        unit="label^2",
        example=[0.5, 0.14, 0.07],
        min_length=1,
        fail_fast=True,
    )
    multiplicities: list[Positive] | None = described(
        "How many modes share each eigenvalue; 1 each when omitted.",
        unit="modes",
        example=None,
        default=None,
        fail_fast=True,
    )
    first: Whole = described(
        "Position, from 1 and by falling eigenvalue, of the first mode that the laws are fitted to.",
        unit="modes",
        example=1,
        default=1,
        ge=1,
    )
    last: Whole | None = described(
        "Position of the last; all positive eigenvalues when omitted.", unit="modes", example=None, default=None, ge=1
    )


def _explicit_by_default(value: Any) -> Any:
    """A spectrum without a kind is spelled out, and so is what regimes call an eigenspectrum."""
    if isinstance(value, dict) and value.get("kind", "eigenspectrum") == "eigenspectrum":
        return {**value, "kind": "explicit"}
    return value


ScalingSpectrum = TypeAliasType(
    "ScalingSpectrum",
    Annotated[
        Annotated[PowerLawSpectrum | ExplicitSpectrum, Field(discriminator="kind")],
        BeforeValidator(_explicit_by_default),
    ],
)

Budget = Annotated[float, Field(ge=1, le=LARGEST_BUDGET)]


class ScalingLawsRequest(Schema):
    """How does the error fall with samples, width, time and compute?"""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_REQUEST]})

    spectrum: ScalingSpectrum = Field(
        description="Eigenvalues of the features and energies of the target: a power law, or each of them.",
        examples=[EXAMPLE_REQUEST["spectrum"]],
    )
    noise_variance: float = described(
        "Variance of the label noise.", unit="label^2", example=0.0, default=0.0, ge=0, le=LARGEST
    )
    budgets: list[Budget] = described(
        "Of compute, n_samples * width and width * time, for each of which the best split is wanted.",
        unit="n_samples * width, or width * time",
        example=[1e6, 1e9],
        default=[],
        max_length=MOST_BUDGETS,
    )


def _exponent(description: str, example: float) -> Any:
    return described(description, unit="1", example=example)


class Exponents(Schema):
    """Powers with which the excess risk goes, and below the best penalty and time. Null where the fit allows for no law."""

    samples: float | None = _exponent("Over n_samples: no noise, no penalty, width and time to spare.", -0.9)
    width: float | None = _exponent("Over the width: samples and time to spare, no penalty.", -0.9)
    time: float | None = _exponent("Of gradient flow over its time: samples and width to spare.", -0.6)
    samples_noisy_ridgeless: float | None = _exponent("Over n_samples, with noise and no penalty: no decay.", 0.0)
    samples_noisy_optimal_penalty: float | None = _exponent("Over n_samples, with noise, at the best penalty.", -0.4737)
    samples_noisy_optimal_time: float | None = _exponent(
        "Over n_samples, with noise, of gradient flow stopped at the best time.", -0.4737
    )
    optimal_penalty: float | None = _exponent("Of the best penalty itself over n_samples, with noise.", -0.7895)
    optimal_time: float | None = _exponent("Of the best time itself over n_samples, with noise.", 0.7895)


def _amplitude(name: str, unit: str, example: float | None) -> Any:
    return described(f"Factor of size^exponents.{name}.", unit=unit, example=example)


class Amplitudes(Schema):
    """What the powers are multiplied with as sizes grow.

    Null of noisy regimes without noise, where a power carries a logarithm, and where there is no law.
    """

    samples: float | None = _amplitude("samples", "label^2", 2.5)
    width: float | None = _amplitude("width", "label^2", 4.1)
    time: float | None = _amplitude("time", "label^2/input^(2 * exponent)", 0.37)
    samples_noisy_ridgeless: float | None = _amplitude("samples_noisy_ridgeless", "label^2", None)
    samples_noisy_optimal_penalty: float | None = _amplitude("samples_noisy_optimal_penalty", "label^2", None)
    samples_noisy_optimal_time: float | None = _amplitude("samples_noisy_optimal_time", "label^2", None)
    optimal_penalty: float | None = _amplitude("optimal_penalty", "feature^2", None)
    optimal_time: float | None = _amplitude("optimal_time", "1/feature^2", None)


class RidgeComputeLaw(Schema):
    """The best split of samples times width, as budgets grow: powers of the budget."""

    cost: Literal["n_samples * width"] = described("What is spent.", unit="1", example="n_samples * width")
    error: float = described("Of the excess risk, at the best penalty.", unit="1", example=-0.45)
    width: float = described("Of the width.", unit="1", example=0.5)
    n_samples: float = described("Of the number of samples.", unit="1", example=0.5)
    flat: bool = described(
        "Whether other splits do as well to leading order; the split is then the one of least width.",
        unit="1",
        example=False,
    )


class FlowComputeLaw(Schema):
    """The best split of width times time, as budgets grow and samples are to spare: powers of the budget."""

    cost: Literal["width * time"] = described("What is spent.", unit="1", example="width * time")
    error: float = described("Of the excess risk.", unit="1", example=-0.36)
    width: float = described("Of the width.", unit="1", example=0.4)
    time: float = described("Of the time.", unit="1", example=0.6)


class ComputeOptimal(Schema):
    """How to spend compute, by what it is spent on."""

    ridge: RidgeComputeLaw = Field(description="Ridge regression on random features, at its best penalty.")
    gradient_flow: FlowComputeLaw = Field(description="Gradient flow on random features, samples to spare.")


class ScalingCrossover(Schema):
    """Where two laws are equal: variable = coefficient * of^exponent; beyond it, the second of the two limits the error."""

    between: list[str] = described("Names of the two laws.", unit="1", example=["width", "samples"])
    variable: Literal["n_samples", "width", "time"] = described("The size that grows.", unit="1", example="width")
    coefficient: float = described("See above.", unit="variable", example=1.76)
    of: Literal["n_samples", "width", "time"] | None = described(
        "The size it is compared with; null where it is compared with the noise.", unit="1", example="n_samples"
    )
    exponent: float = described("See above; 0 where of is null.", unit="1", example=1.0)


class RidgeAllocation(Schema):
    """The split of a budget at which the equations have the least test error of ridge regression."""

    budget: float = described("n_samples * width.", unit="samples * features", example=1e6)
    width: float = described("Random features, not rounded.", unit="features", example=1406.05)
    n_samples: float = described("Samples, not rounded.", unit="samples", example=711.2)
    penalty: float = described("The best one there, not below 0.", unit="feature^2", example=1e-4)
    test_error: float = described("Against a fresh noisy label.", unit="label^2", example=0.00889)
    excess_risk: float = described("test_error - noise_variance.", unit="label^2", example=0.00889)


class FlowAllocation(Schema):
    """The split of a budget at which the equations have the least test error of gradient flow, samples to spare."""

    budget: float = described("width * time.", unit="features/feature^2", example=1e6)
    width: float = described("Random features, not rounded.", unit="features", example=1012.9)
    time: float = described("How long the flow runs.", unit="1/feature^2", example=987.3)
    test_error: float = described("Against a fresh noisy label.", unit="label^2", example=0.0091)
    excess_risk: float = described("test_error - noise_variance.", unit="label^2", example=0.0091)


class FittedExponent(Schema):
    """An exponent with its standard error, and how much it changes over the modes."""

    value: float = described("As fitted.", unit="1", example=1.5)
    standard_error: float = described("Of the value.", unit="1", example=0.01)


class ScalingFit(Schema):
    """The power laws that were fitted to the spectrum."""

    exponent: FittedExponent = Field(description="Of the eigenvalues: i^-exponent.")
    energy_exponent: FittedExponent = Field(description="Of the energies: i^-energy_exponent.")
    source_exponent: FittedExponent = Field(description="(energy_exponent - 1) / (2 exponent).")
    scale: float = described("Of the eigenvalues: their law at i = 1.", unit="feature^2", example=1.0)
    energy: float = described("Of the energies: their law at i = 1.", unit="label^2", example=0.5)
    first: float = described("Position of the first mode used.", unit="modes", example=1.0)
    last: float = described("Position of the last mode used.", unit="modes", example=2000.0)
    groups: int = described("Groups of modes, ten a decade, between which was fitted.", unit="1", example=31)


class ScalingLaws(Schema):
    """Exponents, amplitudes and crossovers of the excess risk, and how to spend compute."""

    key: str = described(
        "Content address of the canonical request and of the solver's version; also the ETag.",
        unit="1",
        example="9f2c...",
    )
    status: Literal["converged", "not_converged"] = described(
        "not_converged: an allocation could not be certified.", unit="1", example="converged"
    )
    exponents: Exponents = Field(description="Of each regime.")
    amplitudes: Amplitudes = Field(description="Of each regime, at the signal and noise asked for.")
    standard_errors: dict[str, float] | None = described(
        "Of fitted exponents, by their dotted path, such as exponents.samples and compute_optimal.ridge.error; null where"
        " nothing was fitted.",
        unit="1",
        example=None,
    )
    compute_optimal: ComputeOptimal | None = Field(
        description="How to spend compute as budgets grow; null where the fit allows for no law."
    )
    crossovers: list[ScalingCrossover] = Field(description="Where one law gives way to another.", examples=[[]])
    allocations: list[RidgeAllocation] = Field(
        description="The best split of n_samples * width for each budget, in order, of ridge regression.", examples=[[]]
    )
    flow_allocations: list[FlowAllocation] = Field(
        description="The best split of width * time for each budget, in order, of gradient flow.", examples=[[]]
    )
    fit: ScalingFit | None = Field(
        description="Where a spectrum was given: the power laws fitted to it.", examples=[None]
    )
    assumptions: list[str] = described(
        "What the numbers rest on, a sentence each.", unit="1", example=["The modes go on for ever."]
    )
    warnings: list[PredictionWarning] = Field(description="What a careful reader should know.", examples=[[]])
    sources: list[Source] = Field(description="Publications the answer rests on.")
