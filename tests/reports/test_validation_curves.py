"""The curves of a validation, of a training and of those inside a comparison."""

from pathlib import Path

from test_report import comparison_run, language_run, pictures, section

from polyray.reports.sections.curves import validation
from polyray.runs.result import write_result
from polyray.runs.run import Run


def test_validation_is_drawn_beside_the_loss_and_for_itself_with_the_state_that_was_kept(tmp_path: Path) -> None:
    one = language_run(tmp_path / "one")
    for name, run in (("one", one), ("many", comparison_run(tmp_path / "many") / "shared")):
        for step, score in ((6, 0.25), (10, 0.125)):
            figures = {"score": score, "loss": 4.0, "tasks": {"a": score, "b": score}, "losses": {"a": 4.0, "b": 4.0}}
            Run(run).report(step, {"validation": figures})
        write_result(run, "polytropon", "done", 1.0, {"validation": {"score": 0.25, "loss": 4.0, "step": 6}}, [])
        (losses,) = pictures(section("loss_curves", tmp_path / name))
        curves = {"one": ["training", "dev"], "many": ["SHARED", "SHARED, dev", "SKILLED", "own"]}[name]
        assert all(f">{curve}<" in losses.svg for curve in curves) and "of the state at the point" in losses.caption
    (scores,) = pictures(section("validation_curves", one))
    assert all(f">{curve}<" in scores.svg for curve in ("mean", "a", "b", "validation score"))
    assert scores.caption.endswith("does not see. The skills are of the state after step 6, which scored 0.250.")
    (scores,) = pictures(section("validation_curves", tmp_path / "many"))
    assert ">a<" not in scores.svg and "The skills of SHARED are of the state after step 6" in scores.caption
    tasks = {f"task-{number}": 0.5 for number in range(10)}
    Run(one).report(12, {"validation": {"score": 0.5, "loss": 1.0, "tasks": tasks}})
    (scores,) = pictures(section("validation_curves", one))
    assert "task-" not in scores.svg, "too many tasks to draw"


def test_a_run_that_was_validated_at_its_end_alone_has_no_curve(tmp_path: Path) -> None:
    write_result(tmp_path, "adapt", "done", 1.0, {"mean": 0.5, "validation": {"score": 0.5}}, [])
    assert validation(tmp_path) is None
