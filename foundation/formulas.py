"""Texts that a spreadsheet would execute when it opens a table."""

import unicodedata

FORMULA_PREFIXES = ("=", "+", "-", "@", "\t", "\r", "\n")


def may_be_formula(text: str) -> bool:
    """Return whether a spreadsheet may take a cell of this text for a formula.

    Spreadsheets leave out spaces and invisible characters before one, and take signs of full width for the usual ones.
    """
    if text.startswith(FORMULA_PREFIXES):
        return True
    visible = "".join(each for each in text if each.isprintable() and not each.isspace())
    return unicodedata.normalize("NFKC", visible).startswith(FORMULA_PREFIXES)
