"""The documentation says everything that there is, and nothing that there is not."""

import json
import re
from pathlib import Path

import pytest

from api_schemas.prediction import PredictionRequest
from service import metrics
from service.app import VERSION, api
from service.problems import KINDS
from service.settings import Settings
from workers import optima_warnings, scaling_warnings, spectrum_warnings
from workers import warnings as warning_rules
from workers.catalogue import catalogue
from workers.predictions import predict

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
GROUPS = ("features", "kernels", "activations", "learners", "regimes", "covariances", "alignments")


def test_every_setting_is_documented_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(FORETELL_\w+)` \| (.*?) \|", (DOCS / "settings.md").read_text(), re.M))
    expected = {
        f"FORETELL_{name.upper()}": "" if field.default is None else f"`{field.default}`"
        for name, field in Settings.model_fields.items()
    }
    assert rows == expected


def test_every_setting_named_anywhere_exists() -> None:
    known = {f"FORETELL_{name.upper()}" for name in Settings.model_fields}
    pages = [*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "docker-compose.yml", ROOT / "Dockerfile"]
    named = {name for page in pages for name in re.findall(r"FORETELL_[A-Z_]*[A-Z]", page.read_text())}
    assert named <= known


@pytest.mark.parametrize("group", GROUPS)
def test_every_kind_has_a_section_that_names_its_fields_and_sources(group: str) -> None:
    page = (DOCS / "kinds" / f"{group}.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.M | re.S))
    kinds = getattr(catalogue(VERSION), group)
    assert list(sections) == [kind.kind for kind in kinds]
    for kind in kinds:
        for source in kind.sources:
            authors = source.title.split(":")[0].split(",")[0]
            assert authors in sections[kind.kind], f"{kind.kind} does not name {authors}"
        assert kind.docs == f"docs/kinds/{group}.md#{kind.kind}"


def test_every_problem_is_documented_with_its_status() -> None:
    rows = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", (DOCS / "problems.md").read_text(), re.M)
    assert {(int(status), code) for status, code in rows} == {(kind.status, code) for code, kind in KINDS.items()}


def test_every_warning_is_documented() -> None:
    documented = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "warnings.md").read_text(), re.M))
    rules = [
        Path(str(module.__file__)).read_text()
        for module in (warning_rules, spectrum_warnings, scaling_warnings, optima_warnings)
    ]
    for page in ("spectra.md", "scaling-laws.md", "optima.md"):
        of_others = (DOCS / page).read_text().partition("## Warnings")[2]
        documented |= set(re.findall(r"^\| `(\w+)` \|", of_others, re.M))
    raised = set(re.findall(r'yield(?: \(\s+|\s)"([a-z_]+)",', "".join(rules)))
    assert documented == raised


def test_every_metric_is_documented() -> None:
    page = (DOCS / "operations.md").read_text()
    for collector in vars(metrics).values():
        if hasattr(collector, "describe") and hasattr(collector, "_documentation"):
            name = collector.describe()[0].name
            assert name in page, name


def test_the_openapi_snapshot_is_current() -> None:
    assert json.loads((DOCS / "openapi.json").read_text()) == json.loads(json.dumps(api().openapi()))


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*DOCS.rglob("*.md"), *ROOT.glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+?\.(?:md|json))", page.read_text()):
            assert (page.parent / target).resolve().exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*.json")), ids=lambda file: file.stem)
def test_every_example_is_answered(file: Path) -> None:
    prediction = predict(PredictionRequest.model_validate_json(file.read_bytes()))
    assert prediction.status == ("divergent" if file.stem == "at_threshold" else "converged")


@pytest.mark.parametrize("group", ["features", "kernels", "covariances", "alignments", "regimes"])
def test_every_kind_is_in_an_example_or_says_so(group: str) -> None:
    # What is about a data set can be posted once there is one: examples/data.sh does.
    files = [*(ROOT / "examples").glob("*.json"), ROOT / "examples" / "data.sh"]
    posted = "".join(file.read_text() for file in files).replace('\\"', '"')
    missing = [kind.kind for kind in getattr(catalogue(VERSION), group) if f'"kind": "{kind.kind}"' not in posted]
    assert missing == []
