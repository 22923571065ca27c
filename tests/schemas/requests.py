"""Hypothesis strategies for requests: admissible ones of every kind, as plain JSON."""

from typing import Any, get_args

from hypothesis import strategies as st

from api_schemas.activation import ActivationName

POSITIVE = st.floats(1e-6, 1e6) | st.integers(1, 1000) | st.sampled_from([1e-100, 1e100, 0.1, 1 / 3])
NONNEGATIVE = POSITIVE | st.just(0) | st.just(0.0)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw an object in which any of these fields may be missing."""
    return st.fixed_dictionaries({}, optional=fields)


def kind(name: str, required: dict[str, Any] | None = None, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw an object of a kind."""
    return st.fixed_dictionaries({"kind": st.just(name), **(required or {})}, optional=fields)


def some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Draw a short list."""
    return st.lists(strategy, min_size=1, max_size=4)


COVARIANCES = st.one_of(
    kind("isotropic", variance=POSITIVE),
    kind("discrete", {"eigenvalues": some(NONNEGATIVE), "weights": some(POSITIVE)}),
    kind("power_law", {"exponent": st.floats(0.01, 40)}, scale=POSITIVE),
    kind("spiked", {"spikes": some(POSITIVE)}, bulk_variance=NONNEGATIVE),
    kind("ar1", {"correlation": st.floats(-0.999, 0.999)}),
    kind("explicit", {"eigenvalues": some(NONNEGATIVE)}),
)
ALIGNMENTS = st.one_of(
    kind("isotropic"), kind("source", {"exponent": st.floats(0, 40)}), kind("energies", {"values": some(NONNEGATIVE)})
)
TARGETS = optional(
    signal_variance=NONNEGATIVE, alignment=ALIGNMENTS, nonlinear_variance=NONNEGATIVE, mean=st.floats(-1e50, 1e50)
)
REAL = st.floats(-1e50, 1e50)
LARGE = st.floats(1e-6, 1e6) | st.integers(1, 1000)
WIDTHS = st.floats(1, 1e12) | st.integers(1, 1000)
ACTIVATIONS = (
    st.sampled_from(get_args(ActivationName))
    | kind("leaky_relu", negative_slope=st.floats(0, 1))
    | kind("ternary", low=st.floats(-9, 0), high=st.floats(0.1, 9))
)
INFINITE_LAYERS = some(
    st.fixed_dictionaries(
        {"activation": ACTIVATIONS}, optional={"weight_variance": LARGE, "bias_variance": LARGE | st.just(0)}
    )
)
LAYERS = some(
    st.fixed_dictionaries(
        {"activation": ACTIVATIONS, "width": WIDTHS},
        optional={"weight_variance": LARGE, "bias_variance": LARGE | st.just(0)},
    )
)
KERNELS = st.one_of(
    kind("rbf", length_scale=LARGE),
    kind("polynomial", {"degree": st.integers(1, 30)}, offset=LARGE | st.just(0)),
    kind("laplace", length_scale=LARGE),
    kind("exponential", rate=st.floats(1e-6, 100)),
    kind("ck", {"layers": INFINITE_LAYERS}),
    kind("ntk", {"layers": INFINITE_LAYERS}),
)
FEATURES = st.one_of(
    kind("linear"),
    kind("random_features", {"layers": LAYERS}),
    kind("random_fourier", {"frequencies": WIDTHS}, length_scale=LARGE),
    kind("random_projection", {"width": WIDTHS}),
    kind("kernel", {"kernel": KERNELS}),
    kind(
        "two_layer",
        {"hidden_units": st.integers(1, 4)},
        activation=ACTIVATIONS,
        weight_variance=LARGE,
        readout=st.none() | some(REAL),
        readout_step_size=NONNEGATIVE,
        initial_variance=NONNEGATIVE,
        initial_overlaps=st.none() | some(some(REAL)),
        initial_self_overlaps=st.none() | some(some(REAL)),
    ),
)
MEANS = st.one_of(kind("isotropic"), kind("energies", {"values": some(NONNEGATIVE)}))
SIZES = st.integers(1, 10**12) | st.floats(0.5, 1e12)
REGIMES = st.one_of(
    kind(
        "regression",
        {"n_samples": SIZES, "n_features": SIZES},
        covariance=COVARIANCES,
        target=TARGETS,
        noise_variance=NONNEGATIVE,
    ),
    kind(
        "eigenspectrum",
        {"n_samples": SIZES, "eigenvalues": some(NONNEGATIVE), "energies": some(NONNEGATIVE)},
        multiplicities=st.none() | some(POSITIVE),
        tail_trace=NONNEGATIVE,
        noise_variance=NONNEGATIVE,
    ),
    kind(
        "sphere",
        {"n_samples": SIZES, "n_features": st.integers(3, 10**6), "degree_energies": some(NONNEGATIVE)},
        noise_variance=NONNEGATIVE,
    ),
    kind(
        "mixture",
        {"n_samples": SIZES, "n_features": SIZES},
        covariance=COVARIANCES,
        mean_norm=st.floats(0, 1e50),
        mean_alignment=MEANS,
        positive_fraction=st.floats(1e-6, 1 - 1e-6),
    ),
    kind(
        "teacher_classification",
        {"n_samples": SIZES, "n_features": SIZES, "link": st.sampled_from(["sign", "logistic"])},
        covariance=COVARIANCES,
        target=TARGETS,
        noise_variance=NONNEGATIVE,
    ),
    kind(
        "teacher_network",
        {"n_samples": SIZES, "n_features": SIZES, "hidden_units": st.integers(1, 4)},
        covariance=COVARIANCES,
        activation=ACTIVATIONS,
        weight_variance=LARGE,
        readout=st.none() | some(REAL),
        overlaps=st.none() | some(some(REAL)),
        noise_variance=NONNEGATIVE,
    ),
    kind("dataset", {"dataset_id": st.from_regex("[0-9a-f]{64}", fullmatch=True), "n_samples": SIZES}),
)
LEARNERS = st.one_of(
    st.fixed_dictionaries({"penalty": NONNEGATIVE}, optional={"kind": st.just("ridge")}),
    kind("gradient_flow", {"time": NONNEGATIVE}, penalty=NONNEGATIVE),
    kind("gradient_descent", {"step_size": POSITIVE, "steps": st.integers(0, 10**9)}, penalty=NONNEGATIVE),
    kind("sgd", {"step_size": POSITIVE}),
    kind("logistic", {"penalty": NONNEGATIVE}),
    kind("hinge", {"penalty": NONNEGATIVE}),
    kind("lda", {"penalty": NONNEGATIVE}),
)


def requests() -> st.SearchStrategy[Any]:
    """Draw a request that fits the schema, as a client would write it: with or without its defaults."""
    model = st.fixed_dictionaries(
        {"learner": LEARNERS}, optional={"features": FEATURES, "fit_intercept": st.booleans()}
    )
    return st.fixed_dictionaries({"model": model, "regime": REGIMES})
