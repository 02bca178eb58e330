"""Fails where a CycloneDX document names other packages than are installed beside this Python."""

import json
import pathlib
import re
import sys
from importlib.metadata import distributions


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


document = json.loads(pathlib.Path(sys.argv[1]).read_text())
root = document["metadata"]["component"]
named = {(canonical(one["name"]), one["version"]) for one in (root, *document["components"])}
installed = {(canonical(one.name), one.version) for one in distributions()}
ours = next(version for name, version in installed if name == "itemwire")
if root["version"] != ours or named != installed:
    sys.exit(f"the SBOM differs from what is installed: {sorted(named ^ installed)}")
if re.search(r"file:|/(tmp|home|root)/", json.dumps(document)):
    sys.exit("the SBOM names a path of the machine on which it was made")
print(f"{len(document['components'])} packages")
