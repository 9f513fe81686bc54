"""What a spreadsheet must not run, and what must stay as it is."""

import pytest

from deepfm.data.export import neutralise_formulas


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "-", "=", "-5\n", "--5"],
)
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert neutralise_formulas(text) == "'" + text


@pytest.mark.parametrize(
    "text",
    ["-5", "+1.27", "-0.5e-3", "-1,234.5", "12 %", "-13.2 %", "-.5", "", "a=b", "1+1", "'=1", "−5"],
)
def test_numbers_and_plain_text_stay_as_they_are(text: str) -> None:
    assert neutralise_formulas(text) == text
