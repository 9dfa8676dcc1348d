"""A package that adds to Andon, as somebody else would write it; tests/andon/test_extension.py installs it."""
