"""Dockerfile and docker-compose.yml, by parsing: there is no Docker where the tests run."""

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import yaml
from dockerfile_parse import DockerfileParser

from service.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SETTINGS = {f"FORETELL_{name.upper()}" for name in Settings.model_fields}


def instructions() -> list[dict[str, str]]:
    parser = DockerfileParser(fileobj=BytesIO((ROOT / "Dockerfile").read_bytes()))
    return [step for step in parser.structure if step["instruction"] != "COMMENT"]


def test_compose_file_fits_the_specification() -> None:
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        "vendor.compose-spec",
        "docker-compose.yml",
    ]
    subprocess.run(command, check=True, cwd=ROOT, timeout=60)


def test_everything_the_image_copies_is_there_and_sent_to_the_builder() -> None:
    sent = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for step in instructions():
        if step["instruction"] == "COPY" and "--from" not in step["value"]:
            for source in step["value"].split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source in sent, source


def test_the_image_carries_every_package() -> None:
    copied = " ".join(step["value"] for step in instructions() if step["instruction"] == "COPY")
    for package in ("api_schemas", "theory", "simulation", "workers", "service"):
        assert f"{package} {package}" in copied


def test_the_image_runs_as_nobody_special_with_a_health_check() -> None:
    steps = instructions()
    last_stage = steps[max(i for i, step in enumerate(steps) if step["instruction"] == "FROM") :]
    values = {step["instruction"]: step["value"] for step in last_stage}
    assert values["USER"] not in ("root", "0")
    assert "/healthz" in values["HEALTHCHECK"]
    assert values["ENTRYPOINT"] == '["foretell"]'
    assert values["STOPSIGNAL"] == "SIGTERM"


def test_every_service_is_unprivileged_and_watched() -> None:
    for name, service in COMPOSE["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert "healthcheck" in service or service["image"].startswith("foretell"), name
        assert service.get("user", "image's own") not in ("root", "0"), name


def test_every_variable_is_a_setting() -> None:
    for service in COMPOSE["services"].values():
        assert {name for name in service.get("environment", {}) if name.startswith("FORETELL_")} <= SETTINGS
    for step in instructions():
        if step["instruction"] == "ENV":
            assert {word.split("=")[0] for word in step["value"].split() if word.startswith("FORETELL_")} <= SETTINGS


def test_the_queue_never_evicts_and_the_cache_may() -> None:
    queue, cache = (" ".join(COMPOSE["services"][name]["command"]) for name in ("queue", "cache"))
    assert "--maxmemory-policy noeviction" in queue
    assert "--appendonly yes" in queue
    assert "--maxmemory-policy allkeys-lru" in cache


def test_only_this_machine_is_let_in_by_default() -> None:
    assert all(port.startswith("127.0.0.1:") for port in COMPOSE["services"]["api"]["ports"])


def test_workers_scale() -> None:
    worker = COMPOSE["services"]["worker"]
    assert "profiles" not in worker
    assert worker["command"] == ["worker", "--concurrency", "${FORETELL_WORKER_CONCURRENCY:-1}"]
    assert "container_name" not in worker
    assert "ports" not in worker


def test_the_api_and_all_workers_see_the_same_data_sets() -> None:
    for name in ("api", "worker", "worker-gpu"):
        assert "datasets:/var/lib/foretell/datasets" in COMPOSE["services"][name]["volumes"]
    made = next(step["value"] for step in instructions() if "useradd" in step["value"])
    assert "/var/lib/foretell/datasets" in made  # a new volume takes its owner from the image


def test_a_worker_with_a_gpu_is_there_for_those_who_ask() -> None:
    worker = COMPOSE["services"]["worker-gpu"]
    assert worker["profiles"] == ["gpu"]
    assert worker["command"] == ["worker", "--device", "cuda:0"]
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert "gpu" in device["capabilities"]
    assert worker["environment"]["CUPY_CACHE_DIR"].startswith(worker["tmpfs"][0])
    assert worker["image"] != COMPOSE["services"]["worker"]["image"]
    requirements = worker["build"]["args"]["REQUIREMENTS"]
    assert "ARG" in [step["instruction"] for step in instructions() if step["value"].startswith("REQUIREMENTS=")]
    assert "cupy-cuda13x==" in (ROOT / "requirements" / f"{requirements}.txt").read_text()


def test_the_image_with_cuda_has_the_versions_of_the_other_one() -> None:
    def pinned(name: str) -> set[str]:
        lines = (ROOT / "requirements" / name).read_text().splitlines()
        return {line.split()[0] for line in lines if line[:1].isalpha()}

    assert pinned("runtime.txt") < pinned("cuda13.txt")
