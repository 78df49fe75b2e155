"""Score a folder on a running server.

assay serve --grpc localhost:8001                  # in another terminal
python examples/grpc_client.py localhost:8001 photos/
"""

import sys
from pathlib import Path

from assay.engine.client import Client
from assay.engine.outcome import Verdict


def main(address: str, folder: str) -> None:
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    images = ((str(path), path.read_bytes()) for path in paths)  # read when there is room for it, not before
    with Client(address) as client:
        for outcome in client.score_many(images):  # each as soon as it is ready, in any order
            if isinstance(outcome, Verdict):
                print(f"{outcome.label:<10} {outcome.probability:.3f} {outcome.id}")
            else:
                print(f"no verdict ({outcome.reason}) {outcome.id}: {outcome.detail}")


if __name__ == "__main__":
    main(*sys.argv[1:])
