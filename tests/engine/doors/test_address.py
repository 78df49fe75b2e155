import pytest

from assay.engine.doors.address import parse_address
from assay.engine.errors import SetupError


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("127.0.0.1:8001", ("127.0.0.1", 8001)),
        ("localhost:0", ("localhost", 0)),
        (":8001", ("0.0.0.0", 8001)),
        ("[::1]:65535", ("::1", 65535)),
        ("[::]:1", ("::", 1)),
    ],
)
def test_addresses_as_people_write_them(text: str, parsed: tuple[str, int]) -> None:
    assert parse_address(text, "gRPC") == parsed


@pytest.mark.parametrize(
    "text",
    ["", "8001", "localhost", "localhost:", "localhost:http", "localhost:65536", "::1:80", "a:-1", "a:²"],
)
def test_what_is_no_address_is_named_with_an_example(text: str) -> None:
    with pytest.raises(SetupError, match=r"the gRPC address .* is not HOST:PORT, for example"):
        parse_address(text, "gRPC")
