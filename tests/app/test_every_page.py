"""What holds for every page: it opens alone, from an empty home, and costs no torch."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path.stem for path in (ROOT / "pages").glob("*.py"))


@pytest.mark.parametrize("name", PAGES)
def test_a_page_opens_alone_from_an_empty_home(name, open_page):
    page = open_page(name)
    assert len(page.main) > 0


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("bad", ["../../etc/passwd", "<b>no</b>", "gone-1234", "x" * 5000])
def test_an_address_that_names_nothing_is_answered_in_words(name, bad, home):
    """A run id that is a path, a deleted dataset: a sentence, never an exception."""
    from streamlit.testing.v1 import AppTest

    page = AppTest.from_file(str(ROOT / "pages" / f"{name}.py"), default_timeout=60)
    page.query_params["run"] = bad
    page.query_params["dataset"] = bad
    page.run()
    assert [box.value for box in page.exception] == []


def test_every_page_together_loads_no_torch(tmp_path):
    """The app's process stays small: pages open fast, and many people share it."""
    code = f"""
import sys
from streamlit.testing.v1 import AppTest
for name in {PAGES!r}:
    page = AppTest.from_file(f"pages/{{name}}.py", default_timeout=60).run()
    assert not page.exception, (name, page.exception[0].value)
print("torch" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"DEEPFM_HOME": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.splitlines()[-1] == "False"
