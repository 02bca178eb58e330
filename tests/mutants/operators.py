"""The faults that can be put into a file: each replaces one stretch of its source text."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from typing_extensions import override

Fault = tuple[ast.expr | ast.stmt, str]  # a node, and the text in its place

COMPARISONS: Final[dict[type[ast.cmpop], str]] = {
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
ARITHMETIC: Final[dict[type[ast.operator], str]] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "+",
    ast.FloorDiv: "*",
    ast.Div: "*",
    ast.BitAnd: "|",
    ast.BitOr: "&",
}
# Arguments that no test can tell from their default, or that only a log shows.
SILENT_ARGUMENTS: Final = frozenset(
    {"description", "exc_info", "frozen", "gc", "kw_only", "slots", "stacklevel", "strict"}
)

# Figures that users are told; `_is_number` says why others are left alone.
PROMISED: Final = frozenset(
    {
        *("BLOCK_PREFIX", "BLOCK_SHARE", "SITE_PREFIX", "MAPPED_PREFIX"),
        *("DECISION_SECONDS", "LAST_SECONDS", "SLOW_BODY", "MAX_KEPT_BYTES"),
        *("MAX_COOKIES", "MAX_ESCAPES", "MAX_LIST_MEMBERS", "MAX_PATH_BYTES", "MAX_QUERY_FIELDS"),
        *("MAX_COOKIE_BYTES", "MAX_SUBJECT_LENGTH", "LAST_DATE", "MAX_LEEWAY", "MAX_SECONDS"),
        *("MAX_KEYS", "MAX_BYTES", "MIN_RSA_EXPONENT", "MIN_BITS", "MAX_REVOCATIONS"),
        *("MINUTE", "MAX_ANSWER_BYTES", "DEAD_TICKS", "HEARTBEAT_TICKS"),
    }
)


@dataclass(frozen=True, slots=True)
class Mutation:
    """One fault: the text between two offsets, in bytes, and what stands there instead."""

    path: str
    line: int
    column: int
    start: int
    end: int
    before: str
    after: str

    def applied(self, source: bytes) -> bytes:
        """Return the source with this fault in it."""
        return source[: self.start] + self.after.encode() + source[self.end :]

    @property
    def change(self) -> str:
        """Return what stands there and what is put in its place, on one line."""
        return f"{_short(self.before)} -> {_short(self.after)}"

    @override
    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.change}"


def mutations_of(path: str, source: str) -> list[Mutation]:
    """List every fault for a file, in the order of its text; the same file has the same faults."""
    starts = [0]
    for line in source.encode().splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    data = source.encode()
    found: dict[tuple[int, int, str], Mutation] = {}
    for node, after in _faults(ast.parse(source)):
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
        before = data[start:end].decode()
        mutation = Mutation(path, node.lineno, node.col_offset, start, end, before, after)
        found.setdefault((start, end, after), mutation)
    return [found[key] for key in sorted(found)]


def _faults(node: ast.AST) -> Iterator[Fault]:
    """Yield the faults of a node and of all below it that runs and that a test could see."""
    if _is_passed_over(node):
        return
    yield from _faults_of(node)
    for child in _children(node):
        yield from _faults(child)


def _is_passed_over(node: ast.AST) -> bool:
    """Return whether nothing here is mutated: a log line, a text, or what only a checker reads."""
    match node:
        case (
            ast.Expr(value=ast.Constant())
            | ast.JoinedStr()
            | ast.Expr(value=ast.Call(func=ast.Attribute(value=ast.Name(id="logger"))))
            | ast.If(test=ast.Name(id="TYPE_CHECKING"))
            | ast.Assign(targets=[ast.Name(id="__slots__" | "__all__")])
            | ast.AnnAssign(value=ast.Constant(value=str()))
            | ast.Call(func=ast.Name(id="TypeVar" | "cast"))
            | ast.Call(func=ast.Attribute(attr="getLogger"))
        ):
            return True
        case ast.Assign(value=ast.BinOp(op=ast.BitOr()), targets=[ast.Name(id=name)]):
            return name[0].isupper()  # a union that has a name
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            return name.isupper() and name not in PROMISED and _is_number(value)
        case ast.keyword(arg=str(name)):
            return name in SILENT_ARGUMENTS
    return False


def _is_number(value: ast.expr) -> bool:
    """Return whether a value is a number that is written out, such as `64 * 1024`.

    What has a name in capitals and is promised to nobody is sized by a guess or a measurement. One
    more or less of it is no fault, so it is not made; what is done at the figure is still mutated.
    """
    match value:
        case ast.Constant(value=int() | float() as number):
            return not isinstance(number, bool)
        case ast.BinOp(left=left, right=right):
            return _is_number(left) and _is_number(right)
    return False


def _children(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what is below a node, without annotations and decorators."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "decorator_list", "type_params"}:
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child


def _faults_of(node: ast.AST) -> Iterator[Fault]:
    if isinstance(node, ast.stmt):
        yield from _faults_of_statement(node)
    elif isinstance(node, ast.Constant):
        yield from _faults_of_constant(node)
    elif isinstance(node, ast.Call):
        yield from _faults_of_call(node)
    elif isinstance(node, ast.expr):
        yield from _faults_of_expression(node)


def _faults_of_expression(node: ast.expr) -> Iterator[Fault]:
    match node:
        case ast.Compare(left, [operator], [right]):
            yield node, f"{_in(left)} {COMPARISONS[type(operator)]} {_in(right)}"
        case ast.BoolOp(joint, values):
            word = " or " if isinstance(joint, ast.And) else " and "
            yield node, f"({word.join(_in(one) for one in values)})"
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield node, _in(operand)
        case ast.BinOp(left, sign, right) if type(sign) in ARITHMETIC:
            yield node, f"({_in(left)} {ARITHMETIC[type(sign)]} {_in(right)})"
        case ast.IfExp(test, body, orelse):
            yield node, f"({_in(orelse)} if {_in(test)} else {_in(body)})"


def _faults_of_call(node: ast.Call) -> Iterator[Fault]:
    for dropped in node.keywords:
        if dropped.arg is not None and dropped.arg not in SILENT_ARGUMENTS:
            others = [one for one in node.keywords if one is not dropped]
            yield node, ast.unparse(ast.Call(node.func, node.args, others))


def _faults_of_constant(node: ast.Constant) -> Iterator[Fault]:
    value = node.value
    if isinstance(value, bool):
        yield node, str(not value)
    elif isinstance(value, int | float):
        yield node, f"{value + 1}"
    elif isinstance(value, str) and value.isidentifier():  # a sentence is for people
        yield node, f'"not_{value}"'


def _faults_of_statement(node: ast.stmt) -> Iterator[Fault]:
    match node:
        case ast.If(test=test) | ast.While(test=test):
            yield test, f"(not {_in(test)})"
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield node, "return None"
        case ast.Expr(value=ast.Call() | ast.Await() | ast.YieldFrom()) | ast.AugAssign():
            yield node, "pass"
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield node, "pass"
        case ast.Raise() | ast.Delete() | ast.Continue() | ast.Break():
            yield node, "pass"


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _in(node: ast.expr) -> str:
    """Return an expression as text that can stand within another one."""
    stands_alone = isinstance(node, ast.Name | ast.Attribute | ast.Call | ast.Constant)
    return ast.unparse(node) if stands_alone else f"({ast.unparse(node)})"


def _short(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.split())
