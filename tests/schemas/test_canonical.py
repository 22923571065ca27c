"""The canonical form: what means the same has one key, what differs has another, and nothing is lost on the way."""

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from api_schemas.canonical import canonical_json, content_address
from api_schemas.prediction import EXAMPLE_REQUEST, PredictionRequest
from tests.schemas.requests import requests

EXAMPLE = json.dumps(EXAMPLE_REQUEST)


def read(text: str | bytes) -> PredictionRequest:
    """Read a request as the service does."""
    return PredictionRequest.model_validate(from_json(text, allow_inf_nan=False))


def key(text: str | bytes) -> str:
    """Return the key of a body."""
    return content_address(read(text), solver_version="1")


def shuffled(value: Any, order: random.Random) -> Any:
    """Return a JSON value with the fields of all its objects in another order."""
    if isinstance(value, list):
        return [shuffled(item, order) for item in value]
    if not isinstance(value, dict):
        return value
    names = list(value)
    order.shuffle(names)
    return {name: shuffled(value[name], order) for name in names}


def written_as_floats(value: Any) -> Any:
    """Return a JSON value with every whole number written as a float."""
    if isinstance(value, list):
        return [written_as_floats(item) for item in value]
    if isinstance(value, dict):
        return {name: written_as_floats(item) for name, item in value.items()}
    return float(value) if type(value) is int else value


def written_as_integers(value: Any) -> Any:
    """Return a JSON value with every float that is a whole number written as an integer."""
    if isinstance(value, list):
        return [written_as_integers(item) for item in value]
    if isinstance(value, dict):
        return {name: written_as_integers(item) for name, item in value.items()}
    return int(value) if type(value) is float and value.is_integer() and abs(value) < 1e15 else value


def escaped(text: str) -> str:
    """Return JSON text with every letter in its strings as a unicode escape."""
    inside = False
    characters = []
    for character in text:
        if character == '"':
            inside = not inside
        characters.append(f"\\u{ord(character):04x}" if inside and character.isalpha() else character)
    return "".join(characters)


class TestSameMeaning:
    @given(request=requests(), order=st.randoms(use_true_random=False))
    def test_in_any_order(self, request: Any, order: random.Random) -> None:
        assert key(json.dumps(shuffled(request, order))) == key(json.dumps(request))

    @given(request=requests())
    def test_as_whole_or_decimal_numbers(self, request: Any) -> None:
        assert key(json.dumps(written_as_floats(request))) == key(json.dumps(request))
        assert key(json.dumps(written_as_integers(request))) == key(json.dumps(request))

    @given(request=requests(), indent=st.integers(0, 5))
    def test_in_any_spacing_and_with_escapes(self, request: Any, indent: int) -> None:
        assert key("\r\n\t " + json.dumps(request, indent=indent) + "\n") == key(json.dumps(request))
        assert key(escaped(json.dumps(request))) == key(json.dumps(request))

    @given(request=requests())
    def test_with_its_defaults_spelt_out(self, request: Any) -> None:
        spelt_out = read(json.dumps(request)).model_dump(mode="json")
        assert key(json.dumps(spelt_out)) == key(json.dumps(request))

    @pytest.mark.parametrize(
        ("text", "spelling"),
        [("0.1", "1e-1"), ("0.1", "0.10"), ("0.1", "0.1000000000000000055511151231257827"), ("0.1", "100e-3"), ("0.1", "1E-1"),
         ("800", "800.0"), ("800", "8e2"), ("800", "0.8E+3"), ("0.25", "25e-2")],
    )  # fmt: skip
    def test_of_a_number_however_it_is_written(self, text: str, spelling: str) -> None:
        assert key(EXAMPLE.replace(text, spelling, 1)) == key(EXAMPLE)

    @pytest.mark.parametrize("zero", ["0", "0.0", "-0.0", "-0", "0e5", "-0e0", "1e-400", "-1e-400"])
    @pytest.mark.parametrize("number", ["0.25", "0.1"])
    def test_of_zero_whatever_its_sign(self, zero: str, number: str) -> None:
        assert key(EXAMPLE.replace(number, zero)) == key(EXAMPLE.replace(number, "0"))

    def test_of_zeros_in_arrays(self) -> None:
        text = json.dumps({**EXAMPLE_REQUEST, "regime": {"kind": "eigenspectrum", "n_samples": 5, "eigenvalues": [1, 0, 0],
                                                         "energies": [0, 0, 1]}})  # fmt: skip
        assert key(text.replace("[1, 0, 0]", "[1, -0.0, -0]").replace("[0, 0, 1]", "[-0.0, -0.0, 1.0]")) == key(text)


class TestAnotherMeaning:
    @given(first=requests(), second=requests())
    def test_has_another_key(self, first: Any, second: Any) -> None:
        same = read(json.dumps(first)) == read(json.dumps(second))
        assert (key(json.dumps(first)) == key(json.dumps(second))) == same

    def test_even_by_one_unit_in_the_last_place(self) -> None:
        keys = {key(EXAMPLE.replace("0.25", repr(0.25 + step * 2**-54))) for step in range(-8, 9)}
        assert len(keys) == len({0.25 + step * 2**-54 for step in range(-8, 9)}) > 8

    def test_so_has_another_solver(self) -> None:
        request = read(EXAMPLE)
        assert content_address(request, solver_version="1") != content_address(request, solver_version="2")

    def test_a_null_is_not_an_empty_array(self) -> None:
        regime = {"kind": "eigenspectrum", "n_samples": 5, "eigenvalues": [1], "energies": [1]}
        texts = [
            json.dumps({**EXAMPLE_REQUEST, "regime": {**regime, **more}}) for more in ({}, {"multiplicities": [1]})
        ]
        assert key(texts[0]) != key(texts[1])
        assert key(texts[0]) == key(json.dumps({**EXAMPLE_REQUEST, "regime": {**regime, "multiplicities": None}}))


class TestForm:
    @given(request=requests())
    def test_reads_back_to_the_same_request(self, request: Any) -> None:
        model = read(json.dumps(request))
        assert read(canonical_json(model)) == model
        assert canonical_json(read(canonical_json(model))) == canonical_json(model)
        assert PredictionRequest.model_validate_json(model.model_dump_json()) == model

    def test_is_compact_complete_and_in_the_schemas_order(self) -> None:
        assert canonical_json(read(EXAMPLE)).decode() == (
            '{"model":{"features":{"kind":"linear"},"fit_intercept":false,"learner":{"kind":"ridge","penalty":0.1}},'
            '"regime":{"kind":"regression","n_samples":800.0,"n_features":400.0,"covariance":{"kind":"isotropic","variance":1.0},'
            '"target":{"signal_variance":1.0,"alignment":{"kind":"isotropic"},"nonlinear_variance":0.0,"mean":0.0},'
            '"noise_variance":0.25}}'
        )

    def test_the_key_is_a_sha_256(self) -> None:
        assert len(key(EXAMPLE)) == 64
        assert int(key(EXAMPLE), 16)
