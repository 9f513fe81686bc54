"""A fragment's own wish to another pace for its timer, without drawing the whole page anew.

Streamlit sets a fragment's timer only where the whole page is drawn (run_every=). The browser
takes a new interval at any time, so the message that sets it is sent from inside the fragment.
"""

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_run_context import ThreadState


def this_fragment() -> str:
    """The id of the fragment that is being drawn; "" outside one."""
    if get_script_run_ctx() is None:
        return ""
    return ThreadState.get().fragment_id or ""


def look_again_every(seconds: float) -> None:
    """From now on the fragment that calls this is drawn again so often; nothing outside one."""
    context, fragment = get_script_run_ctx(), this_fragment()
    if context is None or not fragment:
        return
    message = ForwardMsg()
    message.auto_rerun.fragment_id = fragment
    message.auto_rerun.interval = seconds
    context.enqueue(message)
