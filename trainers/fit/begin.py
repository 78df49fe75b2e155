"""What the training of every kind begins with."""

from assay.trainers.data.samples import Sample, of_split, read_samples
from assay.trainers.fit.distributed import Distributed
from assay.trainers.fit.run import RunConfig


def begin(run: RunConfig) -> tuple[Distributed, int, list[Sample], list[Sample]]:
    """This process among the others, the images that it computes at a time, and the run's samples of the
    splits train and val. Raises SetupError about data or processes."""
    rank = Distributed()
    micro_batch = rank.micro_batch(run.batch, run.fit.accumulate)
    samples = read_samples(run.data, run.min_side)
    return rank, micro_batch, of_split(samples, "train"), of_split(samples, "val")
