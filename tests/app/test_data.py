"""The Data page: what was understood can be changed, mistakes keep what was typed."""

from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from deepfm.config import Settings
from deepfm.data.dataset import prepare
from deepfm.data.schema import FileFormat, Inspection, Schema, inspect
from deepfm.errors import DataError, LimitError
from deepfm.events import Progress
from deepfm.runs.store import JobRow, Store
from deepfm.ui.data_label import Meanings, meanings_mistake, one_class_words
from deepfm.ui.data_list import delete_dataset
from deepfm.ui.data_preparing import columns_mistake
from deepfm.ui.data_source import is_shared, server_file, server_files
from deepfm.ui.waiting import Seen, pace_of, words_of
from tests.app.conftest import assert_nothing_wrong

HOSTILE = "<b>site</b>"


def click_log(folder: Path, rows: int = 400) -> Path:
    file = folder / "log.csv"
    lines = [
        f"{'yes' if row % 3 == 0 else 'no'},v{row % 7},{row / 7:.2f},2024-01-{1 + row // 20:02d}"
        for row in range(rows)
    ]
    lines[50] = "yes,broken"
    file.write_text("\n".join([f"clicked,{HOSTILE},price,day", *lines]) + "\n")
    return file


def inspected(home: Path, file: Path, schema: Schema | None = None) -> str:
    """A finished job "inspect" of a file, as the worker leaves it."""
    with Store.open(home) as store:
        job_id = store.queue_job("inspect", {"path": str(file)})
        store.claim_job("test")
        store.finish_job(job_id, "finished", result=inspect(file, schema=schema).to_dict())
    return job_id


def jobs(home: Path) -> list[JobRow]:
    with Store.open(home) as store:
        return store.jobs()


def words(page: AppTest) -> str:
    found = (*page.markdown, *page.caption, *page.subheader, *page.title)
    return " ".join(element.value.replace("\\", "") for element in found)


def errors(page: AppTest) -> str:
    return " ".join(error.value.replace("\\", "") for error in page.error)


def button(page: AppTest, label: str) -> object:
    return next(found for found in page.button if found.label == label)


# --- the way of a file --------------------------------------------------------------------


def test_an_empty_home_shows_the_demo_as_the_model_sees_it(open_page):
    page = open_page("data")
    tiles = {metric.label: metric.value for metric in page.metric}
    assert tiles["Training rows"] == "48,000"
    assert tiles["Fields"] == "10"
    assert button(page, "Train on this")


def test_what_was_understood_is_shown_with_its_extent(home, tmp_path, open_page):
    page = open_page("data", inspect=inspected(home, click_log(tmp_path)))
    assert "What was understood of log.csv" in words(page)
    assert "399 rows" in words(page)
    assert [tab.label for tab in page.tabs] == [
        "Columns beside the label (3)",
        "First rows",
        "Rows that cannot be read (1)",
    ]
    assert [box.value for box in page.multiselect] == [["yes"], ["no"], []]


def test_prepare_queues_what_was_agreed(home, tmp_path, open_page):
    job_id = inspected(home, click_log(tmp_path))
    page = open_page("data", inspect=job_id)
    page.number_input(key=f"min_count_{job_id}").set_value(2)
    page.selectbox(key=f"split_{job_id}").select("random")
    button(page, "Prepare").click()
    page.run()
    assert_nothing_wrong(page)
    job = jobs(home)[0]
    assert job.kind == "prepare"
    schema = Schema.from_dict(job.payload["schema"])
    assert (schema.label.name, schema.positive, schema.negative) == ("clicked", ("yes",), ("no",))
    assert schema.column("price").role == "numeric"
    assert job.payload["config"]["min_count"] == 2
    assert job.payload["config"]["split"] == "random"
    assert job.payload["config"]["validation"] == 0.1
    assert job.payload["config"]["test_share"] == 0.1
    assert page.query_params["prepare"] == job.id


def test_a_time_column_proposes_a_split_by_time(home, tmp_path, open_page):
    job_id = inspected(home, click_log(tmp_path))
    page = open_page("data", inspect=job_id)
    assert page.selectbox(key=f"split_{job_id}").value == "time:day"
    assert "Proposed: the latest rows, by day" in words(page)


def test_a_mistake_keeps_what_was_typed(home, tmp_path, open_page):
    job_id = inspected(home, click_log(tmp_path))
    page = open_page("data", inspect=job_id)
    page.text_input(key=f"name_{job_id}").set_value("my log")
    page.multiselect(key=f"positive_{job_id}").set_value([]).run()
    assert "Choose which value of 'clicked' means a click" in words(page)
    assert button(page, "Prepare").disabled
    assert page.text_input(key=f"name_{job_id}").value == "my log"
    assert jobs(home)[0].kind == "inspect"


def test_a_failed_prepare_says_why_and_keeps_the_form(home, tmp_path):
    from tests.app.conftest import ROOT

    job_id = inspected(home, click_log(tmp_path))
    with Store.open(home) as store:
        failed = store.queue_job("prepare", {})
        store.claim_job("test")
        store.finish_job(failed, "failed", error="The training rows are all of one class.")
    page = AppTest.from_file(str(ROOT / "pages" / "data.py"), default_timeout=60)
    page.query_params["inspect"], page.query_params["prepare"] = job_id, failed
    page.run()
    assert not page.exception
    assert "all of one class" in errors(page)
    assert page.text_input(key=f"name_{job_id}").value == "log.csv"


def test_another_label_reads_the_sample_anew_with_all_that_was_chosen(home, tmp_path, open_page):
    job_id = inspected(home, click_log(tmp_path))
    page = open_page("data", inspect=job_id)
    page.selectbox(key=f"label_{job_id}").select(HOSTILE).run()
    again = jobs(home)[0]
    assert again.kind == "inspect" and again.id != job_id
    schema = Schema.from_dict(again.payload["schema"])
    assert schema.label.name == HOSTILE
    assert schema.column("clicked").role == "categorical"


def test_another_separator_reads_the_sample_anew(home, tmp_path, open_page):
    job_id = inspected(home, click_log(tmp_path))
    page = open_page("data", inspect=job_id)
    page.selectbox(key=f"separator_{job_id}").select(";").run()
    again = jobs(home)[0]
    assert Schema.from_dict(again.payload["schema"]).format == FileFormat(
        "text", separator=";", header=True
    )


def test_json_lines_are_understood_and_can_be_prepared(home, tmp_path, open_page):
    rows = [
        f'{{"clicked": {n % 2}, "device": {{"os": "v{n % 5}"}}, "n": {n % 7}}}' for n in range(300)
    ]
    rows[20] = '{"clicked": 1, "dev'
    (tmp_path / "log.jsonl").write_text("\n".join(rows))
    job_id = inspected(home, tmp_path / "log.jsonl")
    page = open_page("data", inspect=job_id)
    assert "JSON, " in words(page) and "The whole file was read: 299 rows." in words(page)
    assert page.selectbox(key=f"kind_{job_id}").value == "json"
    assert page.selectbox(key=f"label_{job_id}").value == "clicked"
    table = page.dataframe[0].value
    assert table["Column"].tolist() == ["device.os", "n"]
    button(page, "Prepare").click().run()
    assert not page.exception
    (job,) = (job for job in jobs(home) if job.kind == "prepare")
    assert job.payload["schema"]["format"]["kind"] == "json"


def test_the_encoding_that_was_found_is_told_and_can_be_changed(home, tmp_path, open_page):
    cities = ("北京", "上海", "深圳", "广州", "体育新闻")
    rows = "".join(f"{n % 2},{cities[n % 5]},{n % 7}\n" for n in range(200))
    (tmp_path / "log.csv").write_bytes(f"clicked,city,n\n{rows}".encode("gb18030"))
    job_id = inspected(home, tmp_path / "log.csv")
    page = open_page("data", inspect=job_id)
    said = "The file is not UTF-8 and was read as GB18030 (Chinese, also GBK)"
    assert said in words(page)
    box = page.selectbox(key=f"encoding_{job_id}")
    assert box.value == "gb18030" and "EUC-KR (Korean)" in box.options
    box.select("big5").run()
    assert Schema.from_dict(jobs(home)[0].payload["schema"]).format.encoding == "big5"


def test_an_unreadable_file_is_one_sentence(home, tmp_path):
    from tests.app.conftest import ROOT

    with Store.open(home) as store:
        job_id = store.queue_job("inspect", {"path": str(tmp_path / "<i>x</i>.csv")})
        store.claim_job("test")
        store.finish_job(job_id, "failed", error="line 3 holds a NUL byte.")
    page = AppTest.from_file(str(ROOT / "pages" / "data.py"), default_timeout=60)
    page.query_params["inspect"] = job_id
    page.run()
    assert not page.exception
    assert "line 3 holds a NUL byte" in errors(page)
    assert button(page, "Put this file aside")


def test_putting_a_file_aside_shows_the_dataset_again(home, tmp_path, open_page):
    page = open_page("data", inspect=inspected(home, click_log(tmp_path)))
    button(page, "Put this file aside").click()
    page.run()
    assert_nothing_wrong(page)
    assert "inspect" not in page.query_params
    assert {metric.label for metric in page.metric} >= {"Training rows", "Fields"}


def test_two_hundred_columns_with_long_names_break_nothing(home, tmp_path, open_page):
    names = [f"{'a_rather_long_name_' * 4}{place}" for place in range(200)]
    file = tmp_path / "wide.tsv"
    rows = ["\t".join([str(row % 2), *(f"v{row % 5}" for _ in names)]) for row in range(60)]
    file.write_text("\n".join(["\t".join(["click", *names]), *rows]) + "\n")
    page = open_page("data", inspect=inspected(home, file))
    assert "Columns beside the label (200)" in [tab.label for tab in page.tabs]


def test_beside_a_test_file_no_rows_are_held_out_for_testing(
    home, tmp_path, open_page, monkeypatch
):
    monkeypatch.setenv("DEEPFM_DATA_FOLDER", str(tmp_path))
    (tmp_path / "train").mkdir()
    job_id = inspected(home, click_log(tmp_path / "train"))
    test = click_log(tmp_path).rename(tmp_path / "test.csv")
    page = open_page("data", inspect=job_id, test=f"server/{test.name}")
    assert "The test rows are those of the test file." in words(page)
    button(page, "Prepare").click().run()
    assert jobs(home)[0].payload["config"]["test_share"] == 0.0
    assert jobs(home)[0].payload["test"] == str(test)


def test_what_was_chosen_is_there_again_after_a_reload(home, tmp_path, open_page):
    job_id = inspected(home, click_log(tmp_path))
    page = open_page("data", inspect=job_id)
    page.text_input(key=f"name_{job_id}").set_value("my data").run()
    page.slider(key=f"validation_{job_id}").set_value(20).run()
    page.multiselect(key=f"negative_{job_id}").set_value([]).run()
    page.text_input(key=f"name_{job_id}").set_value("my own data").run()
    assert page.slider(key=f"validation_{job_id}").value == 20
    again = open_page("data", inspect=job_id)
    assert again.text_input(key=f"name_{job_id}").value == "my own data"
    assert again.slider(key=f"validation_{job_id}").value == 20
    assert again.multiselect(key=f"negative_{job_id}").value == []


def test_another_label_keeps_the_name_and_the_settings(home, tmp_path, open_page):
    job_id = inspected(home, click_log(tmp_path))
    page = open_page("data", inspect=job_id)
    page.text_input(key=f"name_{job_id}").set_value("my data").run()
    page.selectbox(key=f"label_{job_id}").select(HOSTILE).run()
    assert jobs(home)[0].payload["draft"]["name"] == "my data"


def test_an_open_file_is_there_again_when_the_page_is_visited_without_address(
    home, tmp_path, open_page
):
    job_id = inspected(home, click_log(tmp_path))
    page = open_page("data", inspect=job_id)
    page.query_params.clear()
    page.run()
    assert_nothing_wrong(page)
    assert "What was understood of log.csv" in words(page)
    button(page, "Put this file aside").click()
    page.run()
    page.query_params.clear()
    page.run()
    assert "What was understood" not in words(page)


def one_class_log(folder: Path) -> Path:
    file = folder / "log.csv"
    lines = [f"no,v{row % 7}" for row in range(200)]
    file.write_text("\n".join(["clicked,site", *lines]) + "\n")
    return file


def test_a_whole_file_of_one_class_is_told_at_once_and_not_prepared(home, tmp_path, open_page):
    page = open_page("data", inspect=inspected(home, one_class_log(tmp_path)))
    assert "All 200 rows of the file are not clicked" in words(page)
    assert "Choose another label column" in words(page)
    assert button(page, "Prepare").disabled


def test_a_sample_of_one_class_is_a_warning_only(tmp_path):
    found = replace(inspect(one_class_log(tmp_path)), complete=False)
    meanings = Meanings(("yes",), ("no",))
    assert meanings_mistake(found, meanings) == ""
    assert "All 200 rows of the sample are not clicked" in one_class_words(found, meanings)


def test_a_third_value_is_named_with_the_boxes_and_can_be_left_out(home, tmp_path, open_page):
    file = click_log(tmp_path)
    file.write_text(file.read_text().replace("no,v1", "maybe,v1"))
    job_id = inspected(home, file)
    page = open_page("data", inspect=job_id)
    count = file.read_text().count("maybe")
    assert f"'maybe' ({count} rows) is in none of the boxes. Add it to “Means a click”" in words(
        page
    )
    assert button(page, "Prepare").disabled
    page.multiselect(key=f"left_out_{job_id}").set_value(["maybe"]).run()
    assert "none of the boxes" not in words(page)
    button(page, "Prepare").click()
    page.run()
    assert Schema.from_dict(jobs(home)[0].payload["schema"]).left_out == ("maybe",)


def test_a_dataset_that_is_not_there_is_said_above_everything_else(home):
    from tests.app.conftest import ROOT

    page = AppTest.from_file(str(ROOT / "pages" / "data.py"), default_timeout=60)
    page.query_params["dataset"] = "nope"
    page.run()
    assert "is not on this server" in errors(page)
    kinds = [type(element).__name__ for element in page.main.children.values()]
    assert kinds.index("Error") == 1


# --- datasets -----------------------------------------------------------------------------


def test_a_prepared_log_says_what_was_left_out(home, tmp_path, open_page):
    dataset = prepare(click_log(tmp_path), settings=Settings.from_environment())
    page = open_page("data", dataset=dataset.fingerprint)
    tiles = {metric.label: metric.value for metric in page.metric}
    assert tiles["Rows left out"] == "1"
    assert any("1 row" in expander.label for expander in page.expander)
    assert button(page, "Open") and button(page, "Delete")


def test_another_field_and_order_can_be_shown(home, tmp_path, open_page):
    dataset = prepare(click_log(tmp_path), settings=Settings.from_environment())
    page = open_page("data", dataset=dataset.fingerprint)
    page.selectbox(key=f"field_{dataset.fingerprint}").select("price").run()
    assert_nothing_wrong(page)


def test_deleting_needs_that_no_run_waits_for_it(home, tmp_path):
    dataset = prepare(click_log(tmp_path), settings=Settings.from_environment())
    with Store.open(home) as store:
        run_id = store.queue_run(
            "waits", dataset.folder, dataset.name, {}, {}, fingerprint=dataset.fingerprint
        )
        with pytest.raises(LimitError, match="“waits” still needs this dataset"):
            delete_dataset(dataset.fingerprint)
        store.request_stop(run_id)
    delete_dataset(dataset.fingerprint)
    assert not dataset.folder.exists()
    assert [path.name for path in home.iterdir() if path.name.startswith(".deleted")] == []


def uploaded_log(home, tmp_path):
    """A dataset that was made of an uploaded file; both."""
    file = home / "uploads" / ("a" * 32) / "clicks.csv"
    file.parent.mkdir(parents=True)
    click_log(tmp_path).rename(file)
    return file, prepared_of(home, file)


def prepared_of(home, file, **options):
    dataset = prepare(file, settings=Settings.from_environment(), **options)
    with Store.open(home) as store:
        store.queue_job("prepare", {"train": str(file), "test": None})
        job = store.claim_job("test")
        store.finish_job(job.id, "finished", result={"fingerprint": dataset.fingerprint})
    return dataset


@pytest.mark.parametrize("file_too", [True, False])
def test_deleting_a_dataset_deletes_its_uploaded_file_if_one_leaves_that_ticked(
    home, tmp_path, open_page, file_too
):
    file, dataset = uploaded_log(home, tmp_path)
    page = open_page("data", dataset=dataset.fingerprint)
    assert "Datasets here" in [heading.value for heading in page.subheader]
    assert "Deleting a dataset offers to delete its file with it." in captions(page)
    button(page, "Delete").click().run()
    (box,) = [each for each in page.checkbox if "uploaded file too" in each.label]
    assert box.value and "clicks.csv" in box.label.replace("\\", "")
    if not file_too:
        box.uncheck()
    confirm(page, dataset)
    assert_nothing_wrong(page)
    assert not dataset.folder.exists()
    assert file.exists() is not file_too


def test_a_file_that_another_dataset_was_made_of_is_kept_unless_one_asks(home, tmp_path, open_page):
    file, dataset = uploaded_log(home, tmp_path)
    other = prepared_of(home, file, min_count=2, name="the other one")
    page = open_page("data", dataset=dataset.fingerprint)
    page.button(key=f"delete_{dataset.fingerprint}").click().run()
    (box,) = [each for each in page.checkbox if "uploaded file too" in each.label]
    assert not box.value
    assert "Made of the same file, and kept: “the other one”." in captions(page)
    confirm(page, dataset)
    assert not dataset.folder.exists() and other.folder.exists() and file.exists()


def confirm(page, dataset):
    """Press Delete in the dialog, which a test sees only while its opener is pressed."""
    page.button(key=f"delete_{dataset.fingerprint}").click()
    page.button(key="delete_confirmed").click().run()


def captions(page):
    return " ".join(box.value.replace("\\", "") for box in page.caption)


@pytest.mark.parametrize("name", ["..", ".", "", "../runs", "/etc", "gone"])
def test_only_datasets_can_be_deleted(home, name):
    (home / "datasets").mkdir(parents=True)
    (home / "runs").mkdir()
    with pytest.raises(DataError, match="not here any more"):
        delete_dataset(name)
    assert (home / "runs").is_dir() and (home / "datasets").is_dir()


# --- the parts it is made of ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shared"),
    [
        ("http://localhost:8501/data", False),
        ("http://127.0.0.1:8501/", False),
        ("http://[::1]:8501/", False),
        ("http://app.localhost/", False),
        (None, False),
        ("http://192.168.1.20:8501/", True),
        ("https://lab.example.org/data", True),
        ("http://127.0.0.1.example.org/", True),
    ],
)
def test_a_page_that_others_can_open_says_so(url, shared):
    assert is_shared(url) is shared


def test_only_files_inside_the_servers_folder_are_offered(tmp_path):
    folder = tmp_path / "data"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "log.csv.gz").write_bytes(b"x")
    (folder / "notes.md").write_text("no data")
    (folder / ".hidden.csv").write_text("a")
    (tmp_path / "secret.csv").write_text("a")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    assert server_files(folder) == ["deep/log.csv.gz"]
    assert server_file(folder, "deep/log.csv.gz").is_file()
    for outside in ("../secret.csv", "link.csv", "/etc/passwd", str(tmp_path / "secret.csv")):
        with pytest.raises(DataError, match="not in the server's data folder"):
            server_file(folder, outside)
    assert server_files(tmp_path / "nothing") == []


def understood(tmp_path: Path) -> Inspection:
    return inspect(click_log(tmp_path))


def test_meanings_without_a_use_are_refused_with_the_way_out(tmp_path):
    found = understood(tmp_path)
    both = meanings_mistake(found, Meanings(("yes",), ("yes", "no")))
    assert "'yes' stands in “Means a click” and in “Means no click”" in both
    assert "are clicked" in meanings_mistake(found, Meanings(("yes", "no"), ()))
    assert "means no click" in meanings_mistake(found, Meanings(("yes",), ()))
    assert meanings_mistake(found, Meanings(("yes",), ("no",))) == ""
    schema = found.schema
    assert columns_mistake(schema) == ""
    for column in schema.fields:
        schema = schema.with_role(column.name, "ignored")
    assert "No column is left" in columns_mistake(schema)


def test_progress_says_amounts_pace_and_time_left():
    first = Progress("Reading log.csv", 1_000_000, 9_000_000, "bytes", "10,000 rows")
    later = Progress("Reading log.csv", 5_000_000, 9_000_000, "bytes", "50,000 rows")
    stage, share = words_of(later, "Preparing", waiting=False)
    assert (stage.replace("\xa0", " "), share) == (
        "Reading log.csv · 5.0 MB of 9.0 MB · 50,000 rows",
        pytest.approx(5 / 9),
    )
    pace = pace_of(Seen("x", first, later, 2.0)).replace("\xa0", " ")
    assert pace == "20 k rows/s · about 2.0 s left"
    counted = Seen("x", Progress("Writing", 0, None, "rows"), Progress("W", 500, None, "rows"), 1.0)
    assert pace_of(counted).replace("\xa0", " ") == "500 rows/s"
    assert pace_of(Seen("x", first, first, 3.0)) == ""
    assert pace_of(None) == ""


def test_progress_names_its_step_and_has_one_bar_for_all_of_them():
    first = Progress("Counting values", 0, 100, "rows", number=3, stages=4)
    later = Progress("Counting values", 50, 100, "rows", number=3, stages=4)
    words, share = words_of(later, "Preparing", waiting=False)
    assert (words, share) == ("Step 3 of 4 · Counting values · 50 rows of 100 rows", 0.625)
    pace = pace_of(Seen("x", first, later, 2.0)).replace("\xa0", " ")
    assert pace == "25 rows/s · about 2.0 s left in this step"
    last = Progress("Writing", 0, None, "rows", number=4, stages=4)
    assert words_of(last, "Preparing", waiting=False) == ("Step 4 of 4 · Writing", 0.75)


def test_what_takes_longer_than_a_second_apiece_has_no_rate_of_zero():
    first = Progress("Fitting", 0, 27, "sweeps", number=1, stages=1)
    later = Progress("Fitting", 2, 27, "sweeps", number=1, stages=1)
    assert pace_of(Seen("x", first, later, 6.0)).replace("\xa0", " ") == "about 1 min 15 s left"
    endless = Progress("Fitting", 2, None, "sweeps")
    assert pace_of(Seen("x", first, endless, 6.0)) == ""
