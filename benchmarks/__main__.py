"""``make bench``: every number beside its baseline, in one run; ratios are what to read on a shared machine.

Run on an otherwise idle machine: the service and the load generator take a core each.
"""

import argparse
import platform

from benchmarks import (
    batches,
    classification,
    clusters,
    data,
    dynamics,
    features,
    gradients,
    jobs,
    optima,
    serving,
    simulation,
    solving,
    spectra,
)
from benchmarks.report import Report

BENCHMARKS = {
    "solving": solving.run,
    "features": features.run,
    "spectra": spectra.run,
    "dynamics": dynamics.run,
    "classification": classification.run,
    "clusters": clusters.run,
    "simulation": simulation.run,
    "batches": batches.run,
    "optima": optima.run,
    "gradients": gradients.run,
    "jobs": jobs.run,
    "serving": serving.run,
    "memory": serving.memory,
    "data": data.run,
}
ON_REQUEST = {"clusters", "data"}
"""Run by name only: they train thousands of models."""


def main() -> None:
    """Run the chosen benchmarks and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "only", nargs="*", choices=[*BENCHMARKS, []], help="all but clusters and data when none is named"
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, for a look")
    options = parser.parse_args()
    report = Report()
    print(
        f"Python {platform.python_version()}, {platform.machine()}; ratios are against the baseline named beside them\n"
    )
    for name in options.only or [name for name in BENCHMARKS if name not in ON_REQUEST]:
        BENCHMARKS[name](report, quick=options.quick)
    report.print()
    raise SystemExit(0 if report.all_met() else 1)


if __name__ == "__main__":
    main()
