"""`assay train`: one command for each kind of detector. Torch is imported when one runs."""

from assay.engine.commands.group import commands
from assay.trainers.cli.ensemble import ensemble
from assay.trainers.cli.kind import command
from assay.trainers.cli.probe import probe
from assay.trainers.kinds import KINDS

train = commands("Train a detector on a folder of photographs and synthetic images.")
for _name, _kind in KINDS.items():
    train.command(_name)(command(_name, _kind))
train.command("probe")(probe)
train.command("ensemble")(ensemble)
