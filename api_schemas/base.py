"""What all wire models share: strictness, and how a field states its unit, domain and example."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

LARGEST = 1e100
"""No quantity exceeds this; squares and sums of admissible numbers then stay finite."""
LARGEST_ROOT = 1e50
"""No quantity exceeds this whose square is one."""
LARGEST_SIZE = 1e12
"""No count exceeds this; neighbouring counts are then told apart in double precision at the interpolation threshold."""


class Schema(BaseModel):
    """A wire model: unknown fields, NaN, Infinity and numbers written as strings are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def described(description: str, *, unit: str, example: Any, default: Any = ..., **domain: Any) -> Any:
    """Declare a field with everything that a reader of the schema needs.

    Args:
        description: one sentence.
        unit: of the value, "1" if it has none.
        example: an admissible value.
        default: omitted when the field is required.
        domain: ``gt``, ``ge``, ``lt``, ``le``, ``min_length``; for arrays also ``fail_fast``, which ends validation at
            the first bad entry: a body of millions of them would otherwise cost gigabytes of error records.
    """
    return Field(default, description=description, examples=[example], json_schema_extra={"x-unit": unit}, **domain)


def _as_integer(value: Any) -> Any:
    """Take 3.0 for the whole number that it is, as JSON does."""
    return int(value) if type(value) is float and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_as_integer)]
"""A whole number, however it is written."""
Nonnegative = Annotated[float, Field(ge=0, le=LARGEST)]
Real = Annotated[float, Field(ge=-LARGEST_ROOT, le=LARGEST_ROOT)]
Positive = Annotated[float, Field(gt=0, le=LARGEST)]
