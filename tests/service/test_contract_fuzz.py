"""The live service against its own OpenAPI document: schemathesis posts what the document allows and what it forbids."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import RunningService

HOOKS = """
import schemathesis

schemathesis.serializer.alias("application/x-ndjson", "text/plain")
"""
CONFIGURATION = """
hooks = "hooks.py"

[checks]
# All of them: named here, as those named on the command line cannot be turned off for a path.
enabled = true

[checks.positive_data_acceptance]
# What fits the schema may still break the theory's assumptions (422), name a job that is not there (404), or find the
# queue away (503). Nothing else is allowed for it.
expected-statuses = ["2xx", "3xx", "404", "422", "503"]

[[operations]]
# What a cursor holds is between the service and itself; another string may be one of its own or not (400).
include-path = "/v1/jobs"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "503"]

[[operations]]
# The same, a file that is no data set is refused with 422, and one Idempotency-Key with another file with 409.
include-path = "/v1/datasets"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "409", "422", "503"]

[[operations]]
# DELETE cancels; a job that has ended can still be read, for a day, and stays as it is (tests/service/test_validations.py).
include-path-regex = "^/v1/jobs/"
checks.use_after_free.enabled = false

[[operations]]
# The same Idempotency-Key with another body (409).
include-path = "/v1/validations"
checks.positive_data_acceptance.expected-statuses = ["2xx", "409", "422", "503"]

[[operations]]
# The same, where Prefer queues the request.
include-path-regex = "^/v1/(predictions|requirements|optima|spectra|scaling-laws)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", "409", "422", "503"]

[[operations]]
# More points than a sweep may have (413), and the same Idempotency-Key.
include-path = "/v1/sweeps"
checks.positive_data_acceptance.expected-statuses = ["2xx", "3xx", "409", "413", "422", "503"]

[warnings]
enabled = false
"""


def fuzz(service: RunningService, folder: Path, *, examples: int, seconds: int) -> None:
    """Run all phases with all checks, and show the report if anything is found."""
    (folder / "schemathesis.toml").write_text(CONFIGURATION)
    (folder / "hooks.py").write_text(HOOKS)
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", "schemathesis.toml", "run"]
    options = ["--mode", "all", "--max-examples", str(examples), "--max-time", str(seconds)]
    done = subprocess.run(
        [*command, f"{service.url}/openapi.json", *options, "--continue-on-failure", "--no-color"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=10 * seconds,
    )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2000:]
    assert service.logged("unexpected_error") == []
    assert service.predict().status_code == 200


def test_all_phases_and_all_checks(service: RunningService, tmp_path: Path) -> None:
    fuzz(service, tmp_path, examples=60, seconds=25)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_for_ten_minutes(service: RunningService, tmp_path: Path) -> None:
    fuzz(service, tmp_path, examples=2000, seconds=600)
