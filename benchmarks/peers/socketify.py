"""socketify, which is uWebSockets for Python, with its own topics."""

from typing import Any, Final

from socketify import App, AppListenOptions, CompressOptions, OpCode

from benchmarks.peers.serving import HOST, run
from benchmarks.tokens import subject_of

MOST_BUFFERED: Final = 16 * 1024 * 1024


def upgrade(response: Any, request: Any, context: Any) -> None:  # noqa: ANN401 - untyped library
    """Refuse a handshake without a valid token."""
    item = request.get_parameter(0)
    if subject_of(request.get_query("token")) is None:
        response.write_status("401 Unauthorized").end("no valid token")
        return
    response.upgrade(
        request.get_header("sec-websocket-key"),
        request.get_header("sec-websocket-protocol"),
        request.get_header("sec-websocket-extensions"),
        context,
        item,
    )


def joined(socket: Any) -> None:  # noqa: ANN401 - untyped library
    """Join the item."""
    socket.subscribe(socket.get_user_data())


def start(port: int) -> None:
    """Serve without compression."""
    app = App()

    def said(socket: Any, message: Any, opcode: OpCode) -> None:  # noqa: ANN401 - untyped library
        app.publish(socket.get_user_data(), message, opcode)

    app.ws(
        "/items/:item/ws",
        {
            "compression": CompressOptions.DISABLED,
            "max_backpressure": MOST_BUFFERED,
            "upgrade": upgrade,
            "open": joined,
            "message": said,
        },
    )
    app.listen(AppListenOptions(port=port, host=HOST), lambda _config: None)
    app.run()


if __name__ == "__main__":
    run(start)
