"""`polyray skills` looks into the folders of language models and of agents alike."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from policy_cases import LEVELS, WORDS, policy_of
from training_cases import KNOWN, SUITE, spec, tiny_model

from polyray.backbones import load_backbone
from polyray.cli.app import main
from polyray.rl.policy_folder import save_policy
from polyray.runs.sealed import seal
from polyray.skills.blending import parents_of, recompute, same_tensors
from polyray.skills.card import SEAL
from polyray.skills.delta import fold
from polyray.skills.inventory import Provenance, new_skill, save_inventory
from polyray.skills.skill import load_skill, save_skill
from polyray.training.multitask import backbone_card


def code(*arguments: str) -> int:
    """The exit code of `polyray ARGUMENTS`."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    return int(caught.value.code or 0)


def language_skills(folder: Path) -> Path:
    """Three skills of a tiny encoder, and a fourth that is blended from them."""
    model = tiny_model("tiny-encoder", [SUITE.tasks[name] for name in KNOWN])
    provenance = Provenance(backbone=backbone_card(model.backbone), suite="toy", tasks=KNOWN, data={}, seed=0)
    save_inventory(folder, model, spec(), provenance, {})
    weights = torch.tensor([[[0.5, 0.25, 0.25]]])
    parents = parents_of([folder / f"skill-{n}" for n in range(3)], weights, folder / "blend")
    blend = new_skill("blend", model, model.inventory.blend(weights), provenance, {}, parents)
    save_skill(blend, folder / "blend")
    return folder


def agent_skills(folder: Path) -> Path:
    """Two skills of an agent's tiny network."""
    save_policy(folder, policy_of("dense", "polytropon"), WORDS)
    return folder


BUILDERS = [language_skills, agent_skills]


@pytest.mark.parametrize("build", BUILDERS)
def test_skills_of_either_kind_are_listed_shown_and_verified(
    build: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = build(tmp_path / "skills")
    names = sorted(path.name for path in folder.iterdir() if path.name != "inventory")
    assert code("skills", "list", str(folder), "--json") == 0
    assert sorted(json.loads(capsys.readouterr().out)) == names
    assert code("skills", "list", str(folder)) == 0
    tasks = ", ".join(KNOWN if build is language_skills else LEVELS)
    assert all(line.endswith(tasks) for line in capsys.readouterr().out.splitlines())
    assert code("skills", "show", str(folder / "skill-1")) == 0
    assert yaml.safe_load(capsys.readouterr().out)["name"] == "skill-1"
    assert code("skills", "verify", str(folder)) == 0
    assert f"{len(names)} skills in {folder} are whole" in capsys.readouterr().out


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("skill-1/skill.safetensors", "skill-1/skill.safetensors was altered"),
        ("inventory/router.safetensors", "inventory/router.safetensors was altered"),
    ],
)
def test_a_damaged_file_is_named(
    file: str, message: str, build: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = build(tmp_path / "skills")
    (folder / file).write_bytes((folder / file).read_bytes()[:-1])
    assert code("skills", "verify", str(folder)) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("build", BUILDERS)
def test_a_skill_that_the_inventory_names_and_that_is_gone_is_missed(
    build: Callable[[Path], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = build(tmp_path / "skills")
    shutil.rmtree(folder / "blend", ignore_errors=True)
    shutil.rmtree(folder / "skill-1")
    assert code("skills", "verify", str(folder)) == 2
    assert "names the skill 'skill-1', which is not in" in capsys.readouterr().err


def test_a_parent_that_is_gone_is_missed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = language_skills(tmp_path / "skills")
    shutil.rmtree(folder / "inventory")
    shutil.rmtree(folder / "skill-2")
    assert code("skills", "verify", str(folder)) == 2
    assert "its parents skill-2 are not where its card.json says" in capsys.readouterr().err


def test_an_inventory_of_another_backbone_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = language_skills(tmp_path / "skills")
    card = folder / "inventory" / "inventory.json"
    content = json.loads(card.read_text())
    content["backbone"]["fingerprint"] = "f" * 64
    card.write_text(json.dumps(content))
    assert code("skills", "verify", str(folder)) == 2
    assert "trained on different backbones" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["language", "agent"])
def test_a_task_s_skill_is_lifted_once(kind: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    if kind == "language":
        task = KNOWN[0]
        language_skills(tmp_path / "skills")
    else:
        task = LEVELS[0]
        save_policy(tmp_path / "skills", policy_of("dense", "polytropon"), WORDS)
    lifting = ("skills", "lift", str(tmp_path / "skills"), task, str(tmp_path / "lifted"))
    assert code(*lifting) == 0
    assert "a weighted sum of skill-0, skill-1" in capsys.readouterr().out
    assert load_skill(tmp_path / "lifted").card.tasks == (task,)
    assert same_tensors(recompute(tmp_path / "lifted").tensors, load_skill(tmp_path / "lifted").tensors)
    assert code(*lifting) == 2
    assert "is there already" in capsys.readouterr().err
    for wrong in (lifting[:-1], (*lifting, "--to", "tiny-encoder")):
        assert code(*wrong) == 2
        assert "skills lift takes FOLDER TASK OUT, or FOLDER OUT --to BACKBONE; found" in capsys.readouterr().err


def test_a_skill_goes_to_peft_and_comes_back_with_its_tensors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    language_skills(Path("skills"))
    assert code("skills", "export", "skills/blend", "adapter", "--to", "peft", "--task-type", "FEATURE_EXTRACTION") == 0
    assert "a LoRA adapter of tiny-encoder" in capsys.readouterr().out
    assert json.loads(Path("adapter/adapter_config.json").read_text())["task_type"] == "FEATURE_EXTRACTION"
    assert code("skills", "import", "adapter", "back", "--from", "peft", "--backbone", "tiny-encoder") == 0
    back, blend = load_skill(Path("back")), load_skill(Path("skills/blend"))
    assert same_tensors(back.tensors, blend.tensors) and back.card.backbone == blend.card.backbone
    assert back.card.name == "back"
    monkeypatch.chdir("skills")  # a name alone is a folder here
    assert code("skills", "export", "skill-1", "../again", "--to", "peft") == 0
    assert (tmp_path / "again" / "adapter_model.safetensors").is_file()


def test_what_cannot_go_to_peft_or_come_from_it_has_one_message_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    language_skills(Path("skills"))
    save_policy(Path("agent"), policy_of("dense", "polytropon"), WORDS)
    assert code("skills", "export", "skills/blend", "adapter", "--to", "peft") == 0
    capsys.readouterr()
    card = json.loads(Path("skills/blend/card.json").read_text())
    del card[SEAL]
    trained = {"path": "../inventory/backbone.safetensors", "sha256": "0"}
    shutil.copytree("skills/blend", "skills/trained")
    Path("skills/trained/card.json").write_text(seal({**card, "trained_backbone": trained}, SEAL))
    Path("empty").mkdir()
    Path("file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    to, back = ("new", "--to", "peft"), ("new", "--from", "peft", "--backbone")
    to_sft, back_sft = ("new", "--to", "composable_sft"), ("new", "--from", "composable_sft", "--backbone")
    for arguments, message in [
        (("export", "skills/blned", *to), "holds no skill called 'blned'. Did you mean 'blend'?"),
        (("export", "skills", *to), "holds no skill"),
        (("export", "skills/blend", "new", "--to", "pfet"), "No format is called 'pfet'. Did you mean 'peft'?"),
        (
            ("export", "skills/blend", *to_sft),
            "'blend' is made of lora modules; expected a sparse",
        ),
        (
            ("export", "skills/blend", *to_sft, "--task-type", "SEQ_CLS"),
            "it goes with --to peft",
        ),
        (
            ("import", "empty", *back_sft, "tiny-encoder"),
            "empty/pytorch_diff.bin",
        ),
        (("import", "none", *back_sft, "tiny-encoder"), "none is no folder"),
        (("export", "skills/blend", "empty", "--to", "peft"), "empty is there already"),
        (("export", "skills/blend", "file/new", "--to", "peft"), "Cannot write file/new"),
        (("export", "skills/blend", *to, "--task-type", "CAUSAL"), "Did you mean 'CAUSAL_LM'?"),
        (("export", "agent/skill-0", *to), "sits on a backbone that was trained with it"),
        (("export", "skills/trained", *to), "sits on a backbone that was trained with it"),
        (("import", "none", *back, "tiny-encoder"), "none is no folder"),
        (("import", "empty", *back, "tiny-encoder"), "empty holds no PEFT adapter"),
        (("import", "adapter", *back, "tiny-encodr"), "Did you mean 'tiny-encoder'?"),
        (("import", "adapter", *back, "tiny-causal"), "the backbone has no layer"),
        (("import", "adapter", "file/new", "--from", "peft", "--backbone", "tiny-encoder"), "Cannot write file/new"),
        (("import", "adapter", "empty", "--from", "peft", "--backbone", "tiny-encoder"), "empty is there already"),
    ]:
        assert code("skills", *arguments) == 2, arguments
        streams = capsys.readouterr()
        assert message in streams.err and streams.out == "" and len(streams.err.splitlines()) == 1, streams.err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_sparse_fine_tuning_comes_in_and_goes_out_with_every_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    weight = "bert.encoder.layer.1.output.dense.weight"
    steps = {weight: [5, 1, 700], "bert.pooler.dense.weight": [0, 64], "bert.encoder.layer.0.output.dense.bias": [3]}
    shapes = {weight: (64, 256), "bert.pooler.dense.weight": (64, 64), "bert.encoder.layer.0.output.dense.bias": (64,)}
    values = {name: torch.randn(len(of_parameter)) for name, of_parameter in steps.items()}
    diffs = {
        name: {"size": torch.Size(shape), "index_steps": steps[name], "values": values[name]}
        for name, shape in shapes.items()
    }
    Path("public").mkdir()
    torch.save({"diffs": diffs, "abs": {"classifier.bias": torch.randn(3)}}, "public/pytorch_diff.bin")
    back = ("--from", "composable_sft", "--backbone", "tiny-encoder")
    assert code("skills", "import", "public", "skills/hausa", *back) == 0
    assert "'hausa' in skills/hausa, with 6 entries of 3 sites on tiny-encoder" in capsys.readouterr().out
    assert code("skills", "export", "skills/hausa", "out", "--to", "composable_sft") == 0
    assert "a sparse fine-tuning of tiny-encoder" in capsys.readouterr().out
    for name, diff in torch.load("out/pytorch_diff.bin")["diffs"].items():
        assert diff["size"] == shapes[name] and diff["index_steps"] == steps[name]
        assert diff["values"].numpy().tobytes() == values[name].numpy().tobytes()
    assert code("skills", "import", "out", "skills/again", *back) == 0
    assert code("skills", "export", "skills/again", "twice", "--to", "composable_sft") == 0
    assert Path("twice/pytorch_diff.bin").read_bytes() == Path("out/pytorch_diff.bin").read_bytes()
    backbone, skill = load_backbone("tiny-encoder"), load_skill(Path("skills/hausa"))
    before = {name: x.clone() for name, x in backbone.network.state_dict().items()}
    fold(skill, backbone.network)  # the network has no pooler, whose entries wait in the skill for other libraries
    n_changed = sum(int((x != before[name]).sum()) for name, x in backbone.network.state_dict().items())
    assert n_changed == 4 and skill.card.options["entries"] == 6
