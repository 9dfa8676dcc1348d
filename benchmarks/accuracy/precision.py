"""What another precision changes: ``python -m benchmarks.accuracy.precision FIRST.json SECOND.json [--page FILE]``.

Both files are of ``andon bench accuracy --json``, over the same sets, shots and draws. Prints a line a method: the mean
AUROC × 100 in each, and where the two differ most, in the mean of a set and at one number of shots; with ``--page``
writes them between ``<!-- precision -->`` and ``<!-- end of precision -->``.
"""

import argparse
import json
import re
from pathlib import Path
from statistics import fmean

Cell = tuple[str, int]  # dataset and shots


def main() -> None:
    """Compare, print and, where asked, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("--page", type=Path)
    asked = parser.parse_args()
    table = "\n".join(_lines(_cells(asked.first), _cells(asked.second)))
    print(table)
    if asked.page is not None:
        between = re.compile(r"(<!-- precision -->\n).*?(<!-- end of precision -->)", re.DOTALL)
        page = asked.page.read_text("utf-8")
        asked.page.write_text(between.sub(lambda found: f"{found[1]}\n{table}\n{found[2]}", page), "utf-8")


def _cells(path: Path) -> dict[str, dict[Cell, float]]:
    """AUROC × 100 by method, dataset and shots."""
    found: dict[str, dict[Cell, float]] = {}
    for line in json.loads(path.read_text("utf-8"))["rows"]:
        found.setdefault(line["method"], {})[line["dataset"], line["shots"]] = 100 * line["auroc"]["mean"]
    return found


def _lines(first: dict[str, dict[Cell, float]], second: dict[str, dict[Cell, float]]) -> list[str]:
    lines = [
        "| method | first | second | difference | largest of one set | largest of one set and shot |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for method, cells in sorted(first.items()):
        changes = {cell: second[method][cell] - value for cell, value in cells.items()}
        (dataset, shots), most = max(changes.items(), key=lambda pair: abs(pair[1]))
        by_set = {name: fmean(change for cell, change in changes.items() if cell[0] == name) for name, _ in changes}
        moved = max(by_set, key=lambda name: abs(by_set[name]))
        means = fmean(cells.values()), fmean(second[method].values())
        lines.append(
            f"| {method} | {means[0]:.2f} | {means[1]:.2f} | {fmean(changes.values()):+.2f} "
            f"| {by_set[moved]:+.2f} ({moved}) | {most:+.2f} ({dataset}, {shots}) |"
        )
    return lines


if __name__ == "__main__":
    main()
