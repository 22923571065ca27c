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
  :func:`finite_kernel_law`.
* What is read off any law: :func:`density`, :func:`stieltjes_transform`, :func:`average`.
* Outliers: :func:`spike`, :func:`rank_one`, :func:`norm_outliers`, :func:`class_mean_outlier`.
* Linear statistics of sample covariances: :func:`log_det`, :func:`trace_inverse`, :func:`effective_dimension`,
  :func:`moment`, :func:`linear_statistic`; functions that users write: :class:`Expression`.
"""

from theory.spectra.expression import Expression
from theory.spectra.inner_product import (
    InnerProductKernel,
    class_mean_outlier,
    inner_product_kernel,
    inner_product_law,
    norm_outliers,
)
from theory.spectra.kernel_matrix import finite_kernel_law, finite_rank, wide_kernel_law
from theory.spectra.law import Law, affine, average, density, stieltjes_transform
from theory.spectra.outliers import Outlier, rank_one, spike
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
    "InnerProductKernel",
    "Law",
    "LinearStatistic",
    "Outlier",
    "SampleCovariance",
    "affine",
    "average",
    "class_mean_outlier",
    "covariance_law",
    "density",
    "effective_dimension",
    "finite_kernel_law",
    "finite_rank",
    "gram_law",
    "inner_product_kernel",
    "inner_product_law",
    "linear_statistic",
    "log_det",
    "moment",
    "norm_outliers",
    "rank_one",
    "sample_covariance",
    "spike",
    "stieltjes_transform",
    "trace_inverse",
    "wide_kernel_law",
]
