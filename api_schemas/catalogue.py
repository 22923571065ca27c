"""``GET /v1/catalogue``: everything that can be asked."""

from typing import Any

from pydantic import Field

from api_schemas.base import Schema, described
from api_schemas.prediction import Source


class Parameter(Schema):
    """A field of a kind."""

    name: str = described("The field's name on the wire.", unit="1", example="penalty")
    description: str = described("What it means.", unit="1", example="Weight of ||theta||^2.")
    unit: str = described("Its unit; '1' if it has none.", unit="1", example="input^2")
    required: bool = described("Whether it must be given.", unit="1", example=True)
    default: Any = Field(default=None, description="What it is when not given.", examples=[1.0])
    domain: dict[str, Any] = Field(
        description="Bounds and shape, in the words of JSON Schema.", examples=[{"type": "number", "minimum": 0}]
    )


class CatalogueKind(Schema):
    """One admissible `kind`."""

    kind: str = described("The value of the field `kind`.", unit="1", example="ridge")
    description: str = described("What it is.", unit="1", example="Ridge regression.")
    parameters: list[Parameter] = Field(description="Its fields beside `kind`.")
    sources: list[Source] = Field(description="Publications its theory rests on.")
    docs: str = described("Its page in the documentation.", unit="1", example="docs/kinds/ridge.md")


class Combination(Schema):
    """Features, learner and regime that have a theory together."""

    features: str = described("Kind of the features.", unit="1", example="linear")
    learner: str = described("Kind of the learner.", unit="1", example="ridge")
    regime: str = described("Kind of the regime.", unit="1", example="regression")


class Catalogue(Schema):
    """Every kind, its parameters, which combinations have a theory, and its sources."""

    version: str = described("Version of the service.", unit="1", example="0.1.0")
    solver_version: str = described("Version of the equations; part of every key.", unit="1", example="1")
    features: list[CatalogueKind] = Field(description="Kinds of model.features.")
    learners: list[CatalogueKind] = Field(description="Kinds of model.learner.")
    regimes: list[CatalogueKind] = Field(description="Kinds of regime.")
    kernels: list[CatalogueKind] = Field(description="Kinds of model.features.kernel.")
    activations: list[CatalogueKind] = Field(description="Activations of a layer.")
    covariances: list[CatalogueKind] = Field(description="Kinds of regime.covariance.")
    alignments: list[CatalogueKind] = Field(description="Kinds of regime.target.alignment.")
    combinations: list[Combination] = Field(description="What goes together.")
