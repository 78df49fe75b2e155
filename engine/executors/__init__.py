"""The runtimes that run a bundle's graphs: one file each. None of them reports to its makers."""

import os
import sys

# By this package OpenVINO and NNCF report that they are imported and used, and leave an identity in the home
# folder. Without it they take a stub. The whole process that uses Assay has none.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
# ONNX Runtime 1.29 and later report sessions, models' names and hashes among them.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
