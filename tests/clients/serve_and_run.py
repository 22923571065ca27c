"""Start the service and run the generated clients' round trips against it; called by tests/clients/check."""

import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.running import RunningService

work = Path(sys.argv[1])
here = Path(__file__).parent
with tempfile.TemporaryDirectory() as folder, RunningService(Path(folder)) as service:
    bundle = [
        "npx",
        "esbuild",
        "round_trip.ts",
        "--bundle",
        "--platform=node",
        "--format=esm",
        "--outfile=round_trip.mjs",
    ]
    subprocess.run([*bundle, "--log-level=warning"], check=True, cwd=work)
    subprocess.run(["node", "round_trip.mjs", service.url], check=True, cwd=work)
    subprocess.run([work / "venv/bin/python", here / "round_trip.py", service.url], check=True)
