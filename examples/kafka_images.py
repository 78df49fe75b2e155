"""Put files onto the topic of images: a record for each, its name in the header `assay.id`.

assay serve --kafka localhost:9092 --in images --out verdicts --rejects rejects --group assay
python examples/kafka_images.py localhost:9092 images photos/
"""

import sys
from pathlib import Path

from kafka import KafkaProducer


def main(broker: str, topic: str, folder: str) -> None:
    producer = KafkaProducer(
        bootstrap_servers=broker,
        acks="all",  # an image that is acknowledged is not lost
        max_request_size=21 << 20,  # the largest image that Assay takes, and its headers
    )
    paths = sorted(path for path in Path(folder).rglob("*") if path.is_file())
    sent = [
        producer.send(topic, path.read_bytes(), headers=[("assay.id", str(path).encode())]) for path in paths
    ]
    producer.flush()
    for record in sent:
        record.get(timeout=60)  # raises what became of a record that was not taken
    producer.close()
    print(f"{len(sent)} images sent to {topic}")


if __name__ == "__main__":
    main(*sys.argv[1:])
