"""What the user has: the data and its sizes; one class a kind, one line in the union."""

from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypeAliasType

from api_schemas.activation import Activation
from api_schemas.base import (
    LARGEST,
    LARGEST_ROOT,
    LARGEST_SIZE,
    Nonnegative,
    Positive,
    Real,
    Schema,
    Whole,
    described,
)
from api_schemas.committee import (
    MAX_HIDDEN_UNITS,
    committee_activation_field,
    committee_variance_field,
    hidden_units_field,
    readout_field,
)
from api_schemas.covariance import Covariance, IsotropicCovariance
from api_schemas.target import IsotropicAlignment, MeanAlignment, Target


def _n_samples() -> Any:
    return described(
        "Number n of training samples; fractions are allowed.", unit="samples", example=800, gt=0, le=LARGEST_SIZE
    )


def _n_features() -> Any:
    return described(
        "Number d of inputs; a whole number where the covariance has one eigenvalue per feature.",
        unit="features",
        example=400,
        gt=0,
        le=LARGEST_SIZE,
    )


def _covariance(description: str = "Covariance Sigma of the inputs.") -> Any:
    return Field(
        default=IsotropicCovariance(), description=description, examples=[{"kind": "isotropic", "variance": 1.0}]
    )


def _noise_variance() -> Any:
    return described(
        "Variance of the label noise, which test_error includes.",
        unit="label^2",
        example=0.25,
        default=0.0,
        ge=0,
        le=LARGEST,
    )


class RegressionRegime(Schema):
    """Inputs x = Sigma^(1/2) z with independent entries z, labels from a target with noise."""

    kind: Literal["regression"]
    n_samples: float = _n_samples()
    n_features: float = _n_features()
    covariance: Covariance = _covariance()
    target: Target = Field(
        default=Target(), description="The function to be learned.", examples=[{"signal_variance": 1.0}]
    )
    noise_variance: float = _noise_variance()


class EigenspectrumRegime(Schema):
    """A kernel, or features, known by the eigenvalues of its population operator and the target's energy on each."""

    kind: Literal["eigenspectrum"]
    n_samples: float = _n_samples()
    eigenvalues: list[Nonnegative] = described(
        "Population eigenvalues; energy on an eigenvalue of 0 cannot be learned.",
        unit="feature^2",
        example=[1.0, 0.1],
        min_length=1,
        fail_fast=True,
    )
    multiplicities: list[Positive] | None = described(
        "How many modes share each eigenvalue; 1 each when omitted.",
        unit="modes",
        example=[10, 90],
        default=None,
        fail_fast=True,
    )
    energies: list[Nonnegative] = described(
        "E[(projection of the target)^2], summed over each group of modes.",
        unit="label^2",
        example=[0.8, 0.2],
        min_length=1,
        fail_fast=True,
    )
    tail_trace: float = described(
        "Trace of infinitely many infinitesimal modes beyond those listed.",
        unit="feature^2",
        example=0.0,
        default=0.0,
        ge=0,
        le=LARGEST,
    )
    noise_variance: float = _noise_variance()


class SphereRegime(Schema):
    """Inputs uniform on the sphere of radius sqrt(d); a target known by its energy on each degree of polynomials."""

    kind: Literal["sphere"]
    n_samples: float = _n_samples()
    n_features: float = described(
        "Dimension d of the space, a whole number from 3.", unit="features", example=24, gt=0, le=LARGEST_SIZE
    )
    degree_energies: list[Nonnegative] = described(
        "E[(projection of the target)^2] on the spherical harmonics of degree 0, 1, 2, ...",
        unit="label^2",
        example=[0.0, 0.5, 0.5],
        min_length=1,
        max_length=64,
        fail_fast=True,
    )
    noise_variance: float = _noise_variance()


class MixtureRegime(Schema):
    """Two classes x = y mu + Sigma^(1/2) z, y = +-1, that differ by their means."""

    kind: Literal["mixture"]
    n_samples: float = _n_samples()
    n_features: float = _n_features()
    covariance: Covariance = _covariance("Covariance Sigma of the inputs of each class.")
    mean_norm: float = described(
        "Length ||mu|| of a class mean: half the distance between the two.",
        unit="input",
        example=1.5,
        default=1.5,
        ge=0,
        le=LARGEST_ROOT,
    )
    mean_alignment: MeanAlignment = Field(
        default=IsotropicAlignment(),
        description="How ||mu||^2 lies along the eigenvectors of the covariance: the same in every direction, or by given"
        " shares, one for each distinct eigenvalue in the order given.",
        examples=[{"kind": "isotropic"}],
    )
    positive_fraction: float = described(
        "Share of the samples with y = +1.", unit="1", example=0.5, default=0.5, gt=0, lt=1
    )


class TeacherClassificationRegime(Schema):
    """Gaussian inputs, and labels +-1 from a latent linear function nu = w.x of them."""

    kind: Literal["teacher_classification"]
    n_samples: float = _n_samples()
    n_features: float = _n_features()
    covariance: Covariance = _covariance()
    target: Target = Field(
        default=Target(),
        description="The latent nu = w.x: its variance, and how it lies along the covariance.",
        examples=[{"signal_variance": 1.0}],
    )
    link: Literal["sign", "logistic"] = described(
        "sign: y = sign(nu + noise); logistic: y = 1 with probability 1 / (1 + exp(-nu)).", unit="1", example="sign"
    )
    noise_variance: float = described(
        "Variance of the noise under the sign; 0 for the logistic link.",
        unit="latent^2",
        example=0.0,
        default=0.0,
        ge=0,
        le=LARGEST,
    )


class TeacherNetworkRegime(Schema):
    """Gaussian inputs, labelled by a network of one hidden layer with independent random weights of variance 1, and noise."""

    kind: Literal["teacher_network"]
    n_samples: float = _n_samples()
    n_features: float = _n_features()
    covariance: Covariance = _covariance()
    hidden_units: Whole = hidden_units_field()
    activation: Activation = committee_activation_field()
    weight_variance: float = committee_variance_field()
    readout: list[Real] | None = readout_field()
    overlaps: list[list[Real]] | None = described(
        "w*_n . w*_m / d of the hidden units; 1 on the diagonal and 0 off it when omitted.",
        unit="1",
        example=None,
        default=None,
        max_length=MAX_HIDDEN_UNITS,
    )
    noise_variance: float = _noise_variance()


class DatasetRegime(Schema):
    """Rows of a stored data set: how well a model does on the population that they are a sample of."""

    kind: Literal["dataset"]
    dataset_id: str = described(
        "The data set, as POST /v1/datasets named it.",
        unit="1",
        example="5e99a4de52f11dd90df5fb7107a4136bae09264883c4bb2cc6307497c6b8a64a",
        pattern="^[0-9a-f]{64}$",
    )
    n_samples: float = described(
        "Number n of training samples, drawn from the population like the rows; it may exceed their number, and be a fraction.",
        unit="samples",
        example=500,
        gt=0,
        le=LARGEST_SIZE,
    )


Regime = TypeAliasType(
    "Regime",
    Annotated[
        RegressionRegime
        | EigenspectrumRegime
        | SphereRegime
        | MixtureRegime
        | TeacherClassificationRegime
        | TeacherNetworkRegime
        | DatasetRegime,
        Field(discriminator="kind"),
    ],
)
