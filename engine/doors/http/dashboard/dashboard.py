"""What the HTTP door answers for the dashboard: the files of its page, and `/v1/telemetry`."""

from collections.abc import Callable, Collection
from email.message import Message
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

from assay.engine.doors.address import is_loopback
from assay.engine.doors.http.answer import Answer, error
from assay.engine.doors.http.dashboard.files import load_files
from assay.engine.doors.http.dashboard.history import History
from assay.engine.doors.http.dashboard.recent import Recent

PAGE = "/dashboard/"
TELEMETRY = "/v1/telemetry"
RECENT = "/v1/recent"


class Dashboard:
    """Belongs to one event loop, in which `history.run()` is a task.

    bundles: names of those that are served. `guarded`: whoever asks needs a token or a certificate. Where
    nobody does, a name that some website has made to mean this machine (DNS rebinding) must not open it:
    `local` says that only loopback names do. `recent`: the latest verdicts, where they are shown.
    """

    def __init__(
        self, bundles: Callable[[], Collection[str]], local: bool, guarded: bool, recent: Recent | None = None
    ) -> None:
        self.history = History()
        self._recent = recent
        self._bundles = bundles
        self._by_name = local and not guarded
        self._files = load_files()

    def is_open(self, path: str) -> bool:
        """Whether `path` is had without a token: the page, which holds nothing, and has to ask for one."""
        return path in ("/", PAGE.rstrip("/")) or path.removeprefix(PAGE) in self._files

    def get(self, path: str, query: str, headers: "Message[str, str]") -> Answer | None:
        """The answer to GET; None where the dashboard has no such page."""
        if path not in (TELEMETRY, RECENT) and not path.startswith(RECENT + "/") and not self.is_open(path):
            return None
        if refusal := self.refuse(headers):
            return refusal
        if path == TELEMETRY:
            return self._telemetry(query)
        if path.startswith(RECENT):
            if self._recent is None:
                return error(HTTPStatus.NOT_FOUND, "the latest verdicts are not shown: http.recent is 0")
            return self._recent.as_json() if path == RECENT else self._recent.image(path[len(RECENT) + 1 :])
        if not path.startswith(PAGE):
            to = {"Location": PAGE}
            return Answer(HTTPStatus.TEMPORARY_REDIRECT, b"", "text/plain; charset=utf-8", to)
        return self._files[path.removeprefix(PAGE)]

    def refuse(self, headers: "Message[str, str]") -> Answer | None:
        """Why a request gets nothing of the dashboard: it was sent by another site's page, or to its name."""
        if headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") and (
            headers.get("Sec-Fetch-Mode") != "navigate"
        ):
            return error(HTTPStatus.FORBIDDEN, "the dashboard is not for the pages of other sites", last=True)
        host = _host(headers.get("Host", ""))
        if self._by_name and not is_loopback(host):
            why = f"open this as localhost, not as {host[:100]!r}; under another name it asks for tokens_file"
            return error(HTTPStatus.MISDIRECTED_REQUEST, why, last=True)
        return None

    def _telemetry(self, query: str) -> Answer:
        try:
            after = int(parse_qs(query).get("after", ["0"])[0][:20])
        except ValueError:
            return error(HTTPStatus.BAD_REQUEST, "'after' is the number of a sample")
        return Answer(
            HTTPStatus.OK,
            self.history.as_json(after, self._bundles(), recent=self._recent is not None),
            headers={"Cache-Control": "no-store"},
        )


def _host(stated: str) -> str:
    try:
        return urlsplit(f"//{stated}").hostname or ""
    except ValueError:
        return ""
