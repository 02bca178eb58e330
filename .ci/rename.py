"""Moves the modules to their new places and rewrites what names them: imports, strings, paths.

    python .ci/rename.py            # moves files, rewrites text; run it again on a branch to rebase it

It may be run on any checkout: what has its new name already is left alone.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

AUTH = {
    "checks": "tokens.checks",
    "tokens": "tokens.verifier",
    "issuers": "tokens.issuers",
    "issuers_file": "tokens.issuers_file",
    "issuing": "tokens.minting",
    "keys": "keys.static",
    "key_files": "keys.files",
    "jwks": "keys.jwks",
    "weak_keys": "keys.strength",
}
API = {
    "startup": "startup_checks",
    "closing": "close_reasons",
    "tallies": "counters",
    "admission": "middleware.admission",
    "pacing": "middleware.pacing",
    "closed_door": "middleware.draining",
    "encryption": "middleware.require_tls",
    "privacy": "middleware.no_store",
    "sockets": "authorization.routes",
    "deciding": "authorization.deadline",
    "reauthorization": "authorization.reauthorization",
    "item_grants": "authorization.item_grants",
    "ticket_store": "authorization.ticket_store",
    "driver": "transports.asgi",
    "event_stream": "transports.sse",
    "streams": "transports.sse_shutdown",
    "rejections": "responses.rejections",
    "problems": "responses.problems",
    "bodies": "responses.request_bodies",
    "logs": "observability.logs",
    "metrics": "observability.metrics",
    "siblings": "observability.worker_metrics",
    "server": "serving.server",
    "workers": "serving.workers",
    "channels.timers": "timers",
    "channels.attendance": "channels.connection_log",
    "channels.joining": "channels.join",
    "channels.welcoming": "channels.welcome",
    "channels.refreshing": "channels.reauthorization",
    "channels.session": "channels.sessions.session",
    "channels.items_session": "channels.sessions.many_items",
    "channels.events_session": "channels.sessions.events",
    "channels.commands": "channels.sessions.commands",
    "channels.turns": "channels.sessions.ordered_gate",
    "channels.lanes": "channels.delivery.lanes",
    "channels.outbox": "channels.delivery.outbox",
    "channels.recovery": "channels.delivery.recovery",
    "channels.holding": "channels.delivery.bounded_buffer",
    "channels.unanswered": "channels.delivery.in_flight",
    "channels.presence": "channels.presence.presence",
    "channels.absences": "channels.presence.grace",
    "channels.abroad": "channels.cluster.cluster",
    "channels.neighbour": "channels.cluster.peer",
    "channels.neighbours": "channels.cluster.remote_presence",
    "channels.tidings": "channels.cluster.gossip",
    "channels.notices": "channels.cluster.notices",
    "channels.orders": "channels.cluster.control",
    "channels.shares": "channels.cluster.connection_counts",
    "channels.limits": "channels.limits.bounds",
    "channels.places": "channels.limits.connections",
    "channels.arrivals": "channels.limits.handshakes",
    "channels.rates": "channels.limits.requests",
    "channels.slow_readers": "channels.limits.slow_consumers",
    "channels.ends": "channels.lifecycle.expiry",
    "channels.deadlines": "channels.lifecycle.deadlines",
    "channels.draining": "channels.lifecycle.draining",
    "channels.roster": "channels.lifecycle.registry",
    "engines.hearing": "engines.subscriptions",
    "engines.following": "engines.stream_follower",
    "engines.loops": "engines.tasks",
    "engines.answers": "engines.callbacks",
    "engines.shown": "engines.urls",
    "engines.packing": "engines.storage_format",
    "engines.nats.lanes": "engines.nats.batches",
    "engines.nats.tips": "engines.nats.last_records",
    "engines.nats.answers": "engines.nats.jetstream",
    "engines.redis.listening": "engines.redis.listener",
}
TESTS = {
    "test_admission": "middleware.test_admission",
    "test_pacing": "middleware.test_pacing",
    "test_privacy": "middleware.test_no_store",
    "test_closing": "test_close_reasons",
    "test_tallies": "test_counters",
    "test_startup": "test_startup_checks",
    "test_deciding": "authorization.test_deadline",
    "test_sockets": "authorization.test_routes",
    "test_reauthorization": "authorization.test_reauthorization",
    "test_ticket_store": "authorization.test_ticket_store",
    "test_driver": "transports.test_asgi",
    "test_event_stream": "transports.test_sse",
    "test_streams": "transports.test_sse_shutdown",
    "test_logs": "observability.test_logs",
    "test_metrics": "observability.test_metrics",
    "test_siblings": "observability.test_worker_metrics",
    "test_problems": "responses.test_problems",
    "test_rejections": "responses.test_rejections",
    "test_server": "serving.test_server",
    "test_workers": "serving.test_workers",
    "channels.test_abroad": "channels.cluster.test_cluster",
    "channels.test_absences": "channels.presence.test_grace",
    "channels.test_arrivals": "channels.limits.test_handshakes",
    "channels.test_attendance": "channels.test_connection_log",
    "channels.test_commands": "channels.sessions.test_commands",
    "channels.test_commands_malformed": "channels.sessions.test_commands_malformed",
    "channels.test_deadlines": "channels.lifecycle.test_deadlines",
    "channels.test_delivery_model": "channels.delivery.test_delivery_model",
    "channels.test_draining": "channels.lifecycle.test_draining",
    "channels.test_dropping": "channels.delivery.test_dropping",
    "channels.test_ends": "channels.lifecycle.test_expiry",
    "channels.test_events_session": "channels.sessions.test_events",
    "channels.test_holding": "channels.delivery.test_bounded_buffer",
    "channels.test_items_session": "channels.sessions.test_many_items",
    "channels.test_joining": "channels.test_join",
    "channels.test_lanes": "channels.delivery.test_lanes",
    "channels.test_lifetime": "channels.lifecycle.test_lifetime",
    "channels.test_notices": "channels.cluster.test_notices",
    "channels.test_orders": "channels.cluster.test_control",
    "channels.test_outbox": "channels.delivery.test_outbox",
    "channels.test_places": "channels.limits.test_connections",
    "channels.test_presence": "channels.presence.test_presence",
    "channels.test_presence_of_nodes": "channels.cluster.test_remote_presence",
    "channels.test_rates": "channels.limits.test_requests",
    "channels.test_recovery": "channels.delivery.test_recovery",
    "channels.test_refreshing": "channels.test_reauthorization",
    "channels.test_roster": "channels.lifecycle.test_registry",
    "channels.test_session": "channels.sessions.test_session",
    "channels.test_session_limits": "channels.sessions.test_session_limits",
    "channels.test_shares": "channels.cluster.test_connection_counts",
    "channels.test_slow_readers": "channels.limits.test_slow_consumers",
    "channels.test_turns": "channels.sessions.test_ordered_gate",
    "channels.test_unanswered": "channels.delivery.test_in_flight",
    "engines.test_answers": "engines.test_callbacks",
    "engines.test_following": "engines.test_stream_follower",
    "engines.test_hearing": "engines.test_subscriptions",
    "engines.test_loops": "engines.test_tasks",
    "engines.test_packing": "engines.test_storage_format",
    "engines.test_shown": "engines.test_urls",
    "auth.test_checks": "auth.tokens.test_checks",
    "auth.test_tokens": "auth.tokens.test_verifier",
    "auth.test_tokens_remembered": "auth.tokens.test_tokens_remembered",
    "auth.test_issuers": "auth.tokens.test_issuers",
    "auth.test_issuers_file": "auth.tokens.test_issuers_file",
    "auth.test_issuing": "auth.tokens.test_minting",
    "auth.test_key_confusion": "auth.tokens.test_key_confusion",
    "auth.test_keys": "auth.keys.test_static",
    "auth.test_secrets": "auth.keys.test_secrets",
    "auth.test_key_files": "auth.keys.test_files",
    "auth.test_jwks": "auth.keys.test_jwks",
    "auth.test_jwks_address": "auth.keys.test_jwks_address",
    "auth.test_weak_keys": "auth.keys.test_strength",
    "scenarios.test_places": "scenarios.test_connection_limits",
    "scenarios.test_encryption": "scenarios.test_require_tls",
    "scenarios.test_presence_of_nodes": "scenarios.test_remote_presence",
}
PACKAGES = {
    "api/itemwire/middleware": "What every request passes on its way in, one file each.",
    "api/itemwire/authorization": "Asks the application's dependencies: at the handshake, and again in mid-connection.",
    "api/itemwire/transports": "How a session reaches its client: over ASGI, detached, or as server-sent events.",
    "api/itemwire/responses": "What requests bring and what answers look like: bodies, problems, refusals.",
    "api/itemwire/observability": "What the server says of itself: logs and metrics.",
    "api/itemwire/serving": "Runs the application: one process, or several on one port.",
    "api/itemwire/channels/sessions": "What a connection does with each frame, one file for each kind of connection.",
    "api/itemwire/channels/delivery": "How messages reach each subscriber: in order, joined by tick, in bounded memory.",
    "api/itemwire/channels/presence": "Who is on which channel.",
    "api/itemwire/channels/cluster": "What nodes tell each other: members, sockets, revocations.",
    "api/itemwire/channels/limits": "How much one caller may use, and how often it may ask.",
    "api/itemwire/channels/lifecycle": "When connections end: by expiry, by deadline, by drain.",
    "auth/itemwire_auth/tokens": "Turns a token into a verified caller, one check at a time, and mints tokens.",
    "auth/itemwire_auth/keys": "The keys that verify and sign tokens: where they come from, and which are too weak.",
}
RENAMED = {f"auth.{old}": f"itemwire_auth.{new}" for old, new in AUTH.items()}
RENAMED |= {f"api.{old}": f"itemwire.{new}" for old, new in API.items()}
RENAMED |= {f"tests.{old}": f"tests.{new}" for old, new in TESTS.items()}
TEXT = {".py", ".md", ".toml", ".json", ".txt", ".example", ".js", ".html", ".yml"}
SKIPPED = {"CHANGELOG.md", ".ci/rename.py"}


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def new_name(dotted: str) -> str:
    """The name a module has now, of the longest part that was renamed."""
    parts = dotted.split(".")
    for end in range(len(parts), 1, -1):
        head = ".".join(parts[:end])
        if head in RENAMED:
            return ".".join([RENAMED[head], *parts[end:]])
    root = {"api": "itemwire", "auth": "itemwire_auth"}.get(parts[0], parts[0])
    return ".".join([root, *parts[1:]])


def new_path(path: str) -> str:
    """The path a file has now."""
    head, _, name = path.rpartition("/")
    stem, dot, ending = name.partition(".")
    if path.startswith(("api/itemwire/", "auth/itemwire_auth/")):
        return path
    if ending == "py" and stem != "__init__":
        moved = new_name(f"{head}/{stem}".replace("/", ".")).replace(".", "/") + ".py"
    else:
        moved = re.sub(
            r"^(api|auth)(?=/)", lambda m: {"api": "itemwire", "auth": "itemwire_auth"}[m[1]], path
        )
    return re.sub(r"^itemwire(_auth)?/", lambda m: f"auth/{m[0]}" if m[1] else f"api/{m[0]}", moved)


def move() -> None:
    for folder, sentence in PACKAGES.items():
        (ROOT / folder).mkdir(parents=True, exist_ok=True)
        file = ROOT / folder / "__init__.py"
        if not file.exists():
            file.write_text(f'"""{sentence}"""\n')
    for old in git("ls-files", "api", "auth", "tests").splitlines():
        new = new_path(old)
        if new == old or not (ROOT / old).exists():
            continue
        target = ROOT / new
        target.parent.mkdir(parents=True, exist_ok=True)
        if new.startswith("tests/"):
            package = target.parent / "__init__.py"
            if not package.exists():
                package.write_text(f'"""Tests of {target.parent.name}/."""\n')
        git("mv", old, new)


def rewrite(text: str, path: str) -> str:
    """Rewrite every mention of a module or a path of ours."""
    if path.endswith(".py"):
        text = re.sub(
            r"(?m)^(\s*)from ((?:api|auth|tests)(?:\.\w+)*) import (\w+)( as \w+)?$", _single, text
        )
    # import lines, and dotted names in strings and prose
    text = re.sub(
        r"(?<=\bfrom )(?:api|auth|tests)(?:\.\w+)*(?= import)", lambda m: new_name(m[0]), text
    )
    text = re.sub(r"(?<=[\"'`\s])(?:api|auth)\.\w+(?:\.\w+)*(?=[\"'`:]|\.\*\*| ->)", _mention, text)
    text = re.sub(r"(?<![\w/])tests/[\w/]+\.py", lambda m: new_path(m[0]), text)
    return re.sub(
        r"(?<![\w/.@-])(?:api|auth)/(?!itemwire|(?:tickets|session)(?!\w|\.py))[\w/]*(?:\.\w+)?",
        lambda m: new_path(m[0]),
        text,
    )


def _mention(match: re.Match[str]) -> str:
    return match[0] if match[0] in {"api.example", "auth.example"} else new_name(match[0])


def _single(match: re.Match[str]) -> str:
    space, package, name, renamed = match[1], match[2], match[3], match[4] or ""
    full = f"{package}.{name}"
    if full not in RENAMED:
        return match[0]
    head, _, leaf = RENAMED[full].rpartition(".")
    return f"{space}from {head} import {leaf}{renamed or ('' if leaf == name else f' as {name}')}"


def main() -> None:
    move()
    for path in git("ls-files", "--cached", "--others", "--exclude-standard").splitlines():
        file = ROOT / path
        if (
            path in SKIPPED
            or (file.suffix not in TEXT and file.name not in {".env.example", "run"})
            or not file.is_file()
        ):
            continue
        before = file.read_text()
        after = rewrite(before, path)
        if after != before:
            file.write_text(after)


if __name__ == "__main__":
    sys.exit(main())
