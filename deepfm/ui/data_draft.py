"""What a person has chosen for a file, kept beside the job that read it.

The widgets of a page are gone with the page and after a reload; the draft is in the run store
under the job that the address names, so the address alone brings everything back.
"""

from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from deepfm.config import PrepareConfig
from deepfm.data.schema import Inspection, Schema
from deepfm.runs.store import JobRow
from deepfm.ui import state

DRAFT: Final = "draft"
"""The key of the payload of a job "inspect"."""


TEST_SHARE: Final = 0.1
"""Of the rows of a file that comes alone, unless another share is chosen."""


@dataclass(frozen=True)
class Draft:
    """What Prepare will be given beside the files."""

    name: str
    config: PrepareConfig
    schema: Schema

    def to_dict(self) -> dict[str, Any]:
        """To JSON's types."""
        return {"schema": self.schema.to_dict(), **self.without_schema()}

    def without_schema(self) -> dict[str, Any]:
        """What stays when the file is read anew in another way."""
        return {"name": self.name, "config": self.config.to_dict()}


def kept_draft(job: JobRow, found: Inspection) -> Draft:
    """What was chosen last; what nobody chose is as it was understood."""
    kept = job.payload.get(DRAFT, {})
    return Draft(
        name=kept.get("name", found.file),
        config=PrepareConfig.from_dict(kept["config"])
        if "config" in kept
        else PrepareConfig(split=found.proposed_split, test_share=TEST_SHARE),
        schema=Schema.from_dict(kept["schema"]) if "schema" in kept else found.schema,
    )


def first_draft(job: JobRow, found: Inspection) -> Draft:
    """The draft that the widgets started with when the page was entered; the same until it is left.

    A widget whose start changes under it would lose what was typed meanwhile.
    """
    key = f"draft_{job.id}"
    if name_key(job.id) not in st.session_state:
        st.session_state[key] = kept_draft(job, found)
    draft: Draft = st.session_state[key]
    return draft


def name_key(job_id: str) -> str:
    """The session key of the dataset's name: there while the page is."""
    return f"name_{job_id}"


def keep_draft(job: JobRow, found: Inspection, draft: Draft) -> None:
    """Write the draft down where it has changed."""
    if draft != kept_draft(job, found):
        state.store().amend_job(job.id, {DRAFT: draft.to_dict()})
