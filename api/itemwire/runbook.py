"""What an operator does about an exit status, a state of readiness or an event of the log.

docs/operations.md shows these tables, and docs/metrics.md what each event says; tests compare both
with them.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Advice:
    """What something means, and what to do about it."""

    means: str
    remedy: str


EXIT_STATUSES: Final[dict[str, Advice]] = {
    "0": Advice("a signal ended it", "nothing"),
    "1": Advice(
        "it cannot listen on its address or port",
        "see who has the port (`ss -ltnp`); starting it again may help",
    ),
    "2": Advice("the command line is wrong", "correct it; starting it again does not help"),
    "3": Advice(
        "the engine's server cannot be used, or has not begun to serve within 30 seconds, or the "
        "application did not start; the log says why, in one line",
        "start it again: the server may be back",
    ),
    "78": Advice(
        "a setting, a key or a file is wrong, or the engine is of a kind that will never do",
        "do what the line says; starting it again does not help",
    ),
    "a signal's": Advice(
        "a signal before the application begins to start, a second signal, SIGKILL, or a crash; a "
        "shell shows 128 and its number",
        "start it again; look for `dmesg` lines about memory if nobody sent it",
    ),
}
"""Each status with which `itemwire serve` ends."""

STATES: Final[dict[tuple[str, str | None], Advice]] = {
    ("ready", None): Advice("sockets are served", "nothing"),
    ("not_ready", None): Advice(
        "it starts, its engine is away, no issuer has given it a key yet, or its clock was never "
        "set: it says 1970",
        "wait; see `engine_lost`, `engine_unreadable` and `jwks_failed` in the log, and set the "
        "machine's clock",
    ),
    ("draining", None): Advice("it stops, or was drained", "start it again if it should serve"),
    ("degraded", "issuer_away"): Advice(
        "one of several issuers has given no key; its tokens are refused with `overloaded`",
        "see `jwks_failed` in the log; it is asked again by itself",
    ),
    ("degraded", "full"): Advice(
        "the engine has no room, and stores nothing", "make room; it goes on by itself"
    ),
    ("degraded", "read_only"): Advice(
        "the engine takes no writes for a while", "let it take writes; it goes on by itself"
    ),
    ("degraded", "failing"): Advice(
        "the engine's storage fails", "look at its disk and its log; it goes on by itself"
    ),
    ("degraded", "silent"): Advice(
        "the engine does not say whether it stores", "look at its disk, and restart it with room"
    ),
    ("degraded", "forbidden"): Advice(
        "this server's user may not write", "give it the right; nothing else helps"
    ),
    ("degraded", "unprepared"): Advice(
        "a part of the engine's schema is missing that is only written to",
        "run `itemwire engine init`; it goes on by itself",
    ),
    ("degraded", "damaged"): Advice(
        "what the engine has stored is damaged", "restore it, and restart the server"
    ),
    ("degraded", "part_away"): Advice(
        "one of several Redis servers is away; items on the others are served as ever",
        "look at the server that `engine_part_away` names; it goes on by itself",
    ),
}
"""Each state of `/health/ready`, with its reason."""

NOTHING: Final = "nothing: it passes, or was meant"
REPORT: Final = "read the traceback; report it if it is not of your application"
OWN_CODE: Final = "mend the application's function that the line names"
WAITING: Final = "see what the dependency waits for: a database, a lock, another service"
ENGINE: Final = "look at the engine's server and the network to it"
OTHER_RELEASE: Final = "run one release of Itemwire on all nodes and publishers"
CLIENT: Final = (
    "if it is not an attack, mend the client or its token: `POST /admin/explain` says why"
)

EVENTS: Final[dict[str, str]] = {
    "administered": NOTHING,
    "answer_failed": REPORT,
    "call_failed": OWN_CODE,
    "call_late": OWN_CODE,
    "connections_full": "add a node, or raise `ITEMWIRE_MAX_CONNECTIONS` and the limit of files",
    "cut_off": ENGINE,
    "decision_failed": OWN_CODE,
    "decision_late": WAITING,
    "decision_stuck": WAITING,
    "delivery_failed": REPORT,
    "denied": CLIENT,
    "direct_unreadable": "find who else publishes to Itemwire's channels of the engine",
    "engine_available": NOTHING,
    "engine_behind": "publish less at once, or give the engine more",
    "engine_close_failed": ENGINE,
    "engine_degraded": "see the reason under Health",
    "engine_ended": "see why the process was killed (memory?); it is started again by itself",
    "engine_failed": ENGINE,
    "engine_lost": ENGINE,
    "engine_part_away": ENGINE,
    "engine_part_back": NOTHING,
    "engine_readable": NOTHING,
    "engine_process_failed": REPORT,
    "engine_refused": "give this server's user the right to subscribe",
    "engine_starting": NOTHING,
    "engine_takes_less": "raise the server's `max_payload`, or lower `ITEMWIRE_MAX_MESSAGE_BYTES`",
    "engine_unreadable": "give this server's user the right to read, or restore what is gone",
    "epochs_ended": "see why NATS lost what it had: all servers restarted, a stream was deleted, "
    "or an older copy was put back",
    "engine_upkeep_failed": ENGINE,
    "fastpath_off": "install the versions of constraints.txt",
    "grant_failed": OWN_CODE,
    "hook_failed": OWN_CODE,
    "hooks_dropped": OWN_CODE,
    "join_failed": ENGINE,
    "jwks_failed": "look at the issuer's URL from this machine; it is asked again by itself",
    "jwks_fetch_crashed": REPORT,
    "jwks_key_left_out": "nothing if tokens are not signed with it; else tell the issuer",
    "keys_file_key_left_out": "correct that key, or take it out",
    "keys_file_refused": "correct the file; it is read again by itself",
    "look_failed": REPORT,
    "messages_lost": "see what the engine was restarted or emptied for",
    "metrics_unshared": "give the server a folder for temporary files (`TMPDIR`)",
    "model_not_shared": ENGINE,
    "model_unchecked": "install the extra `schema` beside the publisher",
    "model_unreadable": OTHER_RELEASE,
    "node_cut_off": "give the machine more, or the server fewer clients: a worker fell behind",
    "not_refreshed": CLIENT,
    "not_started": "run the lifespan: see embedding.md",
    "notice_dropped": "use fewer nodes, or raise the limits that the line names",
    "notice_unreadable": OTHER_RELEASE,
    "notify_failed": "see what is at `NOTIFY_SOCKET`; the server serves all the same",
    "pattern_unreadable": OTHER_RELEASE,
    "rate_limited": CLIENT,
    "refresh_failed": OWN_CODE,
    "refresh_late": WAITING,
    "refresh_of_another": CLIENT,
    "refresh_refused": CLIENT,
    "refused": CLIENT,
    "resume_unavailable": ENGINE,
    "route_failed": REPORT,
    "rules_not_shared": ENGINE,
    "rules_unread": ENGINE,
    "rules_unreadable": OTHER_RELEASE,
    "session_failed": REPORT,
    "tick_failed": REPORT,
    "upgrade_missing": "let the proxy pass on `Upgrade` and `Connection`",
    "variable_changed": "write the variable as the line says",
    "watch_failed": ENGINE,
    "watch_unannounced": NOTHING,
    "watch_unreadable": OTHER_RELEASE,
    "web_concurrency_ignored": "set `ITEMWIRE_WORKERS`, with an engine that processes share",
    "webhook_failed": "look at the endpoint of `ITEMWIRE_WEBHOOK_URL`",
    "webhooks_dropped": "look at the endpoint of `ITEMWIRE_WEBHOOK_URL`",
    "worker_ended": "look for `dmesg` lines about memory; it is started again",
    "worker_unfit": "correct the file or the setting that the line names; it is tried again",
    "write_failed": REPORT,
}
"""What to do about each event of level warning or error."""
