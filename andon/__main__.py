"""``python -m andon`` runs the `andon` command."""

from andon.cli import main

main()
