"""The files in jobs/cluster for Ray's cluster launcher, Kubernetes and SkyPilot: every field is one that exists."""

import copy
import re
from pathlib import Path

import pytest
from cluster_file_cases import KUBERNETES, RAY_UP, YAML, commands, read, shape, start_parameters, text_of, texts
from cluster_file_cases import unknown_options as unknown
from ray.autoscaler._private.util import prepare_config, validate_config
from shape_cases import misspellings, mistakes, read_schema, shape_of

import polyray
from polyray.config import load_config
from polyray.jobs.table import JOBS
from polyray.sweeps.options import read_options
from polyray.tune_spaces.loading import find_space, load_space

PLACEHOLDERS = (
    "BUCKET", "CLONE", "FILE_SYSTEM", "HEAD", "IMAGE_ID", "PROJECT_ID", "REGISTRY", "SOURCE_IMAGE", "SPOT_LABEL",
    "STORAGE_CLASS", "USER",
)  # fmt: skip


def test_every_field_exists_and_a_misspelt_one_is_named() -> None:
    wrong, tried = [], 0
    for name in YAML:
        document, fields = read(name), shape(name)
        wrong += [f"{name}{line}" for line in mistakes(document, fields)]
        for spelling, broken in misspellings(document, fields):
            tried += 1
            if not any(line.endswith(f".{spelling}: no such field") for line in mistakes(broken, fields)):
                wrong.append(f"{name}: {spelling} is not noticed")
    assert not wrong, "\n".join(wrong)
    assert tried > 150


def test_values_of_another_kind_are_noticed() -> None:
    cases = {
        "aws": lambda d: d.update(max_workers="many"),
        "gcp": lambda d: d["available_node_types"]["gpu"]["node_config"]["scheduling"].update(
            provisioningModel="CHEAP"
        ),
        "raycluster": lambda d: d["spec"]["workerGroupSpecs"][0].update(minReplicas="0"),
        "rayjob": lambda d: d["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}),
        "skypilot": lambda d: d["resources"].update(use_spot="yes"),
        "kubernetes_storage": lambda d: d["spec"].update(accessModes="ReadWriteMany"),
    }
    for name, change in cases.items():
        document = read(name)
        change(document)
        assert len(list(mistakes(document, shape(name)))) == 1, name


def test_ray_prepares_and_validates_its_cluster_files() -> None:
    for name in RAY_UP:
        config = prepare_config(read(name))
        validate_config(copy.deepcopy(config))
        types = config["available_node_types"]
        assert all(kind["min_workers"] == 0 for key, kind in types.items() if key != config["head_node_type"]), name
        with pytest.raises(Exception, match="idle_timeout_minute"):
            validate_config(prepare_config({**read(name), "idle_timeout_minute": 1}))


def test_files_stay_valid_with_a_bucket_instead_of_the_shared_disk(root: Path) -> None:
    page = (root / "docs" / "clusters" / "ray_up.md").read_text(encoding="utf-8")
    for name, package, rights in (
        ("aws", "s3fs==2026.9.0", {"IamInstanceProfile": {"Name": "PROFILE"}}),
        ("gcp", "gcsfs==2026.10.1", {"serviceAccounts": [{"email": "A", "scopes": ["B"]}]}),
    ):
        document = read(name)
        del document["initialization_commands"]
        document["docker"]["run_options"].remove("--volume /runs:/runs")
        assert package in page and next(iter(rights)) in page
        document["setup_commands"] = [f"pip install --quiet {package}"]
        for kind in document["available_node_types"].values():
            kind["node_config"].update(copy.deepcopy(rights))
        assert not list(mistakes(document, shape(name)))
        validate_config(prepare_config(document))
        assert not [text for text in texts(document) if "/runs" in text or "FILE_SYSTEM" in text]


def test_commands_of_ray_have_options_that_exist() -> None:
    wrong, counted = [], 0
    for name in YAML:
        starts = [arguments for text in texts(read(name)) for arguments in commands(text, "ray", "start")]
        counted += len(starts)
        wrong += [f"{name}: {line}" for arguments in starts for line in unknown(arguments)]
    assert not wrong, "\n".join(wrong)
    assert counted == 2 * len(RAY_UP)
    assert "dashboard-hos" in unknown(["--head", "--dashboard-hos=127.0.0.1"])[0]
    for name in ("raycluster", "rayjob"):
        spec = read(name)["spec"]
        cluster = spec.get("rayClusterSpec", spec)
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            assert start_parameters(group["rayStartParams"]) == []


def test_commands_of_polyray_would_run(root: Path) -> None:
    sources = {name: "\n".join(texts(read(name))) for name in YAML}
    sources["slurm"] = (root / "jobs" / "cluster" / "slurm.sh").read_text(encoding="utf-8").replace("COMMAND=(", "\n")
    sweeps = {
        name: commands(text.replace("sweep.gpus=1)", "sweep.gpus=1"), "polyray", "sweep")
        for name, text in sources.items()
    }
    for name in ("rayjob", "skypilot", "slurm"):
        (arguments,) = sweeps[name]
        job, space, *rest = arguments
        assert rest[0] == "--trials" and rest[2] == "--out", arguments
        _, for_job = read_options(find_space(space), rest[4:])
        assert load_space(space, job, JOBS[job].Config, None, for_job).job == job
        load_config(JOBS[job].Config, overrides=for_job)


def test_clusters_are_closed_and_grow_from_a_head_that_runs_no_trial() -> None:
    for name in RAY_UP:
        document = read(name)
        (head,), (worker,) = (
            commands("\n".join(document[f"{kind}_start_ray_commands"]), "ray", "start") for kind in ("head", "worker")
        )
        assert "--dashboard-host=127.0.0.1" in head and not any("dashboard" in word for word in worker)
        assert all("RAY_AUTH_MODE=token" in document[f"{kind}_start_ray_commands"][1] for kind in ("head", "worker"))
        assert document["file_mounts"] == {"~/.ray/auth_token": "~/.ray/auth_token"}
        no_trials = "--num-cpus=0" in head or document["available_node_types"]["head"]["resources"]["CPU"] == 0
        assert no_trials, name
    for name in ("raycluster", "rayjob"):
        spec = read(name)["spec"]
        cluster = spec.get("rayClusterSpec", spec)
        assert cluster["authOptions"] == {"mode": "token"} and cluster["enableInTreeAutoscaling"]
        assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
        assert {group["minReplicas"] for group in cluster["workerGroupSpecs"]} == {0}
    assert read("raycluster")["spec"]["headGroupSpec"]["rayStartParams"]["dashboard-host"] == "127.0.0.1"


def test_versions_in_the_files_are_those_that_are_tested(root: Path) -> None:
    pins = dict(line.split("==") for line in (root / "constraints.txt").read_text().split() if "==" in line)
    for name in YAML:
        assert set(re.findall(r"polyray:([\d.]+)", text_of(name))) <= {polyray.__version__}, name
        assert set(re.findall(r"rayVersion: ([\d.]+)", text_of(name))) <= {pins["ray"]}, name
        for words in (words for text in texts(read(name)) for words in commands(text, "pip", "install")):
            assert "-c" in words, words
            packages = set(words) - {"-c", "--quiet", "constraints.txt", "/polyray/constraints.txt", "."}
            assert all("==" in package or package in pins for package in packages), words


def test_each_file_names_its_page_which_explains_the_words_to_set(root: Path) -> None:
    wrong = []
    for file in sorted((root / "jobs" / "cluster").iterdir()):
        text = file.read_text(encoding="utf-8")
        if file.suffix not in (".yaml", ".sh"):  # the image has a page that names it
            continue
        (page,) = re.findall(r"^#.*(docs/clusters/\w+\.md)", text, re.MULTILINE)
        explanation = (root / page).read_text(encoding="utf-8")
        used = [word for word in PLACEHOLDERS if re.search(rf"\b{word}\b", re.sub(r"#.*", "", text))]
        wrong += [f"{file.name}: {page} does not explain {word}" for word in used if f"`{word}`" not in explanation]
        wrong += [f"{page} does not name {file.name}"] * (f"jobs/cluster/{file.name}" not in explanation)
    assert not wrong, "\n".join(wrong)


@pytest.mark.data
def test_kubernetes_manifests_agree_with_kuberays_own_schema(data: Path) -> None:
    folder = data / "kuberay"
    if not folder.is_dir():
        pytest.skip(f"there is no folder {folder} with KubeRay's schemas")
    wrong = []
    for name in KUBERNETES:
        file = folder / f"{read(name)['kind'].lower()}s-v1.json"
        if not file.exists():  # an object of Kubernetes itself
            continue
        fields = shape_of(read_schema(file)["openAPIV3Schema"])
        fields["metadata"] = {"*": "any"}  # Kubernetes knows it, not KubeRay
        wrong += [f"{name}{line}" for line in mistakes(read(name), fields)]
        wrong += [f"{name}: KubeRay has no {path}" for path in _paths_beyond(shape(name), fields)]
    assert not wrong, "\n".join(wrong)


def _paths_beyond(ours: object, theirs: object, path: str = "") -> list[str]:
    """The fields of our shape that the other one does not have."""
    if isinstance(ours, list) and isinstance(theirs, list):
        return _paths_beyond(ours[0], theirs[0], f"{path}[]")
    if not isinstance(ours, dict) or not isinstance(theirs, dict) or "*" in theirs:
        return []
    beyond = [f"{path}.{key}" for key in ours if key != "*" and key not in theirs]
    return beyond + [
        line for key in ours if key in theirs for line in _paths_beyond(ours[key], theirs[key], f"{path}.{key}")
    ]
