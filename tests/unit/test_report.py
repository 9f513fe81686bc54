"""Reports: one small file that needs nothing else, whose numbers are the run's own, and no tags."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from deepfm.cli import main
from deepfm.config import NETWORK_SETTINGS, TERM_SETS, ModelConfig
from deepfm.errors import DataError
from deepfm.evaluation import Selection, evaluate, evaluate_scores
from deepfm.explanation import OtherImpression, explain
from deepfm.explanation.beyond import measure_beyond, save_beyond
from deepfm.formats import format_auc, format_logit, format_probability
from deepfm.report import impression_report, run_report, write_report
from deepfm.report.drawing import Scale
from deepfm.trained import Scores, TrainedModel, open_run
from tests.unit import run_folders
from tests.unit.run_folders import ALL_MODELS, RunSpec, write_run
from tests.unit.small_models import clicks_dataset, trained_on

VOID = {"meta", "br", "rect", "line", "circle", "polyline"}
HOSTILE = ("<b>bold</b>", "=1+1", '"><script>alert(1)</script>', "a & b", "x\x00\x08y", "'onload='")


class Reader(HTMLParser):
    """Every tag and attribute, and whether what was opened is closed in turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def words(self) -> str:
        return " ".join(self.texts)


def read(text: str) -> Reader:
    """The report, held to what every report must keep."""
    found = Reader(text)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name.startswith("on") or name in ("src",)]
    assert "://" not in text and "@import" not in text
    assert re.findall(r"url\(([^)]*)\)", text) == ["#hatched", "#dotted"]
    assert "default-src 'none'" in text
    assert len(text) < 200_000
    for drawing in re.findall(r"<svg viewBox.*?</svg>", text, re.DOTALL):
        ElementTree.fromstring(drawing)
        assert re.search(r'role="img" aria-label="[^"]{10,}"', drawing)
        assert "nan" not in drawing and "inf" not in drawing
    return found


def open_model(folder: Path, **changes: object) -> TrainedModel:
    settings = {"num_factors": 4, "mlp_dims": (6, 5), **changes}
    return open_run(write_run(folder, RunSpec(model=ModelConfig(**settings), truth=True)))


@pytest.mark.parametrize("name", ALL_MODELS)
def test_every_model_has_both_reports(name, tmp_path):
    model = open_model(tmp_path / "run", **ALL_MODELS[name])
    whole = read(run_report(model))
    found = evaluate(model)
    assert f"AUC {format_auc(found.auc)}" in whole.words
    assert f"{found.auc_low:.4f} to {found.auc_high:.4f} (DeLong)" in whole.words
    why = explain(model, row=3, permutations=10)
    one = read(impression_report(model, why))
    assert format_probability(why.probability) in one.words
    assert why.reference in one.words
    for term in why.terms:
        assert format_logit(getattr(why, term)) in one.words


@pytest.mark.parametrize("name", ALL_MODELS)
def test_a_report_speaks_of_no_term_that_its_model_lacks(name, tmp_path):
    model = open_model(tmp_path / "run", **ALL_MODELS[name])
    several = len(model.model.terms) > 1
    assert ("The branches" in read(run_report(model)).words) == several
    one = read(impression_report(model, explain(model, row=3, permutations=10))).words
    one = one.replace("its sum is exact", "")
    for words, has in {
        "the dot is their sum": several,
        "can move between the terms": several,
        " is exact": len({"linear", "pairwise"} & set(model.model.terms)) == 1,
        "Linear and pairwise are exact": {"linear", "pairwise"} <= set(model.model.terms),
        "eep is sampled": "deep" in model.model.terms,
        "The network's part": "deep" in model.model.terms,
    }.items():
        assert (words in one) == has, words


def test_the_report_of_a_real_training_shows_how_it_learned(tmp_path):
    model = trained_on(clicks_dataset(tmp_path / "data", rows=600), tmp_path / "run", epochs=3)
    save_beyond(model, measure_beyond(model))
    found = read(run_report(model, name="my run"))
    assert found.texts.count("my run") == 2, "as the document's title, and above it"
    for words in ("Loss, epoch by epoch", "three fields or more", "torch", "Factor size", "site"):
        assert words in found.words
    losses = [each.train.loss for each in model.events() if type(each).__name__ == "Epoch"]
    assert len(losses) == 3
    for loss in losses:
        assert f"{loss:.4f}" in found.words


def test_the_waterfalls_bars_are_as_long_as_the_terms(tmp_path):
    model = open_model(tmp_path / "run")
    why = explain(model, row=5)
    drawing = ElementTree.fromstring(
        re.findall(r"<svg viewBox.*?</svg>", impression_report(model, why), re.DOTALL)[0]
    )
    bars = {
        each.attrib["class"][2:]: (float(each.attrib["x"]), float(each.attrib["width"]))
        for each in drawing.iter("rect")
    }
    longest = max(bars, key=lambda term: bars[term][1])
    pixels = bars[longest][1] / abs(getattr(why, longest))
    level = why.base
    origin = None
    for term in ("linear", "pairwise", "deep"):
        change = getattr(why, term)
        left, width = bars[term]
        assert width == pytest.approx(pixels * abs(change), abs=0.3)
        start = left - pixels * min(level, level + change)
        origin = start if origin is None else origin
        assert start == pytest.approx(origin, abs=0.6), (
            "all on one scale, each where the last ended"
        )
        level += change
    assert level == pytest.approx(why.logit)


def test_sampled_fields_have_their_error_and_unsampled_ones_no_deep(tmp_path):
    model = open_model(tmp_path / "run")
    sampled = read(impression_report(model, explain(model, row=1, permutations=20)))
    plain = read(impression_report(model, explain(model, row=1)))
    assert "error of deep" in sampled.words and "20 random orders" in sampled.words
    assert "error of deep" not in plain.words and "random orders" not in plain.words
    assert "deep is sampled" in sampled.words and "deep is sampled" not in plain.words


def test_another_impression_as_reference_is_named(tmp_path):
    model = open_model(tmp_path / "run")
    other = OtherImpression(model.impression(row=2).fields)
    found = read(impression_report(model, explain(model, row=1, reference=other)))
    assert "The other's score" in found.words


def test_text_of_data_is_shown_and_never_becomes_a_tag(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folders, "WORDS", HOSTILE)
    model = open_model(tmp_path / "run")
    values = {f"word_{i}": HOSTILE[i] for i in range(4)} | {"price": "<i>5"}
    why = explain(model, values)
    name = "<img src=x onerror=alert(1)>"
    one, whole = impression_report(model, why, name=name), run_report(model, name=name)
    found = read(one)
    for text in (*HOSTILE[:4], "<i>5", name):
        assert text in found.words.replace("  ", " ")
    assert name in read(whole).words
    assert "\x00" not in one and "\x08" not in one


def test_control_characters_are_shown_as_such(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folders, "WORDS", ("x\x00\x08y",))
    model = open_model(tmp_path / "run")
    values = {**model.impression(row=0).fields, "word_0": "x\x00\x08y"}
    assert "x\ufffd\ufffdy" in impression_report(model, explain(model, values))


@pytest.mark.parametrize("name", ALL_MODELS)
def test_an_explanation_shows_itself_in_a_notebook(name, tmp_path):
    model = open_model(tmp_path / "run", **ALL_MODELS[name])
    why = explain(model, row=3, permutations=5)
    shown = why._repr_html_()
    found = Reader(shown)
    assert set(found.tags) <= {
        *("div", "p", "b", "bdi", "svg", "text", "circle", "rect"),
        *("table", "thead", "tbody", "tr", "th", "td"),
    }
    assert "://" not in shown and "url(" not in shown
    for part in (why.base, why.logit, *(getattr(why, term) for term in why.terms)):
        assert format_logit(part) in found.words
    for field, value in why.seen_as.items():
        assert field in found.words and (value or "(empty)") in found.words
    bars = [float(width) for width in re.findall(r"<rect [^>]* width='([^']*)'", shown)]
    parts = [abs(getattr(why, term)) for term in why.terms]
    assert bars == pytest.approx([max(bars) * part / max(parts) for part in parts], abs=0.2)


def test_no_value_becomes_a_tag_in_a_notebook(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folders, "WORDS", HOSTILE)
    model = open_model(tmp_path / "run")
    values = {**{f"word_{i}": HOSTILE[i] for i in range(4)}, "price": "<script>alert(1)</script>"}
    other = OtherImpression({**values, "word_0": HOSTILE[4]})
    for found in (explain(model, values), explain(model, values, reference=other)):
        shown = Reader(found._repr_html_())
        assert "script" not in shown.tags
        assert not [name for name, _ in shown.attributes if name.startswith("on")]
        assert HOSTILE[2] in shown.words


def test_a_slice_is_named_with_its_rows(tmp_path):
    model = open_model(tmp_path / "run")
    value = model.impression(row=0).fields["word_0"] or ""
    part = evaluate(model).where(Selection("word_0", value))
    found = read(run_report(model, part))
    assert f"How good it is: {part.rows} test rows" in found.words and value in found.words


def test_a_run_with_training_rows_alone_says_so(tmp_path):
    spec = RunSpec(rows={"train": 30})
    found = read(run_report(open_run(write_run(tmp_path / "run", spec))))
    assert "How well it ranks cannot be said: only training rows were kept" in found.words


def test_rows_of_one_class_have_no_roc_and_no_failure(tmp_path):
    model = open_model(tmp_path / "run")
    scores = model.scores()
    kept = scores.labels > 0.5
    clicked = Scores("test", scores.rows[kept], scores.terms[kept], scores.labels[kept], None)
    found = read(run_report(model, evaluate_scores(model, clicked)))
    assert "its rows have one class only" in found.words
    assert "(calibration)" in found.words and "(ROC)" not in found.words


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (-3.2, 0.7), (0.4471, 0.4478), (0.0, 12_000.0), (-1e-9, 1e-9)]
)
def test_ticks_are_round_within_the_scale_and_a_handful(low, high):
    scale = Scale(low, high, 0, 100)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 8
    assert all(low - 1e-12 <= tick <= high + 1e-12 for tick in ticks)
    assert all(0 <= scale.at(tick) <= 100.0001 for tick in ticks)


def test_a_model_without_a_network_lists_none_of_its_settings(tmp_path):
    for name, listed in (("LR", False), ("DeepFM", True)):
        text = run_report(open_model(tmp_path / name, terms=TERM_SETS[name]))
        for setting in ModelConfig.settings():
            if setting.name in NETWORK_SETTINGS:
                assert (f">{setting.label}<" in text) == listed, (name, setting.name)


def test_the_page_follows_light_dark_and_paper(tmp_path):
    text = run_report(open_model(tmp_path / "run"))
    for rule in ("prefers-color-scheme: dark", "@media print", "color-scheme: light dark"):
        assert rule in text


def test_the_command_writes_both(tmp_path, capsys, monkeypatch):
    open_model(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert main(["report", "run"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer == {"report": "run.html", "bytes": Path("run.html").stat().st_size, "row": None}
    assert main(["report", "run", "--row", "4", "--permutations", "5", "--out", "x.html"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (answer["report"], answer["row"]) == ("x.html", 4)
    assert "Row 4 of the test part" in Path("x.html").read_text("utf-8")
    assert main(["report", "run", "--data", "some.csv"]) == 2
    assert "--row N" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_a_clear_error(tmp_path):
    with pytest.raises(DataError, match="cannot be written"):
        write_report("x", tmp_path / "nowhere" / "x.html")
