"""Which code is mutated, and which tests have to find the faults of each file."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PACKAGES: Final = (
    "auth/itemwire_auth",
    "api/itemwire/authorization",
    "api/itemwire/channels/cluster",
    "api/itemwire/channels/delivery",
    "api/itemwire/channels/sessions",
)
"""What decides who may do what, and what reaches whom."""

ELSEWHERE: Final[dict[str, tuple[str, ...]]] = {
    "api/itemwire/authorization/inputs.py": ("authorization/test_reauthorization_of_many.py",),
    "api/itemwire/authorization/item_grants.py": ("routes/test_batches.py",),
    "api/itemwire/authorization/late_bodies.py": ("scenarios/test_late_bodies.py",),
    "api/itemwire/authorization/reauthorization.py": (
        "authorization/test_what_is_found_again.py",
        "scenarios/test_rechecks.py",
    ),
    "api/itemwire/authorization/solving.py": (
        "embedding/test_operators.py",
        "authorization/test_inputs.py",
        "authorization/test_reauthorization.py",
        "authorization/test_routes.py",
    ),
    "api/itemwire/channels/cluster/cluster.py": (
        "channels/cluster/test_exchange.py",
        "channels/test_publishing.py",
    ),
    "api/itemwire/channels/cluster/connection_counts.py": (
        "channels/cluster/test_hostile_gossip.py",
    ),
    "api/itemwire/channels/cluster/exchange.py": (
        "channels/sessions/test_commands.py",
        "channels/cluster/test_connection_counts.py",
        "channels/cluster/test_asked_members.py",
        "channels/cluster/test_remote_presence.py",
    ),
    "api/itemwire/channels/cluster/gossip.py": (
        "channels/cluster/test_hostile_gossip.py",
        "channels/cluster/test_remote_presence.py",
    ),
    "api/itemwire/channels/cluster/gossip_sender.py": (
        "channels/cluster/test_connection_counts.py",
    ),
    "api/itemwire/channels/cluster/inquiries.py": ("channels/cluster/test_questions.py",),
    "api/itemwire/channels/cluster/notices.py": ("channels/cluster/test_hostile_gossip.py",),
    "api/itemwire/channels/cluster/peer.py": (
        "channels/cluster/test_killed_nodes.py",
        "channels/cluster/test_asked_members.py",
        "channels/cluster/test_remote_presence.py",
        "channels/cluster/test_hostile_gossip.py",
    ),
    "api/itemwire/channels/cluster/remote_presence.py": (
        "channels/cluster/test_asked_members.py",
        "channels/cluster/test_killed_nodes.py",
        "channels/cluster/test_item_presence.py",
        "channels/cluster/test_connection_counts.py",
        "channels/cluster/test_hostile_gossip.py",
    ),
    "api/itemwire/authorization/asking.py": (
        "authorization/test_host_users.py",
        "test_app.py",
        "authorization/test_routes.py",
        "authorization/test_ways_to_find_callers.py",
    ),
    "api/itemwire/authorization/host_users.py": (
        "test_app.py",
        "authorization/test_host_credentials.py",
        "embedding/test_operators_in_urls.py",
        "embedding/test_operators.py",
    ),
    "api/itemwire/authorization/host_credentials.py": (
        "authorization/test_host_users.py",
        "test_accept.py",
    ),
    "api/itemwire/authorization/kept_callers.py": ("rules/test_host.py",),
    "api/itemwire/authorization/kept_handshake.py": (
        "authorization/test_what_is_kept.py",
        "authorization/test_what_is_found_again.py",
    ),
    "api/itemwire/channels/sessions/checked.py": ("rules/test_before_publish.py",),
    "api/itemwire/channels/sessions/item_recheck.py": ("scenarios/test_rechecks.py",),
    "auth/itemwire_auth/member_info.py": ("rules/test_member_info.py",),
    "api/itemwire/channels/cluster/asked_channels.py": ("channels/cluster/test_asked_members.py",),
    "api/itemwire/channels/cluster/life_checks.py": ("channels/cluster/test_killed_nodes.py",),
    "api/itemwire/channels/cluster/own_members.py": (
        "channels/cluster/test_crowds.py",
        "channels/cluster/test_own_members.py",
        "channels/cluster/test_remote_presence.py",
    ),
    "api/itemwire/channels/cluster/first_answers.py": ("channels/cluster/test_asked_members.py",),
    "api/itemwire/channels/cluster/item_presence.py": (
        "channels/cluster/test_killed_nodes.py",
        "channels/cluster/test_crowds.py",
        "channels/cluster/test_asked_members.py",
        "channels/cluster/test_remote_presence.py",
        "channels/cluster/test_remote_presence_missed.py",
        "channels/cluster/test_hostile_gossip.py",
    ),
    "api/itemwire/channels/cluster/heard_members.py": (
        "channels/cluster/test_member_info.py",
        "channels/cluster/test_item_presence.py",
        "channels/cluster/test_killed_nodes.py",
        "channels/cluster/test_crowds.py",
        "channels/cluster/test_remote_presence.py",
        "channels/cluster/test_remote_presence_missed.py",
    ),
    "api/itemwire/channels/cluster/item_talk.py": (
        "channels/cluster/test_item_presence.py",
        "channels/cluster/test_asked_members.py",
    ),
    "api/itemwire/channels/cluster/peers.py": (
        "channels/cluster/test_crowds.py",
        "channels/cluster/test_asked_members.py",
        "channels/cluster/test_remote_presence.py",
    ),
    "api/itemwire/channels/delivery/bounded_buffer.py": ("channels/delivery/test_dropping.py",),
    "api/itemwire/channels/delivery/in_flight.py": (
        "channels/test_node.py",
        "channels/lifecycle/test_draining.py",
    ),
    "api/itemwire/channels/delivery/lanes.py": (
        "channels/delivery/test_delivery_model.py",
        "channels/delivery/test_dropping.py",
        "channels/test_hub.py",
        "channels/delivery/test_time_slice.py",
        "channels/delivery/test_time_slice_model.py",
    ),
    "api/itemwire/channels/delivery/outbox.py": (
        "channels/delivery/test_dropping.py",
        "channels/test_connection.py",
        "channels/delivery/test_delivery_model.py",
    ),
    "api/itemwire/channels/delivery/recovery.py": (
        "channels/test_join.py",
        "channels/delivery/test_resume.py",
    ),
    "api/itemwire/channels/delivery/resume.py": ("channels/test_join.py",),
    "api/itemwire/channels/sessions/commands.py": (
        "channels/sessions/test_session.py",
        "channels/sessions/test_many_items.py",
        "channels/sessions/test_many_items_rights.py",
        "channels/test_reauthorization.py",
        "channels/delivery/test_in_flight.py",
        "rules/test_before_publish.py",
        "rules/test_host.py",
    ),
    "api/itemwire/channels/sessions/joining.py": ("channels/sessions/test_many_items.py",),
    "api/itemwire/channels/sessions/context.py": (
        "channels/sessions/test_item.py",
        "channels/sessions/test_many_items.py",
        "channels/sessions/test_many_items_rights.py",
    ),
    "api/itemwire/channels/sessions/item.py": (
        "channels/sessions/test_item.py",
        "channels/sessions/test_session.py",
        "channels/test_reauthorization.py",
    ),
    "api/itemwire/channels/sessions/ordered_gate.py": (
        "channels/sessions/test_many_items.py",
        "channels/sessions/test_many_items_rights.py",
    ),
    "api/itemwire/channels/sessions/replay_queue.py": (
        "channels/sessions/test_many_items_replays.py",
    ),
    "api/itemwire/channels/sessions/requests.py": (
        "channels/sessions/test_session.py",
        "channels/sessions/test_many_items.py",
        "channels/sessions/test_many_items_rights.py",
        "channels/test_reauthorization.py",
    ),
    "api/itemwire/channels/sessions/session.py": (
        "channels/sessions/test_item.py",
        "channels/sessions/test_session.py",
        "channels/sessions/test_many_items.py",
        "channels/sessions/test_many_items_rights.py",
        "channels/test_reauthorization.py",
    ),
    "auth/itemwire_auth/__init__.py": ("auth/test_public_face.py",),
    "auth/itemwire_auth/authenticator.py": (
        "auth/keys/test_jwks_fetches.py",
        "auth/test_throttled.py",
        "auth/test_dependencies.py",
        "authorization/test_late_bodies.py",
    ),
    "auth/itemwire_auth/building.py": ("auth/test_settings.py",),
    "auth/itemwire_auth/closing.py": ("test_close_reasons.py", "responses/test_rejections.py"),
    "auth/itemwire_auth/credentials.py": (
        "auth/test_request_bounds.py",
        "auth/test_authenticator.py",
    ),
    "auth/itemwire_auth/handled_socket.py": ("auth/test_accepting.py", "test_accept.py"),
    "auth/itemwire_auth/keys/algorithms.py": (
        "auth/keys/test_jwks.py",
        "auth/keys/test_static.py",
        "auth/keys/test_strength.py",
        "auth/tokens/test_key_confusion.py",
    ),
    "auth/itemwire_auth/keys/base.py": ("auth/keys/test_static.py",),
    "auth/itemwire_auth/http_client.py": ("auth/keys/test_fetching.py", "auth/test_policy_url.py"),
    "auth/itemwire_auth/keys/fetching.py": (
        "auth/keys/test_jwks.py",
        "auth/keys/test_jwks_fetches.py",
    ),
    "auth/itemwire_auth/keys/guessing.py": ("auth/keys/test_secrets.py",),
    "auth/itemwire_auth/keys/jwks.py": ("auth/keys/test_key_sets.py",),
    "auth/itemwire_auth/keys/jwk.py": (
        "auth/keys/test_static.py",
        "auth/keys/test_jwks.py",
    ),
    "auth/itemwire_auth/keys/published.py": ("auth/keys/test_secrets.py",),
    "auth/itemwire_auth/keys/static.py": ("auth/keys/test_secrets.py",),
    "auth/itemwire_auth/keys/strength.py": ("auth/keys/test_secrets.py",),
    "auth/itemwire_auth/open_sockets.py": ("auth/test_accepting.py",),
    "auth/itemwire_auth/policies.py": ("auth/test_dependencies.py",),
    "auth/itemwire_auth/principal.py": ("auth/test_dependencies.py",),
    "auth/itemwire_auth/redaction.py": (
        "auth/test_installing.py",
        "observability/test_host_logs.py",
        "observability/test_logs.py",
    ),
    "auth/itemwire_auth/refusals.py": (
        "auth/test_dependencies.py",
        "auth/test_throttled.py",
        "auth/test_authenticator.py",
    ),
    "auth/itemwire_auth/releasing.py": ("authorization/test_solving.py", "auth/test_accepting.py"),
    "auth/itemwire_auth/rights.py": (
        "auth/test_scopes.py",
        "auth/tokens/test_claims.py",
    ),
    "auth/itemwire_auth/state.py": (
        "auth/test_dependencies.py",
        "auth/test_explaining.py",
    ),
    "auth/itemwire_auth/testing/attacks.py": ("auth/testing/test_severities.py",),
    "auth/itemwire_auth/testing/factory.py": ("auth/testing/test_attacks.py",),
    "auth/itemwire_auth/testing/keys.py": ("auth/testing/test_attacks.py",),
    "auth/itemwire_auth/throttle.py": ("auth/test_throttled.py",),
    "auth/itemwire_auth/ticket_limits.py": ("auth/test_tickets.py",),
    "auth/itemwire_auth/tickets.py": (
        "auth/test_authenticator_tickets.py",
        "scenarios/test_tickets.py",
    ),
    "auth/itemwire_auth/tokens/checks.py": ("auth/testing/test_attacks.py",),
    "auth/itemwire_auth/tokens/claims.py": ("auth/testing/test_attacks.py",),
    "auth/itemwire_auth/tokens/parsed_token.py": (
        "auth/tokens/test_verifier.py",
        "auth/tokens/test_key_confusion.py",
    ),
    "auth/itemwire_auth/tokens/verifier.py": (
        "auth/tokens/test_key_confusion.py",
        "auth/tokens/test_tokens_remembered.py",
    ),
}
"""Tests, below `tests/`, that a file needs beside those that bear its name."""


def sources(root: Path, only: str = "") -> list[str]:
    """List the files to mutate, relative to the project; `only` is a file or a folder instead."""
    files: list[Path] = []
    for place in [root / only] if only else [root / package for package in PACKAGES]:
        files += [place] if place.is_file() else place.rglob("*.py")
    return sorted(file.relative_to(root).as_posix() for file in files)


def package_of(path: str) -> str:
    """Return the package that a file counts for in the table."""
    return next((one for one in PACKAGES if path.startswith(f"{one}/")), str(Path(path).parent))


def mirrors_of(root: Path, path: str) -> list[str]:
    """List the tests that mirror a file, those that bear its name first, then the table's."""
    file = Path(path)
    below = file.relative_to(*file.parts[:2])
    folder = root / "tests" / ("auth" if file.parts[0] == "auth" else "") / below.parent
    found = [*folder.glob(f"test_{file.stem}.py"), *sorted(folder.glob(f"test_{file.stem}_*.py"))]
    found += [root / "tests" / name for name in ELSEWHERE.get(path, ())]
    return list(dict.fromkeys(test.relative_to(root).as_posix() for test in found))
