"""What an answer should be read with: each warning has a fixed code, a condition, and a sentence with its number."""

from api_schemas.prediction import PredictionRequest, PredictionWarning
from api_schemas.regime import RegressionRegime
from theory import Modes, RidgePrediction

FEW_SAMPLES = 20
"""Below this many samples the limit is a caricature: its error is of relative order 1 / n_samples."""
FEW_FREE_SAMPLES = 20
"""With fewer free samples than this, the mean over finite data exceeds the limit by more than about 5 %."""


def warnings_for(request: PredictionRequest, modes: Modes, risks: RidgePrediction) -> list[PredictionWarning]:
    """List what a careful reader should know of this prediction, most serious first."""
    n_samples = request.regime.n_samples
    found: list[tuple[str, str]] = []
    if risks.status == "divergent" and n_samples <= modes.n_unpenalised:
        found.append(
            (
                "no_samples_left",
                f"n_samples = {n_samples:g} leaves none beside the intercept, where the limit of large sizes diverges"
                " whatever the penalty",
            )
        )
    elif risks.status == "divergent":
        found.append(("interpolation_threshold", _divergence(modes, n_samples)))
    elif risks.status == "not_converged":
        found.append(
            (
                "not_converged",
                f"the relative residual of the fixed point is {risks.residual:.2g}, above its tolerance;"
                " the numbers are the best found and may be wrong",
            )
        )
    free = n_samples - risks.df2
    erring = risks.test_error > 0.0
    if risks.status == "converged" and erring and n_samples >= FEW_SAMPLES and free < FEW_FREE_SAMPLES:
        found.append(
            (
                "near_threshold",
                f"n_samples - df2 = {free:.3g} is small: at finite size the mean error exceeds this limit by a relative amount"
                f" of order {1 / max(free, 1.0):.2g}, and single runs scatter widely",
            )
        )
    if n_samples < FEW_SAMPLES:
        found.append(
            (
                "few_samples",
                f"n_samples = {n_samples:g}: the prediction is the limit of large sizes, from which finite ones differ by a"
                " relative amount of order 1 / n_samples; the limit depends on sizes through their ratios alone",
            )
        )
    if isinstance(request.regime, RegressionRegime):
        mean = request.regime.target.mean
        if mean != 0.0 and not request.model.fit_intercept:
            found.append(
                (
                    "mean_without_intercept",
                    f"the target's mean {mean:g} cannot be expressed without an intercept: its square, {mean * mean:g}, is part"
                    " of bias; set model.fit_intercept to true",
                )
            )
    return [PredictionWarning(code=code, detail=detail) for code, detail in found]


def _divergence(modes: Modes, n_samples: float) -> str:
    sentence = (
        f"n_samples = {n_samples:g} equals the number of free parameters at penalty 0: the test error is unbounded."
        " Any positive penalty makes it finite"
    )
    if modes.harmonic_mean > 0.0:
        per_sample = modes.n_modes / modes.harmonic_mean / n_samples
        label = modes.noise_variance + modes.unlearnable_variance
        sentence += f"; as the penalty vanishes it grows like {0.5 * label / per_sample**0.5:.6g} / sqrt(penalty)"
    return sentence
