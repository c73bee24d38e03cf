"""A worker's start pays for no library that few workers need."""

import pytest

from benchmarks.imports import WORKER, library_rows, process

pytestmark = pytest.mark.processes
SLOW = ("datasets", "matplotlib", "peft", "scipy", "sklearn", "torch._dynamo", "torch.distributed.fsdp", "transformers")


def test_a_workers_imports_load_no_slow_library_that_few_workers_need() -> None:
    script = f"import sys, {', '.join(WORKER)}\nprint(*(name for name in {SLOW} if name in sys.modules))"
    assert process(script, None).stdout.split() == []


def test_the_shares_of_the_libraries_add_up_to_the_whole() -> None:
    rows = library_rows(("json",))
    assert "json" in [row["library"] for row in rows]
    assert sum(row["share_%"] for row in rows) == pytest.approx(100.0)


def test_a_module_that_is_missing_ends_the_benchmark_with_its_traceback() -> None:
    with pytest.raises(SystemExit, match="No module named 'no_such_module'"):
        process("import no_such_module", None)
