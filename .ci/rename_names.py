"""Gives classes, settings and common names their new names, file by file; it may be run again."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Old words that mean one thing only: replaced wherever they stand as a whole word.
EVERYWHERE = {
    "Abroad": "Cluster",
    "Neighbours": "RemotePresence",
    "Neighbour": "Peer",
    "Tidings": "Gossip",
    "Shares": "ConnectionCounts",
    "Farewell": "NodeStopping",
    "Attendance": "ConnectionLog",
    "Attendant": "LoggedConnection",
    "Roster": "ConnectionRegistry",
    "Absences": "GracePeriods",
    "Elsewhere": "OtherNodes",
    "Nowhere": "NoOtherNodes",
    "Holding": "BoundedBuffer",
    "Unanswered": "InFlight",
    "EngineBehind": "TooManyInFlight",
    "Joining": "PendingJoin",
    "Arrival": "JoinResult",
    "Turns": "OrderedGate",
    "ItemsSession": "ManyItemsSession",
    "PlaceLimits": "ConnectionLimits",
    "Places": "ConnectionSlots",
    "ArrivalLimits": "HandshakeLimits",
    "Arrivals": "HandshakeRate",
    "Budget": "TokenBucket",
    "SlowReaders": "SlowConsumerPolicies",
    "SlowReader": "SlowConsumerPolicy",
    "read_slow_readers": "parse_slow_consumers",
    "slow_readers": "slow_consumers",
    "SLOW_READERS": "SLOW_CONSUMERS",
    "max_unanswered_bytes": "max_in_flight_bytes",
    "max_unanswered": "max_in_flight",
    "MAX_UNANSWERED_BYTES": "MAX_IN_FLIGHT_BYTES",
    "MAX_UNANSWERED": "MAX_IN_FLIGHT",
    "ITEMWIRE_SLOW_READERS": "ITEMWIRE_SLOW_CONSUMERS",
    "ITEMWIRE_MAX_UNANSWERED_BYTES": "ITEMWIRE_MAX_IN_FLIGHT_BYTES",
    "ITEMWIRE_MAX_UNANSWERED": "ITEMWIRE_MAX_IN_FLIGHT",
    "ClosedDoor": "RefuseWhileDraining",
    "Encryption": "RequireTLS",
    "Privacy": "NoStore",
    "BriefFailure": "StartupErrors",
    "Siblings": "WorkerMetrics",
    "Tallies": "Counters",
    "ChannelTally": "ChannelCounters",
    "OperationTally": "OperationCounters",
    "HandshakeTally": "HandshakeCounters",
    "tallies": "counters",
    "tally": "counters",
    "_tally": "_counters",
    "refusals_unlooked_total": "callers_blocked_total",
    "refusals_unlooked": "callers_blocked",
    "notice_heeded": "notice_applied",
    "Hearing": "Subscriptions",
    "Following": "StreamFollower",
    "attendance": "connection_log",
    "roster": "registry",
    "_roster": "_registry",
    "tidings": "gossip",
    "neighbours": "remote_presence",
    "_neighbours": "_remote_presence",
    "neighbour": "peer",
    "places": "slots",
    "_places": "_slots",
    "arrivals": "handshake_rate",
    "_arrivals": "_handshake_rate",
    "place_limits": "connection_limits",
    "arrival_limits": "handshake_limits",
    "give_back": "release",
    "take_place": "acquire_slot",
    "_take_place": "_acquire_slot",
    "claim_place": "claim_slot",
    "hand_over_place": "hand_over_slot",
    "most_sockets": "max_sockets",
    "unheeded": "ignore_notice",
    "obey": "apply",
}
PROSE_SAFE = {
    "places",
    "tally",
    "tallies",
    "heed",
    "Places",
    "neighbour",
    "neighbours",
    "Arrival",
    "Joining",
    "Holding",
    "Hearing",
    "Following",
    "Budget",
    "Encryption",
    "Privacy",
    "Elsewhere",
    "Nowhere",
    "Turns",
    "Abroad",
    "Attendance",
    "Shares",
    "Farewell",
    "arrivals",
    "roster",
    "obey",
    "tidings",
    "attendance",
    "Unanswered",
    "Neighbours",
}
# Old words that mean several things: replaced in the files where they mean this one.
SOMEWHERE = {
    (
        "Place",
        "ConnectionSlot",
    ): r"channels/limits/connections|middleware/admission|sessions/session\.py|limits/test_connections|middleware/test_admission",
    ("PLACE", "SLOT"): r"middleware/admission|middleware/test_admission",
    (
        "place",
        "slot",
    ): r"channels/limits/connections|middleware/admission|sessions/session\.py|limits/test_connections|middleware/test_admission",
    ("Ends", "Expiry"): r"channels/(?!.*cluster/gossip)|tests/channels",
    ("Orders", "Control"): r"channels/|tests/channels",
    ("orders", "control"): r"channels/|tests/channels",
    ("_orders", "_control"): r"channels/|tests/channels",
    ("abroad", "cluster"): r"channels/|tests/channels",
    ("_abroad", "_cluster"): r"channels/|tests/channels",
    ("heed", "receive"): r"channels/|tests/channels",
    ("heed", "apply"): r"engines/|conformance|fakes/engine",
    ("_heed", "_apply"): r"engines/|conformance|fakes/engine",
    ("Heed", "Apply"): r"engines/|conformance|fakes/engine",
    ("Came", "MemberJoined"): r"cluster/",
    ("Gone", "MemberLeft"): r"cluster/",
    ("Part", "MembersPage"): r"cluster/",
    ("Ask", "StateRequest"): r"cluster/",
    ("Answered", "StateSent"): r"cluster/",
    ("Away", "MemberAway"): r"cluster/",
    ("Held", "SocketCount"): r"cluster/",
    ("Holds", "SocketCounts"): r"cluster/",
}
SKIPPED = re.compile(r"^(CHANGELOG\.md|\.ci/rename|docs/adr/|docs/.*\.(svg|png))")


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def main() -> None:
    for path in git("ls-files").splitlines():
        file = ROOT / path
        if SKIPPED.match(path) or not file.is_file() or file.suffix in {".png", ".svg"}:
            continue
        before = after = file.read_text()
        for old, new in EVERYWHERE.items():
            if file.suffix not in {".py"} and old in PROSE_SAFE:
                continue
            after = (
                code_only(after, old, new)
                if old in PROSE_SAFE
                else re.sub(rf"\b{old}\b", new, after)
            )
        for (old, new), where in SOMEWHERE.items():
            if re.search(where, path) and file.suffix == ".py":
                after = code_only(after, old, new)
        if after != before:
            file.write_text(after)


def code_only(text: str, old: str, new: str) -> str:
    """Replace a name in code, and in prose where it stands between backticks."""
    import io
    import tokenize

    if not re.search(rf"\b{old}\b", text):
        return text
    lines = text.splitlines(keepends=True)
    spots = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NAME and token.string == old:
            spots.append((*token.start, len(old)))
        elif token.type in {tokenize.STRING, tokenize.COMMENT}:
            inner = re.sub(rf"(?<=`){old}(?=[`.])", new, token.string)
            if token.type == tokenize.STRING and re.fullmatch(
                rf"[rf]?([\"']){old}\1", token.string
            ):
                inner = token.string.replace(old, new)
            if inner != token.string and token.start[0] == token.end[0]:
                spots.append((*token.start, token.string, inner))
            elif inner != token.string:
                for row in range(token.start[0], token.end[0] + 1):
                    lines[row - 1] = re.sub(rf"(?<=`){old}(?=[`.])", new, lines[row - 1])
    for spot in sorted(spots, reverse=True, key=lambda s: s[:2]):
        row, column = spot[0] - 1, spot[1]
        line = lines[row]
        if len(spot) == 3:
            lines[row] = line[:column] + new + line[column + spot[2] :]
        else:
            lines[row] = line[:column] + spot[3] + line[column + len(spot[2]) :]
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main())
