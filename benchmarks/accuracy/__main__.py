"""Entry point: ``python -m benchmarks.accuracy …`` runs ``andon bench accuracy …`` (docs/explanation/accuracy.md).

The work is done in `scorer.evaluation`, which is installed with the product, so that users can evaluate their own
images; this module only makes it a benchmark among the others.
"""

import sys

from andon.cli import main

if __name__ == "__main__":
    main(["bench", "accuracy", *sys.argv[1:]])
