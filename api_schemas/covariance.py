"""Covariances of the inputs: one class a kind, one line in the union."""

from typing import Annotated, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from api_schemas.base import LARGEST, Nonnegative, Positive, Schema, described


class IsotropicCovariance(Schema):
    """Every direction has the same variance."""

    kind: Literal["isotropic"] = "isotropic"
    variance: float = described(
        "Variance of the inputs in every direction.", unit="input^2", example=1.0, default=1.0, gt=0, le=LARGEST
    )


class DiscreteCovariance(Schema):
    """A few distinct eigenvalues, each for a given share of all directions."""

    kind: Literal["discrete"]
    eigenvalues: list[Nonnegative] = described(
        "The distinct eigenvalues.",
        unit="input^2",
        example=[1.0, 5.0],
        min_length=1,
        fail_fast=True,
    )
    weights: list[Positive] = described(
        "Share of the directions that has each eigenvalue; the shares sum to 1.",
        unit="1",
        example=[0.5, 0.5],
        min_length=1,
        fail_fast=True,
    )


class PowerLawCovariance(Schema):
    """Eigenvalue i is scale * i^-exponent for i = 1, ..., n_features."""

    kind: Literal["power_law"]
    exponent: float = described("How fast the eigenvalues decay.", unit="1", example=1.5, gt=0, le=40)
    scale: float = described("The largest eigenvalue.", unit="input^2", example=1.0, default=1.0, gt=0, le=LARGEST)


class SpikedCovariance(Schema):
    """An isotropic bulk with a few eigenvalues of their own; alignment energies list the bulk first."""

    kind: Literal["spiked"]
    bulk_variance: float = described(
        "Variance in all directions but the spikes'.", unit="input^2", example=1.0, default=1.0, ge=0, le=LARGEST
    )
    spikes: list[Positive] = described(
        "Eigenvalues of the spikes, one direction each.",
        unit="input^2",
        example=[30.0, 10.0],
        min_length=1,
        fail_fast=True,
    )


class Ar1Covariance(Schema):
    """Entry (i, j) is correlation^|i-j|; alignment energies list the modes from the largest eigenvalue down."""

    kind: Literal["ar1"]
    correlation: float = described("Correlation of neighbouring features.", unit="1", example=0.5, gt=-1, lt=1)


class ExplicitCovariance(Schema):
    """All eigenvalues, one for each feature."""

    kind: Literal["explicit"]
    eigenvalues: list[Nonnegative] = described(
        "The n_features eigenvalues.",
        unit="input^2",
        example=[3.0, 1.0, 0.5],
        min_length=1,
        fail_fast=True,
    )


Covariance = TypeAliasType(
    "Covariance",
    Annotated[
        IsotropicCovariance
        | DiscreteCovariance
        | PowerLawCovariance
        | SpikedCovariance
        | Ar1Covariance
        | ExplicitCovariance,
        Field(discriminator="kind"),
    ],
)
