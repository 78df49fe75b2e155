"""The procedures of the papers as published, for benchmarks to compare with."""
