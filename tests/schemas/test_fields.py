"""Every model of the wire: what each field tells its reader, and how strictly it is read."""

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any, Literal, get_origin

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

import api_schemas
from api_schemas.base import LARGEST, LARGEST_SIZE, Schema
from api_schemas.prediction import EXAMPLE_REQUEST, PredictionRequest

for _module in pkgutil.iter_modules(api_schemas.__path__):
    importlib.import_module(f"api_schemas.{_module.name}")
MODELS = sorted(Schema.__subclasses__(), key=lambda model: (model.__module__, model.__name__))
FIELDS = [(model, name) for model in MODELS for name in model.model_fields]
REQUESTED = PredictionRequest.model_json_schema()["$defs"]
"""The models that a request is made of, as JSON Schema."""


def field_of(model: type[Schema], name: str) -> FieldInfo:
    return model.model_fields[name]


def is_tag(field: FieldInfo) -> bool:
    """Whether a field is the one by which members of a union are told apart: its one value says it all."""
    return get_origin(field.annotation) is Literal and field.description is None


def is_nested(model: type[Schema], name: str) -> bool:
    """Whether a field holds other models, whose fields have units of their own, or a truth value, which has none."""
    text = str(model.model_json_schema()["properties"][name])
    return "$ref" in text or field_of(model, name).annotation is bool or "object" in text


@pytest.mark.parametrize(("model", "name"), FIELDS, ids=lambda value: getattr(value, "__name__", value))
class TestEveryField:
    def test_has_a_description(self, model: type[Schema], name: str) -> None:
        field = field_of(model, name)
        assert is_tag(field) or field.description

    def test_has_a_unit_unless_it_is_an_object(self, model: type[Schema], name: str) -> None:
        field = field_of(model, name)
        extra = field.json_schema_extra
        unit = extra.get("x-unit") if isinstance(extra, dict) else None
        of_any_type = field.annotation is Any
        assert is_tag(field) or unit or is_nested(model, name) or of_any_type

    def test_has_an_admissible_example(self, model: type[Schema], name: str) -> None:
        field = field_of(model, name)
        if is_tag(field):
            return
        if field.examples is None:
            assert is_nested(model, name)  # the example is that of the model within
            return
        reader: TypeAdapter[Any] = TypeAdapter(model.__pydantic_fields__[name].rebuild_annotation(), config=None)
        for example in field.examples:
            reader.validate_python(example)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
class TestEveryModel:
    def test_says_what_it_is(self, model: type[Schema]) -> None:
        assert model.__doc__
        assert model.__doc__ != Schema.__doc__

    def test_refuses_unknown_fields_and_is_frozen(self, model: type[Schema]) -> None:
        assert model.model_config["extra"] == "forbid"
        assert model.model_config["frozen"]
        assert model.model_config["strict"]
        assert model.model_config["allow_inf_nan"] is False
        assert model.model_json_schema()["additionalProperties"] is False


def numbers(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """List the numeric fields of a JSON Schema object, and the items of its arrays of numbers."""
    for name, field in schema.get("properties", {}).items():
        for form in (field, *field.get("anyOf", [])):
            if form.get("type") in ("number", "integer"):
                yield name, form
            elif form.get("type") == "array" and form.get("items", {}).get("type") in ("number", "integer"):
                yield name, form["items"]


@pytest.mark.parametrize("name", sorted(REQUESTED))
class TestEveryNumberOfARequest:
    def test_has_a_domain_with_both_ends(self, name: str) -> None:
        for field, form in numbers(REQUESTED[name]):
            lower = form.get("minimum", form.get("exclusiveMinimum"))
            upper = form.get("maximum", form.get("exclusiveMaximum"))
            assert lower is not None, field
            assert upper is not None, field
            assert -LARGEST <= lower < upper <= LARGEST, field
            if field in ("n_samples", "n_features"):
                assert (lower, upper) == (0, LARGEST_SIZE)


def set_at(path: str, value: Any) -> dict[str, Any]:
    """Return the contract's example with one field changed."""
    *steps, last = path.split(".")
    request: dict[str, Any] = {
        name: {key: dict(inner) if isinstance(inner, dict) else inner for key, inner in part.items()}
        for name, part in EXAMPLE_REQUEST.items()
    }
    here = request
    for step in steps:
        here = here[step]
    here[last] = value
    return request


class TestStrictness:
    @pytest.mark.parametrize("value", ["800", "8e2", True, False, None, [800], {}, "", "NaN"])
    def test_only_numbers_are_numbers(self, value: Any) -> None:
        with pytest.raises(ValidationError):
            PredictionRequest.model_validate(set_at("regime.n_samples", value))

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400])
    def test_numbers_are_finite(self, value: Any) -> None:
        with pytest.raises(ValidationError):
            PredictionRequest.model_validate(set_at("regime.n_samples", value))

    @pytest.mark.parametrize("value", [0, 1, "true", "false", None, [], 0.0])
    def test_only_true_and_false_are_truth_values(self, value: Any) -> None:
        with pytest.raises(ValidationError):
            PredictionRequest.model_validate(set_at("model.fit_intercept", value))

    @pytest.mark.parametrize("value", [None, 3, True, ["ridge"], "Ridge", "ridge ", ""])
    def test_kinds_are_exact(self, value: Any) -> None:
        with pytest.raises(ValidationError):
            PredictionRequest.model_validate(set_at("model.learner.kind", value))

    @pytest.mark.parametrize("path", ["alpha", "model.alpha", "model.learner.alpha", "regime.alpha", "regime.seed"])
    def test_unknown_fields_are_refused_everywhere(self, path: str) -> None:
        with pytest.raises(ValidationError, match=r"alpha|seed"):
            PredictionRequest.model_validate(set_at(path, 1.0))

    @pytest.mark.parametrize("value", [800, 800.0, 0.5, 1e12])
    def test_whole_and_fractional_numbers_are_both_numbers(self, value: float) -> None:
        request = PredictionRequest.model_validate(set_at("regime.n_samples", value))
        assert request.regime.n_samples == value
        assert type(request.regime.n_samples) is float

    def test_nothing_can_be_changed_afterwards(self) -> None:
        request = PredictionRequest.model_validate(EXAMPLE_REQUEST)
        with pytest.raises(ValidationError, match="frozen"):
            request.model.learner.penalty = 1.0
