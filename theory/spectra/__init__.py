"""Limiting spectra of random matrices: support, density, transform, outliers, linear statistics.

>>> import theory
>>> from theory import spectra
>>> model = spectra.sample_covariance(theory.covariance.isotropic(200), n_samples=400)
>>> law = spectra.covariance_law(model)
>>> law.support.round(8).tolist()
[[0.08578644, 2.91421356]]
>>> x, y = spectra.density(law, 1000)
>>> spectra.log_det(model, shift=0.0).mean_correction
-0.34657359027997264

* Laws: :func:`covariance_law`, :func:`gram_law`, :func:`inner_product_law`, :func:`wide_kernel_law`,
  :func:`finite_kernel_law`, or :func:`features_law` of prepared :func:`finite_features`.
* What is read off any law: :func:`density`, :func:`stieltjes_transform`, :func:`average`.
* How population eigenvalues pass into a matrix: :func:`covariance_passage`, :func:`wide_passage`, :func:`features_passage`.
* Outliers of any passage: :func:`gram_spike`, :func:`class_means`; of X'X/n: :func:`spike`; of means: :func:`feature_mean`,
  :func:`rank_one`; of inner-product kernels: :func:`norm_outliers`, :func:`class_mean_outlier`.
* Linear statistics of sample covariances: :func:`log_det`, :func:`trace_inverse`, :func:`effective_dimension`,
  :func:`moment`, :func:`linear_statistic`; functions that users write: :class:`Expression`.
"""

from theory.spectra.expression import Expression
from theory.spectra.feature_chain import constant_of, input_ratio
from theory.spectra.finite_features import FiniteFeatures, features_law, finite_features
from theory.spectra.inner_product import (
    InnerProductKernel,
    class_mean_outlier,
    inner_product_kernel,
    inner_product_law,
    norm_outliers,
)
from theory.spectra.kernel_matrix import finite_kernel_law, finite_rank, wide_kernel_law
from theory.spectra.law import Law, affine, average, density, stieltjes_transform
from theory.spectra.outliers import Outlier, class_means, feature_mean, gram_spike, misclassification, rank_one, spike
from theory.spectra.passage import Passage, covariance_passage, features_passage, wide_passage
from theory.spectra.sample_covariance import SampleCovariance, covariance_law, gram_law, sample_covariance
from theory.spectra.statistics import (
    LinearStatistic,
    effective_dimension,
    linear_statistic,
    log_det,
    moment,
    trace_inverse,
)

__all__ = [
    "Expression",
    "FiniteFeatures",
    "InnerProductKernel",
    "Law",
    "LinearStatistic",
    "Outlier",
    "Passage",
    "SampleCovariance",
    "affine",
    "average",
    "class_mean_outlier",
    "class_means",
    "constant_of",
    "covariance_law",
    "covariance_passage",
    "density",
    "effective_dimension",
    "feature_mean",
    "features_law",
    "features_passage",
    "finite_features",
    "finite_kernel_law",
    "finite_rank",
    "gram_law",
    "gram_spike",
    "inner_product_kernel",
    "inner_product_law",
    "input_ratio",
    "linear_statistic",
    "log_det",
    "misclassification",
    "moment",
    "norm_outliers",
    "rank_one",
    "sample_covariance",
    "spike",
    "stieltjes_transform",
    "trace_inverse",
    "wide_kernel_law",
    "wide_passage",
]
