"""What a prediction says: reference values, every kind of regime, warnings, sources, and the same from the command line."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import toeplitz
from scipy.optimize import brentq

from tests.running import EXAMPLE, RunningService
from tests.service.wire import EIGENSPECTRUM, assert_problem, changed, finite, regression

REPOSITORY = Path(__file__).parents[2]
ERRORS = ("test_error", "excess_risk", "train_error", "bias", "variance")


def predict(service: RunningService, request: Any) -> Any:
    """Post a request and return the prediction."""
    answer = service.predict(request)
    assert answer.status_code == 200, answer.text
    return finite(answer.content)


def ridgeless(request: Any) -> Any:
    """Return the request with penalty 0."""
    return changed("/model/learner/penalty", 0, request=request)


ISOTROPIC = EXAMPLE
TWO_ATOMS = regression(
    {"kind": "discrete", "eigenvalues": [1, 5], "weights": [0.5, 0.5]},
    target={"signal_variance": 2, "alignment": {"kind": "energies", "values": [1.5, 0.5]}},
    noise_variance=0.5,
)
REFERENCE = """
    ISOTROPIC 2   .1  .1741657387  .8516685226 .7253392725 .4267837257  .1406962098 .8801207710
    ISOTROPIC .5  .1  1.1844288770 .4577855615 .2095676203 .9365286644  .0066757967 .6020997874
    ISOTROPIC .5  0   1            .5          .25         1.0          0           .75
    ISOTROPIC 1   .01 .1051249220  .9048750780 .8187989068 1.4296202427 .0129362773 1.9893703987
    ISOTROPIC 2   0   0            1           1           .5           .125        1.25
    TWO_ATOMS .5  0   2.2360679775 .5          .2864745084 2.9596747752 0           .7562305899
    TWO_ATOMS .5  .3  2.8605131325 .4475618558 .2358547734 2.6306802688 .0289349466 .5305024549
    TWO_ATOMS 1   .05 .3258144856  .8465384377 .7251438662 2.1555218915 .0507635129 1.7446077240
    TWO_ATOMS 1.5 1   1.6120645922 .5695161923 .3591970955 1.4477336522 .5570879843 .4029510181
"""
"""regression.md section 1: n/d, penalty, ridge, df1/d, df2/d, test error, training error, squared norm."""


class TestReferenceValues:
    def test_the_example_of_the_contract(self, service: RunningService) -> None:
        prediction = predict(service, EXAMPLE)
        printed = {
            "test_error": 0.42678,
            "excess_risk": 0.17678,
            "train_error": 0.14070,
            "estimator_norm_squared": 0.88,
        }
        for name, value in printed.items():
            assert prediction[name] == pytest.approx(value, abs=5e-6 if name != "estimator_norm_squared" else 5e-3)
        assert prediction["effective"]["ridge"] == pytest.approx(0.17417, abs=5e-6)
        assert prediction["effective"]["df1"] == pytest.approx(340.67, abs=5e-3)
        assert prediction["effective"]["df2"] == pytest.approx(290.14, abs=5e-3)
        assert prediction["status"] == "converged"
        assert prediction["metric"] == "squared_error"
        assert prediction["phase"] == "underparameterized"
        assert prediction["train_loss"] is None
        assert prediction["test_loss"] is None
        assert prediction["numerics"]["residual"] <= 1e-12
        assert prediction["numerics"]["iterations"] >= 1
        assert prediction["warnings"] == []

    @pytest.mark.parametrize("row", REFERENCE.strip().splitlines(), ids=lambda row: " ".join(row.split()[:3]))
    @pytest.mark.parametrize("n_features", [400, 6, 10**9])
    def test_the_tables_of_the_theory(self, service: RunningService, row: str, n_features: float) -> None:
        name, ratio, penalty, ridge, df1, df2, test_error, train_error, norm = row.split()
        request = changed(
            "/model/learner/penalty", float(penalty), request={"ISOTROPIC": ISOTROPIC, "TWO_ATOMS": TWO_ATOMS}[name]
        )
        request = changed("/regime/n_samples", float(ratio) * n_features, request=request)
        prediction = predict(service, changed("/regime/n_features", n_features, request=request))

        def assert_printed(value: float, printed: str) -> None:
            decimals = len(printed.partition(".")[2])
            assert value == pytest.approx(float(printed), rel=1e-12, abs=0.501 * 10.0**-decimals)

        assert_printed(prediction["test_error"], test_error)
        assert_printed(prediction["train_error"], train_error)
        assert_printed(prediction["estimator_norm_squared"], norm)
        assert_printed(prediction["effective"]["ridge"], ridge)
        assert_printed(prediction["effective"]["df1"] / n_features, df1)
        assert_printed(prediction["effective"]["df2"] / n_features, df2)


@dataclass
class Case:
    """A request with its modes written out, to be solved by bisection, one mode at a time."""

    request: Any
    eigenvalues: Any
    energies: Any
    noise_variance: float = 0.25
    unlearnable_variance: float = 0.0
    tail_trace: float = 0.0
    intercept: int = 0

    def solve(self) -> dict[str, float]:
        """Work out the answer by the equations of regression.md 0.2 to 0.4 as they are printed."""
        xi, c = np.asarray(self.eigenvalues, float), np.asarray(self.energies, float)
        n, penalty = self.request["regime"]["n_samples"], self.request["model"]["learner"]["penalty"]
        label = self.noise_variance + self.unlearnable_variance

        def df1(k: float) -> float:
            return float(np.sum(xi / (xi + k))) + self.tail_trace / k + self.intercept

        trace = xi.sum() + self.tail_trace
        k = brentq(lambda k: k * (1 - df1(k) / n) - penalty, 1e-14, penalty * n + 2 * trace, xtol=1e-16, rtol=1e-15)
        q, f = k / (xi + k), xi / (xi + k)
        df2, bias, mixed = np.sum(f * f) + self.intercept, np.sum(c * q * q), np.sum(c * q)
        margin = 1 - df1(k) / n
        test_error = (bias + label) / (1 - df2 / n)
        spread = np.sum(xi / (xi + k) ** 2) + self.tail_trace / k**2
        norm = (spread / n * (mixed + label) + margin * (mixed - bias) / k) / (1 - df2 / n)
        return {
            "test_error": test_error,
            "excess_risk": test_error - self.noise_variance,
            "train_error": margin**2 * test_error,
            "bias": bias + self.unlearnable_variance,
            "variance": test_error - self.noise_variance - bias - self.unlearnable_variance,
            "estimator_norm_squared": norm,
            "ridge": k,
            "df1": df1(k),
            "df2": df2,
        }


D = 30
INDEX = np.arange(1, D + 1)
POWERS = 2.0 * INDEX**-1.5
SPIKES = np.array([1.0] * (D - 2) + [30.0, 10.0])
AR1 = np.linalg.eigvalsh(toeplitz(0.6**INDEX / 0.6))[::-1]
EXPLICIT = np.linspace(0, 3, D)
SMALL = {"n_features": D, "n_samples": 45}


def spread(eigenvalues: Any, signal_variance: float = 1.0) -> Any:
    """Return energies of the isotropic alignment, or energies as given, scaled to a signal variance."""
    return signal_variance * eigenvalues / eigenvalues.sum()


CASES: dict[str, Callable[[], Case]] = {
    "isotropic": lambda: Case(
        regression({"kind": "isotropic", "variance": 2}, **SMALL), np.full(D, 2.0), np.full(D, 1 / D)
    ),
    "discrete": lambda: Case(
        regression({"kind": "discrete", "eigenvalues": [1, 5], "weights": [0.8, 0.2]}, **SMALL),
        (e := np.array([1.0] * 24 + [5.0] * 6)),
        spread(e),
    ),
    "discrete, energies": lambda: Case(
        regression(
            {"kind": "discrete", "eigenvalues": [1, 5], "weights": [0.8, 0.2]},
            target={"signal_variance": 4, "alignment": {"kind": "energies", "values": [9, 1]}},
            **SMALL,
        ),
        [1.0] * 24 + [5.0] * 6,
        np.array([3.6 / 24] * 24 + [0.4 / 6] * 6),
    ),
    "discrete, a zero eigenvalue": lambda: Case(
        regression({"kind": "discrete", "eigenvalues": [0, 5], "weights": [0.8, 0.2]}, **SMALL),
        (e := np.array([0.0] * 24 + [5.0] * 6)),
        spread(e),
    ),
    "power_law": lambda: Case(
        regression({"kind": "power_law", "exponent": 1.5, "scale": 2}, **SMALL), POWERS, spread(POWERS)
    ),
    "power_law, source": lambda: Case(
        regression(
            {"kind": "power_law", "exponent": 1.5, "scale": 2},
            target={"alignment": {"kind": "source", "exponent": 0.4}},
            **SMALL,
        ),
        POWERS,
        spread(INDEX ** (-1 - 2 * 1.5 * 0.4)),
    ),
    "power_law, energies": lambda: Case(
        regression(
            {"kind": "power_law", "exponent": 1.5, "scale": 2},
            target={"alignment": {"kind": "energies", "values": INDEX.tolist()}},
            **SMALL,
        ),
        POWERS,
        spread(INDEX),
    ),
    "spiked": lambda: Case(regression({"kind": "spiked", "spikes": [30, 10]}, **SMALL), SPIKES, spread(SPIKES)),
    "spiked, energies": lambda: Case(
        regression(
            {"kind": "spiked", "spikes": [30, 10]},
            target={"alignment": {"kind": "energies", "values": [1, 2, 3]}},
            **SMALL,
        ),
        SPIKES,
        spread(np.array([1 / 28] * 28 + [2, 3])),
    ),
    "ar1": lambda: Case(regression({"kind": "ar1", "correlation": 0.6}, **SMALL), AR1, spread(AR1)),
    "ar1, negative": lambda: Case(regression({"kind": "ar1", "correlation": -0.6}, **SMALL), AR1, spread(AR1)),
    "ar1, energies": lambda: Case(
        regression(
            {"kind": "ar1", "correlation": 0.6},
            target={"alignment": {"kind": "energies", "values": INDEX.tolist()}},
            **SMALL,
        ),
        AR1,
        spread(INDEX),
    ),
    "explicit": lambda: Case(
        regression({"kind": "explicit", "eigenvalues": EXPLICIT.tolist()}, **SMALL), EXPLICIT, spread(EXPLICIT)
    ),
    "explicit, energies": lambda: Case(
        regression(
            {"kind": "explicit", "eigenvalues": EXPLICIT.tolist()},
            target={"alignment": {"kind": "energies", "values": (INDEX - 1).tolist()}},
            **SMALL,
        ),
        EXPLICIT,
        spread(INDEX - 1),
    ),
    "a nonlinear part and a mean": lambda: Case(
        regression({"kind": "isotropic"}, target={"nonlinear_variance": 0.3, "mean": 0.5}, **SMALL),
        np.ones(D),
        np.full(D, 1 / D),
        unlearnable_variance=0.3 + 0.25,
    ),
    "an intercept": lambda: Case(
        changed("/model/fit_intercept", True, request=regression({"kind": "isotropic"}, target={"mean": 0.5}, **SMALL)),
        np.ones(D),
        np.full(D, 1 / D),
        intercept=1,
    ),
    "eigenspectrum": lambda: Case(
        EIGENSPECTRUM, [1.0] * 10 + [0.1] * 90, [0.08] * 10 + [0.2 / 90] * 90, noise_variance=0.05
    ),
    "eigenspectrum, one mode each": lambda: Case(
        {
            "model": {"learner": {"penalty": 0.02}},
            "regime": {"kind": "eigenspectrum", "n_samples": 7, "eigenvalues": [3, 2, 2, 1], "energies": [0, 1, 2, 0]},
        },
        [3, 2, 2, 1],
        [0, 1, 2, 0],
        noise_variance=0.0,
    ),
    "eigenspectrum, a tail and a zero": lambda: Case(
        {
            "model": {"learner": {"penalty": 0.02}},
            "regime": {
                "kind": "eigenspectrum",
                "n_samples": 25,
                "eigenvalues": [2, 0.5, 0],
                "multiplicities": [5, 20, 7],
                "energies": [1, 2, 0.5],
                "tail_trace": 3,
                "noise_variance": 0.1,
            },
        },
        [2.0] * 5 + [0.5] * 20,
        [0.2] * 5 + [0.1] * 20,
        noise_variance=0.1,
        unlearnable_variance=0.5,
        tail_trace=3,
    ),
}


class TestEveryKind:
    """Each kind against its modes written out one by one and solved by bisection."""

    @pytest.mark.parametrize("name", CASES)
    @pytest.mark.parametrize("penalty", [0.5, 1e-3])
    def test_agrees_with_its_modes_one_by_one(self, service: RunningService, name: str, penalty: float) -> None:
        case = CASES[name]()
        case.request = changed("/model/learner/penalty", penalty, request=case.request)
        prediction = predict(service, case.request)
        found = {**prediction, **prediction["effective"]}
        for quantity, value in case.solve().items():
            assert found[quantity] == pytest.approx(value, rel=1e-9, abs=1e-11), quantity

    def test_a_power_law_over_a_million_modes(self, service: RunningService) -> None:
        d = 10**6
        index = np.arange(1, d + 1, dtype=float)
        request = regression(
            {"kind": "power_law", "exponent": 1.5},
            n_samples=1000,
            n_features=d,
            noise_variance=0.05,
            target={"alignment": {"kind": "source", "exponent": 0.4}},
        )
        case = Case(request, index**-1.5, spread(index**-2.2), noise_variance=0.05)
        prediction = predict(service, request)
        found = {**prediction, **prediction["effective"]}
        for quantity, value in case.solve().items():
            assert found[quantity] == pytest.approx(value, rel=1e-9), quantity

    def test_sizes_may_be_fractions(self, service: RunningService) -> None:
        halves = predict(service, regression({"kind": "isotropic"}, n_samples=100.5, n_features=50.25))
        assert halves["test_error"] == pytest.approx(predict(service, EXAMPLE)["test_error"], rel=1e-12)

    def test_units_do_not_matter(self, service: RunningService) -> None:
        scaled = changed("/regime/target", {"signal_variance": 100.0}, request=changed("/regime/noise_variance", 25.0))
        scaled = changed("/regime/covariance", {"kind": "isotropic", "variance": 7.0}, request=scaled)
        scaled = predict(service, changed("/model/learner/penalty", 0.7, request=scaled))
        plain = predict(service, EXAMPLE)
        for name in ERRORS:
            assert scaled[name] == pytest.approx(100 * plain[name], rel=1e-12)
        assert scaled["estimator_norm_squared"] == pytest.approx(100 / 7 * plain["estimator_norm_squared"], rel=1e-12)


class TestIdentities:
    """What the contract says of how the numbers belong together."""

    @pytest.mark.parametrize("name", CASES)
    def test_hold_for_every_kind(self, service: RunningService, name: str) -> None:
        request = CASES[name]().request
        prediction = predict(service, request)
        noise = request["regime"].get("noise_variance", 0.0)
        n, penalty = request["regime"]["n_samples"], request["model"]["learner"]["penalty"]
        effective = prediction["effective"]
        assert prediction["test_error"] == pytest.approx(prediction["excess_risk"] + noise, rel=1e-12)
        assert prediction["excess_risk"] == pytest.approx(prediction["bias"] + prediction["variance"], rel=1e-12)
        assert effective["ridge"] * (1 - effective["df1"] / n) == pytest.approx(penalty, rel=1e-9)
        assert prediction["train_error"] == pytest.approx(
            (penalty / effective["ridge"]) ** 2 * prediction["test_error"], rel=1e-9
        )
        assert effective["df2"] <= effective["df1"] <= n


class TestThreshold:
    def test_divergence_is_an_answer(self, service: RunningService) -> None:
        prediction = predict(service, ridgeless(regression({"kind": "isotropic"}, n_samples=400)))
        assert prediction["status"] == "divergent"
        assert prediction["phase"] == "threshold"
        assert [prediction[name] for name in ERRORS] == [None] * 5
        assert prediction["estimator_norm_squared"] is None
        assert prediction["effective"] == {"ridge": 0.0, "target_ridge": 0.0, "df1": 400.0, "df2": 400.0}
        (warning,) = prediction["warnings"]
        assert warning["code"] == "interpolation_threshold"
        assert "0.125 / sqrt(penalty)" in warning["detail"]

    def test_the_warning_tells_the_rate(self, service: RunningService) -> None:
        request = regression({"kind": "isotropic"}, n_samples=400)
        tiny = predict(service, changed("/model/learner/penalty", 1e-14, request=request))
        assert tiny["test_error"] * 1e-7 == pytest.approx(0.125, rel=1e-6)

    @pytest.mark.parametrize(
        "request_",
        [
            regression({"kind": "power_law", "exponent": 1.5}, n_samples=400),
            regression({"kind": "ar1", "correlation": 0.5}, n_samples=400),
            regression({"kind": "discrete", "eigenvalues": [0, 1], "weights": [0.25, 0.75]}, n_samples=300),
            changed("/model/fit_intercept", True, request=regression({"kind": "isotropic"}, n_samples=401)),
            changed("/regime/n_samples", 100, request=EIGENSPECTRUM),
            regression({"kind": "isotropic"}, n_samples=400, noise_variance=0, target={"nonlinear_variance": 0.1}),
            regression({"kind": "isotropic"}, n_samples=400, noise_variance=0, target={"mean": 1}),
        ],
    )
    def test_it_lies_where_samples_equal_parameters(self, service: RunningService, request_: Any) -> None:
        assert predict(service, ridgeless(request_))["status"] == "divergent"
        assert predict(service, changed("/model/learner/penalty", 1e-6, request=request_))["status"] == "converged"
        n = request_["regime"]["n_samples"]
        for factor in (0.99, 1.01):
            beside = predict(service, ridgeless(changed("/regime/n_samples", factor * n, request=request_)))
            assert beside["status"] == "converged"

    def test_without_noise_the_error_vanishes_there(self, service: RunningService) -> None:
        prediction = predict(service, ridgeless(regression({"kind": "isotropic"}, n_samples=400, noise_variance=0)))
        assert prediction["status"] == "converged"
        assert prediction["phase"] == "threshold"
        assert [prediction[name] for name in ERRORS] == [0.0] * 5
        assert prediction["estimator_norm_squared"] == 1.0

    @pytest.mark.parametrize("n_samples", [200, 600])
    def test_no_penalty_is_the_limit_of_a_small_one(self, service: RunningService, n_samples: float) -> None:
        request = regression({"kind": "ar1", "correlation": 0.5}, n_samples=n_samples)
        limit, small = (
            predict(service, ridgeless(request)),
            predict(service, changed("/model/learner/penalty", 1e-13, request=request)),
        )
        for name in (*ERRORS, "estimator_norm_squared"):
            assert limit[name] == pytest.approx(small[name], rel=1e-9, abs=1e-9), name
        assert limit["phase"] == ("overparameterized" if n_samples < 400 else "underparameterized")
        assert (limit["train_error"] == 0.0) == (n_samples < 400)

    def test_a_tail_leaves_no_threshold(self, service: RunningService) -> None:
        request = ridgeless(changed("/regime/tail_trace", 0.1, request=EIGENSPECTRUM))
        prediction = predict(service, changed("/regime/n_samples", 100, request=request))
        assert prediction["status"] == "converged"
        assert prediction["phase"] == "overparameterized"

    def test_an_intercept_alone_uses_up_one_sample(self, service: RunningService) -> None:
        request = changed("/model/fit_intercept", True, request=changed("/regime/n_samples", 1))
        prediction = predict(service, request)
        assert prediction["status"] == "divergent"
        assert prediction["effective"]["ridge"] is None


class TestWarnings:
    @pytest.mark.parametrize(
        ("request_", "codes"),
        [
            (EXAMPLE, []),
            (EIGENSPECTRUM, []),
            (changed("/regime/n_samples", 30), []),
            (changed("/regime/n_samples", 20), ["near_threshold"]),
            (changed("/regime/n_samples", 19.99), ["few_samples"]),
            (changed("/regime/target", {"mean": 2}), ["mean_without_intercept"]),
            (changed("/model/fit_intercept", True, request=changed("/regime/target", {"mean": 2})), []),
            (ridgeless(changed("/regime/n_samples", 400)), ["interpolation_threshold"]),
            (ridgeless(changed("/regime/n_samples", 419.9)), ["near_threshold"]),
            (ridgeless(changed("/regime/n_samples", 420.1)), []),
            (ridgeless(changed("/regime/n_samples", 380)), ["near_threshold"]),
            (ridgeless(changed("/regime/n_samples", 370)), []),
            (changed("/model/learner/penalty", 1e-8, request=changed("/regime/n_samples", 400)), ["near_threshold"]),
            (changed("/regime/n_samples", 400), []),
            (
                ridgeless(regression({"kind": "isotropic"}, n_samples=5, n_features=5, target={"mean": 1})),
                ["interpolation_threshold", "few_samples", "mean_without_intercept"],
            ),
        ],
    )
    def test_appear_exactly_when_they_should(self, service: RunningService, request_: Any, codes: list[str]) -> None:
        warnings = predict(service, request_)["warnings"]
        assert [warning["code"] for warning in warnings] == codes
        assert all(len(warning["detail"]) > 40 for warning in warnings)

    def test_are_documented(self) -> None:
        documented = (REPOSITORY / "docs" / "warnings.md").read_text()
        for code in (
            "interpolation_threshold",
            "not_converged",
            "near_threshold",
            "few_samples",
            "mean_without_intercept",
        ):
            assert code in documented


class TestSources:
    RIDGE = ("arXiv:1903.08560", "arXiv:1507.03003", "arXiv:2506.13139")

    @pytest.mark.parametrize(
        ("request_", "more"),
        [
            (EXAMPLE, []),
            (EIGENSPECTRUM, ["arXiv:2002.02561", "arXiv:2110.03922"]),
            (regression({"kind": "power_law", "exponent": 1.5}), ["arXiv:2105.15004"]),
            (regression({"kind": "ar1", "correlation": 0.5}), ["doi:10.1512/iumj.1953.2.52034"]),
            (CASES["power_law, source"]().request, ["arXiv:2105.15004", "doi:10.1007/s10208-006-0196-8"]),
        ],
    )
    def test_are_those_of_the_kinds_in_the_request(
        self, service: RunningService, request_: Any, more: list[str]
    ) -> None:
        sources = predict(service, request_)["sources"]
        assert [source["reference"] for source in sources] == [*self.RIDGE, *more]
        assert all(source["title"] for source in sources)


def foretell_predict(*arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run ``foretell predict``."""
    command = [sys.executable, "-m", "service", "predict", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=120, cwd=REPOSITORY)


class TestCommandLine:
    """``foretell predict`` gives the same answer without a server."""

    @pytest.mark.parametrize("name", ["example", "power_law, source"])
    def test_a_file_is_answered_by_the_bytes_that_the_server_sends(
        self, service: RunningService, tmp_path: Path, name: str
    ) -> None:
        request = EXAMPLE if name == "example" else CASES[name]().request
        (tmp_path / "request.json").write_text(json.dumps(request, indent=2))
        done = foretell_predict(str(tmp_path / "request.json"), "--json")
        assert done.stdout == service.predict(request).content + b"\n"
        assert done.stderr == b""
        assert done.returncode == 0

    def test_so_is_standard_input_and_divergence_is_exit_code_1(self, service: RunningService) -> None:
        request = ridgeless(changed("/regime/n_samples", 400))
        done = foretell_predict("-", "--json", stdin=json.dumps(request).encode())
        assert done.stdout == service.predict(request).content + b"\n"
        assert done.returncode == 1

    def test_a_refusal_is_the_servers_too_and_exit_code_2(self, service: RunningService) -> None:
        request = changed("/regime/noise_variance", -1)
        done = foretell_predict("-", "--json", stdin=json.dumps(request).encode())
        problem = assert_problem(service.predict(request), 422, "validation_error", pointer="/regime/noise_variance")
        del problem["instance"]
        assert finite(done.stdout) == problem
        assert done.returncode == 2

    def test_the_table_is_for_people(self, service: RunningService) -> None:
        done = foretell_predict("-", stdin=json.dumps(changed("/regime/target", {"mean": 2})).encode())
        rows = dict(line.rsplit(None, 1) for line in done.stdout.decode().splitlines()[:11])
        prediction = predict(service, changed("/regime/target", {"mean": 2}))
        assert rows["status"] == "converged"
        assert rows["phase"] == "underparameterized"
        assert rows["test error"] == f"{prediction['test_error']:.8g}"
        assert rows["train error"] == f"{prediction['train_error']:.8g}"
        assert rows["degrees of freedom df1"] == f"{prediction['effective']['df1']:.8g}"
        assert rows["degrees of freedom df2"] == f"{prediction['effective']['df2']:.8g}"
        assert "mean_without_intercept" in done.stdout.decode()
        assert done.returncode == 0

    def test_the_table_of_a_divergence_has_no_numbers(self) -> None:
        done = foretell_predict("-", stdin=json.dumps(ridgeless(changed("/regime/n_samples", 400))).encode())
        rows = dict(line.rsplit(None, 1) for line in done.stdout.decode().splitlines()[:11])
        assert rows["status"] == "divergent"
        assert rows["test error"] == "-"
        assert "interpolation_threshold" in done.stdout.decode()
        assert done.returncode == 1

    @pytest.mark.parametrize(
        ("arguments", "stdin", "words"),
        [
            (["-"], b"{", "not JSON"),
            (["-"], b'{"model": {}}', "/model/learner: is required"),
            (["-"], json.dumps(changed("/regime/target/alignment", {"kind": "source", "exponent": 1})).encode(), "power_law"),
            (["/no/such/file.json"], b"", "cannot read /no/such/file.json: No such file"),
            (["/"], b"", "Is a directory"),
            ([], b"", "Missing argument"),
            (["-", "--yaml"], b"", "No such option"),
        ],
        ids=["not JSON", "vocabulary", "theory", "no file", "a folder", "no argument", "an unknown option"],
    )  # fmt: skip
    def test_what_cannot_be_answered_is_exit_code_2_with_the_reason(
        self, arguments: list[str], stdin: bytes, words: str
    ) -> None:
        done = foretell_predict(*arguments, stdin=stdin)
        assert done.returncode == 2
        assert done.stdout == b""
        assert words in " ".join(done.stderr.decode().split())
        assert b"Traceback" not in done.stderr
