"""The OpenAPI document: valid, complete, and in step with the models."""

import json
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from api_schemas.prediction import EXAMPLE_REQUEST, PredictionRequest
from service.app import api
from service.problems import KINDS, MEDIA_TYPE

DOCUMENT: dict[str, Any] = json.loads(json.dumps(api().openapi()))
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
OPERATIONS = [(path, method) for path, item in DOCUMENT["paths"].items() for method in item]


def test_it_is_valid() -> None:
    assert DOCUMENT["openapi"] == "3.1.0"
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_every_reference_leads_somewhere() -> None:
    def references(value: Any) -> list[str]:
        if isinstance(value, list):
            return [found for item in value for found in references(item)]
        if not isinstance(value, dict):
            return []
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        mapping = list(value["mapping"].values()) if isinstance(value.get("mapping"), dict) else []
        return own + mapping + [found for item in value.values() for found in references(item)]

    found = references(DOCUMENT)
    assert found
    assert {name.removeprefix("#/components/schemas/") for name in found} <= SCHEMAS.keys()


def test_no_schema_is_there_for_nothing() -> None:
    text = json.dumps(DOCUMENT)
    for name in SCHEMAS:
        assert f'"#/components/schemas/{name}"' in text, name


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
class TestEveryOperation:
    def test_says_what_it_does(self, path: str, method: str) -> None:
        operation = DOCUMENT["paths"][path][method]
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
        assert operation["operationId"].isidentifier()

    def test_declares_its_failures_as_problems(self, path: str, method: str) -> None:
        responses = DOCUMENT["paths"][path][method]["responses"]
        failures = {status: response for status, response in responses.items() if status >= "400"}
        assert "500" in failures
        for status, response in failures.items():
            assert list(response["content"]) == [MEDIA_TYPE]
            assert response["content"][MEDIA_TYPE]["schema"] == {"$ref": "#/components/schemas/Problem"}
            assert response["description"]
            assert int(status) in {kind.status for kind in KINDS.values()}


def test_operation_ids_are_unique() -> None:
    ids = [DOCUMENT["paths"][path][method]["operationId"] for path, method in OPERATIONS]
    assert len(set(ids)) == len(ids)


def test_unions_are_told_apart_by_their_kind() -> None:
    for name in ("Regime", "Covariance", "Alignment"):
        assert SCHEMAS[name]["discriminator"]["propertyName"] == "kind"
        assert len(SCHEMAS[name]["oneOf"]) == len(SCHEMAS[name]["discriminator"]["mapping"])


def test_it_shows_the_example_of_the_contract() -> None:
    assert SCHEMAS["PredictionRequest"]["examples"] == [EXAMPLE_REQUEST]
    PredictionRequest.model_validate(EXAMPLE_REQUEST)


def test_every_schema_is_described() -> None:
    for name, schema in SCHEMAS.items():
        assert "oneOf" in schema or schema.get("description"), name
