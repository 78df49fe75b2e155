"""The Kafka door: images in from a topic, verdicts and rejections out to two others."""

from assay.engine.doors.kafka.door import KafkaDoor
from assay.engine.doors.kafka.settings import KafkaSettings

__all__ = ["KafkaDoor", "KafkaSettings"]
