"""What manifests are made of."""

from typing import Any

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer


class Record(BaseModel):
    """Takes no unknown field and is not changed; a field that is None is not written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_serializer(mode="wrap")
    def _without_none(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        record: dict[str, Any] = write(self)
        return {name: value for name, value in record.items() if value is not None}
