"""The table that a benchmark prints: what, its baseline, the ratio, and the goal."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from time import perf_counter, process_time


@dataclass(frozen=True)
class Row:
    """One measurement; ``met`` is None where there is no goal."""

    what: str
    value: str
    baseline: str
    result: str
    goal: str
    met: bool | None


@dataclass
class Report:
    """Collects rows."""

    rows: list[Row] = field(default_factory=list)

    def add(
        self, what: str, value: str, *, baseline: str = "-", result: str = "", goal: str = "", met: bool | None = None
    ) -> None:
        """Add a row and say so, since benchmarks take a while."""
        self.rows.append(Row(what, value, baseline, result, goal, met))
        print(f"  {what}: {value} {result}", flush=True)

    def print(self) -> None:
        """Print the table."""
        lines = [("", "measured", "baseline", "result", "goal", "")]
        marks = {None: "", True: "met", False: "MISSED"}
        lines += [(row.what, row.value, row.baseline, row.result, row.goal, marks[row.met]) for row in self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(6)]
        print()
        for line in lines:
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())

    def all_met(self) -> bool:
        """Whether no goal was missed."""
        return all(row.met is not False for row in self.rows)


def median_seconds(function: Callable[[], object], *, repeats: int) -> float:
    """Median time of one call, after one to warm up."""
    function()
    times = []
    for _ in range(repeats):
        started = perf_counter()
        function()
        times.append(perf_counter() - started)
    return median(times)


def median_processor_seconds(*functions: Callable[[], object], repeats: int) -> list[float]:
    """Median processor time of a call of each, after one to warm up; in turns, so that a busy machine slows all alike."""
    times: list[list[float]] = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(repeats):
        for function, taken in zip(functions, times, strict=True):
            started = process_time()
            function()
            taken.append(process_time() - started)
    return [median(taken) for taken in times]
