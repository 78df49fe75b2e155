"""What `assay data` builds: the small benchmark, from packages."""
