"""The types that clients in TypeScript get of an application's channels."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import pytest
from pydantic import BaseModel, Field

from itemwire import Itemwire, Rights
from itemwire.cli.export import typescript_of
from itemwire.rules.declared_types import UNKNOWN
from itemwire.rules.typescript_types import TypeScriptTypes
from tests.test_startup_checks import settings_of
from tests.typescript import faults_in


class Color(Enum):
    """A color."""

    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    """A part of an order."""

    article: str
    count: int = 1
    color: Color | None = None


class Order(BaseModel):
    """What is published.

    This is not told to clients. */
    """

    kind: Literal["order"]
    lines: list[Line]
    before: Order | None = None
    odd: Any = Field(None, alias="odd-name")


class Gone(msgspec.Struct, tag="gone"):
    """It is */ gone."""

    why: str | None = None


class Shipped(msgspec.Struct, tag="shipped"):
    """It is on its way."""

    at: float


class MarkRead(BaseModel):
    """What a client has read."""

    upto: int


class State(BaseModel):
    """What is left to read."""

    unread: int = 0


def application() -> Itemwire:
    """Declare channels of every kind."""
    live = Itemwire(user=lambda: None, settings=settings_of())

    @live.channel("order:{number}", model=Order)
    async def order(number: int) -> Rights:
        return Rights("subscribe")

    @order.message("mark_read", errors=("read_only", "gone"))
    async def mark_read(message: MarkRead, number: int) -> State:
        return State()

    @order.message("count all")
    async def count(number: int) -> int:
        return number

    @order.message("clear")
    async def clear(tags: list[str] | None = None) -> None:
        return None

    @live.channel("order:{number}:lines", model=Line)
    async def lines(number: Annotated[int, "a number"]) -> Rights:
        return Rights("subscribe")

    @live.channel("logs:{rest:path}", model=Gone | Shipped)
    async def logs(rest: str) -> Rights:
        return Rights("subscribe")

    live.add_channel("logs:all", model=Line)  # never decides: the one above does
    live.add_channel("lobby", model=str)
    live.add_channel("{anything}:{more}")
    return live


EXPECTED: Final = """\
// Written by `itemwire export typescript`; changes are lost.

/** What is published. */
export interface Order {
  kind: "order";
  lines: Line[];
  before?: Order | null;
  "odd-name"?: unknown;
}

/** A part of an order. */
export interface Line {
  article: string;
  count?: number;
  color?: Color | null;
}

/** A color. */
export type Color = "red" | "blue";

/** What a client has read. */
export interface MarkRead {
  upto: number;
}

/** What is left to read. */
export interface State {
  unread: number;
}

/** It is *\\/ gone. */
export interface Gone {
  type: "gone";
  why?: string | null;
}

/** It is on its way. */
export interface Shipped {
  type: "shipped";
  at: number;
}

export interface Channels {
  [item: `order:${number}`]: {
    message: Order;
    requests: {
      mark_read: { request: MarkRead; reply: State; errors: "read_only" | "gone" };
      "count all": { request: undefined; reply: number; errors: never };
      clear: { request: string[] | null | undefined; reply: null; errors: never };
    };
  };
  [item: `order:${number}:lines`]: {
    message: Line;
    requests: {};
  };
  [item: `logs:${string}`]: {
    message: Gone | Shipped;
    requests: {};
  };
  "lobby": {
    message: string;
    requests: {};
  };
"""

CLIENT: Final = """
import type { Channels, Gone, Line, MarkRead, Order, Shipped, State } from "./channels.js";

type Requests<C> = C extends { requests: infer R } ? R : never;
type Asked<C, N extends keyof Requests<C>> = Requests<C>[N];
type Part<A, P extends string> = A extends { [name in P]: infer T } ? T : never;
interface Item<C> {
  on(heard: (message: Part<C, "message">) => void): void;
  request<N extends keyof Requests<C>>(
    name: N, data: Part<Asked<C, N>, "request">
  ): Part<Asked<C, N>, "reply">;
  code<N extends keyof Requests<C>>(name: N): Part<Asked<C, N>, "errors">;
}
declare class ItemwireClient<C> {
  item<I extends keyof C & string>(id: I): Item<C[I]>;
}
const wire = new ItemwireClient<Channels>();
const number: number = 42;

wire.item(`order:${number}`).on((message: Order) => message.lines[0]?.count?.toFixed());
wire.item("order:42:lines").on((message: Line) => message.color);
wire.item("logs:a:b").on((message: Gone | Shipped) => message.type);
wire.item("lobby").on((message: string) => message.length);
wire.item("any:thing").on((message: unknown) => message);
const state: State = wire.item("order:42").request("mark_read", { upto: 7 } satisfies MarkRead);
const unread: number = state.unread;
const reply: null = wire.item("order:42").request("clear", undefined);
const code: "read_only" | "gone" = wire.item("order:42").code("mark_read");

// @ts-expect-error no channel has this item
wire.item("nowhere");
// @ts-expect-error an order is no line
wire.item("order:42").on((message: Line) => message.article);
// @ts-expect-error the data is another
wire.item("order:42").request("mark_read", { upto: "x" });
// @ts-expect-error there is no such request
wire.item("order:42").request("mark", { upto: 7 });
// @ts-expect-error the reply is another
const wrong: string = wire.item("order:42").request("mark_read", { upto: 7 });
// @ts-expect-error it is not refused with that
const never: "other" = wire.item("order:42").code("mark_read");
"""


def test_writes_the_channels_as_they_are_declared() -> None:
    """The same text each time, so that a file of it can be checked."""
    written = typescript_of(application().app).decode()

    assert written.startswith(EXPECTED)
    assert written == typescript_of(application().app).decode()


@pytest.mark.server
def test_a_client_is_typed_by_it(tmp_path: Path) -> None:
    """`tsc --strict` takes what fits, and nothing else."""
    (tmp_path / "channels.ts").write_bytes(typescript_of(application().app))
    (tmp_path / "client.ts").write_text(CLIENT)

    assert faults_in(tmp_path) == []


@pytest.mark.server
def test_patterns_that_share_items_compile(tmp_path: Path) -> None:
    """Each item has the types of the patterns that may decide about it."""
    live = Itemwire(user=lambda: None, settings=settings_of())
    live.add_channel("a:{x}", model=int)
    live.add_channel("a:{x}:b", model=str)
    live.add_channel("{x}:b", model=bool)
    live.add_channel("a:{rest:path}", model=float)
    live.add_channel("{x}:{y}:c", model=None)
    use = """
    import type { Channels } from "./channels.js";
    const narrow: Channels["a:1:b"]["message"] = "text";
    const wide: Channels["z:b"]["message"] = true;
    // @ts-expect-error it is the second pattern's
    const wrong: Channels["a:1:b"]["message"] = {};
    """
    (tmp_path / "channels.ts").write_bytes(typescript_of(live.app))
    (tmp_path / "use.ts").write_text(use)

    assert faults_in(tmp_path) == []


def test_an_application_without_channels_has_an_empty_interface() -> None:
    """As the server that stands alone."""
    live = Itemwire(user=lambda: None, settings=settings_of())

    assert typescript_of(live.app).decode().endswith("export interface Channels {\n}\n")


def other_line() -> type[BaseModel]:
    """Make another model of the same name."""

    class Line(BaseModel):
        """A line of a text."""

        text: str

    return Line


def test_two_models_of_one_name_have_two_names() -> None:
    """And one that is used twice has one."""
    types = TypeScriptTypes(reserved=["Channels"])
    names = [types.of(one, "validation") for one in (Line, other_line(), Line)]

    assert names == ["Line", "Line2", "Line"]
    assert sum("interface" in one for one in types.declarations) == 2


def test_a_model_that_is_sent_and_returned_has_a_name_for_each() -> None:
    """A client may leave out what has a default, and the server does not."""
    types = TypeScriptTypes()
    sent, returned = types.of(State, "validation"), types.of(State, "serialization")

    assert (sent, returned) == ("State", "State2")
    assert ["unread?: number" in one for one in types.declarations] == [True, False]


class NotJson:
    """A class of which no schema is known."""


@pytest.mark.parametrize(
    ("annotation", "written"),
    [
        pytest.param(UNKNOWN, "unknown", id="none"),
        pytest.param(Any, "unknown", id="any"),
        pytest.param(object, "unknown", id="object"),
        pytest.param(NotJson, "unknown", id="no_json"),
        pytest.param(Callable[[], int], "unknown", id="a_function"),
        pytest.param(None, "null", id="null"),
        pytest.param(
            dict[str, list[int | str]], "{ [name: string]: (number | string)[] }", id="map"
        ),
        pytest.param(dict, "{ [name: string]: unknown }", id="object_of_anything"),
        pytest.param(tuple[int, str], "[number, string]", id="tuple"),
        pytest.param(tuple[int, ...], "number[]", id="long_tuple"),
        pytest.param(list, "unknown[]", id="list"),
        pytest.param(Literal["a", 1] | None, '"a" | 1 | null', id="literals"),
        pytest.param(Annotated[int, Field(ge=0)] | None, "number | null", id="annotated"),
        pytest.param(bool, "boolean", id="bool"),
    ],
)
def test_writes_each_type(annotation: Any, written: str) -> None:  # noqa: ANN401 - an annotation
    """What has no schema is unknown, which stops no export."""
    assert TypeScriptTypes().of(annotation, "validation") == written


def test_an_error_that_is_no_code_is_refused() -> None:
    """Where it is declared, and not when it is raised."""
    live = Itemwire(user=lambda: None, settings=settings_of())

    @live.channel("order:{number}")
    async def order(number: int) -> Rights:
        return Rights("subscribe")

    async def mark_read(number: int) -> None:
        """Do nothing."""

    for wrong in (("Not A Code",), "read_only"):
        with pytest.raises(ValueError, match=r"code|tuple"):
            order.message("mark_read", errors=wrong)(mark_read)
    order.message("mark_read", errors=("read_only",))(mark_read)
