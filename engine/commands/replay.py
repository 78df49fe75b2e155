"""`assay replay`: the dead letters of a Kafka topic, sent through again."""

import logging
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from assay.engine.commands.log import start_log
from assay.engine.commands.options import ConfigFile, Verbose
from assay.engine.config import Config, load, read_config
from assay.engine.doors.kafka import complaints
from assay.engine.doors.kafka.replay import Choice, Replay, Sums
from assay.engine.doors.kafka.settings import KafkaSettings, ReplaySettings
from assay.engine.errors import SetupError
from assay.engine.outcome import Reason
from assay.engine.printable import printable


def replay_command(
    kafka: Annotated[
        str | None, typer.Option("--kafka", help="Brokers, HOST:PORT, separated by commas.")
    ] = None,
    rejects: Annotated[str | None, typer.Option("--rejects", help="Topic of the dead letters.")] = None,
    reason: Annotated[
        list[Reason] | None, typer.Option(help="Only those rejected for this; repeat for more.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only those rejected at this time or later: 2026-11-28T10:30, in UTC.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Only those rejected before this time.")] = None,
    to: Annotated[
        str | None, typer.Option(help="Topic to send them to, by default the one each came from.")
    ] = None,
    max_replays: Annotated[
        int, typer.Option(min=1, help="Leave those whose record was sent again as often as this.")
    ] = 3,
    name: Annotated[
        str | None,
        typer.Option(help="Name of this replay, by default one for what is chosen; it goes on where it was."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing, count by reason.")] = False,
    config: ConfigFile = None,
    verbose: Verbose = False,
) -> None:
    """Send the dead letters of a Kafka topic through again: as they came, with their story in headers.

    Each is sent exactly once, however often the command is stopped and started again. It ends at what is in
    the topic when it begins.
    """
    start_log(logging.INFO if verbose else logging.WARNING)
    settings = load(ReplaySettings, _of_replay(read_config(config)), "kafka", brokers=kafka, rejects=rejects)
    reasons = frozenset(one.value for one in reason or ())
    choice = Choice(
        settings.rejects, reasons, _time("--since", since), _time("--until", until), to, max_replays
    )
    if choice.to == settings.rejects:
        raise SetupError(
            f"option --to: dead letters cannot be sent to {to}, the topic that they are read from"
        )
    replay = Replay(settings, choice, name)
    console = Console(stderr=True)
    bar = Progress(console=console, transient=True, disable=not console.is_terminal)
    with complaints.throttled(), bar:
        task = bar.add_task("dead letters", total=None)

        def show(sums: Sums) -> None:
            bar.update(task, completed=sums.read, total=sums.total)

        sums = replay.run(dry_run, show)
    for line in _lines(sums, replay.name, dry_run):
        print(printable(line))


def _of_replay(config: Config) -> Config:
    """Of a server's table those settings that a replay has, and those that nobody knows."""
    servers = KafkaSettings.model_fields.keys() - ReplaySettings.model_fields.keys()
    table = {key: value for key, value in config.table("kafka").items() if key not in servers}
    return Config(config.file, {"kafka": table})


def _time(option: str, text: str | None) -> int | None:
    """A time of ISO 8601, in UTC where it says no zone, in milliseconds since 1970."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise SetupError(f"option {option}: {text!r} is no time such as 2026-11-28T10:30") from None
    return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * 1000)


def _lines(sums: Sums, name: str, dry: bool) -> list[str]:
    found = [f"{count:>9}  {reason}" for reason, count in sorted(sums.sent.items())]
    found += [f"{count:>9}  not sent: {why}" for why, count in sorted(sums.kept.items())]
    sent = f"{sums.sent.total()} {'would be sent' if dry else 'sent'} again"
    return [*found, f"{sent}, {sums.kept.total()} not sent, {sums.others} not chosen; replay {name}"]
