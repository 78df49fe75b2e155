"""The detectors' networks."""

from assay.trainers.models.apn import APN
from assay.trainers.models.denoiser import Denoiser, Student
from assay.trainers.models.face_cutter import FaceCutter
from assay.trainers.models.fusing import Fusing
from assay.trainers.models.lnp import LNP
from assay.trainers.models.plain import Plain

__all__ = ["APN", "LNP", "Denoiser", "FaceCutter", "Fusing", "Plain", "Student"]
