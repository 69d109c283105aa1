"""Serve the CRM: `python -m examples.crm --port 8090`, with the bearer token in $CRM_TOKEN."""

import argparse
import os

import uvicorn

from examples.crm.app import RateLimit, create_app


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m examples.crm", description=__doc__)
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--calls-per-second", type=float, default=20)
    parser.add_argument("--burst", type=int, default=20)
    options = parser.parse_args()
    token = os.environ.get("CRM_TOKEN")
    if not token:
        parser.error("set the environment variable CRM_TOKEN to the bearer token that callers must send")
    app = create_app(token=token, limit=RateLimit(options.calls_per_second, options.burst))
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
