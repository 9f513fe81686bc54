"""Reruns asked for by a timer on the page before: dropped, as they would empty the new page.

A fragment with run_every asks for its rerun by a timer in the browser, and the request names the
page that the browser is on. The server may have left that page meanwhile, or leave it while the
request waits for a script to end (the demo is made, then the page is switched). Streamlit 1.67
then announces the old page again: the browser clears the new one and can draw nothing into it
("'setIn' cannot be called on an ElementNode"), and the widgets of the new one lose their values.
"""

from streamlit.runtime.scriptrunner.script_runner import ScriptRunner
from streamlit.runtime.scriptrunner_utils import script_requests
from streamlit.runtime.scriptrunner_utils.script_requests import (
    RerunData,
    ScriptRequests,
    ScriptRequestType,
)


def drop_late_reruns() -> None:
    """From now on fragments are drawn again only on the page that their session is on.

    Looked at when the request's turn comes, not when it arrives: pages are switched in between.
    """
    run_script = ScriptRunner._run_script
    request_locked = ScriptRequests._request_rerun_locked

    def run_timely_script(runner: ScriptRunner, rerun_data: RerunData) -> None:
        here = runner._pages_manager.current_page_script_hash
        if not rerun_data.fragment_id_queue or rerun_data.page_script_hash == here:
            run_script(runner, rerun_data)

    def request_timely_rerun(requests: ScriptRequests, new_data: RerunData) -> bool:
        # A timer adds nothing to a run of the whole page, and would lead it back to its own page.
        if (
            new_data.is_auto_rerun
            and requests._state is ScriptRequestType.RERUN
            and script_requests._is_full_app_rerun(requests._rerun_data)
        ):
            return True
        return request_locked(requests, new_data)

    ScriptRunner._run_script = run_timely_script  # type: ignore[method-assign, assignment]
    ScriptRequests._request_rerun_locked = request_timely_rerun  # type: ignore[method-assign, assignment]
