"""The effect of another precision on accuracy: ``python -m benchmarks.accuracy.precision FIRST.json SECOND.json [--page
FILE]``.

Both files are of ``andon bench accuracy --json``, over the same datasets, shots and draws. It prints a row per method:
the mean AUROC × 100 in each, and the largest differences of a dataset's mean and of one number of shots. ``--page``
writes the rows between ``<!-- precision -->`` and ``<!-- end of precision -->``.
"""

import argparse
import json
import re
from pathlib import Path
from statistics import fmean

DatasetShots = tuple[str, int]


def main() -> None:
    """Compare, print and, with --page, write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    table = "\n".join(_table_rows(_read_auroc(options.first), _read_auroc(options.second)))
    print(table)
    if options.page is not None:
        between = re.compile(r"(<!-- precision -->\n).*?(<!-- end of precision -->)", re.DOTALL)
        page = options.page.read_text("utf-8")
        options.page.write_text(between.sub(lambda found: f"{found[1]}\n{table}\n{found[2]}", page), "utf-8")


def _read_auroc(path: Path) -> dict[str, dict[DatasetShots, float]]:
    """Return AUROC × 100 by method, dataset and shots."""
    found: dict[str, dict[DatasetShots, float]] = {}
    for line in json.loads(path.read_text("utf-8"))["rows"]:
        found.setdefault(line["method"], {})[line["dataset"], line["shots"]] = 100 * line["auroc"]["mean"]
    return found


def _table_rows(first: dict[str, dict[DatasetShots, float]], second: dict[str, dict[DatasetShots, float]]) -> list[str]:
    lines = [
        "| method | first | second | difference | largest of one dataset | largest of one dataset and shots |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for method, cells in sorted(first.items()):
        changes = {cell: second[method][cell] - value for cell, value in cells.items()}
        (dataset, shots), largest = max(changes.items(), key=lambda pair: abs(pair[1]))
        by_set = {name: fmean(change for cell, change in changes.items() if cell[0] == name) for name, _ in changes}
        moved = max(by_set, key=lambda name: abs(by_set[name]))
        means = fmean(cells.values()), fmean(second[method].values())
        lines.append(
            f"| {method} | {means[0]:.2f} | {means[1]:.2f} | {fmean(changes.values()):+.2f} "
            f"| {by_set[moved]:+.2f} ({moved}) | {largest:+.2f} ({dataset}, {shots}) |"
        )
    return lines


if __name__ == "__main__":
    main()
