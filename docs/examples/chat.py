"""A chat in a terminal: `ITEMWIRE_TOKEN=… python chat.py http://127.0.0.1:8000 room:1`."""

import os
import sys

from itemwire.client import Client, ClientError, Gap, ItemMember, ReceivedMessage


def show_message(message: ReceivedMessage[str]) -> None:
    """Print what somebody said."""
    print(f"{message.sender}: {message.data}", flush=True)


def show_gap(_: Gap) -> None:
    """Print that something is missing."""
    print("* some messages are lost", flush=True)


def show_members(members: tuple[ItemMember, ...]) -> None:
    """Print who is there."""
    print("* here:", ", ".join(sorted(one.subject for one in members)), flush=True)


def chat(url: str, room: str) -> None:
    """Send what is typed, and print what is said, until the input ends."""
    with Client(url, token=lambda: os.environ["ITEMWIRE_TOKEN"]) as wire:
        wire.on("state", lambda state: print(f"* {state}", flush=True))
        item = wire.item(room, type=str, replay=20)
        item.on("message", show_message)
        item.on("gap", show_gap)
        item.on("members", show_members)
        item.join()
        for line in sys.stdin:
            try:
                item.publish(line.rstrip("\n"), retry=True)
            except ClientError as error:
                print(f"* not sent: {error}", flush=True)


if __name__ == "__main__":
    chat(*sys.argv[1:])
