"""``make bench``: every number beside its baseline, in one run; ratios are what to read on a shared machine.

Run on an otherwise idle machine: the service and the load generator take a core each.
"""

import argparse
import platform

from benchmarks import classification, dynamics, features, gradients, serving, solving, spectra
from benchmarks.report import Report


def main() -> None:
    """Run the chosen benchmarks and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "only",
        nargs="*",
        choices=["serving", "solving", "features", "spectra", "dynamics", "classification", "gradients", "memory", []],
        help="all when none is named",
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, for a look")
    options = parser.parse_args()
    chosen = options.only or [
        "solving",
        "features",
        "spectra",
        "dynamics",
        "classification",
        "gradients",
        "serving",
        "memory",
    ]
    report = Report()
    print(
        f"Python {platform.python_version()}, {platform.machine()}; ratios are against the baseline named beside them\n"
    )
    if "solving" in chosen:
        solving.run(report, quick=options.quick)
    if "features" in chosen:
        features.run(report, quick=options.quick)
    if "spectra" in chosen:
        spectra.run(report, quick=options.quick)
    if "dynamics" in chosen:
        dynamics.run(report, quick=options.quick)
    if "classification" in chosen:
        classification.run(report, quick=options.quick)
    if "gradients" in chosen:
        gradients.run(report, quick=options.quick)
    if "serving" in chosen:
        serving.run(report, quick=options.quick)
    if "memory" in chosen:
        serving.memory(report, quick=options.quick)
    report.print()
    raise SystemExit(0 if report.all_met() else 1)


if __name__ == "__main__":
    main()
