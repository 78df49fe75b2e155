import types

import assay.kernels


def test_all_names_exactly_what_is_public() -> None:
    public = {
        name
        for name, value in vars(assay.kernels).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert sorted(assay.kernels.__all__) == assay.kernels.__all__ == sorted(public)


def test_every_public_name_says_what_it_is() -> None:
    for name in assay.kernels.__all__:
        value = getattr(assay.kernels, name)
        assert value.__module__.startswith("assay.kernels.")
        assert len(value.__doc__) > 40, name
