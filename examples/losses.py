"""Square, logistic and hinge loss on the same two classes, over the number of samples.

Run with ``.venv/bin/python examples/losses.py``; nothing is trained, every number is a limit of large sizes.
"""

from math import erfc

import numpy as np

from theory.classification.convex import predict_classifier
from theory.classification.labels import MixtureLabels
from theory.classification.losses import Hinge, Logistic, Square
from theory.classification.separability import separability
from theory.equivalents.population import SpectralPopulation

LOSSES = {"square": Square(), "logistic": Logistic(), "hinge": Hinge()}
PENALTIES = np.geomspace(1e-3, 1e2, 16)


def main() -> None:
    """Print misclassification, without a penalty and at the best of a few, beside the Bayes error."""
    d, norm = 200.0, 1.5
    classes = SpectralPopulation(
        eigenvalues=np.array([1.0]), multiplicities=np.array([d]), couplings=np.array([norm**2])
    )
    labels = MixtureLabels(positive_fraction=0.5, fit_intercept=False)
    print(f"Two Gaussian classes of {d:g} features, ||mu|| = {norm}; Bayes error {0.5 * erfc(norm / 2**0.5):.4f}")
    print("Misclassification without a penalty (- where no finite weights are optimal), and at the best penalty\n")
    print(f"{'n':>6}" + "".join(f"{name:>20}" for name in LOSSES) + f"{'separable':>12}")
    for n_samples in (50, 100, 150, 200, 300, 500, 800, 1500, 3000):
        cells = []
        for loss in LOSSES.values():
            plain = predict_classifier(classes, labels, loss, n_samples=n_samples, penalty=0.0)
            best = min(
                predict_classifier(classes, labels, loss, n_samples=n_samples, penalty=float(penalty)).test_error
                for penalty in PENALTIES
            )
            cells.append(f"{f'{plain.test_error:.4f}' if plain.status == 'converged' else '-':>12}{best:8.4f}")
        separable = separability(classes, labels, n_samples=n_samples).separable
        print(f"{n_samples:>6}" + "".join(cells) + f"{'yes' if separable else 'no':>12}")


if __name__ == "__main__":
    main()
