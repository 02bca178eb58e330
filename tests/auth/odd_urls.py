"""URLs that nobody can be called at, and redirects that a broken server answers with."""

from typing import Final

NEVER_CALLED: Final = {
    "port_zero": "https://host.test:0/",
    "port_too_high": "https://host.test:65536/",
    "port_of_letters": "https://host.test:port/",
    "half_an_address": "https://[::1/",
    "white_space": "https://ho st.test/",
    "control_character": "https://host.test/\x01",
    "escaped_nul": "https://ho%00st.test/",
    "snowman": "https://\u2603.test/",
    "no_punycode": "https://xn--/",
    "empty_label": "https://host..test/",
    "leading_dot": "https://.host.test/",
    "long_label": f"https://{'a' * 64}.test/",
}

CALLED: Final = {
    "name": "https://host.test/",
    "label_of_63": f"https://{'a' * 63}.test/",
    "container": "https://my_service:8443/",
    "last_dot": "https://host.test./",
    "highest_port": "https://host.test:65535/",
    "ipv4": "https://192.0.2.1/",
    "ipv6": "https://[2001:db8::1]/",
    "zone": "https://[fe80::1%25eth0]/",
    "international": "https://bücher.test/",
    "punycode": "https://xn--bcher-kva.test/",
    "escapes": "https://host.test/%C3%A9?key=%20",
}

REDIRECTS: Final = {
    "elsewhere": "/elsewhere",
    "no_host": "data:x",
    "mail": "mailto:somebody@host.test",
    "empty_host": "https:///",
    **NEVER_CALLED,
}
"""What httpx looks at even where it follows none."""
