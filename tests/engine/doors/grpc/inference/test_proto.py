"""Our cut of the protocol's messages against those that tritonclient ships: same names, same numbers."""

import pytest
from google.protobuf.descriptor import Descriptor
from tritonclient.grpc import model_config_pb2, service_pb2

from assay.engine.wire.inference import service_pb2 as ours

THEIRS = {**service_pb2.DESCRIPTOR.message_types_by_name, **model_config_pb2.DESCRIPTOR.message_types_by_name}


def check(our: Descriptor, their: Descriptor) -> None:
    theirs = their.fields_by_name
    for field in our.fields:
        other = theirs[field.name]
        assert (field.number, field.is_repeated) == (other.number, other.is_repeated), field.full_name
        assert field.type == other.type, field.full_name
    for nested in our.nested_types:
        check(nested, their.nested_types_by_name[nested.name])


@pytest.mark.parametrize("name", sorted(ours.DESCRIPTOR.message_types_by_name))
def test_every_message_has_the_published_fields(name: str) -> None:
    check(ours.DESCRIPTOR.message_types_by_name[name], THEIRS[name])


def test_every_call_has_the_published_form() -> None:
    their = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods_by_name
    for method in ours.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods:
        other = their[method.name]
        assert method.input_type.full_name == other.input_type.full_name
        assert method.output_type.full_name == other.output_type.full_name
        assert (method.client_streaming, method.server_streaming) == (
            other.client_streaming,
            other.server_streaming,
        )


def test_data_types_have_the_published_numbers() -> None:
    assert set(ours.DataType.items()) <= set(model_config_pb2.DataType.items())
