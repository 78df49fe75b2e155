"""TensorRT and TensorRT for RTX: the library, the builder, the executor."""
