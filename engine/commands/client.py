"""`assay client PATH...`: what `assay scan` does, on a server."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from assay.engine.client import MAX_IMAGE, Client
from assay.engine.doors.files import find_files, read_file
from assay.engine.outcome import Refused
from assay.engine.report import lines as report
from assay.engine.security.client import channel_credentials, read_token
from assay.engine.settings import Limits
from assay.engine.streams import say

# Files are at hand, so that several in a message delay none and cost less.
FILES_PER_MESSAGE = 8


def client_command(
    paths: Annotated[list[Path], typer.Argument(help="Files, and folders with all that is below them.")],
    server: Annotated[str, typer.Option("--server", "-s", help="HOST:PORT of `assay serve --grpc`.")],
    bundle: Annotated[
        str | None, typer.Option("--bundle", "-b", help="A bundle that is served; by default its first.")
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Speak TLS; implied by the files of certificates.")
    ] = False,
    ca_file: Annotated[
        Path | None,
        typer.Option(help="PEM file of the authorities that the server's certificate may be signed by."),
    ] = None,
    certificate_file: Annotated[
        Path | None, typer.Option(help="PEM file of this client's certificate; with --key-file.")
    ] = None,
    key_file: Annotated[Path | None, typer.Option(help="PEM file of its key.")] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token that goes with each call.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write a CSV file.")] = None,
) -> None:
    """Send files and folders to a server: one line for each regular file, as the outcomes come."""
    credentials = channel_credentials(tls, ca_file, certificate_file, key_file)
    token = read_token(token_file) if token_file else None
    total = sum(1 for _ in find_files(paths))
    client = Client(server, bundle=bundle, timeout=None, credentials=credentials, token=token)
    with report.writer(as_json, csv) as write, client:
        start = perf_counter()
        tally = report.Tally()
        for path, outcome in report.with_progress(_scored(client, paths), total):
            write(path, outcome)
            tally.add(outcome)
        say(tally.summary(perf_counter() - start))


def _scored(client: Client, paths: list[Path]) -> Iterator[report.Scored]:
    on_the_way: dict[str, Path] = {}
    unread: list[report.Scored] = []

    def images() -> Iterator[tuple[str, bytes]]:
        for number, path in enumerate(find_files(paths, say)):
            try:
                data = read_file(path, Limits(max_bytes=MAX_IMAGE))
            except Refused as refused:
                unread.append((path, refused.rejection(str(path))))
                continue
            # A path need not be UTF-8, as an id must.
            on_the_way[str(number)] = path
            yield str(number), data

    for outcome in client.score_many(images(), per_message=FILES_PER_MESSAGE):
        path = on_the_way.pop(outcome.id)
        yield path, replace(outcome, id=str(path))
        while unread:
            yield unread.pop()
    yield from unread
