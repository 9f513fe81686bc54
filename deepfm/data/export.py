"""Raw values to text that a spreadsheet shows and never runs."""

import re
from typing import Final

_RUN_BY_SPREADSHEETS: Final = ("=", "+", "-", "@", "\t", "\r")
_NUMBER: Final = re.compile(r"[+-]?(\d+([.,]\d+)*|[.,]\d+)([eE][+-]?\d+)? ?%?")


def neutralise_formulas(text: str) -> str:
    """The text, with an apostrophe before it if a spreadsheet would take it for a formula.

    A formula begins with = + - @, a tab or a return; plain numbers do too and stay numbers:
    "-5" and "+1.27" are unchanged, "-5+cmd" and "=1" are not.
    """
    if text.startswith(_RUN_BY_SPREADSHEETS) and not _NUMBER.fullmatch(text):
        return f"'{text}"
    return text
