"""An engine that cannot be used at start-up is one line in the log."""

import asyncio

import pytest
from starlette.types import Message

from itemwire.assembly import Assembly
from itemwire.engines.base import EngineError
from itemwire.main import create_app
from tests.test_startup_checks import settings_of


@pytest.mark.parametrize(
    ("problem", "is_brief"),
    [
        pytest.param(EngineError("cannot use redis://***@h: refused"), True, id="engine"),
        pytest.param(ZeroDivisionError("a fault of ours"), False, id="anything-else"),
    ],
)
def test_an_engine_that_cannot_be_used_is_one_line(
    monkeypatch: pytest.MonkeyPatch, problem: Exception, *, is_brief: bool
) -> None:
    """A traceback would bury it; a fault of ours keeps its own."""
    app = create_app(settings_of())
    sent: list[Message] = []

    async def fail() -> None:
        raise problem

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        sent.append(message)

    monkeypatch.setattr(Assembly.of(app).node, "start", fail)
    with pytest.raises(type(problem)):
        asyncio.run(app({"type": "lifespan", "state": {}}, receive, send))

    (failure,) = sent
    assert failure["type"] == "lifespan.startup.failed"
    assert (failure["message"] == str(problem)) is is_brief
    assert str(problem) in failure["message"]
