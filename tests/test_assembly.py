"""The parts of an application: assembled without FastAPI, started and stopped in order."""

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry

from itemwire.application import ChannelApplication
from itemwire.assembly import Assembly, Scrape, assemble
from itemwire.main import create_app
from itemwire.observability.worker_metrics import WorkerMetrics
from itemwire_auth.policies import TokenRights
from itemwire_auth.policy_url import PolicyURL
from tests.test_startup_checks import settings_of


def test_an_application_has_the_parts_of_its_settings() -> None:
    """Each has its own: nothing is shared by two applications of one process."""
    one, other = create_app(settings_of()), create_app(settings_of(presence_limit=7))

    assert Assembly.of(one).node is not Assembly.of(other).node
    assert Assembly.of(other).node.limits.presence_limit == 7
    assert isinstance(Assembly.of(one).policy, TokenRights)


def test_parts_fit_into_an_application_of_somebody_else() -> None:
    """What it keeps at its state itself stays there; ours are behind one name, and auth's."""
    host = ChannelApplication()
    host.state.node = "its own"
    assembly = assemble(settings_of())
    assembly.install(host)

    assert Assembly.of(host) is assembly
    assert host.state._state.keys() == {"node", "itemwire", "auth"}
    assert host.state.node == "its own"


def test_refuses_settings_that_are_unsafe() -> None:
    """A host application that assembles it must not get around the checks of start-up."""
    with pytest.raises(ValueError, match="allowed origin"):
        assemble(settings_of(allowed_origins=("*",)))


def test_runs_as_long_as_its_application_and_again() -> None:
    """Ready inside, not before and not after; nothing runs on."""
    app = create_app(settings_of())
    node = Assembly.of(app).node

    async def scene() -> tuple[bool, int]:
        async with app.router.lifespan_context(app):
            is_ready = node.is_ready
        return is_ready, len(asyncio.all_tasks())

    assert not node.is_ready
    assert [asyncio.run(scene()) for _ in range(2)] == [(True, 1)] * 2
    assert not node.is_ready


def test_closes_what_asks_before_what_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refresh that is being decided on may ask the policy and the keys until it is given up."""
    events: list[str] = []
    settings = settings_of(policy_url="https://app.example.com/rights")
    assembly = assemble(settings)

    def watched(name: str) -> contextlib.AbstractAsyncContextManager[None]:
        @contextlib.asynccontextmanager
        async def part() -> AsyncIterator[None]:
            events.append(f"+{name}")
            yield
            events.append(f"-{name}")

        return part()

    class Watched(type(assembly.reauthorizer)):  # type: ignore[misc] # its class, whatever it is
        async def __aenter__(self) -> None:
            events.append("+reauthorizer")

        async def __aexit__(self, *_: object) -> None:
            events.append("-reauthorizer")

    async def enter(policy: PolicyURL) -> PolicyURL:
        events.append("+policy")
        return policy

    async def leave(_policy: PolicyURL, *_: object) -> None:
        events.append("-policy")

    monkeypatch.setattr(type(assembly.authenticator), "running", lambda _: watched("keys"))
    monkeypatch.setattr(PolicyURL, "__aenter__", enter)
    monkeypatch.setattr(PolicyURL, "__aexit__", leave)
    assembly = dataclasses.replace(assembly, reauthorizer=Watched(keeps_credentials=False))

    async def scene() -> None:
        async with assembly.lifespan(ChannelApplication()):
            events.append("serving")

    asyncio.run(scene())

    opened = ["+keys", "+policy", "+reauthorizer"]
    assert events == [*opened, "serving", "-reauthorizer", "-policy", "-keys"]


def test_a_scrape_is_of_this_process_until_there_are_other_workers(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object
) -> None:
    """A supervisor gives it the others; who reads it need not know."""
    own, all_workers = CollectorRegistry(), CollectorRegistry()

    async def gather(_: WorkerMetrics) -> CollectorRegistry:
        return all_workers

    monkeypatch.setattr(WorkerMetrics, "gather", gather)
    scrape = Scrape(lambda: own)
    alone = asyncio.run(scrape.gather())
    scrape.workers = WorkerMetrics(tmp_path, 0, 2, own)  # type: ignore[arg-type] # never opened

    assert alone is own
    assert asyncio.run(scrape.gather()) is all_workers
