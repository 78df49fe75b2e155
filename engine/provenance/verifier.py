"""The program that checks C2PA manifests, in a process of its own: c2pa is native code, files are hostile.

    python verifier.py FD [TRUST_LIST]

A line on standard input, `{"type": MIME}`, asks for the file in the memfd FD; a line on standard output
answers, see `summary`. It contacts no network: not for remote manifests, not for certificates. It ends with
its standard input. It imports nothing of Assay, so that it starts quickly.
"""

import io
import json
import resource
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MEMORY = 512 << 20
"""Bytes that this process may take for data."""
MOST_MANIFESTS, MOST_ACTIONS, MOST_TEXT = 16, 64, 200


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to the whole group; the worker decides when to stop
        signal.signal(number, signal.SIG_IGN)
    import c2pa

    settings: dict[str, Any] = {
        "core": {"allowed_network_hosts": []},
        "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True},
    }
    if len(sys.argv) > 2:
        settings["trust"] = {"trust_anchors": Path(sys.argv[2]).read_text("utf-8")}
    context = c2pa.Context(c2pa.Settings.from_dict(settings))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    with open(int(sys.argv[1]), "rb", buffering=0) as file:
        for line in sys.stdin:
            file.seek(0)
            try:
                data = io.BytesIO(file.read())
                with c2pa.Reader(json.loads(line)["type"], data, context=context) as reader:
                    answer = summary(json.loads(reader.json()))
            except Exception as error:  # whatever is wrong with the manifest
                answer = {"state": "Invalid", "codes": [], "error": f"{error}"[:MOST_TEXT]}
            print(json.dumps(answer), flush=True)


def summary(store: dict[str, Any]) -> dict[str, Any]:
    """What is needed of a manifest store as c2pa reports it, cut to a bounded size.

    `state` is c2pa's Valid, Trusted or Invalid and `codes` what did not hold; of the active manifest
    `generator` and `signer`; `sources` of it and its ingredients, see `_sources`.
    """
    active = store["manifests"][store["active_manifest"]]
    signed = active.get("signature_info") or {}
    made = (active.get("claim_generator_info") or [{}])[0]
    return {
        "state": store.get("validation_state"),
        "codes": sorted({f"{one['code']}"[:MOST_TEXT] for one in store.get("validation_status") or []})[:16],
        "generator": f"{made.get('name') or active.get('claim_generator') or ''}"[:MOST_TEXT],
        "signer": ", ".join(filter(None, (signed.get("common_name"), signed.get("issuer"))))[:MOST_TEXT],
        "sources": list(_sources(store["manifests"], store["active_manifest"])),
    }


def _sources(manifests: dict[str, Any], active: str) -> Iterator[dict[str, Any]]:
    """Each digital source type, and whether it is of the whole image.

    That is: of the action that created it, in the active manifest or in what that was made of by editing
    (`parentOf`). Others are of a part: what was edited in, and ingredients that were placed.
    """
    waiting, seen, actions = [(active, True)], {active}, 0
    while waiting and len(seen) <= MOST_MANIFESTS:
        label, whole = waiting.pop(0)
        manifest = manifests.get(label) or {}
        for assertion in manifest.get("assertions") or []:
            if not f"{assertion.get('label')}".startswith("c2pa.actions"):
                continue
            for action in (assertion.get("data") or {}).get("actions") or []:
                kind = action.get("digitalSourceType")
                if isinstance(kind, str) and actions < MOST_ACTIONS:
                    actions += 1
                    created = action.get("action") == "c2pa.created"
                    yield {"type": kind[:MOST_TEXT], "whole": whole and created}
        for ingredient in manifest.get("ingredients") or []:
            source = ingredient.get("active_manifest")
            if isinstance(source, str) and source not in seen and len(seen) < MOST_MANIFESTS:
                seen.add(source)
                waiting.append((source, whole and ingredient.get("relationship") == "parentOf"))


if __name__ == "__main__":
    main()
