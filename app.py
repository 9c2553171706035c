"""The page: `python app.py` serves it on GRADIO_SERVER_NAME and GRADIO_SERVER_PORT (127.0.0.1:7860)."""

import os

# Before gradio is imported: it must not call home, and visitors' clips go into a folder of our own.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

from ncdetect.runtime import keep_freed_memory  # noqa: E402
from ncdetect.ui.private import PrivateFolder  # noqa: E402

private = PrivateFolder()
os.environ["GRADIO_TEMP_DIR"] = str(private.path)

# ZeroGPU looks for its function before the page is launched.
import ncdetect.gpu  # noqa: E402, F401
from ncdetect.ui import check, page  # noqa: E402

demo = page.build(private.path)


def main() -> None:
    """Serve the page; the model loads while the first visitor looks at it."""
    keep_freed_memory()
    demo.launch(
        server_name=os.environ.get("GRADIO_SERVER_NAME", "127.0.0.1"),
        server_port=int(os.environ.get("GRADIO_SERVER_PORT", "7860")),
        prevent_thread_lock=True,
        state_session_capacity=page.SESSIONS,
        **page.launch_options(),
    )
    check.warm_up()
    demo.block_thread()


if __name__ == "__main__":
    main()
