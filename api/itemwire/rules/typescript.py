"""Describes the channels of an application as TypeScript, for its clients.

The interface `Channels` has a member for each pattern: what a message is, and what requests there
are. The first pattern that matches an item decides, so where an id fits several, TypeScript is
told what holds for it.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from itemwire.rules.channels import ChannelRule
from itemwire.rules.declared_types import DeclaredTypes
from itemwire.rules.item_templates import ItemTemplate, shadows
from itemwire.rules.typescript_types import TypeScriptTypes, member, union_of

HEAD: Final = "// Written by `itemwire export typescript`; changes are lost.\n"
CHANNELS: Final = "Channels"


@dataclass(slots=True)
class _Entry:
    """A pattern and the types of its items; of several patterns, where ids fit several."""

    template: ItemTemplate
    types: list[str]


def typescript_of_rules(rules: Iterable[ChannelRule]) -> bytes:
    """Return the types of an application's channels as a module of TypeScript."""
    types = TypeScriptTypes(reserved=[CHANNELS])
    entries: list[_Entry] = []
    for rule in _reached(rules):
        _add(entries, ItemTemplate.of(rule.pattern, _numbers_of(rule)), _channel(types, rule))
    members = [f"  {_key(one.template)}: {union_of(one.types)};" for one in entries]
    interface = f"export interface {CHANNELS} {{\n" + "".join(f"{one}\n" for one in members) + "}\n"
    declared = [f"{one}\n" for one in types.declarations]
    return "\n".join([HEAD, *declared, interface]).encode()


def _reached(rules: Iterable[ChannelRule]) -> Sequence[ChannelRule]:
    """Return the rules that decide about some item."""
    found: list[ChannelRule] = []
    for rule in rules:
        if not any(shadows(earlier.pattern, rule.pattern) for earlier in found):
            found.append(rule)
    return found


def _add(entries: list[_Entry], template: ItemTemplate, channel: str) -> None:
    """Add a pattern behind the earlier ones.

    TypeScript takes for an id what all signatures that fit it have in common, and wants the type of
    a narrower signature to be one of a wider. So the wider one gets the types of both.
    """
    entry = _Entry(template, [channel])
    for earlier in entries:
        if earlier.template.text == template.text:
            earlier.types.append(channel)
            return
        if earlier.template.covers(template):
            earlier.types.append(channel)
        elif template.overlaps(earlier.template):
            entry.types += earlier.types
    entries.append(entry)


def _key(template: ItemTemplate) -> str:
    return json.dumps(template.text) if template.is_fixed else f"[item: `{template.text}`]"


def _channel(types: TypeScriptTypes, rule: ChannelRule) -> str:
    message = "unknown" if rule.model is None else types.of(rule.model, "validation")
    requests = [
        f"      {member(name)}: {_request(types, call.types, rule.handlers.errors[name])};\n"
        for name, call in rule.handlers.messages.items()
    ]
    asked = f"{{\n{''.join(requests)}    }}" if requests else "{}"
    return f"{{\n    message: {message};\n    requests: {asked};\n  }}"


def _request(types: TypeScriptTypes, declared: DeclaredTypes, errors: Iterable[str]) -> str:
    takes = "undefined"
    if declared.takes is not None:
        takes = types.of(declared.takes, "validation")
        takes += " | undefined" if declared.optional else ""
    returns = types.of(declared.returns, "serialization")
    refused = union_of(map(json.dumps, errors))
    return f"{{ request: {takes}; reply: {returns}; errors: {refused} }}"


def _numbers_of(rule: ChannelRule) -> frozenset[str]:
    """Return the parameters that a function of the channel takes as numbers."""
    return rule.numbers.union(*(call.types.numbers for call in rule.handlers.asked()))
