"""The management plane: start, memory, and the creation of 10,000 runtimes. Lists are in lists.py.

`make bench` runs it; by hand: scripts/bench.sh management. Prints one figure a line, as JSON. Loopback only, bounded.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from alibabacloud_ecd20200930 import models as ecd  # noqa: E402
from harness import OPENCLAW_IMAGE, Server  # noqa: E402


def rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def report(what: str, **figures):
    print(json.dumps({"figure": what} | figures), flush=True)


def create(server: Server, site: str, amount: int):
    made = 0
    while made < amount:
        batch = min(300, amount - made)
        request = ecd.CreateDesktopsRequest(
            region_id="cn-hangzhou", office_site_id=site, amount=batch,
            desktop_attachment=ecd.CreateDesktopsRequestDesktopAttachment(
                image_id=OPENCLAW_IMAGE, desktop_type="cloud.space.4c.8g"
            ),
        )  # fmt: skip
        server.desktops.create_desktops(request)
        made += batch


def settled(server: Server, amount: int):
    request = ecd.DescribeDesktopsRequest(region_id="cn-hangzhou", desktop_status="Running", max_results=1)
    end = time.monotonic() + 300
    while server.desktops.describe_desktops(request).body.total_count < amount:
        if time.monotonic() > end:
            sys.exit("runtimes did not become Running within 300 s")
        time.sleep(0.5)


def main():
    server = Server("none", 1, "unused")
    started = time.monotonic()
    server.start()
    report("start to ready line, empty data directory", ms=round((time.monotonic() - started) * 1000))
    server.kill()
    for _ in range(3):
        started = time.monotonic()
        server.start()
        report("start to ready line, second start", ms=round((time.monotonic() - started) * 1000))
        time.sleep(2)
        report("RSS idle", mb=rss_mb(server.process.pid))
        server.kill()
    server.start()
    try:
        site = server.office_site("bench")
        create(server, site, 1)
        settled(server, 1)
        started = time.monotonic()
        create(server, site, 9_999)
        report("CreateDesktops of 9,999 in batches of 300", seconds=round(time.monotonic() - started, 1))
        settled(server, 10_000)
        report("10,000 runtimes reconciled without a driver", seconds=round(time.monotonic() - started, 1))
        report("RSS after that", mb=rss_mb(server.process.pid))
    finally:
        server.kill()
        subprocess.run(["rm", "-rf", server.data], check=False)


main()
