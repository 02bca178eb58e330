"""Tests of what `deploy/` has: proxies, images, units, manifests, alerts and boards."""
