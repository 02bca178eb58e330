"""What code does reaches every node: two applications on one shared engine."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.conformance.engine_urls import ENGINE_URLS
from tests.test_from_code import Host, running_host

pytestmark = pytest.mark.server


@pytest.fixture(scope="module", params=["redis", "nats", "postgresql"])
def hosts(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Host]]:
    """Run the application twice."""
    with ExitStack() as stack:
        url = stack.enter_context(ENGINE_URLS[request.param](tmp_path_factory.mktemp("engine")))
        yield [stack.enter_context(running_host(url)) for _ in range(2)]


def test_sends_to_the_sockets_of_every_node(hosts: list[Host]) -> None:
    """In the order in which it was sent, and to nobody else."""
    with ExitStack() as stack:
        dora = [
            stack.enter_context(one.server.client("/live/items/n:1/ws?token=dora")) for one in hosts
        ]
        eric = stack.enter_context(hosts[1].server.client("/live/items/n:1/ws?token=eric"))
        for client in (*dora, eric):
            client.welcome()
        for number in range(20):
            asyncio.run(hosts[0].live.send_to("dora", number, idempotency_key=f"n{number}"))
        asyncio.run(hosts[0].live.send_to("dora", "again", idempotency_key="n0"))
        asyncio.run(hosts[1].live.send_to("eric", "for eric"))
        told = [[client.expect("direct")["data"] for _ in range(20)] for client in dora]
        only = eric.expect("direct")["data"]

    assert told == [list(range(20))] * 2
    assert only == "for eric"


def test_hears_what_another_node_publishes(hosts: list[Host]) -> None:
    """Code hears an item as sockets do, from the moment at which it begins."""
    first, second = (host.live for host in hosts)

    async def hear() -> list[object]:
        async with first.subscribe("n:2") as messages:
            await asyncio.to_thread(lambda: asyncio.run(publish()))
            return [(await anext(messages)).data for _ in range(50)]

    async def publish() -> None:
        await second.publish_many([("n:2", number) for number in range(50)])

    assert hosts[0].do(hear()) == list(range(50))


def test_ends_the_sockets_of_a_caller_on_every_node(hosts: list[Host]) -> None:
    """Whichever node the code runs on."""
    with hosts[1].server.client("/live/items/n:3/ws?token=fred") as client:
        client.welcome()
        asyncio.run(hosts[0].live.disconnect("fred"))
        assert client.ending().reason == "token_revoked"


def test_lists_the_members_of_every_node(hosts: list[Host]) -> None:
    """A node without a socket on the item asks the others."""
    with hosts[1].server.client("/live/items/n:4/ws?token=gina") as client:
        client.welcome()
        page = asyncio.run(hosts[0].live.members("n:4"))

    assert [one.subject for one in page.members] == ["gina"]
