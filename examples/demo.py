"""What foretell does, in one run: start the service, post the examples, draw a double-descent curve, look at real data.

``make demo`` runs this. It needs nothing but the installed package; the service listens on a free port of 127.0.0.1 and
keeps its files in a temporary folder.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent
BAR_WIDTH = 60


@contextmanager
def running_service(folder: Path) -> Iterator[str]:
    """Start ``foretell serve`` on a free port and give its address; stop it afterwards."""
    log_file = folder / "service.log"
    command = [
        sys.executable,
        "-m",
        "service",
        "serve",
        "--port",
        "0",
        "--log-format",
        "json",
        "--data-dir",
        str(folder),
    ]
    with log_file.open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        url = None
        deadline = time.monotonic() + 60
        while url is None or not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the service did not start:\n{log_file.read_text()}")
            found = re.search(r'"url":"(http://[^"]+)"', log_file.read_text())
            url = found.group(1) if found else None
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def answers(url: str) -> bool:
    """Whether a service answers there."""
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=5):
            return True
    except OSError:
        return False


def post(address: str, request: dict[str, Any]) -> dict[str, Any]:
    """Post one request."""
    posted = urllib.request.Request(
        address, data=json.dumps(request).encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(posted, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
    except urllib.error.HTTPError as error:
        raise SystemExit(f"refused: {error.read().decode()}") from None
    return found


def number(value: float | None) -> str:
    """Write a number in twelve columns; null as a dash."""
    return f"{'-':>12}" if value is None else f"{value:12.5g}"


def post_examples(url: str) -> None:
    """Post every request of this folder and print what comes back."""
    print(f"{'example':<26}{'status':<12}{'test':>12}{'train':>12}{'bias':>12}{'variance':>12}  phase")
    for file in sorted(EXAMPLES.glob("*.json")):
        answer = post(f"{url}/v1/predictions", json.loads(file.read_text()))
        values = "".join(number(answer[name]) for name in ("test_error", "train_error", "bias", "variance"))
        print(f"{file.stem:<26}{answer['status']:<12}{values}  {answer['phase']}")
        for warning in answer["warnings"]:
            print(f"    {warning['code']}: {warning['detail']}")


def draw_double_descent(url: str) -> None:
    """Draw the test error of a model without and with penalties over the number of samples, in one request."""
    request = json.loads((EXAMPLES / "sweeps" / "double_descent.json").read_text())
    found = post(f"{url}/v1/sweeps", request)
    samples, penalties = (axis["values"] for axis in found["axes"])
    print(f"\nDouble descent: test error over n_samples, d = 200, noise variance 0.25, penalties {penalties}")
    for n_samples, errors in zip(samples, found["columns"]["test_error"], strict=True):
        bar = "infinite" if errors[0] is None else "#" * min(BAR_WIDTH, round(8 * errors[0]))
        print(f"{n_samples:>6.0f} {''.join(map(number, errors))} {bar}")
    for item in found["divergences"]:
        print(f"the theory diverges at {item['path']} = {item['at']:g}")


def main() -> None:
    """Run the demonstration."""
    with tempfile.TemporaryDirectory(prefix="foretell-demo-") as folder, running_service(Path(folder)) as url:
        print(f"foretell is serving on {url}\n")
        post_examples(url)
        draw_double_descent(url)
    print(
        "\nThe service has stopped. Real data, predicted from spectrum and target energies against scikit-learn's Ridge:\n"
    )
    subprocess.run([sys.executable, str(EXAMPLES / "real_data.py")], check=True)


if __name__ == "__main__":
    main()
