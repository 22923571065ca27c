"""Two classes as square loss sees them, with derivatives; see :mod:`theory.equivalents.mixture`."""

from dataclasses import dataclass, replace
from typing import Any

from theory.derivatives.dual import Dual, Space
from theory.derivatives.equivalents import Equivalent, Reading, Solved


@dataclass(frozen=True, kw_only=True)
class MixtureEquivalent:
    """An equivalent whose target is the label of two classes; for contours, which ask for no rates.

    Attributes:
        base: of the features, the energy of an eigenvalue being the squared mean on it over the eigenvalue.
        label_variance: v.
        level: the mean of the labels that features with a mean are to express; None where there is none.
        constant: eigenvalue of the constant that the features form.
    """

    base: Equivalent
    label_variance: Any
    level: Any = None
    constant: Any = None

    @property
    def space(self) -> Space:
        """The directions."""
        return self.base.space

    def without_constant(self) -> "MixtureEquivalent":
        """Return the features less their mean."""
        return replace(self, base=self.base.without_constant(), level=None, constant=None)

    def read(self, solved: Solved, *, rates: bool) -> Reading:
        """See :class:`theory.derivatives.equivalents.Equivalent`."""
        assert not rates
        found = self.base.read(solved, rates=False)
        coupling = found.learned
        if self.level is None:
            total = self.label_variance / (1.0 + self.label_variance * coupling)
            return found._replace(total=total, learned=self.label_variance * coupling * total)
        level: Dual = self.level
        within, shrunk = (1.0 - level) * (1.0 + level), found.ridge / self.constant
        determinant = (1.0 + shrunk + shrunk * coupling) / within + coupling
        cross = level / within / determinant
        total = (1.0 + shrunk / within) / determinant
        constant = (1.0 / within + coupling) / determinant
        return found._replace(
            total=total,
            learned=cross * level + total * coupling,
            learned_level=constant * level + cross * shrunk * coupling,
        )
