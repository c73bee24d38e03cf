"""Trials on TensorBoard's HParams page, as its own server finds them."""

from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups

from polyray.runs.hyperparameters import Scalar, write_hyperparameters
from polyray.runs.run import Run

pytestmark = pytest.mark.processes  # it imports TensorBoard's server


def page(folder: Path) -> tuple[list[str], list[str], dict[str, dict[str, Any]]]:
    """Columns of hyperparameters, figures, and the rows by the run of TensorBoard that they belong to."""
    multiplexer = EventMultiplexer(tensor_size_guidance={"scalars": 0, "tensors": 0})
    multiplexer.AddRunsFromDirectory(str(folder))
    multiplexer.Reload()
    provider = MultiplexerDataProvider(multiplexer, str(folder))
    backend, context = backend_context.Context(TBContext(data_provider=provider)), RequestContext()
    metadata = backend.hparams_metadata(context, "sweep")
    experiment = backend.experiment_from_metadata(context, "sweep", True, metadata, [])
    request = api_pb2.ListSessionGroupsRequest(
        start_index=0, slice_size=100, allowed_statuses=[api_pb2.STATUS_SUCCESS], include_metrics=True,
        col_params=[api_pb2.ColParams(metric=info.name) for info in experiment.metric_infos],
    )  # fmt: skip
    groups = list_session_groups.Handler(context, backend, "sweep", request).run().session_groups
    rows = {
        group.sessions[0].name: {
            **{name: value.number_value or value.string_value for name, value in group.hparams.items()},
            **{value.name.tag: value.value for value in group.metric_values},
        }
        for group in groups
    }
    columns = sorted(info.name for info in experiment.hparam_infos)
    return columns, [info.name.tag for info in experiment.metric_infos], rows


def test_every_trial_is_a_row_with_its_fields_and_its_goal_and_there_are_no_further_runs(tmp_path: Path) -> None:
    examples: dict[str, Scalar] = {"training.lr": 0.1, "routing.kind": "soft", "routing.temperature": 1.0}
    trials: dict[str, dict[str, Scalar]] = {
        "0000": {"training.lr": 0.25, "routing.kind": "shared"},
        "0001": {"training.lr": 0.5, "routing.kind": "soft", "routing.temperature": 2.0},
    }
    for (name, fields), goal in zip(trials.items(), (0.125, 0.75), strict=True):
        (tmp_path / "trials" / name).mkdir(parents=True)
        Run(tmp_path / "trials" / name).report(4, {"loss": 0.5})
        for value in (0.0, goal):  # written again, it counts once
            write_hyperparameters(tmp_path / "trials" / name, fields, examples, {"validation.score": value}, 4)
    columns, figures, rows = page(tmp_path)
    assert columns == sorted(examples) and figures == ["goal/validation.score"]
    assert rows == {
        "trials/0000/tensorboard": {**trials["0000"], "goal/validation.score": 0.125},
        "trials/0001/tensorboard": {**trials["0001"], "goal/validation.score": 0.75},
    }
