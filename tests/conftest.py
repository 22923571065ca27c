"""Real parts for all tests: the service as a user starts it, in a folder of its own."""

import os
from collections.abc import Iterator
from pathlib import Path

# As the command line does, before NumPy is loaded: threads of BLAS that wait for each other on busy cores take minutes for
# what takes a second.
os.environ.update(dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import pytest
from hypothesis import settings

from tests.datasets import keep_all
from tests.running import RunningService
from workers.data_store import DataStore, open_store

# Warnings are errors by pyproject.toml; tests leave no database of examples behind and never fail for being slow.
settings.register_profile("foretell", deadline=None, database=None, print_blob=True)
settings.load_profile("foretell")

for name in list(os.environ):
    if name.startswith("FORETELL_") or name == "REDIS_URL":
        del os.environ[name]


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """One embedded service shared by the tests that do not change it."""
    with RunningService(tmp_path_factory.mktemp("service")) as running:
        yield running


@pytest.fixture(scope="session")
def datasets_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data sets of :mod:`tests.datasets`."""
    folder = tmp_path_factory.mktemp("datasets")
    keep_all(folder)
    return folder


@pytest.fixture
def stored(datasets_folder: Path) -> DataStore:
    """The data sets of :mod:`tests.datasets`, where this process finds them, whatever store a test before this one opened."""
    return open_store(datasets_folder)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A folder for a service of the test's own."""
    return tmp_path / "data"
