"""`inference.GRPCInferenceService`: the Open Inference Protocol on the gRPC door."""
