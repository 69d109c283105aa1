"""Serve the CRM: `python -m examples.crm`. If $CRM_TOKEN is set, callers must bear that token."""

import argparse
import os

import uvicorn

from examples.crm.app import RateLimit, create_app


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m examples.crm", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--port", type=int, default=8090)
    parser.add_argument("--calls-per-second", type=float, default=20)
    parser.add_argument("--burst", type=int, default=20)
    options = parser.parse_args()
    limit = RateLimit(options.calls_per_second, options.burst)
    app = create_app(token=os.environ.get("CRM_TOKEN") or None, limit=limit)
    uvicorn.run(app, host=options.host, port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
