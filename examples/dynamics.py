"""Two pictures of learning in time: epoch-wise double descent, and how far each step size gets.

Run with ``.venv/bin/python examples/dynamics.py``; nothing is trained, every number is a limit of large sizes.
"""

import numpy as np

import theory

BAR = 24


def epoch_wise_double_descent() -> None:
    """Quick directions fit noise before slow ones have learned anything: the error falls, rises, and falls again.

    Heckel and Yilmaz, arXiv:2007.10099, found this in networks and two-scale linear models.
    """
    modes = theory.Modes(eigenvalues=[1.0, 0.01], multiplicities=[250.0, 50.0], energies=[0.3, 1.0], noise_variance=0.5)
    times = np.geomspace(0.03, 1e4, 23)
    flow = theory.predict_gradient_flow(modes, 500.0, times)
    print("Gradient flow of linear regression, 250 quick and 50 slow directions, n = 500\n")
    print(f"{'time':>10}{'train':>9}{'test':>9}")
    for time, train, test in zip(times, flow.train_error, flow.test_error, strict=True):
        print(f"{time:10.3g}{train:9.4f}{test:9.4f} {'#' * round(BAR * (test - 1.0))}")


def phase_diagram_of_step_sizes() -> None:
    """One pass of SGD: short steps have not arrived, long ones are noisy, and from 2 / trace on nothing holds.

    Gradient descent is bounded by the largest eigenvalue instead, which is another number.
    """
    spectrum = theory.covariance.power_law(400, exponent=1.0)
    energies = theory.target.isotropic(spectrum, signal_variance=1.0)
    modes = theory.linear_modes(spectrum, energies, noise_variance=0.1)
    n_samples = np.array([100.0, 400.0, 1600.0, 6400.0])
    critical = theory.predict_sgd(modes, 1.0, 1e-6).critical_step_size
    descent = theory.largest_step_size(modes, 400.0)
    print(f"\nOne-pass SGD, eigenvalues 1/i: critical step 2 / trace = {critical:.4f};")
    print(f"gradient descent on 400 of the samples would be stable up to {descent:.4f}\n")
    print(f"{'step / critical':>16}" + "".join(f"{f'n = {n:g}':>11}" for n in n_samples))
    shares = (0.003, 0.01, 0.03, 0.1, 0.3, 0.6, 0.9, 0.99)
    table = np.array([theory.predict_sgd(modes, n_samples, share * critical).test_error for share in shares])
    best = table.argmin(axis=0)
    for row, share in enumerate(shares):
        marks = "".join(
            f"{value:10.4f}{'*' if best[column] == row else ' '}" for column, value in enumerate(table[row])
        )
        print(f"{share:16g}{marks}")
    print("\n(* the best step of each column: the more samples, the shorter)")


if __name__ == "__main__":
    epoch_wise_double_descent()
    phase_diagram_of_step_sizes()
