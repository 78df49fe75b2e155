"""The runtimes that run a bundle's graphs: one file each."""

import sys

# By this package OpenVINO and NNCF report to their makers that they are imported and used, and leave an
# identity in the home folder. Without it they take a stub. The whole process that uses Assay has none.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
