"""Every .cu file compiles to machine code of every GPU generation that Assay names; NVRTC needs no GPU."""

import pytest

from assay.kernels.launch import FOLDER, OPTIONS

FILES = sorted(path.name for path in FOLDER.glob("*.cu"))
assert FILES


@pytest.mark.parametrize("architecture", [75, 80, 86, 89, 90, 100, 120])
@pytest.mark.parametrize("file", FILES)
def test_file_compiles(file: str, architecture: int) -> None:
    nvrtc = pytest.importorskip("cupy", reason="needs CuPy and NVRTC (the gpu extra)").cuda.nvrtc
    source = (FOLDER / file).read_text()
    program = nvrtc.createProgram(source, file, (), ())
    try:
        nvrtc.compileProgram(program, (*OPTIONS, f"--gpu-architecture=sm_{architecture}"))
    except nvrtc.NVRTCError:
        pytest.fail(nvrtc.getProgramLog(program))
    else:
        assert nvrtc.getProgramLog(program).strip("\0\n") == ""  # no warning
        assert len(nvrtc.getCUBIN(program)) > 0
    finally:
        nvrtc.destroyProgram(program)
