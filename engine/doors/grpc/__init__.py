"""The gRPC door: its services and their streams."""

from assay.engine.doors.grpc.door import GrpcDoor, GrpcSettings

__all__ = ["GrpcDoor", "GrpcSettings"]
