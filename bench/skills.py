"""The skill scanner on the corpus in crates/skills/corpus: packages per second and core, time of a package, memory with
the largest package there may be, and Cisco's skill-scanner (static analysers) on the same packages in the same run.

By hand: scripts/bench.sh skills (or CREEL_SCAN_CORPUS set to the built example). Prints one figure a line, as JSON.
CREEL_BENCH_SKILLS may name more folders with skills, one a line, for instance of a collection. No network but for
installing the other scanner.
"""

import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SCAN = os.environ["CREEL_SCAN_CORPUS"]
CISCO = "cisco-ai-skill-scanner==2.3.2"
CORPUS = ROOT / "crates/skills/corpus"
MIB = 1024 * 1024
ROUNDS = 3
# As crates/wire/src/skill_content.rs has them.
CONTENT_BYTES_MAX = 64 * MIB
FILE_BYTES_MAX = 32 * MIB


def report(what: str, **figures):
    print(json.dumps({"figure": what} | figures), flush=True)


def run(command: list, **more) -> tuple[str, float, float, float]:
    """Output, seconds on the clock, seconds of processor, and the peak of memory of all children so far in MB."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, **more)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode != 0:
        raise SystemExit(f"{command[0]} exited with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout, wall, cpu, round(after.ru_maxrss / 1000, 1)


def folders() -> list[str]:
    own = [str(path) for kind in ("benign", "malicious") for path in sorted((CORPUS / kind).iterdir())]
    return own + [line for line in os.environ.get("CREEL_BENCH_SKILLS", "").splitlines() if line]


def ours(packages: list[str]):
    times = []
    for _ in range(ROUNDS):
        out, _, cpu, peak = run([SCAN, "-"], input="\n".join(packages))
        lines = [json.loads(line) for line in out.splitlines()]
        times += [line["micros"] for line in lines]
    times.sort()
    report(
        "scan of a package, rules compiled",
        packages=len(packages),
        p50_ms=round(times[len(times) // 2] / 1000, 2),
        p95_ms=round(times[len(times) * 95 // 100] / 1000, 2),
        packages_per_second_and_core=round(len(times) / (sum(times) / 1e6), 1),
    )
    # With the start of the process and the rules, as the other scanner is measured.
    report("the whole run", packages=len(packages), packages_per_cpu_second=round(len(packages) / cpu, 1), peak_mb=peak)


def largest(kind: str, make):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "largest"
        root.mkdir()
        head = b"---\nname: largest\ndescription: The largest package.\n---\n\nHello.\n"
        (root / "SKILL.md").write_bytes(head)
        for number in range(2):
            size = FILE_BYTES_MAX if number == 0 else CONTENT_BYTES_MAX - FILE_BYTES_MAX - len(head)
            (root / f"data{number}.txt").write_bytes(make(size))
        # A child of its own, for the peak of children never falls.
        code = (
            "import resource, subprocess, sys; out = subprocess.run(sys.argv[1:], capture_output=True, text=True).stdout;"
            "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss); print(out, end='')"
        )
        out, wall, _, _ = run([sys.executable, "-c", code, SCAN, str(root)])
        peak, line = out.split("\n", 1)
        line = json.loads(line)
        report(
            f"the largest package, {kind}",
            bytes=line["bytes"],
            seconds=round(line["micros"] / 1e6, 2),
            peak_mb=round(int(peak) / 1000, 1),
            verdict=line["verdict"],
            unread=len(line["unread"]),
            wall_s=round(wall, 1),
        )


def words(size: int) -> bytes:
    source = random.Random(1)
    line = [source.choice(["agent", "skill", "curl", "https://x.example/a", "read", "the", "file", "技能"]) for _ in range(4096)]
    text = "".join(word + ("\n" if n % 12 == 0 else " ") for n, word in enumerate(line)).encode()
    return (text * (size // len(text) + 1))[:size].decode(errors="ignore").encode().ljust(size)


def encoded(size: int) -> bytes:
    import base64

    block = base64.b64encode(b"a text that is encoded and says nothing that matters, over and over again") + b"\n"
    return (block * (size // len(block) + 1))[:size]


def cisco():
    folder = Path(os.environ.get("CREEL_CACHE", tempfile.gettempdir())) / "skill-scanner"
    program = folder / "bin" / "skill-scanner"
    if not program.exists():
        venv.create(folder, with_pip=True)
        subprocess.run([folder / "bin" / "pip", "install", "-q", CISCO], check=True, timeout=600)
    packages = sum(1 for kind in ("benign", "malicious") for _ in (CORPUS / kind).iterdir())
    with tempfile.TemporaryDirectory() as out:
        found = {}
        cpu = wall = 0.0
        for kind in ("benign", "malicious"):
            result = Path(out) / f"{kind}.json"
            _, w, c, _ = run([program, "scan-all", CORPUS / kind, "--recursive", "--format", "json", "-o", result])
            wall, cpu = wall + w, cpu + c
            results = json.loads(result.read_text())["results"]
            bad = [r for r in results if r.get("max_severity") in ("HIGH", "CRITICAL")]
            found[kind] = f"{len(bad)} of {len(results)} at HIGH or above"
    report(
        "the same packages, " + CISCO,
        packages=packages,
        packages_per_cpu_second=round(packages / cpu, 1),
        wall_s=round(wall, 1),
        **found,
    )


def main():
    ours(folders())
    largest("words", words)
    largest("base64", encoded)
    cisco()


main()
