"""Text of a numeric column to float64: the one place that says which texts are numbers."""

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

MISSING: Final = (
    *("", "na", "n/a", "nan", "null", "none", "nil", "<na>", "\\n", "?", "-", "--", "."),
    *("#n/a", "#value!", "#div/0!", "#ref!", "inf", "+inf", "-inf", "infinity", "-infinity"),
)
"""Texts, lower case and without spaces around, that mean "no number here"."""

_PLAIN: Final = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_DECIMAL_COMMA: Final = r"^[+-]?\d+,\d+$"
_DECORATION: Final = r"[$€£¥₹₽%\s'’\x{00a0}\x{2009}\x{202f}]"
_CURRENCY: Final = r"(?i)^(?:eur|usd|gbp|chf|inr|cny|jpy)|(?:eur|usd|gbp|chf|inr|cny|jpy|kr|zł)$"
_DOTTED_THOUSANDS: Final = r"^[+-]?\d{1,3}(?:(?:\.\d{3})+,\d+|(?:\.\d{3}){2,})$"
_IN_PARENTHESES: Final = r"^\((\d[\d.,]*)\)$"
_THOUSANDS: Final = r"^([+-]?[1-9]\d{0,2}(?:,\d{3})+)(\.\d+)?$"

_ONLY_DECIMAL: Final = (
    r"^[+-]?(?:0\d*,\d+|\d{4,},\d+|\d+,(?:\d{1,2}|\d{4,})|\d{1,3}(?:\.\d{3})+,\d+)$"
)
_ONLY_THOUSANDS: Final = r"^[+-]?[1-9]\d{0,2}(?:(?:,\d{3}){2,}|(?:,\d{3})+\.\d+)$"
_EITHER: Final = r"^[+-]?[1-9]\d{0,2},\d{3}$"
_DOTS_BETWEEN: Final = r"^[+-]?[1-9]\d{0,2}(?:\.\d{3})+(?:,\d+)?$"


def is_missing(values: pa.Array) -> pa.Array:
    """Which cells hold no number by their text (NA, null, …): bool[N], true for null."""
    lowered = pc.utf8_lower(pc.utf8_trim_whitespace(values))
    named = pc.is_in(lowered, value_set=pa.array(MISSING, pa.string()))
    return pc.or_(pc.is_null(values), named)


def to_numbers(values: pa.Array) -> pa.Array:
    """Texts to float64[N]: null where a cell is empty, says NA or the like, or is no number.

    values   string[N], as RowReader yields them
    Reads 12, -3.5, 1e6, $12.50, 12.50 EUR, 12,50 (one decimal comma), 1,234.5 and 1.234,50 and
    1'234.5 (thousands), (12.5) as -12.5 and 12% as 12.
    """
    plain = _cast_plain(values)
    if plain is not None:
        return plain
    cleaned = _undecorated(values)
    dotted = pc.match_substring_regex(cleaned, _DOTTED_THOUSANDS)
    cleaned = pc.if_else(dotted, pc.replace_substring(cleaned, ".", ""), cleaned)
    thousands = pc.match_substring_regex(cleaned, _THOUSANDS)
    cleaned = pc.if_else(thousands, pc.replace_substring(cleaned, ",", ""), cleaned)
    comma = pc.match_substring_regex(cleaned, _DECIMAL_COMMA)
    cleaned = pc.if_else(comma, pc.replace_substring(cleaned, ",", "."), cleaned)
    readable = pc.match_substring_regex(cleaned, _PLAIN)
    return _finite(pc.cast(_without_plus(pc.if_else(readable, cleaned, None)), pa.float64()))


def says_decimal_comma(values: pa.Array) -> bool | None:
    """Whether the commas in a column of numbers are decimal signs, told from all of them together.

    values   string[N], the different texts of the column
    True     by "0,5", "12,50" or "1.234,5"; most of those that can be read one way only decide
    False    by "1,234,567" or "1,234.5", and where no number has a comma
    None     where "1,234" is all there is: 1234 or 1.234
    """
    cleaned = _undecorated(values.drop_null())
    decimal, thousands, either = (
        pc.sum(pc.match_substring_regex(cleaned, pattern)).as_py() or 0
        for pattern in (_ONLY_DECIMAL, _ONLY_THOUSANDS, _EITHER)
    )
    if decimal or thousands:
        return bool(decimal > thousands)
    return None if either else False


def with_decimal_point(values: pa.Array) -> pa.Array:
    """Numbers written with a decimal comma as others write them: "1.234,5" is "1234.5", string[N].

    Whatever is no such number stays as it is.
    """
    cleaned = _undecorated(values)
    dotted = pc.match_substring_regex(cleaned, _DOTS_BETWEEN)
    cleaned = pc.if_else(dotted, pc.replace_substring(cleaned, ".", ""), cleaned)
    comma = pc.match_substring_regex(cleaned, _DECIMAL_COMMA)
    cleaned = pc.if_else(comma, pc.replace_substring(cleaned, ",", "."), cleaned)
    return pc.if_else(pc.or_(dotted, comma), cleaned, values)


def _undecorated(values: pa.Array) -> pa.Array:
    """Without currency, percent, spaces between thousands; "(12.5)" as "-12.5"."""
    cleaned = pc.replace_substring_regex(values, _DECORATION, "")
    cleaned = pc.replace_substring_regex(cleaned, _CURRENCY, "")
    return pc.replace_substring_regex(cleaned, _IN_PARENTHESES, r"-\1")


def _cast_plain(values: pa.Array) -> pa.Array | None:
    """The fast way, for a column of plain numbers; None where some cell is not one."""
    try:
        return _finite(pc.cast(values, pa.float64()))
    except pa.ArrowInvalid:
        return None


def _without_plus(values: pa.Array) -> pa.Array:
    return pc.utf8_ltrim(values, characters="+")


def _finite(numbers: pa.Array) -> pa.Array:
    return pc.if_else(pc.is_finite(numbers), numbers, pa.scalar(None, pa.float64()))
