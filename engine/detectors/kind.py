"""What a kind of detector is: the function, and what a bundle must bring for it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from assay.engine.bundle import Manifest
from assay.engine.detectors.detector import Choice, Detect, Detection, Detector, Graph, Image, Stopwatch


@dataclass(frozen=True)
class Kind:
    """What a bundle of this kind must bring, and the function that chains it.

    detect: the function; graphs: names of the graphs that a bundle must have; parameters: the form of the
        manifest's `parameters`.
    intermediate_bytes: memory that one image needs between its pixels and its score.
    choosing: graphs that choose indices, by the name that `detect` asks for; a bundle may lack optional ones.
    check: raises ValueError where graphs or view are not what `detect` needs.
    distance: the graph that may have an output `distance`.
    """

    detect: Detect
    graphs: frozenset[str]
    parameters: type[BaseModel]
    intermediate_bytes: Callable[[Manifest], int]
    choosing: Mapping[str, Choice] = field(default_factory=dict)
    check: Callable[[Manifest], None] = lambda manifest: None
    distance: str | None = None

    def choices(self, manifest: Manifest) -> Mapping[str, Choice]:
        """Those of `choosing` whose graph a bundle with that manifest has."""
        return {name: choice for name, choice in self.choosing.items() if choice.graph in manifest.graphs}

    def detector(self, manifest: Manifest) -> Detector:
        """The detector of a bundle with that manifest, whose parameters are checked here and not per batch.

        Raises:
            ValidationError: they are wrong.
        """
        parameters = self.parameters.model_validate(manifest.parameters)

        def detector(
            images: Sequence[Image], graphs: Mapping[str, Graph], watch: Stopwatch
        ) -> list[Detection]:
            return self.detect(images, graphs, manifest, parameters, watch)

        return detector
