"""Running the service: health, metrics, logs, documentation, and every way in which it may end."""

import json
import os
import re
import signal
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families

from api_schemas.catalogue import Catalogue
from service.app import api
from service.shared_cache import PREFIX
from tests.running import EXAMPLE, RunningService, wait_until
from tests.service.wire import JSON, PREDICTIONS, Wire, assert_problem, changed, finite, post_head, regression
from tests.workers.test_worker import running_worker, workers_started


def large(n_eigenvalues: int, penalty: float) -> bytes:
    """Return a request that takes long to read and solve."""
    eigenvalues = [1.0 + index / n_eigenvalues for index in range(n_eigenvalues)]
    request = regression({"kind": "explicit", "eigenvalues": eigenvalues}, n_features=n_eigenvalues)
    return json.dumps(changed("/model/learner/penalty", penalty, request=request), separators=(",", ":")).encode()


def valkey_pid(service: RunningService) -> int:
    """Return the process id of the service's own Valkey."""
    return int(json.loads((service.data_dir / "foretell.lock").read_text())["valkey_pid"])


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not waited for, as under a lazy init, does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


def children(service: RunningService) -> list[int]:
    """Return the process ids of the API processes of a service that has several."""
    assert service.process is not None
    found = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            parent = re.search(r"^PPid:\s(\d+)", status.read_text(), re.MULTILINE)
            command = (status.parent / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent and int(parent[1]) == service.process.pid and b"spawn_main" in command:
            found.append(int(status.parent.name))
    return found


def metrics(service: RunningService) -> dict[str, Any]:
    """Return all metrics by name, parsed as Prometheus does."""
    text = httpx.get(service.url + "/metrics").text
    return {family.name: family for family in text_string_to_metric_families(text)}


def sample(service: RunningService, name: str, **labels: str) -> float:
    """Return the value of one sample; 0 if it has not been counted yet."""
    for family in metrics(service).values():
        for line in family.samples:
            if line.name == name and line.labels == labels:
                return float(line.value)
    return 0.0


class TestHealth:
    def test_it_is_alive(self, service: RunningService) -> None:
        answer = httpx.get(service.url + "/healthz")
        assert answer.status_code == 200
        assert answer.json() == {"status": "ok", "version": version("foretell")}

    def test_it_is_ready(self, service: RunningService) -> None:
        answer = httpx.get(service.url + "/readyz")
        assert answer.status_code == 200
        assert answer.json() == {"status": "ready", "redis": "up"}

    def test_the_catalogue_lists_what_there_is(self, service: RunningService) -> None:
        answer = httpx.get(service.url + "/v1/catalogue")
        catalogue = Catalogue.model_validate_json(answer.content)
        assert {kind.kind for kind in catalogue.covariances} >= {
            "isotropic",
            "discrete",
            "power_law",
            "spiked",
            "ar1",
            "explicit",
        }
        assert {kind.kind for kind in catalogue.alignments} >= {"isotropic", "source", "energies"}
        assert {"features": "linear", "learner": "ridge", "regime": "regression"} in answer.json()["combinations"]
        groups = (
            catalogue.features,
            catalogue.learners,
            catalogue.regimes,
            catalogue.covariances,
            catalogue.alignments,
        )
        for kind in (kind for group in groups for kind in group):
            assert kind.description
            assert all(parameter.description and parameter.domain for parameter in kind.parameters)


class TestMetrics:
    def test_are_what_prometheus_reads(self, service: RunningService) -> None:
        answer = httpx.get(service.url + "/metrics")
        assert answer.headers["content-type"].startswith("text/plain; version=")
        families = metrics(service)
        assert {name.split("_")[0] for name in families} <= {"foretell", "python", "process"}
        assert all(family.documentation for family in families.values())
        assert sample(service, "foretell_redis_up") == 1

    def test_count_requests_by_route_and_status(self, service: RunningService) -> None:
        labels = {"method": "POST", "route": PREDICTIONS}
        before = [sample(service, "foretell_requests_total", **labels, status=status) for status in ("200", "422")]
        service.predict()
        service.predict({})
        after = [sample(service, "foretell_requests_total", **labels, status=status) for status in ("200", "422")]
        assert after == [before[0] + 1, before[1] + 1]

    def test_measure_how_long_they_take(self, service: RunningService) -> None:
        before = sample(service, "foretell_request_seconds_count", route=PREDICTIONS)
        for penalty in (0.5, 0.5, 0.25):
            service.predict(changed("/model/learner/penalty", penalty), headers={"Cache-Control": "no-cache"})
        assert sample(service, "foretell_request_seconds_count", route=PREDICTIONS) == before + 3
        slowest = sample(service, "foretell_request_seconds_bucket", route=PREDICTIONS, le="+Inf")
        assert slowest == before + 3
        assert sample(service, "foretell_solve_seconds_count") >= 3
        assert sample(service, "foretell_predictions_total", status="converged") >= 3

    def test_are_as_many_whatever_clients_send(self, service: RunningService) -> None:
        with service.client() as client:
            for index in range(30):
                client.get(f"/nothing/{index}")
                client.get(f"/v1/jobs/{index}")
                client.request("PROPFIND", f"/{index}")
        (requests,) = (family for name, family in metrics(service).items() if name == "foretell_requests")
        routes = {line.labels["route"] for line in requests.samples}
        assert "other" in routes
        assert not any(re.search(r"\d+$", route) for route in routes)
        known = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"}
        assert {line.labels["method"] for line in requests.samples} <= known

    def test_cannot_be_posted(self, service: RunningService) -> None:
        answer = httpx.post(service.url + "/metrics")
        assert_problem(answer, 405, "method_not_allowed")
        assert "GET" in answer.headers["allow"]


class TestDocumentation:
    def test_the_page_needs_no_other_host(self, service: RunningService) -> None:
        with service.client() as client:
            page = client.get("/docs")
            assert page.headers["content-type"].startswith("text/html")
            assert page.headers["content-security-policy"].startswith("default-src 'self'")
            assert re.findall(r"https?:|[\"'(]//", page.text) == []
            links = re.findall(r"(?:src|href)=\"([^\"]+)\"", page.text)
            assert len(links) == 3
            types = {".js": "text/javascript", ".css": "text/css", ".png": "image/png"}
            for link in links:
                asset = client.get(link)
                assert asset.status_code == 200
                assert asset.headers["content-type"].startswith(types[Path(link).suffix])
                assert len(asset.content) > 500
                assert asset.headers["etag"]
            assert "/openapi.json" in page.text

    def test_the_root_leads_there(self, service: RunningService) -> None:
        answer = httpx.get(service.url)
        assert answer.status_code == 307
        assert answer.headers["location"] == "/docs"

    def test_the_openapi_document_is_the_one_of_the_routes(self, service: RunningService) -> None:
        assert httpx.get(service.url + "/openapi.json").json() == json.loads(json.dumps(api().openapi()))


class TestRequestIds:
    @pytest.mark.parametrize("given", ["a", "6f1c-4a", "x" * 128, "trace id: 7/8 (retry)"])
    def test_one_that_is_given_comes_back(self, service: RunningService, given: str) -> None:
        headers = {"X-Request-Id": given}
        for answer in (service.predict(headers=headers), httpx.get(service.url + "/healthz", headers=headers)):
            assert answer.headers["x-request-id"] == given
        problem = assert_problem(service.predict({}, headers=headers), 422, "validation_error")
        assert problem["instance"] == f"urn:foretell:request:{given}"

    @pytest.mark.parametrize("given", ["", "x" * 129, "caf\xe9", 'a"b', "a\tb", "\xff\xfe"], ids=ascii)
    def test_one_that_could_do_harm_does_not(self, service: RunningService, given: str) -> None:
        head = post_head(JSON.strip(), "Content-Length: 2", f"X-Request-Id: {given}")
        with Wire(service) as wire:
            wire.send(head + "{}")
            answer = wire.answer()
        assert re.fullmatch(r"[0-9a-f]{20}", answer.headers["x-request-id"])
        assert finite(answer.content)["instance"] == f"urn:foretell:request:{answer.headers['x-request-id']}"

    def test_each_made_up_one_is_new(self, service: RunningService) -> None:
        with service.client() as client:
            ids = [client.post(PREDICTIONS, json=EXAMPLE).headers["x-request-id"] for _ in range(20)]
            ids += [client.get("/healthz").headers["x-request-id"] for _ in range(20)]
        assert len(set(ids)) == 40


class TestLogs:
    def test_every_line_is_json_with_a_time_a_level_and_an_event(self, service: RunningService) -> None:
        service.predict(headers={"Cache-Control": "no-cache"})
        with Wire(service) as wire:
            wire.send("garbage\r\n\r\n")
            wire.answer()
        for line in service.log_file.read_text().rstrip("\n").split("\n"):
            record = json.loads(line)
            assert list(record)[:3] == ["timestamp", "level", "event"], record
            assert record["level"] in ("debug", "info", "warning", "error")

    def test_a_request_is_found_by_its_id(self, service: RunningService) -> None:
        service.predict(headers={"X-Request-Id": "to-be-found", "Cache-Control": "no-cache"})
        (line,) = wait_until(
            lambda: [line for line in service.logged("request") if line["request_id"] == "to-be-found"]
        )
        assert (line["method"], line["path"], line["status"], line["source"]) == ("POST", PREDICTIONS, 200, "refreshed")
        assert line["milliseconds"] > 0

    def test_refusals_are_logged_too(self, service: RunningService) -> None:
        service.predict({}, headers={"X-Request-Id": "refused"})
        httpx.get(service.url + "/nothing%0A", headers={"X-Request-Id": "not-found"})

        def both() -> dict[str, Any] | None:
            lines = {line["request_id"]: line for line in service.logged("request")}
            return lines if {"refused", "not-found"} <= lines.keys() else None

        lines = wait_until(both)
        assert lines["refused"]["status"] == 422
        assert (lines["not-found"]["status"], lines["not-found"]["path"]) == (404, "/nothing\n")

    def test_answers_from_memory_are_not_unless_asked_for(self, service: RunningService) -> None:
        service.predict()
        service.predict(headers={"X-Request-Id": "from-memory"})
        service.predict(headers={"X-Request-Id": "after-it", "Cache-Control": "no-cache"})
        ids = wait_until(
            lambda: "after-it" in (ids := {line["request_id"] for line in service.logged("request")}) and ids
        )
        assert "from-memory" not in ids

    def test_keys_and_bodies_are_not_logged(self, service: RunningService) -> None:
        secret = "ftl_aaaaaaaa_" + "s3cret" * 7
        service.predict(changed("/model/learner/kind", secret), headers={"Authorization": f"Bearer {secret}"})
        assert "s3cret" not in service.log_file.read_text()


class TestTimeLimit:
    @pytest.fixture(scope="class")
    @classmethod
    def strict(cls, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
        """A service that gives a request a twentieth of a second, and logs every one; and a worker."""
        with (
            RunningService(tmp_path_factory.mktemp("strict"), time_limit="0.05", access_log="all") as running,
            running_worker(running),
        ):
            wait_until(lambda: workers_started(running), what="the worker's start")
            yield running

    def test_what_takes_longer_is_answered_later(self, strict: RunningService) -> None:
        content = large(300_000, 0.1)

        def post(**headers: str) -> httpx.Response:
            headers = {"Content-Type": "application/json", **headers}
            return httpx.post(strict.url + PREDICTIONS, content=content, headers=headers, timeout=60)

        later = post()
        assert later.status_code == 202
        assert int(later.headers["retry-after"]) >= 1
        assert "preference-applied" not in later.headers
        waited = post(Prefer="wait=30")
        assert waited.status_code == 200
        assert waited.json()["status"] == "converged"
        job = httpx.get(strict.url + later.headers["location"], timeout=60).json()
        assert job["result"] == waited.json()

    def test_waiting_applies_to_what_was_to_be_answered_later_anyway(self, strict: RunningService) -> None:
        answer = strict.predict(changed("/regime/n_samples", 321), headers={"Prefer": "respond-async, wait=30"})
        assert answer.status_code == 200
        assert answer.json()["status"] == "converged"

    def test_what_cannot_be_a_job_is_503_with_a_time_to_come_back(self, strict: RunningService) -> None:
        # A validation begins with the prediction to compare with, whose equations are integrated here.
        request = {
            "model": {
                "features": {"kind": "two_layer", "hidden_units": 8},
                "learner": {"kind": "sgd", "step_size": 0.1},
            },
            "regime": {"kind": "teacher_network", "n_samples": 100_000, "n_features": 100, "hidden_units": 8},
        }
        answer = httpx.post(f"{strict.url}/v1/validations", json={"request": request}, timeout=60)
        problem = assert_problem(answer, 503, "time_limit")
        assert int(answer.headers["retry-after"]) >= 1
        assert "0.05 s" in problem["detail"]

    def test_small_requests_are_answered_all_the_same(self, strict: RunningService) -> None:
        assert strict.predict().status_code == 200

    def test_all_requests_are_logged_where_asked_for(self, strict: RunningService) -> None:
        for request_id in ("one", "two", "three"):
            assert strict.predict(headers={"X-Request-Id": request_id}).status_code == 200
        sources = wait_until(
            lambda: {line["request_id"]: line["source"] for line in strict.logged("request")}.get("three")
        )
        assert sources == "memory"


class TestTheEnd:
    """What becomes of requests, of Valkey and of the cache."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
    def test_an_orderly_one_waits_for_requests_under_way(self, tmp_path: Path, number: signal.Signals) -> None:
        content = large(500_000, 0.1)
        assert len(content) < 8 * 2**20
        with RunningService(tmp_path) as running, Wire(running, timeout=60) as wire, Wire(running) as idle:
            idle.send("GET /healthz HTTP/1.1\r\n\r\n")
            assert idle.answer().status_code == 200
            valkey = valkey_pid(running)
            wire.send(post_head(JSON.strip(), f"Content-Length: {len(content)}").encode() + content)
            assert running.process is not None
            running.process.send_signal(number)
            answer = wire.answer()
            assert answer.status_code == 200
            assert finite(answer.content)["status"] == "converged"
            assert wire.closed()
            assert idle.closed()
            assert running.process.wait(timeout=60) == 0
            assert not is_alive(valkey)
            assert not (running.data_dir / "valkey.sock").exists()
            assert "Traceback" not in running.log_file.read_text()

    def test_it_does_not_wait_for_ever(self, tmp_path: Path) -> None:
        with RunningService(tmp_path, graceful_timeout="1") as running, Wire(running) as wire:
            wire.send(post_head(JSON.strip(), "Content-Length: 1000") + "{")
            wait_until(lambda: running.predict().status_code == 200)  # the half request has come before this one
            assert running.stop() == 0

    def test_answers_survive_it(self, tmp_path: Path) -> None:
        with RunningService(tmp_path) as running:
            first = running.predict()
            assert running.stop() == 0
            running.start()
            second = running.predict()
        assert second.headers["cache-status"] == "foretell; hit; detail=redis"
        assert second.content == first.content

    def test_a_kill_takes_valkey_along_and_leaves_the_answers(self, tmp_path: Path) -> None:
        with RunningService(tmp_path) as running:
            first = running.predict()
            with redis.Redis(unix_socket_path=str(running.data_dir / "valkey.sock"), db=1) as store:
                wait_until(lambda: store.exists(PREFIX + first.json()["key"]), what="the answer in Redis")
            valkey = valkey_pid(running)
            assert running.stop(with_signal=signal.SIGKILL) == -signal.SIGKILL
            wait_until(lambda: not is_alive(valkey), what="the end of Valkey")
            running.start()
            second = running.predict()
        assert second.headers["cache-status"] == "foretell; hit; detail=redis"
        assert second.content == first.content

    def test_several_processes_end_together(self, tmp_path: Path) -> None:
        with RunningService(tmp_path, "--api-processes", "2") as running:
            wait_until(lambda: len(running.logged("api_started")) == 2)
            pids = [*children(running), valkey_pid(running)]
            assert len(pids) == 3
            assert running.stop() == 0
            assert not any(is_alive(pid) for pid in pids)
            running.start()
            wait_until(lambda: len(running.logged("api_started")) == 4)
            pids = [*children(running), valkey_pid(running)]
            assert len(pids) == 3
            running.stop(with_signal=signal.SIGKILL)
            wait_until(lambda: not any(is_alive(pid) for pid in pids), what="the end of all of them")

    def test_api_processes_that_are_killed_are_replaced(self, tmp_path: Path) -> None:
        with RunningService(tmp_path, "--api-processes", "2") as running:
            wait_until(lambda: len(running.logged("api_started")) == 2)
            for index in range(10):
                last = running.predict(changed("/model/learner/penalty", 1 + index))
            assert running.metric("foretell_memory_cache_entries") == 10
            with redis.Redis(unix_socket_path=str(running.data_dir / "valkey.sock"), db=1) as store:
                wait_until(lambda: store.exists(PREFIX + last.json()["key"]), what="the answers in Redis")
            killed = children(running)
            assert len(killed) == 2
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            wait_until(lambda: len(running.logged("api_started")) == 4, what="two other processes")
            wait_until(lambda: len(children(running)) == 2 and not set(killed) & set(children(running)))
            again = running.predict(changed("/model/learner/penalty", 10))
            assert again.content == last.content
            assert again.headers["cache-status"] == "foretell; hit; detail=redis"
            assert running.metric("foretell_memory_cache_entries") == 1  # the dead hold nothing
            assert running.metric("foretell_redis_up") == 1
