"""``/v1/datasets``: a pool of rows that predictions are made from, and what is kept of it."""

from typing import Literal

from pydantic import Field

from api_schemas.base import Schema, described
from api_schemas.prediction import PredictionWarning

Format = Literal["csv", "npy", "npz", "parquet", "arrow"]
Task = Literal["regression", "classification"]
Standardize = Literal["none", "center", "scale"]


class DatasetForm(Schema):
    """How a file is to be read: what is posted beside it."""

    task: Task = described("What is predicted: numbers, or one of several classes.", unit="1", example="regression")
    target: list[str] = described(
        "Names or positions (from 0; -1 is the last) of the columns to predict, several for a regression of several. Of an NPZ"
        " also the name of the array that has them, which is y when left out.",
        unit="1",
        example=["progression"],
        default=[],
        max_length=100,
    )
    standardize: Standardize = described(
        "What is done to the features: nothing; their means are subtracted; they are divided by their standard deviations too."
        " Both are those of all rows.",
        unit="1",
        example="none",
        default="none",
    )
    format: Format | None = described(
        "Of the file; told by its first bytes when left out.", unit="1", example="csv", default=None
    )
    array: str | None = described(
        "Which array of an NPZ has the features; X, or the only one beside the targets, when left out.",
        unit="1",
        example="X",
        default=None,
        min_length=1,
        max_length=200,
    )


class DatasetReading(Schema):
    """A file that is to be read in."""

    dataset_id: str = described("Of the data set that it becomes.", unit="1", example="4f1c...")
    name: str = described("Of the file, as it is shown.", unit="1", example="diabetes.csv")
    limit: int = described("Most bytes that its numbers may take.", unit="byte", example=536870912)
    form: DatasetForm = Field(description="How it is to be read; with its format.", examples=[{"task": "regression"}])


class DatasetClass(Schema):
    """A class of a classification."""

    name: str = described("As it is in the file.", unit="1", example="setosa")
    rows: int = described("How many rows have it.", unit="1", example=50)


class DatasetEigenspectrum(Schema):
    """The population that the rows seem to be a sample of, in the fields of ``regime.kind = "eigenspectrum"``.

    It goes with ``model.fit_intercept`` true. Sums over it are well determined, single eigenvalues are not.
    """

    eigenvalues: list[float] = described("Of the covariance of the features.", unit="feature^2", example=[4.0, 1.0])
    multiplicities: list[float] = described("How many directions have it.", unit="1", example=[10.0, 54.0])
    energies: list[float] = described("Of the target, along each group.", unit="label^2", example=[0.7, 0.1])
    tail_trace: float = described("Of eigenvalues too small to be told from 0.", unit="feature^2", example=0.0)
    noise_variance: float = described("Of the labels, with what no linear function has.", unit="label^2", example=0.2)
    smallest_identified_ridge: float = described(
        "The effective ridge down to which the rows tell these apart.", unit="feature^2", example=0.01
    )


class DatasetEstimate(Schema):
    """What a linear fit of all rows says about them."""

    noise_variance: float | None = described(
        "Of the labels, with what no linear function of the features has, summed over target columns, of classes over those of"
        " their codes; null where it cannot be told.",
        unit="label^2",
        example=0.21,
    )
    reliability: float | None = described(
        "Exact leave-one-out error over generalised cross-validation, less 1, at the penalty that either finds best: how far"
        " two estimates of one number are apart.",
        unit="1",
        example=0.01,
    )
    effective_rank_trace: float | None = described(
        "(tr S)^2 / tr S^2 of the covariance S of the rows.", unit="1", example=12.4
    )
    effective_rank_norm: float | None = described("tr S / max eigenvalue of S.", unit="1", example=6.1)


class Dataset(Schema):
    """A data set as it is stored."""

    dataset_id: str = described(
        "Content address of the file and of how it is read, for regime.dataset_id.", unit="1", example="4f1c..."
    )
    created_at: float = described("When it was read in: seconds since 1970.", unit="s", example=1795878000.0)
    name: str = described("Of the file that was sent, without folders.", unit="1", example="diabetes.csv")
    format: Format = described("Of that file.", unit="1", example="csv")
    task: Task = described("What is predicted.", unit="1", example="regression")
    standardize: Standardize = described(
        "What was done to the features, by the means and standard deviations of all rows.", unit="1", example="none"
    )
    rows: int = described("How many rows; the size of the pool.", unit="1", example=442)
    features: list[str] = described("Their names, in the order of the columns.", unit="1", example=["age", "bmi"])
    targets: list[str] = described("Their names.", unit="1", example=["progression"])
    classes: list[DatasetClass] | None = Field(
        default=None,
        description="Of a classification, in the order of the codes: of two, the first is -1 and the second +1.",
        examples=[[{"name": "no", "rows": 120}, {"name": "yes", "rows": 80}]],
    )
    upload_bytes: int = described("Size of the file that was sent, which is not kept.", unit="byte", example=30000)
    stored_bytes: int = described(
        "Of everything that is kept: rows, targets, estimates.", unit="byte", example=60000, default=0
    )
    estimates: list[str] = described(
        "Names of the estimates that are kept, so that predictions from them are immediate.",
        unit="1",
        example=["linear"],
        default=[],
    )
    estimate: DatasetEstimate | None = Field(
        default=None,
        description="Of linear features with an intercept; null until the job has ended.",
        examples=[
            {"noise_variance": 0.2, "reliability": 0.01, "effective_rank_trace": 12.4, "effective_rank_norm": 6.1}
        ],
    )
    eigenspectrum: DatasetEigenspectrum | None = Field(
        default=None,
        description="Of linear features, for predictions with an intercept; null until the job has ended, or where it cannot"
        " be told.",
        examples=[None],
    )
    warnings: list[PredictionWarning] = Field(default=[], description="What to know about the rows.", examples=[[]])


class DatasetList(Schema):
    """Data sets, the newest first."""

    datasets: list[Dataset] = Field(description="Those that have been read in.", examples=[[]])
    next_cursor: str | None = described(
        "For the parameter cursor, to go on from here; null at the end.", unit="1", example=None
    )
