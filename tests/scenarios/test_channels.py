"""A channel as its clients see it: what is sent, what is received, in which order, by whom."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from itemwire.testing import LiveServer
from tests.scenarios.clients import (
    JSON,
    PATIENCE,
    PLAIN,
    JsonClient,
    closed,
    item_path,
    json_client,
    plain_client,
    token,
)

JSON_VALUES = {
    "object": {"a": [1, {"b": None}], "type": "welcome"},
    "list": [1, "two", None],
    "number": 1.5,
    "long_integer": 12345678901234567890123,
    "true": True,
    "null": None,
}
TEXTS = {
    "word": "hello",
    "empty": "",
    "not_ascii": "žluťoučký \U0001f40e",
    "quotes_and_controls": '"\\ \n\t\u2028',
    "what_looks_like_json": '{"a": 1}',
    "what_looks_like_an_envelope": '{"type":"ping"}',
}
BINARIES = {"bytes": b"\x00\xff\xfe", "empty": b"", "text": b"hello"}


def test_a_tutorials_page_hears_itself_and_others(server: LiveServer, item_id: str) -> None:
    """Without a subprotocol frames go in and the same frames come out."""
    with plain_client(server, item_id, "alice") as alice, plain_client(server, item_id) as bob:
        alice.send("hello")
        heard = [alice.recv(timeout=PATIENCE), bob.recv(timeout=PATIENCE)]
        bob.send("hi")
        answered = [alice.recv(timeout=PATIENCE), bob.recv(timeout=PATIENCE)]

    assert heard == ["hello", "hello"]
    assert answered == ["hi", "hi"]


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_text_of_a_plain_client_is_a_json_string(
    server: LiveServer, item_id: str, text: str
) -> None:
    """And the same text to plain clients, whatever it looks like."""
    with json_client(server, item_id) as alice, plain_client(server, item_id) as bob:
        bob.send(text)
        message = alice.read()

        assert (message["data"], message["sender"]) == (text, "bob")
        assert "encoding" not in message
        assert bob.recv(timeout=PATIENCE) == text


@pytest.mark.parametrize("binary", BINARIES.values(), ids=BINARIES)
def test_binary_of_a_plain_client_is_base64_in_envelopes(
    server: LiveServer, item_id: str, binary: bytes
) -> None:
    """JSON has no bytes; `encoding` tells it from a text that happens to be base64."""
    with json_client(server, item_id) as alice, plain_client(server, item_id) as bob:
        bob.send(binary)
        message = alice.read()

        assert message["encoding"] == "base64"
        assert base64.b64decode(message["data"], validate=True) == binary
        assert bob.recv(timeout=PATIENCE) == binary


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_json_string_reaches_plain_clients_as_that_text(
    server: LiveServer, item_id: str, text: str
) -> None:
    """A page that knows no envelopes sees no quotes."""
    with json_client(server, item_id) as alice, plain_client(server, item_id) as bob:
        alice.ask("publish", data=text)

        assert bob.recv(timeout=PATIENCE) == text
        assert alice.read()["data"] == text


@pytest.mark.parametrize("value", JSON_VALUES.values(), ids=JSON_VALUES)
def test_any_other_json_reaches_plain_clients_as_its_json_text(
    server: LiveServer, item_id: str, value: object
) -> None:
    """In a text frame, readable by any parser."""
    with json_client(server, item_id) as alice, plain_client(server, item_id) as bob:
        alice.ask("publish", data=value)
        received = bob.recv(timeout=PATIENCE)

        assert isinstance(received, str)
        assert json.loads(received) == value
        assert alice.read()["data"] == value


def test_a_message_has_its_item_its_place_and_its_sender(server: LiveServer, item_id: str) -> None:
    """What an envelope holds, no more and no less."""
    with json_client(server, item_id, "alice") as alice:
        answer = alice.ask("publish", data="hello")
        message = alice.read()

    assert message == {
        "type": "message",
        "item": item_id,
        "offset": 1,
        "sender": "alice",
        "sent_at": message["sent_at"],
        "data": "hello",
    }
    assert abs(message["sent_at"] - alice.welcome["expires_at"] + 300) < 30
    assert answer == {"type": "reply", "ref": 1, "epoch": alice.welcome["epoch"], "offset": 1}


def test_the_sender_is_the_tokens_subject_whatever_the_payload_says(
    server: LiveServer, item_id: str
) -> None:
    """The tutorial's `Client #N` could be anyone (requirement 63)."""
    with json_client(server, item_id, "mallory") as mallory:
        refusal = mallory.ask("publish", data="x", sender="alice")
        mallory.ask("publish", data={"sender": "alice"})
        message = mallory.read()

    assert (refusal["type"], refusal["code"]) == ("error", "payload_invalid")
    assert (message["sender"], message["data"]) == ("mallory", {"sender": "alice"})


def test_a_message_is_the_same_bytes_for_all_who_hear_it(server: LiveServer, item_id: str) -> None:
    """The sender included: a fan-out encodes once per codec."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(json_client(server, item_id, name)) for name in ("a", "b", "c")
        ]
        clients[0].connection.send('{"type":"publish","data":{"x":1}}')
        frames = {client.connection.recv(timeout=PATIENCE) for client in clients}

    assert len(frames) == 1


def test_all_hear_five_publishers_in_one_order(server: LiveServer, item_id: str) -> None:
    """One total order per item: 20 subscribers of both codecs tell the same story."""
    count, texts = 40, 5 * 40
    with ExitStack() as stack:
        hearing = [stack.enter_context(json_client(server, item_id)) for _ in range(10)]
        plain = [stack.enter_context(plain_client(server, item_id)) for _ in range(10)]
        writers = [stack.enter_context(json_client(server, item_id, f"w{n}")) for n in range(5)]

        def publish(writer: JsonClient) -> list[int]:
            name = writer.welcome["subject"]
            return [writer.ask("publish", data=f"{name}:{n}")["offset"] for n in range(count)]

        with ThreadPoolExecutor(5) as threads:
            offsets = list(threads.map(publish, writers))
        stories = [client.messages(texts) for client in (*hearing, *writers)]
        told = [[bob.recv(timeout=PATIENCE) for _ in range(texts)] for bob in plain]

    story = stories[0]
    assert [message["offset"] for message in story] == list(range(1, texts + 1))
    assert all(other == story for other in stories)
    assert all(other == [message["data"] for message in story] for other in told)
    for n, own in enumerate(offsets):
        assert [m["offset"] for m in story if m["sender"] == f"w{n}"] == own
        assert [m["data"] for m in story if m["sender"] == f"w{n}"] == [
            f"w{n}:{i}" for i in range(count)
        ]


def test_items_are_apart(server: LiveServer, item_id: str) -> None:
    """Ids compare exactly; an envelope's `item` does not lead elsewhere."""
    names = [f"{item_id}:a", f"{item_id}:A", f"{item_id}:a:", f"{item_id}:a.", item_id]
    with ExitStack() as stack:
        clients = [stack.enter_context(json_client(server, name)) for name in names]
        answers = [
            client.ask("publish", data=name, item=names[0])
            for name, client in zip(names, clients, strict=True)
        ]
        heard = [client.read() for client in clients]
        silent = [client.ask("ping")["type"] for client in clients]

    assert [(message["item"], message["data"]) for message in heard] == [(n, n) for n in names]
    assert [answer["offset"] for answer in answers] == [1] * len(names)
    assert silent == ["pong"] * len(names)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        pytest.param((), None, id="none"),
        pytest.param((JSON,), JSON, id="json"),
        pytest.param((PLAIN,), PLAIN, id="plain"),
        pytest.param((PLAIN, JSON), PLAIN, id="the_first_of_two"),
        pytest.param(("chat", "itemwire.v2.json", JSON), JSON, id="the_first_known"),
        pytest.param(("chat",), None, id="unknown"),
        pytest.param(("itemwire.token.{}", JSON), JSON, id="token_first"),
        pytest.param((PLAIN, "itemwire.token.{}"), PLAIN, id="token_last"),
        pytest.param(("itemwire.token.{}",), None, id="token_alone"),
    ],
)
def test_answers_a_codec_and_never_a_token(
    server: LiveServer, item_id: str, offered: tuple[str, ...], chosen: str | None
) -> None:
    """What is echoed is logged by proxies and shown by browsers (requirement 10)."""
    credential = token()
    path = item_path(item_id, {} if "itemwire.token.{}" in offered else {"token": credential})
    names = tuple(name.format(credential) for name in offered)
    with server.connect(path, subprotocols=names) as connection:
        assert connection.response is not None
        assert connection.subprotocol == chosen
        assert credential not in str(connection.response.headers)
        if chosen == JSON:
            assert JsonClient(connection).welcome["item"] == item_id
        else:
            connection.send("hello")
            assert connection.recv(timeout=PATIENCE) == "hello"


def test_a_plain_client_without_the_right_is_closed_and_not_heard(
    server: LiveServer, item_id: str
) -> None:
    """Plain has no words for an error: the close says it (requirement 62)."""
    with json_client(server, item_id) as alice:
        with plain_client(server, item_id, scope="items:subscribe") as reader:
            alice.ask("publish", data="before")
            assert reader.recv(timeout=PATIENCE) == "before"
            reader.send("forbidden words")
            assert closed(reader) == (1008, "scope_missing")
        with plain_client(server, item_id) as writer:
            writer.send("after")
            heard = [message["data"] for message in alice.messages(2)]

    assert heard == ["before", "after"]


def test_an_envelope_without_the_right_is_answered_and_not_heard(
    server: LiveServer, item_id: str
) -> None:
    """The socket stays: hearing is still allowed."""
    with (
        json_client(server, item_id) as alice,
        json_client(server, item_id, "carol", scope="items:subscribe") as carol,
    ):
        error = carol.ask("publish", data="forbidden words")
        alice.ask("publish", data="allowed")
        heard = [client.messages(1)[0] for client in (alice, carol)]

    assert (error["type"], error["code"], error["temporary"]) == ("error", "scope_missing", False)
    assert [(message["offset"], message["data"]) for message in heard] == [(1, "allowed")] * 2
