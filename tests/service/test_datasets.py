"""Data sets over HTTP: uploaded in every format, read in by a real worker, listed, deleted, and refused in every way."""

import itertools
import json
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from click.testing import Result
from sklearn.datasets import load_diabetes
from typer.testing import CliRunner

from api_schemas.dataset import DatasetForm, DatasetReading
from service.cli import app
from service.data_folder import running_url
from tests.running import RunningService, wait_until
from tests.service.wire import Wire, assert_problem, finite, memory_stays, post_head
from tests.workers.files import CLASSES, FILES, csv_of, npy_of
from tests.workers.test_worker import ended, running_worker, workers_started
from workers import data_store
from workers.data_store import UPLOAD, UPLOADS, DataStore
from workers.dataset_jobs import read_in
from workers.queue import LISTED_KEY, connect
from workers.refusals import Refused

PATH = "/v1/datasets"
FORM = {"task": "regression", "target": "y"}
DATASET_ID = "ab" * 32
NUMBER = itertools.count()


def content() -> bytes:
    """A file that no other test sends."""
    return csv_of().encode() + f"{next(NUMBER)},1,2,3\n".encode()


def post(
    service: RunningService, file: bytes | None = None, name: str = "pool.csv", form: Any = None, **headers: str
) -> httpx.Response:
    given = FORM if form is None else form
    files = {"file": (name, content() if file is None else file)}
    return httpx.post(service.url + PATH, data=given, files=files, headers=headers, timeout=60.0)


def succeeded(service: RunningService, answer: httpx.Response) -> Any:
    """Wait for the job of an accepted upload; returns the data set's description."""
    assert answer.status_code == 202, answer.text
    job = wait_until(lambda: ended(service, answer.headers["location"]), what="the reading")
    assert job["status"] == "succeeded", job
    found = httpx.get(f"{service.url}{PATH}/{job['dataset_id']}")
    assert found.status_code == 200
    return finite(found.content)


def failed(service: RunningService, answer: httpx.Response) -> Any:
    """Wait for the job of an upload that is accepted and turns out to be no data set; returns the problem."""
    assert answer.status_code == 202, answer.text
    job = wait_until(lambda: ended(service, answer.headers["location"]), what="the reading")
    assert (job["status"], job["result"]) == ("failed", None)
    assert httpx.get(f"{service.url}{PATH}/{job['dataset_id']}").status_code == 404
    assert_nothing_of(service, job["dataset_id"])
    return job["problem"]


def folder_of(service: RunningService) -> Path:
    return service.data_dir / "datasets"


def assert_nothing_of(service: RunningService, dataset_id: str) -> None:
    left = [path for path in folder_of(service).rglob("*") if dataset_id in str(path)]
    assert left == []


def assert_no_uploads(service: RunningService) -> None:
    uploads = folder_of(service) / UPLOADS
    wait_until(lambda: not uploads.exists() or not list(uploads.iterdir()), what="the end of all uploads")


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with a worker."""
    with RunningService(tmp_path_factory.mktemp("working")) as running, running_worker(running):
        wait_until(lambda: workers_started(running), what="the worker's start")
        yield running


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service without a worker, that takes little, and waits a second for the rest of a request."""
    options = {"dataset_limit": "3000000", "datasets_quota": "8000000", "receive_timeout": "1", "queue_limit": "5"}
    with RunningService(tmp_path_factory.mktemp("idle"), **options) as running:
        yield running


class TestUploads:
    def test_every_format_is_the_same_data_set_by_another_name(self, working: RunningService) -> None:
        names = ("csv", "npz", "parquet", "arrow stream")
        answers = {
            name: post(working, FILES[name][0], form={"task": "regression", "target": FILES[name][1]}) for name in names
        }
        found = {name: succeeded(working, answer) for name, answer in answers.items()}
        assert len({one["dataset_id"] for one in found.values()}) == len(names)
        assert [one["format"] for one in found.values()] == ["csv", "npz", "parquet", "arrow"]
        store = DataStore(folder_of(working))
        arrays = {store.rows(one["dataset_id"]).rows.tobytes() for one in found.values()}
        assert len(arrays) == 1
        assert len({json.dumps(one["estimate"]) for one in found.values()}) == 1
        assert_no_uploads(working)

    def test_what_is_stored_is_said(self, working: RunningService) -> None:
        file = csv_of(labels=CLASSES).encode()
        form = {"task": "classification", "target": "y", "standardize": "center"}
        found = succeeded(working, post(working, file, r"C:\data\..\my <pool>.csv", form))
        assert found["name"] == "my _pool_.csv"
        assert (found["task"], found["standardize"], found["rows"]) == ("classification", "center", 30)
        assert (found["features"], found["targets"]) == (["a", "b", "c"], ["y"])
        assert found["classes"] == [{"name": "no", "rows": 10}, {"name": "yes", "rows": 20}]
        assert found["upload_bytes"] == len(file)
        folder = folder_of(working) / found["dataset_id"]
        assert found["stored_bytes"] == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        assert [warning["code"] for warning in found["warnings"]] == ["few_rows"]
        assert folder_of(working).stat().st_mode & 0o077 == 0

    def test_the_same_upload_is_the_same_data_set_and_job(self, working: RunningService) -> None:
        file = content()
        first, second = post(working, file, "one.csv"), post(working, file, "two.csv")
        assert first.json()["id"] == second.json()["id"] == f"dataset-{first.json()['dataset_id']}"
        assert succeeded(working, second)["name"] in ("one.csv", "two.csv")
        assert post(working, file).json()["status"] == "succeeded"
        assert post(working, file, form={**FORM, "target": "3"}).json()["id"] != first.json()["id"]
        assert_no_uploads(working)

    def test_at_the_same_time(self, working: RunningService) -> None:
        file = content()
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: post(working, file), range(8)))
        assert len({answer.json()["id"] for answer in answers}) == 1
        succeeded(working, answers[0])
        wait_until(lambda: post(working, file).json()["status"] == "succeeded", what="the end of it")
        assert_no_uploads(working)

    def test_waiting_for_the_end(self, working: RunningService) -> None:
        answer = post(working, Prefer="wait=20")
        assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=20")
        job = finite(answer.content)
        assert (job["kind"], job["status"], job["progress"]) == ("dataset", "succeeded", 1.0)
        assert job["result"]["dataset_id"] == job["dataset_id"]

    def test_fields_may_follow_the_file_and_list_values(self, working: RunningService) -> None:
        parts: Any = [
            ("file", ("pool.csv", content())),
            ("target", (None, "y, a")),
            ("task", (None, "regression")),
            ("array", (None, "")),
        ]
        answer = httpx.post(working.url + PATH, files=parts)
        assert succeeded(working, answer)["targets"] == ["y", "a"]

    def test_names_with_commas_are_quoted(self, working: RunningService) -> None:
        file = csv_of(names=['"a, b"', "b", "c", '"y ""1"""']).encode()
        form = {"task": "regression", "target": '"a, b","y ""1"""'}
        assert succeeded(working, post(working, file, form=form))["targets"] == ["a, b", 'y "1"']

    def test_an_idempotency_key_is_for_one_upload(self, working: RunningService) -> None:
        file, key = content(), {"Idempotency-Key": "mine"}
        first = post(working, file, **key)
        assert post(working, file, **key).json()["id"] == first.json()["id"]
        assert_problem(post(working, **key), 409, "idempotency_conflict")
        succeeded(working, first)
        assert_no_uploads(working)

    def test_no_data_set_fails_with_its_reason(self, working: RunningService) -> None:
        problem = failed(working, post(working, csv_of().encode() + b"1,2,3,high\n"))
        assert (problem["status"], problem["code"]) == (422, "invalid_dataset")
        assert problem["errors"] == [{"pointer": "/file", "detail": problem["detail"].removeprefix("/file: ")}]
        assert "column 'y' in row 31 has 'high'" in problem["detail"]
        again = failed(working, post(working, csv_of().encode() + b"1,2,3,high\n"))
        assert again["detail"] == problem["detail"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("form", "pointer", "words"),
        [
            ({"target": "y"}, "/task", "is required"),
            ({**FORM, "task": "ranking"}, "/task", "must be 'regression' or 'classification'"),
            ({**FORM, "standardize": "whiten"}, "/standardize", "must be 'none', 'center' or 'scale'"),
            ({**FORM, "format": "xlsx"}, "/format", "must be 'csv'"),
            ({**FORM, "target": 'y,"a'}, "/target", "must be a line of CSV"),
            ({**FORM, "target": "y\na"}, "/target", "must be a line of CSV"),
            ({**FORM, "weight": "w"}, "/weight", "is not a field here"),
            ({**FORM, "task": ["regression", "classification"]}, "/task", "came twice"),
            ({**FORM, "target": [str(place) for place in range(150)]}, "/target", "must have at most 100 entries"),
            ({**FORM, "array": "x" * 70_000}, "/array", "must have at most 65536 bytes"),
        ],
    )
    def test_a_field_is_not_admissible(self, idle: RunningService, form: Any, pointer: str, words: str) -> None:
        problem = assert_problem(post(idle, form=form), 422, "validation_error", pointer=pointer)
        assert words in problem["errors"][0]["detail"]
        assert_no_uploads(idle)

    @pytest.mark.parametrize(
        ("file", "words"), [(b"", "is empty"), (b"\x1f\x8b\x08", "gzip"), (b"\x80\x04\x95", "pickled")]
    )
    def test_a_file_is_none_that_is_read(self, idle: RunningService, file: bytes, words: str) -> None:
        problem = assert_problem(post(idle, file), 422, "invalid_dataset", pointer="/file")
        assert words in problem["detail"]

    def test_there_is_no_file(self, idle: RunningService) -> None:
        parts: Any = [("task", (None, "regression"))]
        assert_problem(httpx.post(idle.url + PATH, files=parts), 422, "validation_error", pointer="/file")

    def test_there_are_two(self, idle: RunningService) -> None:
        parts: Any = [("file", ("a.csv", content())), ("file", ("b.csv", content()))]
        assert_problem(httpx.post(idle.url + PATH, data=FORM, files=parts), 422, "validation_error", pointer="/file")
        assert_no_uploads(idle)

    @pytest.mark.parametrize(
        ("headers", "status", "code"),
        [
            ({"Content-Type": "application/json"}, 415, "unsupported_media_type"),
            ({"Content-Type": "multipart/form-data"}, 415, "unsupported_media_type"),
            ({"Content-Type": f"multipart/form-data; boundary={'x' * 300}"}, 415, "unsupported_media_type"),
            (
                {"Content-Type": "multipart/form-data; boundary=x", "Content-Encoding": "gzip"},
                415,
                "unsupported_media_type",
            ),
            ({"Content-Type": "multipart/form-data; boundary=x"}, 400, "bad_request"),
        ],
    )
    def test_it_is_no_form(self, idle: RunningService, headers: dict[str, str], status: int, code: str) -> None:
        assert_problem(httpx.post(idle.url + PATH, content=b"{}", headers=headers), status, code)
        assert_problem(httpx.post(idle.url + PATH, headers=headers), status, code)
        assert_no_uploads(idle)

    def test_a_form_may_begin_with_text_for_readers(self, idle: RunningService) -> None:
        # RFC 2046, 5.1.1: what stands before the first boundary is no part.
        parts = {"task": b"regression", "target": b"y", "file": content()}
        body = b"".join(
            b'--xyz\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n' % (name.encode(), value)
            for name, value in parts.items()
        )
        body = b"This is a message\r\nof several -- parts.\r\n--x, it begins:\r\n" + body + b"--xyz--\r\nand ends\r\n"
        for size in (1, len(body)):  # the boundary comes in pieces, or in one
            answer = httpx.post(
                idle.url + PATH,
                content=(body[start : start + size] for start in range(0, len(body), size)),
                headers={"Content-Type": "multipart/form-data; boundary=xyz"},
            )
            assert answer.status_code == 202, answer.text
        assert httpx.delete(f"{idle.url}{PATH}/{answer.json()['dataset_id']}").status_code == 204
        answer = httpx.post(
            idle.url + PATH, content=body, headers={"Content-Type": "multipart/form-data; boundary=other"}
        )
        assert "boundary that Content-Type names" in assert_problem(answer, 400, "bad_request")["detail"]

    def test_a_field_of_another_format(self, idle: RunningService) -> None:
        problem = assert_problem(post(idle, form={**FORM, "array": "X"}), 422, "invalid_dataset", pointer="/array")
        assert "NPZ" in problem["detail"]
        assert_no_uploads(idle)

    def test_a_form_without_its_end(self, idle: RunningService) -> None:
        body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\na,y\n1,2'
        answer = httpx.post(idle.url + PATH, content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
        assert_problem(answer, 400, "bad_request")
        assert_no_uploads(idle)

    def test_more_than_the_limit_is_not_taken(self, idle: RunningService) -> None:
        head = ("Content-Type: multipart/form-data; boundary=x", "Transfer-Encoding: chunked")
        part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        piece = b"1,2,3,4\n" * 8192
        with Wire(idle) as wire, memory_stays(idle, within=20 * 2**20):
            wire.send(post_head(*head, path=PATH))
            wire.send(b"%x\r\n%b\r\n" % (len(part), part))
            sent = wire.pump(b"%x\r\n%b\r\n" % (len(piece), piece) for _ in range(1000))
            assert_problem(wire.answer(), 413, "body_too_large")
            assert wire.closed()
        assert sent < 16 * 2**20
        assert_no_uploads(idle)

    def test_what_is_announced_as_too_large_is_not_read(self, idle: RunningService) -> None:
        with Wire(idle) as wire:
            wire.send(post_head("Content-Type: multipart/form-data; boundary=x", "Content-Length: 9000000", path=PATH))
            problem = assert_problem(wire.answer(), 413, "body_too_large")
            assert "FORETELL_DATASET_LIMIT" in problem["detail"]

    def test_the_full_queue_leaves_nothing_behind(self, idle: RunningService) -> None:
        accepted = []
        while (answer := post(idle)).status_code == 202:
            accepted.append(answer.json())
        assert_problem(answer, 503, "queue_full")
        waiting = {path.name for path in (folder_of(idle) / UPLOADS).iterdir()}
        assert waiting == {job["dataset_id"] for job in accepted}
        for job in accepted:
            assert httpx.delete(f"{idle.url}{PATH}/{job['dataset_id']}").status_code == 204
        assert_no_uploads(idle)

    @pytest.mark.slow  # tests/service/test_security.py has the shorter form
    def test_keys_are_asked_for_before_a_byte_is_read(self, tmp_path: Path) -> None:
        own = RunningService(tmp_path, "--auth", "required")
        command = [sys.executable, "-m", "service", "keys", "add", "mine", "--data-dir", str(own.data_dir)]
        token = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
        with own:
            for method, path in (("POST", PATH), ("GET", PATH), ("GET", f"{PATH}/{'0' * 64}"), ("DELETE", f"{PATH}/x")):
                assert_problem(httpx.request(method, own.url + path), 401, "unauthorized")
            with Wire(own) as wire:
                head = ("Content-Type: multipart/form-data; boundary=x", "Content-Length: 2000000")
                wire.send(post_head(*head, path=PATH))
                assert_problem(wire.answer(), 401, "unauthorized")
            assert not folder_of(own).exists()
            assert post(own, Authorization=f"Bearer {token}").status_code == 202


class TestCutOff:
    def test_half_way_nothing_is_left(self, idle: RunningService) -> None:
        with Wire(idle) as wire:
            wire.send(post_head("Content-Type: multipart/form-data; boundary=x", "Content-Length: 900000", path=PATH))
            wire.send(b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n')
            wire.send(b"1,2\n" * 1000)
            uploads = folder_of(idle) / UPLOADS
            wait_until(lambda: uploads.exists() and list(uploads.iterdir()), what="the upload's beginning")
        assert_no_uploads(idle)

    def test_too_slow_is_told_so(self, idle: RunningService) -> None:
        with Wire(idle) as wire:
            wire.send(post_head("Content-Type: multipart/form-data; boundary=x", "Content-Length: 900000", path=PATH))
            wire.send(b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n1')
            assert_problem(wire.answer(), 408, "request_timeout")
        assert_no_uploads(idle)

    def test_a_full_disk_is_said_and_nothing_is_left(self, idle: RunningService) -> None:
        assert idle.process is not None
        # No file that it writes may exceed this: a write fails then, as on a full disk.
        before = resource.prlimit(idle.process.pid, resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
        try:
            assert_problem(post(idle, content() * 1000), 507, "insufficient_storage")
        finally:
            resource.prlimit(idle.process.pid, resource.RLIMIT_FSIZE, before)
        assert_no_uploads(idle)


class TestQuota:
    def test_what_all_take_together_is_bounded(self, idle: RunningService) -> None:
        large = b"a,b,y\n" + b"1,2,3\n" * 480_000
        accepted = [post(idle, large + b"%d,2,3\n" % place) for place in range(2)]
        assert [answer.status_code for answer in accepted] == [202, 202]
        used = sum(path.stat().st_size for path in folder_of(idle).rglob("*") if path.is_file())
        problem = assert_problem(post(idle, large), 507, "insufficient_storage")
        assert f"data sets take {used} bytes" in problem["detail"]
        assert "FORETELL_DATASETS_QUOTA allows 8000000" in problem["detail"]
        assert len(list((folder_of(idle) / UPLOADS).iterdir())) == 2
        path = f"{idle.url}{PATH}/{accepted[0].json()['dataset_id']}"
        assert httpx.delete(path).status_code == 204  # the way out
        accepted[0] = post(idle, large)
        assert accepted[0].status_code == 202
        for answer in accepted:
            httpx.delete(f"{idle.url}{PATH}/{answer.json()['dataset_id']}")

    def test_rows_that_do_not_fit_end_their_job(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        own = DataStore(tmp_path, quota=3000)  # the file takes 2 kB, and its rows another
        monkeypatch.setattr(data_store, "_opened", [own])
        folder = own.new_upload()
        (folder / UPLOAD).write_bytes(content())
        own.keep_upload(folder, DATASET_ID)
        form = DatasetForm(task="regression", target=["y"], format="csv")
        reading = DatasetReading(dataset_id=DATASET_ID, name="pool.csv", limit=2**20, form=form)
        with pytest.raises(Refused, match="FORETELL_DATASETS_QUOTA allows 3000") as refusal:
            read_in(reading, key=DATASET_ID)
        assert refusal.value.code == "insufficient_storage"
        assert own.used_bytes == 0


class TestReading:
    def test_before_it_has_been_read_in(self, idle: RunningService) -> None:
        job = post(idle).json()
        assert (job["kind"], job["status"]) == ("dataset", "queued")
        answer = httpx.get(f"{idle.url}{PATH}/{job['dataset_id']}")
        assert_problem(answer, 409, "dataset_not_ready")
        assert answer.headers["retry-after"] == "1"
        listed = httpx.get(idle.url + PATH).json()["datasets"]
        assert job["dataset_id"] not in [one["dataset_id"] for one in listed]
        assert httpx.delete(f"{idle.url}/v1/jobs/{job['id']}").json()["status"] == "cancelled"
        assert_nothing_of(idle, job["dataset_id"])

    def test_the_eigenspectrum_can_be_sent_and_says_the_same(self, working: RunningService) -> None:
        data = load_diabetes()
        table = np.column_stack([data.data, data.target])
        form = {"task": "regression", "target": "-1", "standardize": "scale"}
        found = succeeded(working, post(working, npy_of(table), "diabetes.npy", form))
        # Of diabetes an ordinary fit of all features leaves 2860 +- 200 (residual sum of squares over N - d - 1).
        design = np.column_stack([np.ones(442), table[:, :-1]])
        residual = np.linalg.lstsq(design, table[:, -1])[1][0] / (442 - 11)
        assert abs(found["estimate"]["noise_variance"] / residual - 1.0) < 2.0 * (2.0 / 431) ** 0.5
        spectrum = np.linalg.eigvalsh(np.corrcoef(data.data.T))
        assert found["estimate"]["effective_rank_norm"] == pytest.approx(10.0 / spectrum.max(), rel=1e-9)
        assert found["estimate"]["effective_rank_trace"] == pytest.approx(100.0 / (spectrum**2).sum(), rel=1e-9)
        assert abs(found["estimate"]["reliability"]) < 0.05
        population = {name: value for name, value in found["eigenspectrum"].items() if name[:8] != "smallest"}
        model = {"learner": {"kind": "ridge", "penalty": 0.1}, "fit_intercept": True}
        errors = []
        for regime in ({"kind": "eigenspectrum", **population}, {"kind": "dataset", "dataset_id": found["dataset_id"]}):
            body = {"model": model, "regime": {**regime, "n_samples": 221}}
            answer = httpx.post(f"{working.url}/v1/predictions", json=body, timeout=60.0)
            errors.append(finite(answer.content)["test_error"])
        assert errors[0] == pytest.approx(errors[1], rel=0.005)

    def test_lists_go_on_from_page_to_page(self, working: RunningService) -> None:
        ids = [succeeded(working, post(working))["dataset_id"] for _ in range(3)]
        found: list[str] = []
        cursor = ""
        while cursor is not None:
            page = httpx.get(f"{working.url}{PATH}?limit=2{cursor and '&cursor=' + cursor}").json()
            assert len(page["datasets"]) <= 2
            found += [one["dataset_id"] for one in page["datasets"]]
            cursor = page["next_cursor"]
        assert [one for one in found if one in ids] == ids[::-1]
        assert len(set(found)) == len(found)
        assert_problem(httpx.get(f"{working.url}{PATH}?cursor=nonsense"), 400, "bad_request")
        assert_problem(httpx.get(f"{working.url}{PATH}?limit=0"), 400, "bad_request")

    @pytest.mark.parametrize("name", ["abc", "0" * 64, "..%2F..%2Fapi_keys.json", "%2e%2e", ".uploads", "A" * 64, "é"])
    def test_no_id_leads_anywhere_else(self, working: RunningService, name: str) -> None:
        for method in ("GET", "DELETE"):
            answer = httpx.request(method, f"{working.url}{PATH}/{name}")
            assert_problem(answer, 404, "not_found")
        assert folder_of(working).is_dir()

    def test_other_methods_are_named(self, working: RunningService) -> None:
        answer = httpx.put(working.url + PATH)
        assert_problem(answer, 405, "method_not_allowed")
        assert answer.headers["allow"] == "GET, POST"


class TestDeletion:
    def test_everything_is_gone(self, working: RunningService) -> None:
        file = content()
        dataset_id = succeeded(working, post(working, file))["dataset_id"]
        regime = {"kind": "dataset", "dataset_id": dataset_id, "n_samples": 15}
        request = {"model": {"learner": {"kind": "ridge", "penalty": 0.1}}, "regime": regime}
        axes = [{"path": "regime.n_samples", "values": [10, 20]}]
        posts = {
            "predictions": request,
            "sweeps": {"request": request, "axes": axes},
            "validations": {"request": request, "replicates": 10},
        }
        own: list[str] = [f"dataset-{dataset_id}"]
        for path, body in posts.items():
            answer = httpx.post(f"{working.url}/v1/{path}", json=body, headers={"Prefer": "respond-async"})
            assert answer.status_code == 202, answer.text
            own.append(answer.json()["id"])
        for job_id in own[:-1]:  # the last one may still be under way
            wait_until(lambda at=f"/v1/jobs/{job_id}": ended(working, at), what="a job's end")
        url = running_url(working.data_dir)
        assert url is not None
        keys = [dataset_id, *(job_id.partition("-")[2] for job_id in own)]
        with closing(connect(url, timeout=5.0)) as connection:
            names = [name.decode() for name in connection.scan_iter("*")]
            assert all(any(key in name for name in names) for key in keys)
            answer = httpx.delete(f"{working.url}{PATH}/{dataset_id}", timeout=30.0)
            assert (answer.status_code, answer.content) == (204, b"")
            left = [name.decode() for name in connection.scan_iter("*")]
            assert [name for name in left if any(key in name for key in keys)] == []
            assert not {job_id.encode() for job_id in own} & set(connection.zrange(LISTED_KEY, 0, -1))
        assert_nothing_of(working, dataset_id)
        for job_id in own:
            assert_problem(httpx.get(f"{working.url}/v1/jobs/{job_id}"), 404, "not_found")
        assert_problem(httpx.get(f"{working.url}{PATH}/{dataset_id}"), 404, "not_found")
        assert_problem(httpx.delete(f"{working.url}{PATH}/{dataset_id}"), 404, "not_found")
        answer = httpx.post(f"{working.url}/v1/predictions", json=request)
        assert_problem(answer, 422, "unknown_dataset", pointer="/regime/dataset_id")
        assert succeeded(working, post(working, file))["dataset_id"] == dataset_id  # sent again, it is read again

    def test_cancelling_what_rests_on_it_leaves_it(self, idle: RunningService, monkeypatch: pytest.MonkeyPatch) -> None:
        job = post(idle).json()
        # Read in here, as there is no worker, which would be too fast to be cancelled.
        monkeypatch.setattr(data_store, "_opened", [DataStore(folder_of(idle))])
        form = DatasetForm(task="regression", target=["y"], format="csv")
        reading = DatasetReading(dataset_id=job["dataset_id"], name="pool.csv", limit=2**20, form=form)
        read_in(reading, key=job["dataset_id"])
        regime = {"kind": "dataset", "dataset_id": job["dataset_id"], "n_samples": 15}
        request = {"model": {"learner": {"kind": "ridge", "penalty": 0.1}}, "regime": regime}
        for path, body in {"predictions": request, "validations": {"request": request}}.items():
            later = httpx.post(f"{idle.url}/v1/{path}", json=body, headers={"Prefer": "respond-async"}).json()
            assert httpx.delete(f"{idle.url}/v1/jobs/{later['id']}").json()["status"] == "cancelled"
        assert httpx.get(f"{idle.url}{PATH}/{job['dataset_id']}").status_code == 200
        assert httpx.delete(f"{idle.url}{PATH}/{job['dataset_id']}").status_code == 204

    def test_before_it_has_been_read_in(self, idle: RunningService) -> None:
        job = post(idle).json()
        assert httpx.delete(f"{idle.url}{PATH}/{job['dataset_id']}").status_code == 204
        assert_nothing_of(idle, job["dataset_id"])
        assert_problem(httpx.get(f"{idle.url}/v1/jobs/{job['id']}"), 404, "not_found")

    def test_without_the_queue_nothing_is_deleted(self, idle: RunningService) -> None:
        dataset_id = post(idle).json()["dataset_id"]
        url = running_url(idle.data_dir)
        assert url is not None
        with closing(connect(url, timeout=5.0)) as connection:
            connection.execute_command("CLIENT", "PAUSE", "4000", "ALL")
        path = f"{idle.url}{PATH}/{dataset_id}"
        assert_problem(httpx.delete(path, timeout=30.0), 503, "unavailable")
        assert_problem(httpx.get(path), 409, "dataset_not_ready")
        assert_problem(post(idle), 503, "unavailable")
        wait_until(lambda: httpx.delete(path, timeout=30.0).status_code == 204, what="the server's return")
        assert_no_uploads(idle)

    def test_a_folder_that_went_by_itself_is_read_in_again(self, working: RunningService) -> None:
        file = content()
        dataset_id = succeeded(working, post(working, file))["dataset_id"]
        shutil.rmtree(folder_of(working) / dataset_id)
        assert succeeded(working, post(working, file))["dataset_id"] == dataset_id


def foretell(*words: str) -> Result:
    return CliRunner().invoke(app, ["data", *words])


class TestCommandLine:
    @pytest.mark.parametrize("where", ["here", "service"])
    def test_from_adding_to_deleting(self, where: str, working: RunningService, tmp_path: Path) -> None:
        file = tmp_path / "pool of mine.csv"
        file.write_text(csv_of(labels=CLASSES))
        at = ["--url", working.url] if where == "service" else ["--data-dir", str(tmp_path)]
        options = ["--target", "y", "--task", "classification", "--standardize", "scale"]
        added = foretell("add", str(file), *options, "--json", *at)
        assert added.exit_code == 0, added.stderr
        found = json.loads(added.stdout)
        assert (found["name"], found["rows"], found["standardize"]) == ("pool of mine.csv", 30, "scale")
        assert found["estimate"]["noise_variance"] >= 0.0
        assert len(found["estimates"]) == 2
        dataset_id = found["dataset_id"]
        again = foretell("add", str(file), *options, *at)
        assert dataset_id in again.stdout
        assert "few_rows" in again.stdout
        assert foretell("list", *at).stdout.split()[:2] == [dataset_id, "classification"]
        shown = foretell("show", dataset_id[:8], "--json", *at)
        assert json.loads(shown.stdout) == found
        deleted = foretell("delete", dataset_id[:8], *at)
        assert (deleted.exit_code, deleted.stdout) == (0, f"deleted {dataset_id}\n")
        assert dataset_id not in foretell("list", *at).stdout
        gone = foretell("show", dataset_id, *at)
        assert gone.exit_code == 2
        assert "no data set has an id that begins with" in gone.stderr

    @pytest.mark.parametrize("where", ["here", "service"])
    def test_what_is_refused_is_said(self, where: str, working: RunningService, tmp_path: Path) -> None:
        file = tmp_path / "pool.csv"
        file.write_text(csv_of())
        at = ["--url", working.url] if where == "service" else ["--data-dir", str(tmp_path)]
        unknown = foretell("add", str(file), "--target", "z", *at)
        assert unknown.exit_code == 2
        assert "/target: 'z' names no column; there are 'a', 'b', 'c', 'y'" in unknown.stderr
        wild = foretell("add", str(file), "--target", "y", "--standardize", "wild", *at)
        assert wild.exit_code == 2
        assert "must be 'none', 'center' or 'scale'" in wild.stderr
        assert foretell("add", str(tmp_path / "nothing.csv"), *at).exit_code == 2
        if where == "here":
            assert foretell("list", *at).stdout == ""

    def test_a_running_service_on_the_folder_is_told(self, working: RunningService, tmp_path: Path) -> None:
        file = tmp_path / "pool.csv"
        file.write_text(csv_of() + "1,2,3,4\n")
        added = foretell("add", str(file), "--target", "y", "--json", "--url", working.url)
        dataset_id = json.loads(added.stdout)["dataset_id"]
        assert foretell("delete", dataset_id, "--data-dir", str(working.data_dir)).exit_code == 0
        with working.client() as client:
            assert client.get(f"/v1/datasets/{dataset_id}").status_code == 404
            assert client.get(f"/v1/jobs/dataset-{dataset_id}").status_code == 404

    def test_a_service_that_is_not_there(self) -> None:
        done = foretell("list", "--url", "http://127.0.0.1:1")
        assert done.exit_code == 2
        assert "refused" in done.stderr
