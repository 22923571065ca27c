"""The tables of what can be asked: one row a kind, from its schema to the equations and their sources.

A new kind is a schema class, a module of equations, a docs page, and a row here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import theory
from api_schemas import covariance, model, regime, target
from api_schemas.base import Schema
from api_schemas.prediction import Source

HASTIE = Source(
    title="Hastie, Montanari, Rosset, Tibshirani: Surprises in high-dimensional ridgeless least squares interpolation",
    reference="arXiv:1903.08560",
)
DOBRIBAN_WAGER = Source(
    title="Dobriban, Wager: High-dimensional asymptotics of prediction: ridge regression and classification",
    reference="arXiv:1507.03003",
)
BORDELON = Source(
    title="Bordelon, Canatar, Pehlevan: Spectrum dependent learning curves in kernel regression and wide neural networks",
    reference="arXiv:2002.02561",
)
SIMON = Source(
    title="Simon, Dickens, Karkada, DeWeese: The eigenlearning framework",
    reference="arXiv:2110.03922",
)
LIAO_MAHONEY = Source(
    title="Liao, Mahoney: Random matrix theory for deep learning: beyond eigenvalues of linear models",
    reference="arXiv:2506.13139",
)
CAPONNETTO_DE_VITO = Source(
    title="Caponnetto, De Vito: Optimal rates for the regularized least-squares algorithm",
    reference="doi:10.1007/s10208-006-0196-8",
)
CUI = Source(
    title="Cui, Loureiro, Krzakala, Zdeborova: Generalization error rates in kernel regression",
    reference="arXiv:2105.15004",
)
KAC = Source(
    title="Kac, Murdock, Szego: On the eigenvalues of certain Hermitian forms",
    reference="doi:10.1512/iumj.1953.2.52034",
)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One admissible ``kind``: its schema and the publications it comes from."""

    schema: type[Schema]
    sources: tuple[Source, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Evaluated(Kind):
    """A kind with the function of :mod:`theory` that its parameters are passed to, by name."""

    evaluate: Callable[..., Any]


COVARIANCES = {
    "isotropic": Evaluated(schema=covariance.IsotropicCovariance, evaluate=theory.covariance.isotropic),
    "discrete": Evaluated(schema=covariance.DiscreteCovariance, evaluate=theory.covariance.discrete),
    "power_law": Evaluated(schema=covariance.PowerLawCovariance, evaluate=theory.covariance.power_law, sources=(CUI,)),
    "spiked": Evaluated(schema=covariance.SpikedCovariance, evaluate=theory.covariance.spiked),
    "ar1": Evaluated(schema=covariance.Ar1Covariance, evaluate=theory.covariance.ar1, sources=(KAC,)),
    "explicit": Evaluated(schema=covariance.ExplicitCovariance, evaluate=theory.covariance.explicit),
}

ALIGNMENTS = {
    "isotropic": Evaluated(schema=target.IsotropicAlignment, evaluate=theory.target.isotropic),
    "source": Evaluated(
        schema=target.SourceAlignment, evaluate=theory.target.source, sources=(CAPONNETTO_DE_VITO, CUI)
    ),
    "energies": Evaluated(schema=target.EnergiesAlignment, evaluate=theory.target.energies),
}

FEATURES = {"linear": Evaluated(schema=model.LinearFeatures, evaluate=theory.linear_modes, sources=(HASTIE,))}

LEARNERS = {
    "ridge": Evaluated(
        schema=model.RidgeLearner, evaluate=theory.predict_ridge, sources=(HASTIE, DOBRIBAN_WAGER, LIAO_MAHONEY)
    )
}

REGIMES = {
    "regression": Kind(schema=regime.RegressionRegime),
    "eigenspectrum": Kind(schema=regime.EigenspectrumRegime, sources=(BORDELON, SIMON)),
}

COMBINATIONS = tuple(
    {"features": features, "learner": learner, "regime": regime_kind}
    for features in FEATURES
    for learner in LEARNERS
    for regime_kind in REGIMES
)
"""Every features, learner and regime that go together."""
