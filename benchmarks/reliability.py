"""Crash points, simulated crashes and damaged folders: how many were tried, and how many went wrong.

    python -m benchmarks.reliability [-k NAME]

Runs the tests of the slow tier that count them, and prints their figures; docs/reliability.md says what they mean.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[1]
TESTS = tuple(f"tests/runs/test_{name}.py" for name in ("crashes", "agent_crashes", "simulated_disk", "damages"))


def figures(choice: str) -> list[tuple[str, str, str]]:
    """Test, name and value of every figure; choice: pytest's expression for the tests to run, empty: all."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "slow", "-o", "junit_family=xunit1"]
        subprocess.run([*command, f"--junitxml={file}", *(["-k", choice] if choice else []), *TESTS], cwd=ROOT)
        cases = ElementTree.parse(file).getroot().iter("testcase")
        return [
            (case.attrib["name"], figure.attrib["name"], figure.attrib["value"])
            for case in cases
            for figure in case.iter("property")
        ]


def main() -> None:
    """Print the figures as a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", default="", help="pytest's expression for the tests to run; default: all")
    for test, name, value in figures(parser.parse_args().k):
        print(f"{value:>6}  {name}  ({test})")


if __name__ == "__main__":
    main()
