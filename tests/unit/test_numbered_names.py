"""Names that repeat are numbered, also where a number is a name already."""

from deepfm.ui.text import numbered_names


def test_the_first_keeps_its_name_and_later_ones_are_numbered() -> None:
    assert numbered_names(["a", "b", "a", "a"]) == ["a", "b", "a (2)", "a (3)"]


def test_a_number_that_is_a_name_already_is_passed_over() -> None:
    assert numbered_names(["a (2)", "a", "a"]) == ["a (2)", "a", "a (3)"]
    assert numbered_names(["a", "a", "a (2)"]) == ["a", "a (2)", "a (2) (2)"]


def test_five_thousand_runs_of_one_name_all_differ() -> None:
    names = numbered_names(["the same"] * 5_000)
    assert len(set(names)) == 5_000 and names[-1] == "the same (5000)"
