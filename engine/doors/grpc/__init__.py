"""The gRPC door: service, streams, and the bridge between asyncio and the core's futures."""

from assay.engine.doors.grpc.door import GrpcDoor, GrpcSettings

__all__ = ["GrpcDoor", "GrpcSettings"]
