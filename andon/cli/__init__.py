"""The `andon` command."""

from andon.cli.app import app as app
from andon.cli.app import main as main
