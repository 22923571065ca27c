"""The catalogue, read off the registry and the schemas."""

import inspect
from collections.abc import Mapping
from typing import Any

import theory
from api_schemas.activation import BY_NAME
from api_schemas.base import Schema
from api_schemas.catalogue import Catalogue, CatalogueKind, Combination, Parameter
from workers.registry import ALIGNMENTS, COMBINATIONS, COVARIANCES, FEATURES, KERNELS, LEARNERS, REGIMES, Kind

DESCRIPTIVE = {"description", "examples", "title", "default", "x-unit"}


def catalogue(version: str) -> Catalogue:
    """Describe every kind that the registry holds.

    Args:
        version: of the service.
    """
    return Catalogue(
        version=version,
        solver_version=theory.SOLVER_VERSION,
        features=_kinds("features", FEATURES),
        learners=_kinds("learners", LEARNERS),
        regimes=_kinds("regimes", REGIMES),
        kernels=_kinds("kernels", KERNELS),
        activations=_activations(),
        covariances=_kinds("covariances", COVARIANCES),
        alignments=_kinds("alignments", ALIGNMENTS),
        combinations=[Combination(**combination) for combination in COMBINATIONS],
    )


def _kinds(group: str, table: Mapping[str, Kind]) -> list[CatalogueKind]:
    return [
        CatalogueKind(
            kind=name,
            description=inspect.getdoc(row.schema) or "",
            parameters=_parameters(row.schema),
            sources=list(row.sources),
            docs=f"docs/kinds/{group}.md#{name}",
        )
        for name, row in table.items()
    ]


def _activations() -> list[CatalogueKind]:
    """Describe the activations: what they are is said by the theory, their parameters by the schemas of those that have any."""
    schemas = {name: type(default) for name, default in BY_NAME.items()}
    return [
        CatalogueKind(
            kind=name,
            description=(inspect.getdoc(row) or "").partition("\n\n")[0],
            parameters=_parameters(schemas[name]) if name in schemas else [],
            sources=[],
            docs=f"docs/kinds/activations.md#{name}",
        )
        for name, row in theory.activations.ACTIVATIONS.items()
    ]


def _parameters(schema: type[Schema]) -> list[Parameter]:
    document = schema.model_json_schema()
    required = document.get("required", [])
    return [
        Parameter(
            name=name,
            description=described.get("description", ""),
            unit=described.get("x-unit", "1"),
            required=name in required,
            default=described.get("default"),
            domain=_domain(described),
        )
        for name, described in document.get("properties", {}).items()
        if name != "kind"
    ]


def _domain(described: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in described.items() if name not in DESCRIPTIVE}
