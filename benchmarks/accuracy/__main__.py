"""Entry point: ``python -m benchmarks.accuracy …`` runs ``andon bench accuracy …`` (docs/explanation/accuracy.md).

The work is done in `scorer.evaluation`, which is installed with the product, so that anybody can measure on their own
images; this module only stands where benchmarks are looked for.
"""

import sys

from andon.cli import main

if __name__ == "__main__":
    main(["bench", "accuracy", *sys.argv[1:]])
