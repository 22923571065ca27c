"""The tables of what can be asked: one row a kind, from its schema to the equations and their sources.

A new kind is a schema class, a module of equations, a docs page, and a row here. Kernels have their table in
:mod:`workers.features`.
"""

import theory
from api_schemas import covariance, model, regime, target
from api_schemas import features as feature_schemas
from workers import features
from workers.features import KERNELS
from workers.kinds import Evaluated, FeatureMap, Kind
from workers.publications import (
    ATANASOV,
    BORDELON,
    CAPONNETTO_DE_VITO,
    CUI,
    DOBRIBAN_WAGER,
    EL_KAROUI,
    FAN_WANG,
    GHORBANI,
    HASTIE,
    KAC,
    LIAO_FOURIER,
    LIAO_MAHONEY,
    MEI_MONTANARI,
    PICCOLO,
    SCHROEDER,
    SIMON,
    SIMON_WIDTH,
    XIAO,
)

__all__ = [
    "ALIGNMENTS",
    "COMBINATIONS",
    "COVARIANCES",
    "FEATURES",
    "KERNELS",
    "LEARNERS",
    "REGIMES",
    "Evaluated",
    "FeatureMap",
    "Kind",
]

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

FEATURES = {
    "linear": FeatureMap(
        schema=feature_schemas.LinearFeatures,
        regression=features.linear,
        eigenspectrum=features.linear_of_modes,
        nonlinear=False,
        sources=(HASTIE,),
    ),
    "random_features": FeatureMap(
        schema=feature_schemas.RandomFeatures,
        regression=features.random_features,
        sources=(MEI_MONTANARI, SCHROEDER, PICCOLO, FAN_WANG),
    ),
    "random_fourier": FeatureMap(
        schema=feature_schemas.RandomFourierFeatures, regression=features.random_fourier, sources=(LIAO_FOURIER,)
    ),
    "random_projection": FeatureMap(
        schema=feature_schemas.RandomProjection,
        regression=features.random_projection,
        eigenspectrum=features.projection_of_modes,
        nonlinear=False,
        sources=(SIMON_WIDTH, ATANASOV),
    ),
    "kernel": FeatureMap(
        schema=feature_schemas.KernelFeatures,
        regression=features.kernel,
        sphere=features.kernel_on_sphere,
        sources=(EL_KAROUI, BORDELON, SIMON),
    ),
}

LEARNERS = {
    "ridge": Evaluated(
        schema=model.RidgeLearner, evaluate=theory.predict_ridge, sources=(HASTIE, DOBRIBAN_WAGER, LIAO_MAHONEY)
    )
}

REGIMES = {
    "regression": Kind(schema=regime.RegressionRegime),
    "eigenspectrum": Kind(schema=regime.EigenspectrumRegime, sources=(BORDELON, SIMON)),
    "sphere": Kind(schema=regime.SphereRegime, sources=(GHORBANI, XIAO)),
}

COMBINATIONS = tuple(
    {"features": name, "learner": learner, "regime": regime_kind}
    for name in FEATURES
    for learner in LEARNERS
    for regime_kind in REGIMES
    if getattr(FEATURES[name], regime_kind) is not None
)
"""Every features, learner and regime that go together."""
