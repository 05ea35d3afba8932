#!/usr/bin/env python3
"""Prints the bill of materials of sparekey as CycloneDX 1.6 JSON: every crate that is in the binary, with its licence, its checksum
from Cargo.lock and what it depends on. What only builds is listed as excluded, what only tests is not listed. The same sources
and the same binary give the same text.

    plugin-manifest/sbom.py [--target TRIPLE] [--binary FILE]
"""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import uuid

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--target", help="leave out what is not built for this target")
    options.add_argument("--binary", help="the file that is described")
    options = options.parse_args()
    metadata = cargo_metadata(options.target)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    shipped = reachable(nodes, root, {None})
    building = reachable(nodes, root, {None, "build"}) - shipped
    checksums = lock_checksums()

    ref = {id: purl(packages[id]) for id in shipped | building}
    components = [
        component(packages[id], ref[id], checksums, "required" if id in shipped else "excluded")
        for id in sorted(ref, key=ref.get)
        if id != root
    ]
    main_component = {
        "type": "application",
        "bom-ref": ref[root],
        "name": packages[root]["name"],
        "version": packages[root]["version"],
        "purl": ref[root],
        "licenses": licences(packages[root]),
    }
    if options.binary:
        with open(options.binary, "rb") as file:
            main_component["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(file.read()).hexdigest()}]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": main_component,
            "properties": [
                {"name": "rustc", "value": output("rustc", "--version")},
                {"name": "target", "value": options.target or "any"},
            ],
        },
        "components": components,
        "dependencies": [
            {"ref": ref[id], "dependsOn": sorted({ref[to] for to in dependencies(nodes[id], {None, "build"}) if to in ref})}
            for id in sorted(ref, key=ref.get)
        ],
    }
    content = json.dumps(document, sort_keys=True)
    document["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}"
    json.dump(document, sys.stdout, indent=2, sort_keys=True)
    print()


def output(*command):
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def cargo_metadata(target):
    command = ["cargo", "metadata", "--format-version", "1", "--locked"]
    return json.loads(output(*command, *(["--filter-platform", target] if target else [])))


def dependencies(node, kinds):
    """Ids of the packages that a node depends on by one of these kinds (None is an ordinary dependency)."""
    for dependency in node["deps"]:
        if any(kind["kind"] in kinds for kind in dependency["dep_kinds"]):
            yield dependency["pkg"]


def reachable(nodes, root, kinds):
    """What the root needs. A procedural macro runs while building and is still an ordinary dependency for cargo: so it is here."""
    found, ahead = set(), [root]
    while ahead:
        id = ahead.pop()
        if id not in found:
            found.add(id)
            ahead.extend(dependencies(nodes[id], kinds))
    return found


def lock_checksums():
    with open(os.path.join(ROOT, "Cargo.lock"), encoding="utf-8") as file:
        text = file.read()
    entry = re.compile(r'^name = "([^"]+)"\nversion = "([^"]+)"\nsource = "[^"]+"\nchecksum = "([0-9a-f]{64})"$', re.M)
    return {(name, version): checksum for name, version, checksum in entry.findall(text)}


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def licences(package):
    # Older crates write a slash where SPDX has OR.
    return [{"expression": package["license"].replace("/", " OR ")}] if package["license"] else []


def component(package, ref, checksums, scope):
    described = {
        "type": "library",
        "bom-ref": ref,
        "name": package["name"],
        "version": package["version"],
        "purl": ref,
        "scope": scope,
        "licenses": licences(package),
    }
    checksum = checksums.get((package["name"], package["version"]))
    if checksum:
        described["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package["repository"]:
        described["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return described


if __name__ == "__main__":
    main()
