"""Bad input: each is answered with a 4xx problem that says what to do, without harm to the service."""

import asyncio
import gzip
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.app import create_app
from service.settings import Settings
from tests.running import EXAMPLE, RunningService
from tests.service.wire import (
    EIGENSPECTRUM,
    JSON,
    PREDICTIONS,
    Answer,
    Wire,
    assert_problem,
    changed,
    exchange,
    finite,
    memory_stays,
    post_head,
    regression,
    without,
)

MEBIBYTE = 2**20
BODY = json.dumps(EXAMPLE).encode()


@pytest.fixture(scope="module", autouse=True)
def unharmed(service: RunningService) -> Iterator[None]:
    """After everything in this file the service answers as before and has met no bug of its own."""
    before = service.predict().content
    yield
    assert service.predict().content == before
    assert service.logged("unexpected_error") == []
    assert "Traceback" not in service.log_file.read_text()
    assert all(line.startswith("{") for line in service.log_file.read_text().rstrip("\n").split("\n"))


def post(service: RunningService, content: bytes, **headers: str) -> httpx.Response:
    """Post raw bytes as JSON."""
    sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.post(service.url + PREDICTIONS, content=content, headers=sent, timeout=60.0)


class TestNotJson:
    @pytest.mark.parametrize(
        ("body", "words"),
        [
            (b"", "empty"),
            (b" \r\n\t ", "empty"),
            (b"model=ridge", "not JSON"),
            (b'{"model": ', "not JSON"),
            (BODY[:-1], "not JSON"),
            (BODY + b"}", "trailing"),
            (BODY + BODY, "trailing"),
            (BODY + b"\x00", "trailing"),
            (b"\x00" + BODY, "not JSON"),
            (b"\xef\xbb\xbf" + BODY, "not JSON"),
            (BODY.decode().encode("utf-16"), "not UTF-8"),
            (BODY.replace(b"linear", b"line\xe4r"), "not UTF-8"),
            (BODY.replace(b"linear", b"line\xc0\x80r"), "not UTF-8"),
            (BODY.replace(b"linear", b"\\ud800"), "not JSON"),
            (BODY.replace(b"linear", b"a\nb"), "not JSON"),
            (BODY.replace(b'"linear"', b"'linear'"), "not JSON"),
            (BODY.replace(b"0.25", b"NaN"), "NaN"),
            (BODY.replace(b"0.25", b"Infinity"), "Infinity"),
            (BODY.replace(b"0.25", b"-Infinity"), "Infinity"),
            (BODY.replace(b"0.25", b"+0.25"), "not JSON"),
            (BODY.replace(b"0.25", b".25"), "not JSON"),
            (BODY.replace(b"0.25", b"00.25"), "not JSON"),
            (BODY.replace(b"0.25", b"0x1"), "not JSON"),
            (BODY.replace(b"800", b"9" * 5000), "number out of range"),
            (b"[" * 100_000, "nested too deeply"),
            (b'{"model":' * 100_000, "nested too deeply"),
            (b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        ],
        ids=lambda value: repr(value[:24]) if isinstance(value, bytes) else None,
    )
    def test_is_400_and_says_why(self, service: RunningService, body: bytes, words: str) -> None:
        with memory_stays(service):
            problem = assert_problem(post(service, body), 400, "invalid_json")
        assert words in problem["detail"]

    @pytest.mark.parametrize(
        "body",
        [
            BODY.replace(b'"penalty": 0.1', b'"penalty": 0.1, "penalty": 0.2'),
            BODY.replace(b'"penalty": 0.1', b'"penalty": 0.1, "penalty": 0.1'),
            BODY.replace(b'"penalty": 0.1', b'"penalty": 0.1, "\\u0070enalty": 0.2'),
            BODY[:-1] + b', "regime": {"kind": "eigenspectrum"}}',
            BODY.replace(b'"n_samples": 800', b'"n_samples": 800, "x": [1, {"a": 1, "a": 2}]'),
        ],
        ids=["another value", "the same value", "escaped", "an object", "in a list"],
    )
    def test_a_field_given_twice(self, service: RunningService, body: bytes) -> None:
        problem = assert_problem(post(service, body), 400, "duplicate_key")
        assert "twice" in problem["detail"]

    def test_colons_in_strings_are_not_mistaken_for_fields(self, service: RunningService) -> None:
        body = BODY.replace(b'"linear"', b'"a:b:c"')
        assert_problem(post(service, body), 422, "validation_error", pointer="/model/features/kind")


class TestVocabulary:
    @pytest.mark.parametrize(
        ("request_", "pointer", "words"),
        [
            (changed("/regime/noise_variance", -0.1), "/regime/noise_variance", "at least 0, got -0.1"),
            (changed("/regime/noise_variance", "0.25"), "/regime/noise_variance", "must be a number, got '0.25'"),
            (changed("/regime/noise_variance", True), "/regime/noise_variance", "must be a number, got true"),
            (changed("/regime/noise_variance", None), "/regime/noise_variance", "must be a number, got null"),
            (changed("/regime/noise_variance", {}), "/regime/noise_variance", "must be a number, got an object"),
            (changed("/regime/noise_variance", [[1]]), "/regime/noise_variance", "must be a number, got an array"),
            (changed("/regime/n_features", 0), "/regime/n_features", "must exceed 0, got 0"),
            (changed("/regime/n_samples", 0), "/regime/n_samples", "must exceed 0"),
            (changed("/regime/n_samples", -800), "/regime/n_samples", "must exceed 0, got -800"),
            (changed("/regime/n_samples", 10**40), "/regime/n_samples", "at most 1e+12, got 1e+40"),
            (changed("/regime/n_samples", 10**400), "/regime/n_samples", ""),
            (changed("/model/learner/penalty", -1), "/model/learner/penalty", "at least 0, got -1"),
            (changed("/model/learner/penalty", 1e101), "/model/learner/penalty", "at most 1e+100"),
            (without("/model/learner/penalty"), "/model/learner/penalty", "is required"),
            (without("/regime/kind"), "/regime", "'kind'"),
            (without("/regime"), "/regime", "is required"),
            (changed("/regime/kind", "mixtures"), "/regime/kind", "must be one of"),
            (changed("/regime/kind", 3), "/regime/kind", "must be one of"),
            (changed("/regime", []), "/regime", "object"),
            (changed("/regime", "regression"), "/regime", "object"),
            (changed("/model/features/kind", "kernels"), "/model/features/kind", "'linear'"),
            (changed("/model/learner/kind", "lasso"), "/model/learner/kind", "'ridge'"),
            (changed("/model/fit_intercept", 1), "/model/fit_intercept", "true or false"),
            (changed("/model/learner/alpha", 1.0), "/model/learner/alpha", "is not a field here"),
            (changed("/seed", 0), "/seed", "is not a field here"),
            (changed("/a~b", 0), "/a~0b", "is not a field here"),
            (changed("/regime/target/mean", 1e60), "/regime/target/mean", "at most 1e+50"),
            (changed("/regime/covariance", {"kind": "wishart"}), "/regime/covariance/kind", "must be one of"),
            (changed("/regime/covariance", {"kind": "power_law"}), "/regime/covariance/exponent", "is required"),
            (
                regression({"kind": "discrete", "eigenvalues": [1, "5"], "weights": [0.5, 0.5]}),
                "/regime/covariance/eigenvalues/1",
                "must be a number, got '5'",
            ),
            (
                regression({"kind": "discrete", "eigenvalues": [], "weights": [1]}),
                "/regime/covariance/eigenvalues",
                "at least 1",
            ),
            (regression({"kind": "ar1", "correlation": 1}), "/regime/covariance/correlation", "must be below 1"),
            (regression({"kind": "spiked", "spikes": 30}), "/regime/covariance/spikes", "must be an array"),
            (regression({"kind": "explicit", "eigenvalues": [1, -1]}), "/regime/covariance/eigenvalues/1", "at least 0"),
            (changed("/regime/multiplicities/0", 0, request=EIGENSPECTRUM), "/regime/multiplicities/0", "must exceed 0"),
        ],
    )  # fmt: skip
    def test_the_pointer_leads_to_the_fault_and_the_detail_says_the_rule(
        self, service: RunningService, request_: Any, pointer: str, words: str
    ) -> None:
        problem = assert_problem(service.predict(request_), 422, "validation_error", pointer=pointer)
        (error,) = (error for error in problem["errors"] if error["pointer"] == pointer)
        assert words in error["detail"]

    @pytest.mark.parametrize("number", ["1e999", "-1e999", "1" + "0" * 400, "1" + "0" * 400 + ".5", "1e400"])
    def test_numbers_beyond_double_precision(self, service: RunningService, number: str) -> None:
        answer = post(service, BODY.replace(b"800", number.encode()))
        assert_problem(answer, 422, "validation_error", pointer="/regime/n_samples")

    @pytest.mark.parametrize("body", ["[]", "3", "null", '"model"', "true", "1e999"])
    def test_a_body_that_is_no_object(self, service: RunningService, body: str) -> None:
        assert_problem(post(service, body.encode()), 422, "validation_error", pointer="")

    def test_all_faults_are_told_at_once(self, service: RunningService) -> None:
        request = changed("/model/learner/penalty", -1, request=changed("/regime/n_samples", "many"))
        problem = assert_problem(service.predict(request), 422, "validation_error")
        assert {error["pointer"] for error in problem["errors"]} == {"/model/learner/penalty", "/regime/n_samples"}

    def test_long_input_is_not_echoed(self, service: RunningService) -> None:
        answer = service.predict(changed("/regime/kind", "x" * 100_000))
        assert_problem(answer, 422, "validation_error", pointer="/regime/kind")
        assert len(answer.content) < 2000


class TestAssumptions:
    """What fits the schema but not the theory: refused with a pointer too, never approximated."""

    @pytest.mark.parametrize(
        ("request_", "pointer", "words"),
        [
            (
                regression({"kind": "discrete", "eigenvalues": [1, 5], "weights": [0.5, 0.6]}),
                "/regime/covariance/weights",
                "must sum to 1, got 1.1",
            ),
            (
                regression({"kind": "discrete", "eigenvalues": [1, 5], "weights": [1]}),
                "/regime/covariance/weights",
                "one entry per eigenvalue",
            ),
            (regression({"kind": "explicit", "eigenvalues": [3, 2, 1]}), "/regime/covariance/eigenvalues", "400"),
            (regression({"kind": "spiked", "spikes": [9] * 401}), "/regime/covariance/spikes", "at most n_features"),
            (
                regression({"kind": "power_law", "exponent": 1.5}, n_features=399.5),
                "/regime/n_features",
                "whole number",
            ),
            (regression({"kind": "ar1", "correlation": 0.5}, n_features=399.5), "/regime/n_features", "whole number"),
            (
                changed("/regime/target/alignment", {"kind": "energies", "values": [0.5, 0.5]}),
                "/regime/target/alignment/values",
                "got 2",
            ),
            (
                changed("/regime/target/alignment", {"kind": "source", "exponent": 0.5}),
                "/regime/target/alignment/kind",
                "power_law",
            ),
            (
                changed("/regime/target/alignment", {"kind": "energies", "values": [0]}),
                "/regime/target/alignment",
                "every energy is 0",
            ),
            (
                regression(
                    {"kind": "discrete", "eigenvalues": [0, 1], "weights": [0.5, 0.5]},
                    target={"alignment": {"kind": "energies", "values": [0.5, 0.5]}},
                ),
                "/regime/target/alignment",
                "no energy where the inputs have no variance",
            ),
            (
                regression(
                    {"kind": "power_law", "exponent": 1.5},
                    n_features=10**12,
                    target={"alignment": {"kind": "energies", "values": [1]}},
                ),
                "/regime/target/alignment/values",
                "got 1",
            ),
            (changed("/regime/energies", [1], request=EIGENSPECTRUM), "/regime/energies", "one entry per eigenvalue"),
            (
                changed("/regime/multiplicities", [1, 2, 3], request=EIGENSPECTRUM),
                "/regime/multiplicities",
                "one entry per eigenvalue",
            ),
            (changed("/model/learner/penalty", 1e-150), "/model/learner/penalty", "double precision"),
            (regression({"kind": "isotropic", "variance": 1e-310}), "/regime/covariance", "double precision"),
            (
                regression({"kind": "power_law", "exponent": 40}, n_features=10**9),
                "/regime/covariance",
                "double precision",
            ),
            (
                changed("/regime/multiplicities", [1e100, 1e100], request=EIGENSPECTRUM),
                "/regime/eigenvalues",
                "double precision",
            ),
        ],
    )
    def test_is_422_with_the_rule_and_the_way_out(
        self, service: RunningService, request_: Any, pointer: str, words: str
    ) -> None:
        problem = assert_problem(service.predict(request_), 422, "inadmissible_problem", pointer=pointer)
        assert words in problem["detail"]

    @pytest.mark.parametrize(
        "request_",
        [
            regression({"kind": "discrete", "eigenvalues": [1, 5], "weights": [0.5, 0.6]}),
            changed("/model/learner/penalty", 1e-150),
            changed("/regime/n_features", 5e-324),
        ],
    )
    def test_is_refused_before_it_is_queued(self, service: RunningService, request_: Any) -> None:
        answer = service.predict(request_, headers={"Prefer": "respond-async"})
        assert_problem(answer, 422, "inadmissible_problem")

    @pytest.mark.parametrize(
        "request_",
        [
            changed("/regime/noise_variance", 1e100),
            changed("/regime/target/signal_variance", 1e100),
            changed("/regime/target/mean", -1e50),
            changed("/model/learner/penalty", 1e100),
            changed("/regime/n_samples", 1e12),
            regression({"kind": "isotropic", "variance": 1e97}),
            changed("/regime/tail_trace", 1e100, request=EIGENSPECTRUM),
            changed("/regime/energies", [1e100, 1e100], request=EIGENSPECTRUM),
        ],
    )
    def test_the_largest_admissible_numbers_have_finite_answers(self, service: RunningService, request_: Any) -> None:
        answer = service.predict(request_)
        assert answer.status_code == 200
        assert finite(answer.content)["test_error"] >= 0.0


class TestTooLarge:
    def test_ten_million_eigenvalues(self, service: RunningService) -> None:
        body = b'{"regime": {"covariance": {"eigenvalues": [' + b"1," * 10**7 + b"1]}}}"
        with memory_stays(service):
            problem = assert_problem(post(service, body), 413, "body_too_large")
        assert "multiplicities" in problem["detail"]

    def test_a_gigabyte_that_is_announced_is_refused_before_it_is_sent(self, service: RunningService) -> None:
        with memory_stays(service), Wire(service) as wire:
            wire.send(post_head("Content-Type: application/json", "Content-Length: 1000000000"))
            assert_problem(wire.answer(), 413, "body_too_large")

    def test_a_gigabyte_without_a_length_is_stopped_early(self, service: RunningService) -> None:
        chunk = b"100000\r\n" + b" " * MEBIBYTE + b"\r\n"
        with memory_stays(service), Wire(service) as wire:
            wire.send(post_head("Content-Type: application/json", "Transfer-Encoding: chunked"))
            sent = wire.pump(itertools.repeat(chunk, 1000))
            assert_problem(wire.answer(), 413, "body_too_large")
            assert wire.closed()
        assert sent < 100 * MEBIBYTE

    def test_a_client_that_asks_before_sending_is_told_no(self, service: RunningService) -> None:
        with Wire(service) as wire:
            wire.send(post_head(JSON.strip(), "Content-Length: 1000000000", "Expect: 100-continue"))
            assert_problem(wire.answer(), 413, "body_too_large")
            assert wire.closed()

    @pytest.mark.parametrize("framing", ["Content-Length: 1000000000", "Transfer-Encoding: chunked"])
    def test_who_sends_on_regardless_is_cut_off(self, service: RunningService, framing: str) -> None:
        chunk = b"100000\r\n" + b" " * MEBIBYTE + b"\r\n" if "chunked" in framing else b" " * MEBIBYTE
        with memory_stays(service), Wire(service) as wire:
            wire.send(post_head("Content-Type: application/json", framing))
            sent = wire.pump(itertools.repeat(chunk, 1000), heed_answer=False)
        assert sent < 200 * MEBIBYTE

    def test_the_limit_itself_is_allowed(self, service: RunningService) -> None:
        padded = BODY + b" " * (8 * MEBIBYTE - len(BODY))
        assert post(service, padded).status_code == 200
        assert_problem(post(service, padded + b" "), 413, "body_too_large")

    def test_a_connection_survives_a_body_that_is_refused_whole(self, service: RunningService) -> None:
        with service.client() as client:
            for _ in range(3):
                answer = client.post(PREDICTIONS, content=b"{", headers={"Content-Type": "application/json"})
                assert answer.status_code == 400
            assert client.post(PREDICTIONS, json=EXAMPLE).status_code == 200

    @pytest.mark.parametrize(
        "body",
        [
            b'{"model": {}, "regime": {"kind": "regression", "covariance": {"kind": "explicit", "eigenvalues": ['
            + b'"",' * 2_000_000
            + b'""]}}}',
            b"{" + b",".join(b'"%x": 0' % index for index in range(700_000)) + b"}",
            b'{"regime": {"kind": "eigenspectrum", "eigenvalues": [' + b"{}," * 2_000_000 + b"{}]}}",
            b"[" + b"[]," * 2_000_000 + b"[]]",
        ],
        ids=["strings", "fields", "objects", "arrays"],
    )
    def test_millions_of_faults_are_not_listed(self, service: RunningService, body: bytes) -> None:
        with memory_stays(service, within=400 * MEBIBYTE):  # the parsed body itself, not an error record for each entry
            answer = post(service, body)
            assert_problem(answer, 422, "validation_error")
        assert len(answer.content) < 10_000


class TestContentType:
    @pytest.mark.parametrize(
        "content_type",
        ["text/plain", "application/x-www-form-urlencoded", "application/problem+json", "application/json; charset=latin-1",
         "multipart/form-data; boundary=x", "*/*", "json", "application/jsonx"],
    )  # fmt: skip
    def test_another_is_415(self, service: RunningService, content_type: str) -> None:
        problem = assert_problem(post(service, BODY, Content_Type=content_type), 415, "unsupported_media_type")
        assert "application/json" in problem["detail"]

    def test_none_is_415(self, service: RunningService) -> None:
        answer = exchange(service, post_head(f"Content-Length: {len(BODY)}") + BODY.decode())
        assert_problem(answer, 415, "unsupported_media_type")

    @pytest.mark.parametrize(
        "content_type",
        ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'],
    )
    def test_these_mean_json(self, service: RunningService, content_type: str) -> None:
        assert post(service, BODY, Content_Type=content_type).status_code == 200

    def test_compressed_bodies_are_415(self, service: RunningService) -> None:
        answer = post(service, gzip.compress(BODY), Content_Encoding="gzip")
        problem = assert_problem(answer, 415, "unsupported_media_type")
        assert "gzip" in problem["detail"]


class TestPaths:
    @pytest.mark.parametrize(
        "path",
        [
            "/v1/predictions/", "/v1", "/v2/predictions", "/v1/Predictions", "//v1/predictions", "/v1/predictions%2F",
            "/v1/predictions;x=1", "/v1/predictions%00", "/%00", "/%ff%fe", "/nothing%0d%0aSet-Cookie:%20a=b",
            "/v1/jobs/none", "/v1/jobs/%C2%BE%11%05", "/v1/jobs/a:b", "/v1/jobs/a%0ab", "/v1/jobs/" + "j" * 200,
            "/docs/assets/", "/docs/assets/index.html", "/docs/assets/../../pyproject.toml",
            "/docs/assets/....//pyproject.toml",
            "/docs/assets/..%2f..%2fpyproject.toml", "/docs/assets/%2e%2e/%2e%2e/pyproject.toml",
            "/docs/assets/%2fetc%2fpasswd", "/" + "a" * 30_000,
        ],
        ids=lambda path: path[:40],
    )  # fmt: skip
    def test_an_unknown_one_is_404(self, service: RunningService, path: str) -> None:
        answer = exchange(service, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert_problem(answer, 404, "not_found")
        assert len(answer.content) < 2000
        assert "set-cookie" not in answer.headers

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"])
    def test_another_method_is_405_and_says_which_is_allowed(self, service: RunningService, method: str) -> None:
        with service.client() as client:
            answer = client.request(method, PREDICTIONS)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "POST"
        if method == "HEAD":
            assert answer.content == b""
        else:
            assert_problem(answer, 405, "method_not_allowed")

    @pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/v1/catalogue", "/openapi.json", "/docs"])
    def test_what_can_be_read_cannot_be_written(self, service: RunningService, path: str) -> None:
        with service.client() as client:
            answer = client.post(path, json={})
            assert_problem(answer, 405, "method_not_allowed")
            assert "GET" in answer.headers["allow"]
            head = client.head(path)
            assert head.status_code == 200
            assert head.content == b""
            assert client.get(path).status_code == 200  # the connection is still in step

    def test_a_query_is_ignored(self, service: RunningService) -> None:
        assert httpx.post(service.url + PREDICTIONS + "?x=" + "y" * 1000, json=EXAMPLE).status_code == 200


class TestNotHttp:
    @pytest.mark.parametrize(
        "data",
        [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50,  # a TLS handshake
            b"garbage\r\n\r\n",
            b"\x00" * 100 + b"\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"GET\r\n\r\n",
            b"POST /v1/predictions HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST /v1/predictions HTTP/1.1\r\nContent-Length: +5\r\n\r\n12345",
            b"POST /v1/predictions HTTP/1.1\r\nContent-Length: 5x\r\n\r\n12345",
            b"POST /v1/predictions HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            b"POST /v1/predictions HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
            b"POST /v1/predictions HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            b"POST /v1/predictions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"POST /v1/predictions HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            b"GET / HTTP/1.1\r\nBad Header: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n",
        ],
        ids=lambda data: repr(data[-40:]),
    )  # fmt: skip
    def test_is_400_and_the_connection_is_closed(self, service: RunningService, data: bytes) -> None:
        with Wire(service) as wire:
            wire.send(data)
            assert_problem(wire.answer(), 400, "invalid_http")
            assert wire.closed()

    def test_an_absurd_content_length_is_413(self, service: RunningService) -> None:
        answer = exchange(service, post_head("Content-Type: application/json", "Content-Length: 9999999999999999999"))
        assert_problem(answer, 413, "body_too_large")

    def test_an_unencoded_path_is_refused(self, service: RunningService) -> None:
        answer = exchange(service, "GET /caf\xe9 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert answer.status_code in (400, 404)
        assert answer.headers["content-type"] == "application/problem+json"


class TestHeaders:
    def test_many_are_431(self, service: RunningService) -> None:
        with memory_stays(service), Wire(service) as wire:
            wire.send("GET /healthz HTTP/1.1\r\n")
            wire.pump(f"X-{index}: {'y' * 1000}\r\n".encode() for index in range(100_000))
            assert_problem(wire.answer(), 431, "headers_too_large")
            assert wire.closed()

    def test_too_many_in_one_piece_are_431_too(self, service: RunningService) -> None:
        answer = exchange(service, "GET /healthz HTTP/1.1\r\n" + f"X: {'y' * 1000}\r\n" * 100 + "\r\n")
        assert_problem(answer, 431, "headers_too_large")

    def test_an_endless_one_is_431(self, service: RunningService) -> None:
        with memory_stays(service), Wire(service) as wire:
            wire.send("GET /healthz HTTP/1.1\r\nX: ")
            wire.pump(itertools.repeat(b"y" * 10_000, 100_000))
            assert_problem(wire.answer(), 431, "headers_too_large")

    def test_an_endless_url_is_431(self, service: RunningService) -> None:
        with memory_stays(service), Wire(service) as wire:
            wire.send("GET /")
            wire.pump(itertools.repeat(b"y" * 10_000, 100_000))
            assert_problem(wire.answer(), 431, "headers_too_large")

    def test_endless_ones_after_a_pipelined_request_are_431(self, service: RunningService) -> None:
        with memory_stays(service), Wire(service) as wire:
            wire.send("GET /healthz HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1\r\n")
            assert wire.answer().status_code == 200
            wire.pump(f"X-{index}: {'y' * 1000}\r\n".encode() for index in range(100_000))
            assert_problem(wire.answer(), 431, "headers_too_large")

    def test_endless_ones_after_a_chunked_body_are_431(self, service: RunningService) -> None:
        with memory_stays(service), Wire(service) as wire:
            wire.send(post_head("Content-Type: application/json", "Transfer-Encoding: chunked") + "2\r\n{}\r\n0\r\n")
            wire.pump(f"X-{index}: {'y' * 1000}\r\n".encode() for index in range(100_000))
            assert_problem(wire.answer(), 431, "headers_too_large")

    def test_reasonably_large_ones_are_fine(self, service: RunningService) -> None:
        answer = exchange(service, "GET /healthz HTTP/1.1\r\n" + f"X: {'y' * 1000}\r\n" * 50 + "\r\n")
        assert answer.status_code == 200


class TestUnusualButRight:
    def test_http_1_0(self, service: RunningService) -> None:
        with Wire(service) as wire:
            wire.send(post_head("Content-Type: application/json", f"Content-Length: {len(BODY)}", version="1.0"))
            wire.send(BODY)
            answer = wire.answer()
            assert answer.status_code == 200
            assert answer.content == service.predict().content
            assert wire.closed()

    def test_pipelined_requests_are_answered_in_order(self, service: RunningService) -> None:
        penalties = [0.1, 0.2, 0.3, 0.4]
        bodies = [json.dumps(changed("/model/learner/penalty", penalty)) for penalty in penalties]
        expected = [json.loads(body) for body in bodies]
        requests = [
            post_head("Content-Type: application/json", f"Content-Length: {len(body)}") + body for body in bodies
        ]
        with Wire(service) as wire:
            wire.send("".join(requests))
            answers = [wire.answer() for _ in bodies]
        keys = [finite(answer.content)["key"] for answer in answers]
        assert keys == [service.predict(request).json()["key"] for request in expected]

    def test_a_good_request_after_a_bad_one_on_the_same_connection(self, service: RunningService) -> None:
        bad = post_head("Content-Type: application/json", "Content-Length: 1") + "{"
        good = post_head("Content-Type: application/json", f"Content-Length: {len(BODY)}") + BODY.decode()
        with Wire(service) as wire:
            wire.send(bad + good)
            assert wire.answer().status_code == 400
            assert wire.answer().status_code == 200

    def test_a_chunked_body(self, service: RunningService) -> None:
        chunks = "".join(f"1\r\n{chr(byte)}\r\n" for byte in BODY) + "0\r\n\r\n"
        answer = exchange(service, post_head("Content-Type: application/json", "Transfer-Encoding: chunked") + chunks)
        assert answer.status_code == 200

    def test_a_client_that_waits_to_be_told_to_continue(self, service: RunningService) -> None:
        head = ("Content-Type: application/json", f"Content-Length: {len(BODY)}", "Expect: 100-continue")
        with Wire(service) as wire:
            wire.send(post_head(*head))
            assert wire.answer().status_code == 100
            wire.send(BODY)
            assert wire.answer().status_code == 200

    @pytest.mark.parametrize("protocol", ["h2c", "websocket"])
    def test_an_offer_to_upgrade_is_declined_by_answering(self, service: RunningService, protocol: str) -> None:
        head = ("Connection: Upgrade", f"Upgrade: {protocol}", "Content-Type: application/json")
        answer = exchange(service, post_head(*head, f"Content-Length: {len(BODY)}") + BODY.decode())
        assert answer.status_code == 200

    def test_a_client_that_leaves_halfway(self, service: RunningService) -> None:
        for cut in (10, 60, len(BODY) // 2 + 100):
            with Wire(service) as wire:
                wire.send(
                    (post_head("Content-Type: application/json", f"Content-Length: {len(BODY)}").encode() + BODY)[:cut]
                )
        assert service.predict().status_code == 200


class TestSlowWriters:
    @pytest.fixture(scope="class")
    @classmethod
    def hasty(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
        """A service that gives a request one second to arrive."""
        with RunningService(tmp_path_factory.mktemp("hasty"), receive_timeout="1") as running:
            yield running

    @staticmethod
    def drip(wire: Wire, data: str) -> Answer:
        """Send a byte now and then until the other side answers."""

        def pieces() -> Iterator[bytes]:
            for byte in data.encode():
                yield bytes([byte])
                time.sleep(0.05)

        sent = wire.pump(pieces())
        assert sent < len(data)
        return wire.answer()

    def test_headers_that_come_byte_by_byte_are_408(self, hasty: RunningService) -> None:
        with Wire(hasty) as wire:
            answer = self.drip(wire, "GET /healthz HTTP/1.1\r\nX-Slow: " + "y" * 1000)
            assert_problem(answer, 408, "request_timeout")
            assert wire.closed()

    @pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
    def test_a_body_that_comes_byte_by_byte_is_408(self, hasty: RunningService, framing: str) -> None:
        with Wire(hasty) as wire:
            wire.send(post_head("Content-Type: application/json", framing))
            answer = self.drip(wire, " " * 1000 if "Length" in framing else "1\r\n \r\n" * 200)
            assert_problem(answer, 408, "request_timeout")
            assert wire.closed()

    @pytest.mark.parametrize(
        "start", ["GET", "GET /healthz HTTP/1.1\r\n", post_head(JSON.strip(), "Content-Length: 9") + "{"]
    )
    def test_a_request_that_stops_halfway_is_408(self, hasty: RunningService, start: str) -> None:
        with Wire(hasty) as wire:
            wire.send(start)
            assert_problem(wire.answer(), 408, "request_timeout")
            assert wire.closed()

    def test_the_second_request_of_a_connection_has_no_more_time(self, hasty: RunningService) -> None:
        with Wire(hasty) as wire:
            wire.send("GET /healthz HTTP/1.1\r\n\r\nGET /heal")
            assert wire.answer().status_code == 200
            assert_problem(wire.answer(), 408, "request_timeout")
            assert wire.closed()

    def test_a_connection_that_never_says_anything_is_closed(self, hasty: RunningService) -> None:
        with Wire(hasty) as wire:
            assert wire.closed()

    def test_one_that_rests_between_requests_is_not(self, hasty: RunningService) -> None:
        with Wire(hasty) as wire:
            for _ in range(2):
                wire.send("GET /healthz HTTP/1.1\r\n\r\n")
                assert wire.answer().status_code == 200
                time.sleep(1.5)  # longer than a request may take to arrive

    def test_others_are_answered_meanwhile(self, hasty: RunningService) -> None:
        with Wire(hasty) as slow:
            slow.send(post_head("Content-Type: application/json", "Content-Length: 1000") + "{")
            assert hasty.predict().status_code == 200
            assert_problem(slow.answer(), 408, "request_timeout")


FULL = [
    changed("/model/fit_intercept", True),
    changed("/regime/tail_trace", 0.5, request=EIGENSPECTRUM),
    regression(
        {"kind": "discrete", "eigenvalues": [1, 5], "weights": [0.5, 0.5]},
        target={
            "signal_variance": 1.0,
            "alignment": {"kind": "energies", "values": [0.75, 0.25]},
            "nonlinear_variance": 0.1,
            "mean": 0.5,
        },
    ),
    regression(
        {"kind": "power_law", "exponent": 1.5, "scale": 1.0}, target={"alignment": {"kind": "source", "exponent": 0.4}}
    ),
    regression({"kind": "spiked", "bulk_variance": 1.0, "spikes": [30, 10]}),
    regression({"kind": "ar1", "correlation": 0.5}),
    regression({"kind": "explicit", "eigenvalues": [3.0, 1.0, 0.5]}, n_features=3),
    regression({"kind": "isotropic", "variance": 2.0}, target={"alignment": {"kind": "isotropic"}}),
]


def places(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """List every place in a JSON value with what is there."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, child in children:
        yield f"{at}/{name}", child
        yield from places(child, f"{at}/{name}")


NUMBERS = st.one_of(
    st.integers(),
    st.integers(min_value=-(10**500), max_value=10**500),
    st.floats(),
    st.sampled_from(
        [0, -0.0, 5e-324, 1e-320, 1e-308, 1e-101, 1e-100, 1e-12, 0.5, 1, 2.5, 400, 800, 1e12, 1e99, 1e100, 1e101]
    ),
)
ANYTHING = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(st.characters(codec="utf-8"))),
    lambda child: (
        st.lists(child, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), child, max_size=4)
    ),
    max_leaves=8,
)


class TestAnythingAnywhere:
    """The application in this process: many requests, each a real one but for the socket."""

    @pytest.fixture(scope="class")
    @classmethod
    def post(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
        folder: Path = tmp_path_factory.mktemp("in_process")
        app = create_app(
            Settings(data_dir=folder, access_log="off"),
            cache_url=f"unix://{folder}/no.sock",
            queue_url=f"unix://{folder}/no.sock",
        )
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://foretell")
        with asyncio.Runner() as runner:

            def send(content: str) -> httpx.Response:
                headers = {"Content-Type": "application/json"}
                return runner.run(client.post(PREDICTIONS, content=content.encode(), headers=headers))

            yield send
            runner.run(client.aclose())

    @staticmethod
    def check(answer: httpx.Response) -> None:
        """Check that an answer is a prediction or a problem about the request."""
        document = finite(answer.content)
        if answer.status_code == 200:
            assert document["status"] in ("converged", "divergent", "not_converged")
            assert (document["test_error"] is None) == (document["status"] == "divergent")
            if document["status"] == "converged":
                assert document["test_error"] >= 0.0
                assert document["train_error"] >= 0.0
                assert document["variance"] >= 0.0
        else:
            assert answer.status_code in (400, 413, 422), document
            assert_problem(answer, answer.status_code, document["code"])

    @settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(request_=st.sampled_from(FULL), data=st.data())
    def test_any_json_at_any_place_is_answered(self, post: Any, request_: Any, data: st.DataObject) -> None:
        place = data.draw(st.sampled_from([place for place, _ in places(request_)]))
        self.check(post(json.dumps(changed(place, data.draw(ANYTHING), request=request_))))

    @settings(max_examples=600, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(request_=st.sampled_from(FULL), data=st.data())
    def test_any_numbers_in_any_places_are_answered(self, post: Any, request_: Any, data: st.DataObject) -> None:
        numbers = [place for place, value in places(request_) if type(value) in (int, float)]
        for place in data.draw(st.lists(st.sampled_from(numbers), min_size=1, unique=True)):
            request_ = changed(place, data.draw(NUMBERS, label=place), request=request_)
        self.check(post(json.dumps(request_)))

    @settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(text=st.text(st.characters(codec="utf-8")) | ANYTHING.map(json.dumps))
    def test_any_text_is_answered(self, post: Any, text: str) -> None:
        self.check(post(text))


@pytest.mark.parametrize(
    ("activation", "pointer", "detail"),
    [
        ("swish", "", "must be 'linear', 'relu'"),
        (3, "", "must be 'linear', 'relu'"),
        ({"kind": "relu", "negative_slope": 0.1}, "/kind", "must be one of 'leaky_relu', 'ternary', got 'relu'"),
        ({"kind": "leaky_relu", "negative_slope": 2}, "/negative_slope", "must be at most 1, got 2"),
        ({"kind": "leaky_relu", "slope": 0.1}, "/slope", "is not a field here"),
        ({}, "", "must be an object with a field 'kind'"),
    ],
)
def test_an_activation_is_pointed_to_whatever_its_form(
    service: RunningService, activation: Any, pointer: str, detail: str
) -> None:
    layers = [{"activation": activation, "width": 300}]
    refusal = service.predict(changed("/model/features", {"kind": "random_features", "layers": layers}))
    assert refusal.status_code == 422
    [error] = refusal.json()["errors"]
    assert error["pointer"] == f"/model/features/layers/0/activation{pointer}"
    assert detail in error["detail"]
