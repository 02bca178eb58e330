"""What to do about a proxy, by what is wrong; docs/deployment.md has whole configurations."""

from typing import Final

from itemwire.runbook import EVENTS

UPGRADE: Final = EVENTS["upgrade_missing"]
UNREACHED: Final = (
    "see whether the name, the certificate and the proxy's way to the server are right"
)
TOKEN: Final = "give a token that the server takes, in ITEMWIRE_TOKEN"  # noqa: S105 - a sentence
HOST: Final = (
    "let the proxy pass on Host (nginx: proxy_set_header Host $http_host; "
    "Apache: ProxyPreserveHost On)"
)
OWN_HOST: Final = "name the host of the public URL in ITEMWIRE_ALLOWED_HOSTS"
CERTIFICATES: Final = "see whether SSL_CERT_FILE and SSL_CERT_DIR name what can be read"
SCHEME: Final = (
    "let the proxy set X-Forwarded-Proto, and name the proxy in ITEMWIRE_TRUSTED_PROXIES"
)
ADDRESS: Final = "let the proxy set X-Forwarded-For, and name the proxy in ITEMWIRE_TRUSTED_PROXIES"
FORGED: Final = "let the proxy add its client to X-Forwarded-For, or name it there alone"
EVENTS_HELD: Final = "let the proxy hold back nothing (nginx: proxy_buffering off)"
HEAD: Final = (
    "raise the proxy's limit to 16 KB (nginx: large_client_header_buffers 4 16k; "
    "Apache: LimitRequestLine 16384, LimitRequestFieldSize 16384)"
)
IDLE: Final = "let the proxy keep what is idle for longer than ITEMWIRE_PING_INTERVAL"
