"""``POST /v1/validations``: the same problem, drawn and trained at its finite size, beside what the theory says."""

from typing import Any, Literal

from pydantic import ConfigDict, Field

from api_schemas.base import Schema, Whole, described
from api_schemas.prediction import EXAMPLE_REQUEST, PredictionRequest

MOST_REPLICATES = 100_000
LARGEST_SEED = 2**63 - 1

EXAMPLE_VALIDATION: dict[str, Any] = {"request": EXAMPLE_REQUEST, "replicates": 100, "seed": 0}


class ValidationRequest(Schema):
    """Draw and train a prediction's model in its regime, many times over."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_VALIDATION]})

    request: PredictionRequest = Field(
        description="What to simulate; its sizes must be whole.", examples=[EXAMPLE_REQUEST]
    )
    replicates: Whole = described(
        "How many training sets are drawn, each with features and a target of its own.",
        unit="1",
        example=100,
        default=100,
        ge=2,
        le=MOST_REPLICATES,
    )
    seed: Whole = described(
        "Of the random streams, one for each replicate: with the same backend, the same seed gives the same numbers anywhere.",
        unit="1",
        example=0,
        default=0,
        ge=0,
        le=LARGEST_SEED,
    )
    backend: Literal["auto", "numpy", "cupy"] = described(
        "auto: a GPU where a worker has one, NumPy otherwise.", unit="1", example="auto", default="auto"
    )
    dtype: Literal["float64", "float32"] = described(
        "Arithmetic of the simulation. In float32 one replicate of each chunk is trained in both, from the same draws, and what"
        " that changes is allowed for.",
        unit="1",
        example="float64",
        default="float64",
    )
    precision: float | None = described(
        "Stop once the standard error of test_error is below this share of it; all replicates when omitted.",
        unit="1",
        example=0.01,
        default=None,
        gt=0,
        lt=1,
    )


class Comparison(Schema):
    """One quantity, as the theory has it and as it was measured."""

    theory: float = described("What the prediction says.", unit="label^2", example=0.42678)
    mean: float | None = described(
        "Mean over the replicates; null where none of them has an answer.", unit="label^2", example=0.4271
    )
    standard_error: float | None = described(
        "Of that mean; null where fewer than two replicates have an answer.", unit="label^2", example=0.0011
    )
    z: float | None = described(
        "(mean - theory) / standard_error; null where the replicates do not scatter.", unit="1", example=0.29
    )
    allowance: float = described(
        "What the limit of large sizes neglects, of order 1/n: the change of the theory by two samples, and a part in n. On a"
        " data set half the width of the interval, or the same share of other quantities.",
        unit="label^2",
        example=0.0021,
    )
    rounding: float = described(
        "The part of allowance that float32 is seen to cost; 0 in float64.", unit="label^2", example=0.0, default=0.0
    )
    missing: int = described(
        "Replicates left out because training has no finite answer on what they drew.", unit="1", example=0, default=0
    )
    agrees: bool = described(
        "Whether the two differ by no more than the allowance and three standard errors.", unit="1", example=True
    )


class Validation(Schema):
    """Theory beside simulation."""

    quantities: dict[str, Comparison] = Field(
        description="By the names of the prediction's fields.",
        examples=[
            {
                "test_error": {
                    "theory": 0.4268,
                    "mean": 0.4271,
                    "standard_error": 0.0011,
                    "z": 0.27,
                    "allowance": 0.0021,
                    "agrees": True,
                }
            }
        ],
    )
    replicates: int = described("How many counted.", unit="1", example=100)
    backend: Literal["numpy", "cupy"] = described("What did the linear algebra.", unit="1", example="numpy")
    device: str = described("Where.", unit="1", example="cpu")
    agrees: bool = described("Whether every quantity does.", unit="1", example=True)
    warnings: list[str] = described(
        "Codes of the prediction's warnings: where it is known to be off.", unit="1", example=[]
    )
