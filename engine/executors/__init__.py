"""The runtimes that run a bundle's graphs: one file each."""
