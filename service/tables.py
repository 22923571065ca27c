"""Answers as tables on the terminal."""

from rich.console import Console
from rich.table import Table

from api_schemas.prediction import Prediction
from api_schemas.spectra import Spectrum
from api_schemas.validation import Validation


def show_prediction(prediction: Prediction) -> None:
    """Print a prediction."""
    console = Console(highlight=False)
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    rows = {
        "status": prediction.status,
        "phase": prediction.phase,
        "test error": prediction.test_error,
        "  excess risk": prediction.excess_risk,
        "    bias": prediction.bias,
        "    variance": prediction.variance,
        "train error": prediction.train_error,
        "estimator norm squared": prediction.estimator_norm_squared,
        "effective ridge": prediction.effective.ridge,
        "degrees of freedom df1": prediction.effective.df1,
        "degrees of freedom df2": prediction.effective.df2,
    }
    for name, value in rows.items():
        table.add_row(name, "-" if value is None else f"{value:.8g}" if isinstance(value, float) else str(value))
    console.print(table)
    for warning in prediction.warnings:
        console.print(f"[yellow]{warning.code}[/yellow]: {warning.detail}")


def show_spectrum(found: Spectrum) -> None:
    """Print a spectrum, without its density."""
    console = Console(highlight=False)
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(justify="right")
    table.add_row("status", found.status)
    table.add_row("dimension", f"{found.dimension:.8g}")
    for low, high in found.support:
        table.add_row("support", f"{low:.8g} to {high:.8g}")
    for atom in found.atoms:
        table.add_row("atom", f"{atom.mass:.8g} at {atom.at:.8g}")
    for outlier in found.outliers:
        at = "-" if outlier.at is None else f"{outlier.at:.8g}"
        alignment = "" if outlier.alignment is None else f", alignment {outlier.alignment:.6g}"
        table.add_row(f"outlier ({outlier.origin})", f"{at}{alignment}" if outlier.visible else f"hidden at {at}")
    for real, imaginary in found.stieltjes:
        table.add_row("transform", f"{real:.8g} {imaginary:+.8g} i")
    for statistic in found.statistics:
        values = (statistic.per_dimension, statistic.mean_correction, statistic.standard_deviation)
        limit, mean, deviation = ("-" if value is None else f"{value:.8g}" for value in values)
        table.add_row(
            statistic.name or statistic.expression, f"{limit} a dimension, mean {mean}, deviation {deviation}"
        )
    table.add_row("density", f"{len(found.density.x)} points; --csv prints them")
    console.print(table)
    for warning in found.warnings:
        console.print(f"[yellow]{warning.code}[/yellow]: {warning.detail}")


def show_validation(found: Validation) -> None:
    """Print how theory and simulation compare."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False)
    table.add_column("", style="bold")
    for name in ("theory", "mean", "standard error", "z", "allowance", "agrees"):
        table.add_column(name, justify="right")
    for name, row in found.quantities.items():
        numbers = (row.theory, row.mean, row.standard_error, row.z, row.allowance)
        cells = ["-" if value is None else f"{value:.5g}" for value in numbers]
        table.add_row(name.replace("_", " "), *cells, "yes" if row.agrees else "[red]no[/red]")
    console.print(table)
    console.print(f"{found.replicates} replicates on {found.backend} ({found.device})")
    if found.warnings:
        console.print(f"the prediction warns: {', '.join(found.warnings)}")
