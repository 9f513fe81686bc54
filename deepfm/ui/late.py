"""Reruns that a browser asked for on the page before: dropped, as they would empty the new one.

A fragment with run_every asks for its rerun by a timer in the browser. When the server has
switched the page meanwhile, the request names the old page; Streamlit 1.67 then announces the
old page again, the browser clears the new one, and nothing can be drawn any more.
"""

from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.runtime.app_session import AppSession


def drop_late_reruns() -> None:
    """From now on a fragment is drawn again only for the page that its session is on."""
    request_rerun = AppSession.request_rerun

    def request_timely_rerun(session: AppSession, client_state: ClientState | None) -> None:
        late = (
            client_state is not None
            and bool(client_state.fragment_id)
            and client_state.page_script_hash != session.page_script_hash
        )
        if not late:
            request_rerun(session, client_state)

    AppSession.request_rerun = request_timely_rerun  # type: ignore[method-assign, assignment]
