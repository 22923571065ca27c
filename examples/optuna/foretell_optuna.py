"""Three ways to tell Optuna what foretell predicts: a first trial, a prior for the sampler, and a pruner.

Copy what you need: the module needs a running service, httpx and Optuna, and nothing of foretell's code. Parameters of a
study are named by the last part of their path in the request: ``penalty`` for ``model.learner.penalty``.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

Json = dict[str, Any]


def ask(service: httpx.Client, path: str, body: Json) -> Json:
    """Post one question.

    Args:
        service: a client whose ``base_url`` is the service's.
        path: as ``/v1/optima``.
        body: the request, as the page /docs of the service describes it.

    Raises:
        RuntimeError: the service refused it; the message is its problem, with pointers to the fields at fault.
    """
    answer = service.post(path, json=body)
    if answer.status_code != httpx.codes.OK:
        raise RuntimeError(f"{path} answered {answer.status_code}: {answer.text}")
    return dict(answer.json())


def distributions(over: Sequence[Json], integers: Sequence[str] = ()) -> dict[str, BaseDistribution]:
    """Return Optuna's search space for the ``over`` of an optima request; ``integers`` names what must be whole."""
    space: dict[str, BaseDistribution] = {}
    for one in over:
        name, log = one["path"].rsplit(".", 1)[1], one.get("scale") == "log"
        kind = IntDistribution if name in integers else FloatDistribution
        space[name] = kind(one["lower"], one["upper"], log=log)
    return space


def suggest(trial: optuna.Trial, space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
    """Suggest every parameter of the space, as an objective does first of all."""
    values: dict[str, Any] = {}
    for name, one in space.items():
        assert isinstance(one, FloatDistribution | IntDistribution)
        ask_for = trial.suggest_int if isinstance(one, IntDistribution) else trial.suggest_float
        values[name] = ask_for(name, one.low, one.high, log=one.log)
    return values


def admissible(space: Mapping[str, BaseDistribution], values: Sequence[float]) -> dict[str, float] | None:
    """Round what must be whole, and return the values by name, or None if one lies outside its range."""
    point = {}
    for (name, distribution), value in zip(space.items(), values, strict=True):
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        whole = isinstance(distribution, IntDistribution)
        point[name] = round(value) if whole else value
        if not distribution.low <= point[name] <= distribution.high:
            return None
    return point


def enqueue(study: Study, space: Mapping[str, BaseDistribution], optima: Json) -> None:
    """(a) Make the predicted optimum, and after it each further local one, the first trials of the study."""
    for found in [optima["optimum"], *optima["local_optima"]]:
        point = admissible(space, list(found["values"].values()))
        assert point is not None  # optima lie within their ranges
        study.enqueue_trial(point, skip_if_exists=True)


class PriorSampler(BaseSampler):
    """(b) Draw the first trials from the Gaussian ``prior`` of an optima answer, all later ones from another sampler.

    What lies outside the ranges is drawn again. The first trials count as observations of the sampler that takes over.

    Args:
        prior: of the answer; its paths in the order of ``space``.
        space: the parameters and their distributions, the same that the objective suggests.
        then: the sampler of all later trials, and of parameters that the prior does not know.
        n_trials: how many come from the prior.
        seed: of the draws.
    """

    def __init__(
        self, prior: Json, space: dict[str, BaseDistribution], *, then: BaseSampler, n_trials: int, seed: int
    ) -> None:
        self._prior = prior
        self._space = space
        self._then = then
        self._n_trials = n_trials
        self._random = np.random.default_rng(seed)

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return the prior's parameters, later those of the other sampler."""
        if trial.number < self._n_trials:
            return self._space
        return self._then.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw all parameters together."""
        if trial.number >= self._n_trials:
            return self._then.sample_relative(study, trial, search_space)
        log = np.array(self._prior["scales"]) == "log"
        while True:
            drawn = self._random.multivariate_normal(self._prior["mean"], self._prior["covariance"])
            point = admissible(self._space, np.where(log, np.exp(np.where(log, drawn, 0.0)), drawn).tolist())
            if point is not None:
                return point

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Leave what the prior does not know to the other sampler."""
        return self._then.sample_independent(study, trial, param_name, param_distribution)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Pass on."""
        self._then.before_trial(study, trial)

    def after_trial(self, study: Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """Pass on."""
        self._then.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Make the draws of parallel workers differ."""
        self._random = np.random.default_rng()
        self._then.reseed_rng()


class PredictionPruner(optuna.pruners.BasePruner):
    """(c) Skip the training where the prediction, less a margin that is measured, is worse than the best error seen.

    The objective reports the predicted error as step 0 before it trains, and asks ``trial.should_prune()``. The margin is
    what the trained trials of the study say: the smallest ratio so far of trained to predicted error. If ratios were
    exchangeable the next would be smaller than all k before it with probability 1 / (k + 1), and only such a trial can be
    pruned wrongly.

    Args:
        n_measured: trained trials before the first is skipped; 4 bounds that probability by 1/5.
    """

    def __init__(self, n_measured: int = 4) -> None:
        self._n_measured = n_measured

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether even the luckiest ratio so far would leave this trial behind the best."""
        trained = [
            (one.value, one.intermediate_values[0])
            for one in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if one.value is not None and 0 in one.intermediate_values
        ]
        if len(trained) < self._n_measured or 0 not in trial.intermediate_values:
            return False
        least_ratio = min(value / predicted for value, predicted in trained)
        return bool(trial.intermediate_values[0] * least_ratio > min(value for value, _ in trained))
