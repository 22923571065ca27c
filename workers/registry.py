"""The tables of what can be asked: one row a kind, from its schema to the equations and their sources.

A new kind is a schema class, a module of equations, a docs page, and a row here. Kernels have their table in
:mod:`workers.features`.
"""

from collections.abc import Callable
from typing import Any

import theory
from api_schemas import covariance, learner, regime, target
from api_schemas import features as feature_schemas
from workers import features, learners, networks
from workers.features import KERNELS
from workers.kinds import Evaluated, FeatureMap, Kind, LearnerKind, RegimeKind
from workers.publications import (
    ALI,
    ATANASOV,
    BACH,
    BORDELON,
    CANDES_SUR,
    CAPONNETTO_DE_VITO,
    COLLINS_WOODFIN,
    CUI,
    DOBRIBAN_WAGER,
    EL_KAROUI,
    ELKHALIL,
    FAN_WANG,
    GHORBANI,
    GOLDT_NETWORKS,
    HASTIE,
    JACOT_KARE,
    KAC,
    LIAO_COUILLET_DYNAMICS,
    LIAO_FOURIER,
    LIAO_MAHONEY,
    LOUREIRO,
    MAI_LIAO,
    MAI_LIAO_LOGISTIC,
    MEI_MONTANARI,
    MIGNACCO,
    MONTANARI,
    PAQUETTE,
    PATIL_DU,
    PICCOLO,
    SAAD_SOLLA,
    SCHROEDER,
    SIMON,
    SIMON_WIDTH,
    WEI_HU_STEINHARDT,
    XIAO,
    ZOLLANVARI,
)

NUMBERS = ("regression", "eigenspectrum", "sphere")
"""Regimes whose labels are numbers."""
CLASSES = ("mixture", "teacher_classification")
"""Regimes whose labels are classes."""

__all__ = [
    "ALIGNMENTS",
    "CLASSES",
    "COMBINATIONS",
    "COVARIANCES",
    "FEATURES",
    "KERNELS",
    "LEARNERS",
    "NUMBERS",
    "REGIMES",
    "Evaluated",
    "FeatureMap",
    "Kind",
    "LearnerKind",
    "RegimeKind",
    "builder",
    "goes_together",
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
        inputs=features.linear,
        modes=features.linear_of_modes,
        dataset=features.linear_of_rows,
        nonlinear=False,
        sources=(HASTIE,),
    ),
    "random_features": FeatureMap(
        schema=feature_schemas.RandomFeatures,
        inputs=features.random_features,
        dataset=features.random_features_of_rows,
        sources=(MEI_MONTANARI, SCHROEDER, PICCOLO, FAN_WANG),
    ),
    "random_fourier": FeatureMap(
        schema=feature_schemas.RandomFourierFeatures, inputs=features.random_fourier, sources=(LIAO_FOURIER,)
    ),
    "random_projection": FeatureMap(
        schema=feature_schemas.RandomProjection,
        inputs=features.random_projection,
        modes=features.projection_of_modes,
        dataset=features.projection_of_rows,
        nonlinear=False,
        sources=(SIMON_WIDTH, ATANASOV),
    ),
    "kernel": FeatureMap(
        schema=feature_schemas.KernelFeatures,
        inputs=features.kernel,
        sphere=features.kernel_on_sphere,
        dataset=features.kernel_of_rows,
        sources=(EL_KAROUI, BORDELON, SIMON),
    ),
    "two_layer": FeatureMap(schema=feature_schemas.TwoLayerFeatures, network=features.trained),
}

LEARNERS = {
    "ridge": LearnerKind(
        schema=learner.RidgeLearner,
        answers={
            **dict.fromkeys(NUMBERS, learners.ridge),
            **dict.fromkeys(CLASSES, learners.ridge_of_classes),
            "dataset": learners.ridge_of_pool,
        },
        sources=(HASTIE, DOBRIBAN_WAGER, LIAO_MAHONEY),
    ),
    "gradient_flow": LearnerKind(
        schema=learner.GradientFlowLearner,
        answers=dict.fromkeys((*NUMBERS, *CLASSES), learners.gradient_flow),
        sources=(ALI, LIAO_COUILLET_DYNAMICS, BACH),
    ),
    "gradient_descent": LearnerKind(
        schema=learner.GradientDescentLearner,
        answers=dict.fromkeys((*NUMBERS, *CLASSES), learners.gradient_descent),
        sources=(ALI, LIAO_COUILLET_DYNAMICS, BACH),
    ),
    "sgd": LearnerKind(
        schema=learner.SgdLearner,
        answers={"regression": learners.sgd, "eigenspectrum": learners.sgd, "teacher_network": networks.sgd},
        features=("linear", "random_features", "random_fourier", "random_projection", "two_layer"),
        sources=(PAQUETTE, COLLINS_WOODFIN),
    ),
    "logistic": LearnerKind(
        schema=learner.LogisticLearner,
        answers=dict.fromkeys((*CLASSES, "dataset"), learners.logistic),
        features_in={"dataset": ("linear",)},
        sources=(MAI_LIAO_LOGISTIC, LOUREIRO, CANDES_SUR),
    ),
    "hinge": LearnerKind(
        schema=learner.HingeLearner,
        answers=dict.fromkeys((*CLASSES, "dataset"), learners.hinge),
        features_in={"dataset": ("linear",)},
        sources=(MIGNACCO, MONTANARI),
    ),
    "lda": LearnerKind(
        schema=learner.LdaLearner,
        answers={"mixture": learners.lda},
        features=("linear",),
        sources=(DOBRIBAN_WAGER, ZOLLANVARI, ELKHALIL),
    ),
}

REGIMES = {
    "regression": RegimeKind(schema=regime.RegressionRegime, stage="inputs"),
    "eigenspectrum": RegimeKind(schema=regime.EigenspectrumRegime, stage="modes", sources=(BORDELON, SIMON)),
    "sphere": RegimeKind(schema=regime.SphereRegime, stage="sphere", sources=(GHORBANI, XIAO)),
    "mixture": RegimeKind(
        schema=regime.MixtureRegime, stage="inputs", metric="misclassification", sources=(MAI_LIAO, MIGNACCO)
    ),
    "teacher_classification": RegimeKind(
        schema=regime.TeacherClassificationRegime, stage="inputs", metric="misclassification", sources=(LOUREIRO,)
    ),
    "teacher_network": RegimeKind(
        schema=regime.TeacherNetworkRegime, stage="network", sources=(SAAD_SOLLA, GOLDT_NETWORKS)
    ),
    "dataset": RegimeKind(
        schema=regime.DatasetRegime,
        stage="dataset",
        metric=None,
        sources=(JACOT_KARE, WEI_HU_STEINHARDT, PATIL_DU, SIMON_WIDTH),
    ),
}


def builder(features_kind: str, regime_kind: str) -> Callable[..., Any] | None:
    """Return what builds the equivalent of features in a regime, None where there is no theory."""
    found: Callable[..., Any] | None = getattr(FEATURES[features_kind], REGIMES[regime_kind].stage)
    return found


def goes_together(features_kind: str, learner_kind: str, regime_kind: str) -> bool:
    """Whether there is a theory of the three."""
    row = LEARNERS[learner_kind]
    takes = row.features_in.get(regime_kind, row.features)
    trained = regime_kind in row.answers and (takes is None or features_kind in takes)
    return trained and builder(features_kind, regime_kind) is not None


COMBINATIONS = tuple(
    {"features": one, "learner": two, "regime": three}
    for one in FEATURES
    for two in LEARNERS
    for three in REGIMES
    if goes_together(one, two, three)
)
"""Every features, learner and regime that go together."""
