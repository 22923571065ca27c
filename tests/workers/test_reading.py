"""Files to arrays: every format gives the same numbers, and every defect is refused with its place."""

import contextlib
import random
import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow
import pytest

from api_schemas.dataset import Dataset, DatasetForm, DatasetReading
from tests.workers.files import (
    CLASSES,
    FILES,
    LABELS,
    NAMES,
    ROWS,
    TABLE,
    arrow_of,
    csv_of,
    npy_of,
    npz_of,
    parquet_of,
    table_of,
    with_row,
)
from workers.file_formats import LONGEST_MAGIC, with_format
from workers.reading import dataset_id_of, read
from workers.refusals import Refused

LIMIT = 2**24
NO_TIME = pyarrow.array([1] * 30, pyarrow.timestamp("ms"))


class Found(NamedTuple):
    dataset: Dataset
    rows: Any
    targets: Any
    labels: Any


def found(folder: Path, content: bytes, target: list[str], *, limit: int = LIMIT, **fields: Any) -> Found:
    """Read a file as a worker does."""
    sent = DatasetForm(**{"task": "regression", **fields, "target": target})
    form = with_format(sent, content[:LONGEST_MAGIC])
    upload = folder / "upload"
    upload.write_bytes(content)
    reading = DatasetReading(dataset_id="0" * 64, name="file", limit=limit, form=form)
    dataset = read(upload, reading, folder)
    labels = folder / "labels.npy"
    return Found(
        dataset,
        np.load(folder / "rows.npy"),
        np.load(folder / "targets.npy"),
        np.load(labels) if labels.exists() else None,
    )


@pytest.mark.parametrize("name", FILES)
def test_every_format_has_the_same_numbers(name: str, tmp_path: Path) -> None:
    content, target = FILES[name]
    dataset, rows, targets, labels = found(tmp_path, content, target)
    np.testing.assert_array_equal(rows, ROWS)
    np.testing.assert_array_equal(targets, LABELS[:, None])
    assert labels is None
    assert (dataset.rows, len(dataset.features), dataset.upload_bytes) == (30, 3, len(content))
    left = {file.name for file in tmp_path.iterdir()} - {"upload"}
    assert left == {"rows.npy", "targets.npy", "dataset.json"}


def test_more_rows_than_are_read_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("csv_files", "arrow_files", "array_files", "reading"):
        monkeypatch.setattr(f"workers.{module}.BLOCK_BYTES", 256)
    for name in ("csv", "npy", "parquet"):
        folder = tmp_path / name
        folder.mkdir()
        _, rows, targets, _ = found(folder, *FILES[name], standardize="scale")
        np.testing.assert_allclose(rows, (ROWS - ROWS.mean(axis=0)) / ROWS.std(axis=0), rtol=1e-13)
        np.testing.assert_array_equal(targets, LABELS[:, None])


@pytest.mark.parametrize("standardize", ["center", "scale"])
def test_standardised_by_all_rows(standardize: str, tmp_path: Path) -> None:
    content = npy_of(np.column_stack([ROWS + 1e6, np.full(30, 0.1), LABELS]))
    dataset, rows, targets, _ = found(tmp_path, content, ["-1"], standardize=standardize)
    np.testing.assert_allclose(rows.mean(axis=0), 0.0, atol=1e-9)
    scale = ROWS.std(axis=0) if standardize == "center" else 1.0
    np.testing.assert_allclose(rows[:, :3].std(axis=0), np.broadcast_to(scale, 3), rtol=1e-8)
    np.testing.assert_array_equal(rows[:, 3], 0.0)  # a constant has no scale
    np.testing.assert_array_equal(targets, LABELS[:, None])  # targets stay as they are
    assert "constant_columns" in [warning.code for warning in dataset.warnings]


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        (CLASSES, ["no", "yes"]),
        (np.where(LABELS > 0, 10, 9), ["9", "10"]),  # by number, not by spelling
        (np.where(LABELS > 0, "1.0", "2"), ["1", "2"]),
        (np.where(LABELS > 0, "1_0", "10"), ["10", "1_0"]),
        (np.where(LABELS > 0, "\u0663", "3"), ["3", "\u0663"]),
        (np.where(LABELS > 0, "true", "false"), ["false", "true"]),
    ],
)
def test_two_classes_are_minus_and_plus_one(labels: Any, names: list[str], tmp_path: Path) -> None:
    dataset, _, targets, index = found(tmp_path, csv_of(labels=labels).encode(), ["y"], task="classification")
    assert dataset.classes is not None
    assert [one.name for one in dataset.classes] == names
    text = [str(label).removesuffix(".0") for label in labels]
    assert [names[place] for place in index] == text
    np.testing.assert_array_equal(targets, np.where(index == 1, 1.0, -1.0)[:, None])
    assert [one.rows for one in dataset.classes] == [text.count(name) for name in names]


@pytest.mark.parametrize("form", ["csv", "npy", "npz", "parquet", "dictionary"])
def test_more_classes_are_one_hot(form: str, tmp_path: Path) -> None:
    index = np.arange(30) % 3
    text = np.array(["x", "y", "z"])[index]
    columns = dict(zip("abc", ROWS.T, strict=True))
    content, target = {
        "csv": (csv_of(labels=text).encode(), ["y"]),
        "npy": (npy_of(np.column_stack([ROWS, index])), ["3"]),
        "npz": (npz_of(X=ROWS, y=text), []),
        "parquet": (parquet_of(table_of(**columns, y=text)), ["y"]),
        "dictionary": (arrow_of(table_of(**columns, y=pyarrow.array(text).dictionary_encode())), ["y"]),
    }[form]
    dataset, _, targets, labels = found(tmp_path, content, target, task="classification")
    np.testing.assert_array_equal(labels, index)
    np.testing.assert_array_equal(targets, np.eye(3)[index])
    assert dataset.classes is not None
    assert [one.rows for one in dataset.classes] == [10, 10, 10]


def test_truth_values_and_whole_numbers_are_numbers(tmp_path: Path) -> None:
    columns = {"a": ROWS[:, 0] > 0, "b": np.arange(30, dtype=np.int8), "y": LABELS.astype(np.float32)}
    _, rows, targets, _ = found(tmp_path, parquet_of(table_of(**columns)), ["y"])
    np.testing.assert_array_equal(rows, np.column_stack([columns["a"], columns["b"]]).astype(float))
    np.testing.assert_array_equal(targets[:, 0], columns["y"])


def test_several_targets_in_the_order_of_their_names(tmp_path: Path) -> None:
    dataset, rows, targets, _ = found(tmp_path, csv_of().encode(), ["y", "a"])
    assert (dataset.features, dataset.targets) == (["b", "c"], ["y", "a"])
    np.testing.assert_array_equal(targets, np.column_stack([LABELS, ROWS[:, 0]]))
    np.testing.assert_array_equal(rows, ROWS[:, 1:])


def test_what_is_odd_is_said(tmp_path: Path) -> None:
    content = npy_of(np.vstack([np.column_stack([1e6 * ROWS[:, :1], ROWS[:, 1:], LABELS])] * 2))
    dataset, *_ = found(tmp_path, content, ["-1"])
    warnings = {warning.code: warning.detail for warning in dataset.warnings}
    assert warnings.keys() == {"duplicate_rows", "few_rows", "unlike_scales"}
    assert warnings["duplicate_rows"].startswith("30 of 60 rows")


def test_a_name_goes_before_a_position(tmp_path: Path) -> None:
    dataset, *_ = found(tmp_path, csv_of(names=["3", "2", "1", "x"]).encode(), ["3"])
    assert dataset.targets == ["3"]
    assert dataset.features == ["2", "1", "x"]


def test_a_line_of_numbers_is_a_row_unless_it_counts_the_columns(tmp_path: Path) -> None:
    for names, rows, code in ((None, 30, "no_header"), (["0", "1", "2", "3"], 30, "numbered_header")):
        dataset, values, *_ = found(tmp_path, csv_of(names=names).encode(), ["3"])
        assert (dataset.rows, dataset.features, dataset.targets) == (rows, ["0", "1", "2"], ["3"])
        np.testing.assert_array_equal(values, ROWS)
        assert code in [warning.code for warning in dataset.warnings]


def archive_of(**members: bytes) -> bytes:
    """A zip archive that NumPy did not make."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return file.getvalue()


def workbook() -> bytes:
    """What a zip archive of another program looks like."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("[Content_Types].xml", "xl/workbook.xml"):
            archive.writestr(name, "<xml/>")
    return file.getvalue()


def claiming(shape: str) -> bytes:
    """An NPY whose header claims another shape."""
    return npy_of(TABLE).replace(b"(30, 4)", shape.encode()[:7].ljust(7))


def spoilt(content: bytes, place: int) -> bytes:
    """A file with some bytes overwritten."""
    return content[:place] + b"\xff" * 8 + content[place + 8 :]


def regression(content: bytes | str, *target: str) -> tuple[bytes, dict[str, Any]]:
    return content.encode() if isinstance(content, str) else content, {"target": list(target or ("y",))}


def classes(labels: Any) -> tuple[bytes, dict[str, Any]]:
    return csv_of(labels=labels).encode(), {"target": ["y"], "task": "classification"}


def bare(content: bytes, *target: str) -> tuple[bytes, dict[str, Any]]:
    return content, {"target": list(target)}


OBJECTS = np.array([[1, None]] * 30, object)
LINES = csv_of().split("\n")
MANY = "a,y\n" + "".join(f"{place * place % 7},c{place}\n" for place in range(300))
COLUMNS = dict(zip("abc", ROWS.T, strict=True))
WITH_NULL = pyarrow.DictionaryArray.from_arrays([0, 1] * 15, ["u", None])
CHECKED = parquet_of(table_of(), write_page_checksum=True, compression="none", use_dictionary=False)

DEFECTS: dict[str, tuple[tuple[bytes, dict[str, Any]], str, str]] = {
    "empty": (regression(b""), "/file", "is empty"),
    "a header alone": (regression("a,b,y\n"), "/file", "has 0 rows, and at least 20"),
    "no line": (regression("\n\n"), "/file", "no header line"),
    "too few rows": (regression("\n".join(LINES[:10])), "/file", "has 9 rows, and at least 20"),
    "names twice": (regression(csv_of(names=["a", "a", "c", "y"])), "/file", "columns 0 and 1 have the same name 'a'"),
    "a column without a name": (regression(csv_of(names=["", "b", "c", "y"])), "/file", "column 0 has no name"),
    "unknown target": (regression(csv_of(), "z"), "/target", "'z' names no column; there are 'a', 'b', 'c', 'y'"),
    "no such position": (regression(csv_of(), "4"), "/target", "4 is no position among 4 columns; they are 0 to 3"),
    "no such position from the end": (regression(csv_of(), "-5"), "/target", "-5 is no position"),
    "no target": (bare(csv_of().encode()), "/target", "is needed"),
    "nothing but targets": (regression(csv_of(), *NAMES), "/file", "no columns beside the targets"),
    "text": (regression(with_row("1,abc,2,3")), "/file", "column 'b' in row 5 has 'abc'"),
    "text in the target": (regression(with_row("1,2,3,high")), "/file", "column 'y' in row 5 has 'high'"),
    "a decimal comma": (regression(csv_of().replace(",", ";").replace(".", ",")), "/file", "column 'a' in row 1"),
    "a very long name": (
        regression(csv_of().replace("a", "a" * 140_000, 1)),
        "/file",
        "a first line that cannot be read as CSV: field larger than field limit",
    ),
    "a ragged row": (regression(with_row("1,2,3")), "/file", "row 5 has 3 cells, and the first line has 4"),
    "a missing value": (regression(with_row("1,,2,3")), "/file", "column 'b' is empty in row 5"),
    "nan": (regression(with_row("1,nan,2,3")), "/file", "column 'b' is empty in row 5"),
    "infinity": (regression(with_row("1,-inf,2,3")), "/file", "column 'b' has -inf in row 5"),
    "infinity in the target": (regression(with_row("1,1,2,inf")), "/file", "column 'y' has inf in row 5"),
    "nan in an array": (
        regression(npy_of(np.vstack([TABLE, np.full(4, np.nan)])), "3"),
        "/file",
        "column '0' has nan in row 31",
    ),
    "a huge number": (regression(with_row("1,1e60,2,3")), "/file", "has 1e+60 in row 5, and numbers must be finite"),
    "an open quote": (regression(with_row('1,"2,3,4')), "/file", "row 5 has"),
    "Latin-1": (
        (csv_of(labels=np.where(LABELS > 0, "é", "e")).encode("latin-1"), {"target": ["y"], "task": "classification"}),
        "/file",
        "not in UTF-8",
    ),
    "UTF-16": (regression(csv_of().encode("utf-16")), "/file", "is in UTF-16"),
    "gzip": (regression(b"\x1f\x8b\x08\x00"), "/file", "compressed by gzip"),
    "pickled": (regression(b"\x80\x04\x95"), "/file", "is pickled"),
    "no text": (regression(b"\x00\x01\x02"), "/file", "is no text"),
    "a constant target": (regression(csv_of(labels=[1.0] * 30)), "/file", "target 'y' has one value in all rows"),
    "constant features": (
        regression("a,y\n" + "".join(f"1,{row}\n" for row in range(30))),
        "/file",
        "constant, all of them",
    ),
    "one class": (classes(["k"] * 30), "/file", "has the one class 'k'"),
    "a class of one row": (classes(["k"] * 29 + ["j"]), "/file", "class 'j' has 1 row"),
    "fractions as classes": (classes(LABELS), "/file", "in row 1, and classes must be whole numbers"),
    "a row without a class": (classes(["k", "j"] * 14 + ["k", ""]), "/file", "column 'y' is empty in row 30"),
    "too many classes": (
        (MANY.encode(), {"target": ["y"], "task": "classification"}),
        "/task",
        "more than 100 classes by row 101",
    ),
    "two targets of classes": (
        (csv_of().encode(), {"target": ["y", "a"], "task": "classification"}),
        "/target",
        "must be one column for a classification",
    ),
    "objects": (regression(npy_of(OBJECTS), "0"), "/file", "what is pickled is not read"),
    "one dimension": (regression(npy_of(LABELS), "0"), "/file", "two dimensions, rows and columns, got 1"),
    "three dimensions": (regression(npy_of(np.zeros((3, 3, 3))), "0"), "/file", "got 3"),
    "complex numbers": (regression(npy_of(TABLE + 1j), "0"), "/file", "real numbers, got complex128"),
    "dates": (regression(npy_of(np.zeros((30, 2), "M8[s]")), "0"), "/file", "real numbers, got datetime64"),
    "text in an array": (regression(npy_of(np.full((30, 2), "a")), "0"), "/file", "real numbers, got <U1"),
    "a structured array": (regression(npy_of(np.zeros(30, [("a", "f8"), ("y", "f8")]))), "/file", "is structured"),
    "an array cut short": (regression(npy_of(TABLE)[:-50], "3"), "/file", "ends before all of its numbers"),
    "a header that lies": (regression(claiming("(99, 4)"), "3"), "/file", "ends before all of its numbers"),
    "a header that is no literal": (
        regression(npy_of(TABLE).replace(b"}", b"("), "3"),
        "/file",
        "cannot be read as NPY",
    ),
    "a member that cannot be expanded": (
        bare(spoilt(npz_of(compressed=True, X=ROWS, y=LABELS), 60)),
        "/file",
        "cannot be read as NPZ",
    ),
    "objects in an archive": (bare(npz_of(X=OBJECTS, y=LABELS)), "/file", "what is pickled is not read"),
    "arrays of different lengths": (bare(npz_of(X=ROWS, y=LABELS[:20])), "/target", "'y' has 20 rows, and 'X' has 30"),
    "no array to choose": (bare(npz_of(A=ROWS, B=ROWS), "0"), "/array", "choose one of the arrays 'A', 'B'"),
    "no such array": (
        bare(npz_of(X=ROWS, y=LABELS), "t"),
        "/target",
        "an array 't', and the arrays there are 'X', 'y'",
    ),
    "targets twice": (bare(npz_of(X=ROWS, y=LABELS), "0"), "/target", "the file has an array 'y'"),
    "a damaged archive": (bare(npz_of(X=ROWS, y=LABELS)[:-40]), "/file", "cannot be read as NPZ"),
    "a header in an archive that lies": (
        bare(archive_of(X=claiming("(9e9,4)"), y=npy_of(LABELS))),
        "/file",
        "array 'X.npy'",
    ),
    "no array in an archive": (bare(archive_of(X=b"hello", y=npy_of(LABELS))), "/file", "array 'X.npy' cannot be read"),
    "nested columns": (regression(parquet_of(table_of(a=[[1.0]] * 30, y=LABELS))), "/file", "column 'a' is list"),
    "text in Parquet": (regression(parquet_of(table_of(a=["x"] * 30, y=LABELS))), "/file", "column 'a' is string"),
    "times in Parquet": (regression(parquet_of(table_of(a=NO_TIME, y=LABELS))), "/file", "column 'a' is timestamp"),
    "nulls in Parquet": (regression(parquet_of(table_of(a=[1.0, None] * 15, y=LABELS))), "/file", "empty in row 2"),
    "an index of pandas": (
        regression(parquet_of(table_of(a=ROWS[:, 0], __index_level_0__=ROWS[:, 1], y=LABELS))),
        "/file",
        "the index of a pandas data frame",
    ),
    "categories as features": (
        regression(arrow_of(table_of(a=pyarrow.array(["u", "v"] * 15).dictionary_encode(), y=LABELS))),
        "/file",
        "column 'a' is dictionary",
    ),
    "a name that is not in UTF-8": (
        regression(arrow_of(table_of(abcdefg=ROWS[:, 0], y=LABELS)).replace(b"abcdefg", b"abc\xa8efg")),
        "/file",
        "cannot be read as Arrow",
    ),
    "Parquet cut short": (regression(parquet_of(table_of())[:-20]), "/file", "cannot be read as Parquet"),
    "Arrow cut short": (regression(arrow_of(table_of())[:-200]), "/file", "cannot be read as Arrow"),
    "an Arrow stream cut short": (
        regression(arrow_of(table_of(), stream=True)[:-200]),
        "/file",
        "cannot be read as Arrow",
    ),
    "something behind an array": (
        regression(npy_of(TABLE) + b"more", "3"),
        "/file",
        "has 4 bytes after the numbers that its header announces",
    ),
    "something behind a stream": (
        regression(arrow_of(table_of(), stream=True) + b"more"),
        "/file",
        "has 4 bytes after the end of its stream",
    ),
    "a workbook": (bare(workbook(), "y"), "/file", "is a zip archive without arrays"),
    "a name of two lines": (regression(csv_of().replace("a", '"a\nx"', 1)), "/file", "a quote in its first line"),
    "no columns": (regression(arrow_of(pyarrow.table({}))), "/file", "has no columns"),
    "an array without columns": (regression(npy_of(ROWS[:, :0]), "-1"), "/file", "has no columns"),
    "a null among the values of a dictionary": (
        (arrow_of(table_of(a=LABELS, y=WITH_NULL)), {"target": ["y"], "task": "classification"}),
        "/file",
        "column 'y' is empty in row 2",
    ),
    "an array of a format without": (
        (csv_of().encode(), {"target": ["y"], "array": "X"}),
        "/array",
        "names an array of an NPZ, and the file is 'csv'",
    ),
    "a damaged page": (
        regression(spoilt(CHECKED, CHECKED.index(ROWS[7:9, 1].tobytes()))),
        "/file",
        "is damaged, as a checksum in it says",
    ),
    "another format": ((csv_of().encode(), {"target": ["y"], "format": "parquet"}), "/format", "is 'parquet'"),
}


@pytest.mark.parametrize("name", DEFECTS)
def test_every_defect_is_refused_with_its_place(name: str, tmp_path: Path) -> None:
    (content, fields), pointer, words = DEFECTS[name]
    with pytest.raises(Refused) as refusal:
        found(tmp_path, content, **fields)
    assert refusal.value.code == "invalid_dataset"
    assert refusal.value.pointer == pointer
    assert words in refusal.value.detail
    assert len(refusal.value.detail) < 400


ZEROS = np.zeros((2000, 2000))
TOO_LARGE = {
    "an archive that expands": bare(npz_of(compressed=True, X=ZEROS, y=np.zeros(2000))),
    "Parquet that expands": regression(parquet_of(table_of(a=np.zeros(2_000_000), y=np.zeros(2_000_000)))),
    "more rows than may be": regression(csv_of() + "".join("1,2,3,4\n" for _ in range(530_000))),
    "too many columns": regression(",".join(f"x{place}" for place in range(20_002)) + "\n", "0"),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_what_expands_beyond_the_limit_is_refused(name: str, tmp_path: Path) -> None:
    content, fields = TOO_LARGE[name]
    assert len(content) < LIMIT / 3
    with pytest.raises(Refused) as refusal:
        found(tmp_path, content, **fields)
    assert refusal.value.code == "too_large"


def test_memory_is_bounded_while_a_file_is_read(tmp_path: Path) -> None:
    # One batch of zeros by zstd: what it expands to is nowhere said, and all of it comes at once.
    table = table_of(a=np.zeros(120_000_000), y=np.zeros(120_000_000))
    file = BytesIO()
    options = pyarrow.ipc.IpcWriteOptions(compression="zstd")
    with pyarrow.ipc.new_file(file, table.schema, options=options) as writer:
        writer.write_table(table)
    assert len(file.getvalue()) < LIMIT
    del table
    with pytest.raises(Refused) as refusal:
        found(tmp_path, file.getvalue(), ["y"], limit=2**20)
    assert refusal.value.code == "too_large"


def test_the_id_is_that_of_the_bytes_and_of_how_they_are_read() -> None:
    form = DatasetForm(task="regression", target=["y"], format="csv")
    ids = {dataset_id_of("00", form)}
    for update in ({"task": "classification"}, {"target": ["3"]}, {"standardize": "scale"}, {"format": "npy"}):
        ids.add(dataset_id_of("00", form.model_copy(update=update)))
    ids.add(dataset_id_of("01", form))
    assert len(ids) == 6
    assert dataset_id_of("00", DatasetForm(task="regression", target=["y"], format="csv")) in ids


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_damage_does_no_more_than_to_be_refused(count: int, tmp_path: Path) -> None:
    rng = random.Random(count)
    files = [*FILES.values(), (parquet_of(table_of(a=LABELS, y=CLASSES)), ["y"])]
    for _ in range(count):
        content, target = rng.choice(files)
        damaged = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 4, 16])):
            # What formats say of themselves is at their ends.
            place = rng.choice([rng.randrange(len(damaged)), max(len(damaged) - 1 - rng.randrange(200), 0)])
            damage = rng.choice([bytes([rng.randrange(256)]), b"\xff" * 8, b"\x00" * 8, rng.randbytes(12)])
            damaged[place : place + rng.choice([0, 1, len(damage), 40])] = damage
        for file in tmp_path.iterdir():
            file.unlink()
        task = rng.choice(["regression", "classification"])
        with contextlib.suppress(Refused):
            found(tmp_path, bytes(damaged), target, task=task)
