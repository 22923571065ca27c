"""What ``foretell data --url`` asks of a running service, by the standard library."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import quote
from uuid import uuid4

from api_schemas.dataset import Dataset, DatasetForm
from service.problems import KINDS, ProblemException

SENT_BYTES = 2**18
SENT_SHARE = 0.3
"""Of the progress that is shown; the rest is the job's."""
POLL_SECONDS = 0.3
TIMEOUT = 60.0
ENDED = ("succeeded", "failed", "cancelled")


class Service:
    """A running service.

    Args:
        url: where it listens.
        api_key: for it, if it asks for one.
    """

    def __init__(self, url: str, api_key: str | None) -> None:
        self._url = url.rstrip("/")
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}

    def add(self, file: Path, form: DatasetForm, report: Callable[[float], object]) -> Dataset:
        """Send a file and wait until it has been read in.

        Args:
            file: that is sent.
            form: how it is to be read.
            report: called with the share that is done.

        Raises:
            ProblemException: it was refused.
        """
        boundary = uuid4().hex
        fields = [(name, value) for name, value in form.model_dump(exclude_none=True).items() if name != "target"]
        fields += [("target", '"' + value.replace('"', '""') + '"') for value in form.target]
        head = "".join(
            f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields
        )
        head += f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{quote(file.name, safe=" .")}"\r\n\r\n'
        tail = f"\r\n--{boundary}--\r\n"
        size = file.stat().st_size

        def body() -> Iterator[bytes]:
            yield head.encode()
            sent = 0
            with file.open("rb") as source:
                while data := source.read(SENT_BYTES):
                    yield data
                    sent += len(data)
                    report(SENT_SHARE * sent / size)
            yield tail.encode()

        headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(head.encode()) + size + len(tail)),
        }
        job = self._ask("POST", "/v1/datasets", body(), headers)
        while job["status"] not in ENDED:
            time.sleep(POLL_SECONDS)
            job = self._ask("GET", f"/v1/jobs/{job['id']}")
            report(SENT_SHARE + (1.0 - SENT_SHARE) * job["progress"])
        if job["status"] == "succeeded":
            return Dataset.model_validate(job["result"])
        problem = job["problem"] or {"code": "internal_error", "detail": "the job was cancelled"}
        raise ProblemException(problem["code"], problem["detail"])

    def datasets(self) -> Iterator[Dataset]:
        """Return all data sets, the newest first."""
        cursor: str | None = ""
        while cursor is not None:
            page = self._ask("GET", "/v1/datasets?limit=100" + (f"&cursor={quote(cursor)}" if cursor else ""))
            for found in page["datasets"]:
                yield Dataset.model_validate(found)
            cursor = page["next_cursor"]

    def delete(self, dataset_id: str) -> None:
        """Delete a data set."""
        self._ask("DELETE", f"/v1/datasets/{dataset_id}")

    def _ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the user's own URL, checked by urllib to have a known scheme
            self._url + path, data=body, headers={**self._headers, **(headers or {})}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:  # noqa: S310 - as above
                text = response.read()
        except urllib.error.HTTPError as error:
            with error:
                _raise(error.read())
        return json.loads(text) if text else None


def _raise(body: bytes) -> NoReturn:
    try:
        problem = json.loads(body)
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        code, detail = "bad_request", f"the service answered {body[:200]!r}"
    raise ProblemException(code if code in KINDS else "bad_request", detail)
