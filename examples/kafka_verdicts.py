"""Read verdicts and rejections, each image once, and stop after COUNT of them.

python examples/kafka_verdicts.py localhost:9092 verdicts rejects 100

Outcomes come at least once: after a crash of a server some come again. Their `id` says so, as long as the
names that you give to images are unique.
"""

import json
import sys
from typing import Any

from kafka import KafkaConsumer


def outcome_of(record: Any, rejects: str) -> tuple[str, str]:
    """The id of an image, and what came of it."""
    headers = {name: value.decode() for name, value in record.headers}  # of a repeated name the last counts
    if record.topic == rejects:  # the value is the image itself, as it was sent
        where = "/".join(headers[name] for name in ("assay.topic", "assay.partition", "assay.offset"))
        reason, detail = headers["assay.reason"], headers["assay.detail"]
        return headers.get("assay.id", where), f"no verdict ({reason}): {detail}"
    verdict = json.loads(record.value)
    return verdict["id"], f"{verdict['label']} {verdict['probability']:.3f}"


def main(broker: str, verdicts: str, rejects: str, count: str) -> None:
    consumer = KafkaConsumer(
        verdicts, rejects, bootstrap_servers=broker, group_id="example", auto_offset_reset="earliest"
    )
    seen: set[str] = set()
    for record in consumer:
        name, outcome = outcome_of(record, rejects)
        if name not in seen:
            seen.add(name)
            print(f"{name}: {outcome}", flush=True)
        if len(seen) == int(count):
            break
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
