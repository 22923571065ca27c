"""Errors on the wire: RFC 9457 problem details."""

from pydantic import Field

from api_schemas.base import Schema, described


class ProblemError(Schema):
    """One thing that is wrong with a request body."""

    pointer: str = described(
        "Where, as a JSON pointer into the body (RFC 6901); empty for the whole.",
        unit="1",
        example="/model/learner/penalty",
    )
    detail: str = described(
        "What is wrong there and what would be right.", unit="1", example="must be at least 0, got -1"
    )


class Problem(Schema):
    """Why a request was refused or failed."""

    type: str = described("Identifies the kind of problem.", unit="1", example="urn:foretell:problem:validation_error")
    title: str = described("The kind of problem, in words.", unit="1", example="The request does not fit the schema")
    status: int = described("The HTTP status.", unit="1", example=422)
    detail: str = described("What happened this time and what to do.", unit="1", example="1 field is not admissible.")
    code: str = described("The kind of problem as a fixed name.", unit="1", example="validation_error")
    instance: str | None = described("The request's id.", unit="1", example="urn:uuid:6f1c...", default=None)
    errors: list[ProblemError] | None = Field(
        default=None, description="For a refused body, what is wrong and where.", examples=[None]
    )
