"""The logistic loss: a proximal operator that converges for every V, and sums over nodes that resolve it to rounding."""

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from theory.classification.loss import Array, Averages, Jump, Pointwise
from theory.classification.nodes import Focus, Nodes, gaussian_nodes

SETTLED = 1e-8
"""Newton's last step, after which it has twice as many digits."""
MAX_NEWTON_STEPS = 100

_CHECKED = np.linspace(-1.0, 1.0, 81)


class Logistic:
    """``log(1 + exp(-u))``."""

    anchor = 0.0
    slope_at_zero = 0.5

    def value(self, margin: Array) -> Array:
        """The loss."""
        return np.logaddexp(0.0, -margin)

    def prox(self, margin: Array, proximal: float) -> Array:
        """Solve ``p = u + V sigmoid(-p)`` by Newton's method from where it is monotone.

        The reflection ``(u, p) -> (-u - V, -p)`` leaves the equation alone, and takes the root to p >= 0, where
        ``p - u - V sigmoid(-p)`` is concave: from below the root, Newton's method then increases towards it. It is
        started at the larger of 0, u, and the lower bound of u + W(V exp(-u) / 2) by log x - log log x. Started anywhere
        else it runs into two-cycles once V exceeds about 50.
        """
        return _reflected(margin, proximal)[0]

    def target(self, proximal: float) -> float:
        """2 where it is curved, and further out where fitted margins go like the logarithm of V."""
        return 2.0 + float(np.log1p(0.25 * proximal))

    def pointwise(self, margin: Array, proximal: float) -> Pointwise:
        """All from one exponential."""
        prox, small, right = _reflected(margin, proximal)
        whole = 1.0 + small
        unlikely = small / whole
        dual = np.where(right, unlikely, 1.0 / whole)
        second = unlikely / whole
        damped = 1.0 / (1.0 + proximal * second)
        curvature = second * damped
        # l''' = l'' (2 gamma - 1), and |2 gamma - 1| = (1 - e) / (1 + e).
        third = second * np.where(right, small - 1.0, 1.0 - small) / whole
        by_u = third * damped**3
        return Pointwise(prox, dual, curvature, by_u, by_u * dual - curvature * curvature)

    def kinks(self, proximal: float) -> tuple[float, ...]:  # noqa: ARG002 - of the protocol
        """None."""
        return ()

    def jumps(self, proximal: float) -> tuple[Jump, ...]:  # noqa: ARG002 - of the protocol
        """None."""
        return ()

    def foci(self, proximal: float) -> tuple[Focus, ...]:
        """Branch points, where ``1 + V l''(p) = 0``: p = i pi ± x with 4 sinh(x / 2)^2 = V, and so Im u = pi."""
        if proximal == 0.0:
            return (Focus(0.0, np.pi),)
        x = 2.0 * np.arcsinh(0.5 * np.sqrt(proximal))
        reach = x + proximal / np.expm1(x)
        return (Focus(reach, np.pi), Focus(-proximal - reach, np.pi))

    def averages(self, offset: float, deviation: float, proximal: float, *, refinement: int = 1) -> Averages:
        """Sums over nodes that resolve the dual variable to rounding."""
        nodes = self.nodes(-offset, deviation, proximal, refinement=refinement)
        weights, t = nodes.weights, nodes.t
        at = self.pointwise(deviation * t - offset, proximal)
        weighted, flat = weights * at.dual, weights * at.curvature
        scaled = deviation * t
        pulled = at.dual * flat
        return Averages(
            float(np.sum(weighted)),
            float(weighted @ at.dual),
            float(np.sum(flat)),
            (float(np.sum(flat)), -float(flat @ scaled), -proximal * float(np.sum(pulled))),
            (2.0 * float(np.sum(pulled)), -2.0 * float(pulled @ scaled), -2.0 * proximal * float(pulled @ at.dual)),
            (
                -float(weights @ at.curvature_by_u),
                float((weights * at.curvature_by_u) @ scaled),
                proximal * float(weights @ at.curvature_by_proximal),
            ),
        )

    def nodes(self, mean: float, deviation: float, proximal: float, *, refinement: int = 1) -> Nodes:
        """Nodes for a normal of this mean, reaching as far down as the dual variable, growing there, makes matter."""
        foci = tuple(Focus((at - mean) / deviation, off / deviation) for at, off in self.foci(proximal))
        # Above the knee the dual variable falls like exp(-u), which moves what matters of its square by 2 s at most.
        tilt = min(2.0 * deviation, max(0.0, -foci[0].at))
        return gaussian_nodes(foci, tilt=tilt, refinement=refinement)

    def prox_error(self, reach: float, proximal: float) -> float:
        """By one more evaluation of the equation."""
        u = reach * _CHECKED
        p = self.prox(u, proximal)
        mismatch = np.abs(p - u - proximal * expit(-p))
        rounding = 1e-15 * (np.abs(p) + np.abs(u))
        return float(np.max(np.maximum(mismatch - rounding, 0.0))) / proximal

    def energy(self, offset: float, deviation: float, proximal: float) -> float:
        """``E gamma p``."""
        nodes = self.nodes(-offset, deviation, proximal, refinement=2)
        at = self.pointwise(deviation * nodes.t - offset, proximal)
        return float(nodes.weights @ (at.dual * at.prox))

    def train_loss(self, offset: float, deviation: float, proximal: float) -> float:
        """``E log(1 + exp(-p))``."""
        nodes = self.nodes(-offset, deviation, proximal)
        return float(nodes.weights @ self.value(self.prox(deviation * nodes.t - offset, proximal)))

    def test_loss(self, offset: float, deviation: float) -> float:
        """``E log(1 + exp(-u))``."""
        nodes = self.nodes(-offset, deviation, 0.0)
        return float(nodes.weights @ self.value(deviation * nodes.t - offset))


def _reflected(margin: Array, proximal: float) -> tuple[Array, Array, npt.NDArray[np.bool_]]:
    """Return p, exp(-|p|) and whether p is positive."""
    right = margin + 0.5 * proximal > 0.0
    u = np.where(right, margin, -margin - proximal)
    p = np.maximum(u, 0.0)
    if proximal > 2.0:
        height = np.log(0.5 * proximal)
        argument = height - u
        p = np.where(argument > 1.0, np.maximum(p, height - np.log(np.maximum(argument, 1.0))), p)
    for _ in range(MAX_NEWTON_STEPS):
        small = np.exp(-p)
        whole = 1.0 + small
        pull = proximal * (small / whole)
        step = (u + pull - p) / (1.0 + pull / whole)
        p = p + step
        if np.max(np.abs(step)) <= SETTLED:
            break
    return np.where(right, p, -p), np.exp(-p), right
