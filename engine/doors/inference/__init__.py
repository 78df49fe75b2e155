"""The Open Inference Protocol without its transports: bundles as models, images and outcomes as tensors.

gRPC (`doors/grpc/inference`) and HTTP (`doors/http/inference.py`) read and write its messages.
"""
