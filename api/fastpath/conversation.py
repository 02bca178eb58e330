"""The `websockets` library's side of one socket, with our limits and in our words."""

from collections.abc import Generator
from http import HTTPStatus
from typing import Final

from typing_extensions import override
from websockets.exceptions import InvalidHeader
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.streams import StreamReader

from api.closing import DRAINING, MESSAGE_TOO_BIG, PAYLOAD_INVALID

MAX_HEAD_BYTES: Final = 64 * 1024  # a token over its own limit still reaches the application

REASONS: Final[dict[int, str]] = {
    row.code: row.reason for row in (PAYLOAD_INVALID, MESSAGE_TOO_BIG, DRAINING)
}


class Conversation(ServerProtocol):
    """The library's side of a socket, with our limits and in our words."""

    def __init__(self, stock: ServerProtocol) -> None:
        super().__init__(
            extensions=stock.available_extensions,
            max_size=(stock.max_message_size, stock.max_fragment_size),
            logger=stock.logger,
        )
        self.debug = False  # at DEBUG the library logs heads and frames, tokens and all

    @override
    def parse(self) -> Generator[None]:
        self.reader = HeadReader()
        return super().parse()

    @override
    def accept(self, request: Request) -> Response:
        """Tell which version would do: 426 where that was the fault (RFC 6455 section 4.4)."""
        response = super().accept(request)
        if response.status_code == HTTPStatus.SWITCHING_PROTOCOLS:
            return response
        fault = self.handshake_exc
        if isinstance(fault, InvalidHeader) and fault.name == "Sec-WebSocket-Version":
            response = self.reject(HTTPStatus.UPGRADE_REQUIRED, fault.name)
            response.headers.update([("Connection", "Upgrade"), ("Upgrade", "websocket")])
        response.headers["Sec-WebSocket-Version"] = "13"
        return response

    @override
    def reject(self, status: int, text: str) -> Response:
        """Say no more than the status: the library quotes the header, which may hold a token."""
        return super().reject(status, text and HTTPStatus(status).phrase)

    @override
    def fail(self, code: CloseCode | int, reason: str = "") -> None:
        """Give the registry's reason for the code, or none, in place of the library's prose."""
        super().fail(code, REASONS.get(code, ""))

    @override
    def send_close(self, code: CloseCode | int | None = None, reason: str = "") -> None:
        """Give the registry's reason for the code where the caller gives none."""
        super().send_close(code, reason or REASONS.get(code or 0, ""))


class HeadReader(StreamReader):
    """Reads lines as long as a head may be.

    The library's limit is 8 KiB; an oversized token would end there, unseen by the application.
    """

    @override
    def read_line(
        self, m: int, too_long_exc_type: type[Exception] = RuntimeError
    ) -> Generator[None, None, bytearray]:
        return super().read_line(MAX_HEAD_BYTES, too_long_exc_type)
