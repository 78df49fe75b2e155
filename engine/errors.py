"""Errors that are about the engine or its set-up, never about one image.

    AssayError
    ├── BundleError    a bundle cannot be served: what is wrong with which file
    ├── SetupError     a setting, a path, an address or a broker does not work
    └── EngineFault    no worker is left that passes its self-test; items were not scored

The command line prints the sentence of any of them and exits with code 2 (`EngineFault`: 1), without a
traceback.
"""


class AssayError(Exception):
    """Base of all errors that carry a sentence for the person who runs Assay."""


class BundleError(AssayError):
    """A bundle cannot be served."""


class SetupError(AssayError):
    """A setting, a path, an address or a broker does not work."""


class EngineFault(AssayError):
    """The engine lost its last worker; what it held was not scored and has no outcome."""
