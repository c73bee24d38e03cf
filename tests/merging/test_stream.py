"""Models merged from files: as the methods do it in memory, in bounded stretches, whole or not at all."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from gathering import for_each
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyray.config import load_config
from polyray.errors import InputError, Interrupted
from polyray.jobs.merge import Config, run
from polyray.merging import MERGES, Operands, Part, merge, stream
from polyray.merging.folder import CARD, MODEL, MODELS, SHARDS
from polyray.merging.mergekit import read_mergekit
from polyray.merging.model_files import open_model
from polyray.merging.plan import plan_merge, weight_and_density
from polyray.merging.recipe import PartOptions
from polyray.runs.run import Run

SHAPES = {"embed.weight": (30, 8), "layer.weight": (8, 8), "layer.bias": (8,), "scale": ()}
WEIGHTS = {"cape": (0.5, -0.5), "cape_ewr": (-0.25,), "fisher": (1.0, 0.25), "slerp": (1.0,), "regmean": (1.0, 0.5)}


def tensors(seed: int, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    real = {name: torch.randn(shape, generator=generator).to(dtype) for name, shape in SHAPES.items()}
    return real | {"positions": torch.arange(8)}


def fisher(seed: int) -> dict[str, Tensor]:
    return {name: x.float().abs() for name, x in tensors(seed).items() if x.is_floating_point()}


def products(seed: int) -> dict[str, Tensor]:
    """Inner products of the inputs of the one layer that has some."""
    x = torch.randn(20, 8, generator=torch.Generator().manual_seed(seed))
    return {"layer.weight": x.T @ x}


@pytest.fixture
def models(tmp_path: Path) -> dict[str, Path]:
    """A base, three parts and their Fisher information, as folders and files in every format."""
    folders = {}
    for index, name in enumerate(("base", "a", "b", "c")):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        save_file(fisher(10 + index), tmp_path / f"{name}-fisher.safetensors")
        save_file(products(20 + index), tmp_path / f"{name}-products.safetensors")
        (folders[name] / "config.json").write_text(json.dumps({"model_type": name, "dtype": "float32"}))
        (folders[name] / "tokenizer.json").write_text(name)
    save_file(tensors(0), folders["base"] / "model.safetensors")
    save_file(tensors(1), folders["a"] / "model.safetensors")
    content = tensors(2)
    shards = {
        "model-00001-of-00002.safetensors": list(content)[:2],
        "model-00002-of-00002.safetensors": list(content)[2:],
    }
    for file, names in shards.items():
        save_file({name: content[name] for name in names}, folders["b"] / file)
    weight_map = {"weight_map": {name: file for file, names in shards.items() for name in names}}
    (folders["b"] / "model.safetensors.index.json").write_text(json.dumps(weight_map))
    alias = tensors(3)
    torch.save(alias | {"output.weight": alias["embed.weight"]}, folders["c"] / "pytorch_model.bin")
    return folders


def config(models: dict[str, Path], kind: str, *more: str, names: tuple[str, ...] = ("a", "b", "c")) -> Config:
    method = MERGES[kind]
    chosen = list(zip(names, WEIGHTS.get(kind, (1.0, -0.5, 0.25)), strict=False))
    parts: list[dict[str, Any]] = [{"model": str(models[n]), "weight": w, "density": 0.5} for n, w in chosen]
    if method.needs_fisher:
        parts = [part | {"fisher": f"{part['model']}-fisher.safetensors"} for part in parts]
    if method.needs_inner_products:
        parts = [part | {"inner_products": f"{part['model']}-products.safetensors"} for part in parts]
    base = [f"base={models['base']}"]
    if method.needs_fisher and method.needs_base:
        base.append(f"base_fisher={models['base']}-fisher.safetensors")
    return load_config(Config, None, [f"merge.kind={kind}", *base, f"parts={json.dumps(parts)}", *more])


def expected(models: dict[str, Path], kind: str, name: str) -> Tensor:
    """The merged tensor, computed from whole tensors in memory."""
    recipe = plan_merge(config(models, kind)).recipe
    letters = {str(models[letter]): number for number, letter in enumerate(("base", "a", "b", "c"))}

    def part(path: str, weight: float) -> Part:
        number = letters[path]
        return Part(
            tensor=tensors(number)[name], weight=weight, density=0.5, fisher=fisher(10 + number)[name],
            inner_products=products(20 + number).get(name),
        )  # fmt: skip

    generator = stream._generator(recipe, name)
    parts = [part(options.model, options.weight) for options in recipe.parts]
    operands = Operands(parts=parts, base=part(recipe.base, 1.0), generator=generator)
    return merge(recipe.merge.method, operands, recipe.merge.options)


@for_each(kind=sorted(MERGES))
def test_files_are_merged_as_tensors_in_memory_are(
    kind: str, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "STRETCH", 7)
    out = tmp_path / f"out-{kind}"
    run(config(models, kind), Run(out))
    merged = load_file(out / MODEL / "model.safetensors")
    assert torch.equal(merged.pop("positions"), torch.arange(8))
    assert merged.keys() == SHAPES.keys()
    for name, tensor in merged.items():
        torch.testing.assert_close(tensor, expected(models, kind, name).view(SHAPES[name]), rtol=1e-5, atol=1e-6)
    assert not (out / SHARDS).exists()
    assert (out / MODEL / "tokenizer.json").read_text() == "base"


def test_the_card_names_parents_recipe_and_sums(models: dict[str, Path], tmp_path: Path) -> None:
    result = run(config(models, "ewr"), Run(tmp_path / "out"))
    card = json.loads((tmp_path / "out" / MODEL / CARD).read_text())
    assert set(card["parents"]) == {str(p) for n in "abc" for p in (models[n], f"{models[n]}-fisher.safetensors")} | {
        str(models["base"]), f"{models['base']}-fisher.safetensors",
    }  # fmt: skip
    assert all(len(digest) == 64 for files in card["parents"].values() for digest in files.values())
    assert list(card["sha256"]) == ["model.safetensors"]
    assert card["recipe"]["merge"]["kind"] == "ewr"
    assert 0 < card["shares"]["shrink"] < 1 and card["shares"]["on_floor"] == 0
    assert result.metrics["shrink"] == card["shares"]["shrink"]


def test_the_merged_model_may_have_another_number_format(models: dict[str, Path], tmp_path: Path) -> None:
    run(config(models, "task_arithmetic", "dtype=bf16"), Run(tmp_path / "out"))
    merged = load_file(tmp_path / "out" / MODEL / "model.safetensors")
    assert {x.dtype for name, x in merged.items() if name != "positions"} == {torch.bfloat16}
    assert json.loads((tmp_path / "out" / MODEL / "config.json").read_text())["dtype"] == "bfloat16"
    want = expected(models, "task_arithmetic", "layer.weight")
    assert torch.equal(merged["layer.weight"], want.to(torch.bfloat16))


def test_several_factors_give_the_models_of_each_and_read_the_files_once(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    genuine = stream.Source.read

    def read(source: stream.Source, name: str, *rest: Any) -> Tensor:
        reads.append(name)
        return genuine(source, name, *rest)

    monkeypatch.setattr(stream.Source, "read", read)
    for kind in ("ewr", "dare"):
        run(config(models, kind, "factor=0.5"), Run(tmp_path / f"{kind}-one"))
        n_reads = len(reads)
        result = run(config(models, kind, "factors=[0.5, 2.0]"), Run(tmp_path / kind))
        assert len(reads) == 2 * n_reads
        reads.clear()
        folders = [tmp_path / kind / MODELS / name for name in ("0.5", "2")]
        assert [json.loads((folder / CARD).read_text())["factor"] for folder in folders] == [0.5, 2.0]
        same = tmp_path / f"{kind}-one" / MODEL / "model.safetensors"
        assert (folders[0] / "model.safetensors").read_bytes() == same.read_bytes()
        assert (folders[1] / "model.safetensors").read_bytes() != same.read_bytes()
        assert list(result.metrics["factors"]) == ["0.5", "2"]
    with pytest.raises(InputError, match="one of them twice"):
        config(models, "ewr", "factors=[1, 1]")


def large(folder: Path, seed: int) -> Path:
    """A model of three files of 1 MiB or less."""
    folder.mkdir()
    generator = torch.Generator().manual_seed(seed)
    content = {f"layer{n}.weight": torch.randn(150_000, generator=generator) for n in range(3)}
    save_file(content, folder / "model.safetensors")
    return folder


def test_a_merge_that_was_stopped_goes_on_with_the_files_that_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [{"model": str(large(tmp_path / name, seed))} for seed, name in enumerate("ab")]
    chosen = load_config(Config, None, ["merge.kind=average", f"parts={json.dumps(parts)}", "shard=1"])
    run(chosen, Run(tmp_path / "whole"))

    out = tmp_path / "stopped"
    out.mkdir()
    merged: list[int] = []
    genuine = stream.merge_shard

    def merge_shard(plan: Any, index: int, *rest: Any) -> Any:
        merged.append(index)
        return genuine(plan, index, *rest)

    monkeypatch.setattr("polyray.merging.folder.merge_shard", merge_shard)

    class Stopping(Run):
        @property
        def stop_requested(self) -> bool:
            return len(merged) == 2

    with pytest.raises(Interrupted):
        run(chosen, Stopping(out))
    assert not (out / MODEL).exists()
    merged.clear()
    run(chosen, Run(out))
    assert merged == [2]
    files = sorted(path.name for path in (out / MODEL).iterdir())
    assert [name for name in files if name.endswith(".safetensors")] == [
        f"model-0000{n}-of-00003.safetensors" for n in (1, 2, 3)
    ]
    for name in files:
        assert (out / MODEL / name).read_bytes() == (tmp_path / "whole" / MODEL / name).read_bytes()


def test_files_that_were_merged_from_another_recipe_are_merged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [{"model": str(large(tmp_path / name, seed))} for seed, name in enumerate("ab")]
    overrides = ["merge.kind=average", "shard=1"]
    monkeypatch.setattr("polyray.jobs.merge.finish", lambda *_: {1.0: {"shares": {}}})
    run(load_config(Config, None, [*overrides, f"parts={json.dumps(parts)}"]), Run(tmp_path / "out"))
    before = (tmp_path / "out" / SHARDS / "00001" / "0.safetensors").read_bytes()
    parts[0]["weight"] = "3"
    run(load_config(Config, None, [*overrides, f"parts={json.dumps(parts)}"]), Run(tmp_path / "out"))
    assert (tmp_path / "out" / SHARDS / "00001" / "0.safetensors").read_bytes() != before


def test_task_vectors_are_added_to_the_base(models: dict[str, Path], tmp_path: Path) -> None:
    base, a = tensors(0), tensors(1)
    save_file(
        {name: a[name] - base[name] if base[name].is_floating_point() else base[name] for name in base},
        tmp_path / "vector.safetensors",
    )  # fmt: skip
    parts = json.dumps([{"model": str(tmp_path / "vector.safetensors"), "delta": True, "weight": 2}])
    run(load_config(Config, None, [f"base={models['base']}", f"parts={parts}"]), Run(tmp_path / "out"))
    merged = load_file(tmp_path / "out" / MODEL / "model.safetensors")
    torch.testing.assert_close(merged["layer.bias"], 2 * a["layer.bias"] - base["layer.bias"])


def test_the_first_pattern_that_fits_a_tensor_counts() -> None:
    patterns = [{"pattern": "layer.*", "weight": 0.0}, {"pattern": "*", "density": 0.25}]
    part = PartOptions.model_validate({"model": "m", "weight": 2.0, "patterns": patterns})
    assert weight_and_density(part, "layer.bias") == (0.0, 1.0)
    assert weight_and_density(part, "embed.weight") == (2.0, 0.25)


def test_models_that_do_not_fit_are_refused_with_what_differs(models: dict[str, Path], tmp_path: Path) -> None:
    content = tensors(1)
    content["layer.weight"] = torch.zeros(8, 9)
    content["more"] = content.pop("layer.bias")
    save_file(content, models["a"] / "model.safetensors")
    with pytest.raises(InputError) as error:
        run(config(models, "average"), Run(tmp_path / "out"))
    for words in ("it lacks layer.bias", "it also has more", "layer.weight [8, 9] in place of [8, 8]"):
        assert words in str(error.value)
    assert not (tmp_path / "out").exists()


def test_what_a_recipe_lacks_is_said(models: dict[str, Path], tmp_path: Path) -> None:
    cases = {
        "needs parts": ["merge.kind=average"],
        "needs base=": ["merge.kind=ties", 'parts=[{"model": "x"}]'],
        "Fisher information of each part": [f"base={models['base']}", "merge.kind=ewr", 'parts=[{"model": "x"}]'],
        "reads no Fisher": [f"base={models['base']}", 'parts=[{"model": "x", "fisher": "y"}]'],
        "needs the inner products": [f"base={models['base']}", "merge.kind=regmean", 'parts=[{"model": "x"}]'],
        "reads no inner products": [f"base={models['base']}", 'parts=[{"model": "x", "inner_products": "y"}]'],
        "no file and no folder": [f"base={models['base']}", 'parts=[{"model": "nowhere"}]'],
        "holds no model": [f"base={models['base']}", f'parts=[{{"model": "{tmp_path}"}}]'],
        "leave base and parts out": ["mergekit=x.yml", f"base={models['base']}"],
    }
    for words, overrides in cases.items():
        with pytest.raises(InputError, match=words):
            run(load_config(Config, None, overrides), Run(tmp_path / "out"))


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    good = tmp_path / "good.safetensors"
    save_file({"x": torch.zeros(4)}, good)
    content = good.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header = content[8 : 8 + length]
    damaged = {
        "cut off": content[:-4],
        "cut off in its header": content[:20],
        "no table": struct.pack("<Q", 2) + b"[]",
        "cannot be read from the header": content.replace(b'"F32"', b'"F99"'),
        "gives 16 bytes": struct.pack("<Q", length)
        + header.replace(b'"shape":[4]', b'"shape":[5]')
        + content[8 + length :],
        "Cannot read": struct.pack("<Q", 2) + b"{{",
    }
    for words, text in damaged.items():
        file = tmp_path / "bad.safetensors"
        file.write_bytes(text)
        with pytest.raises(InputError, match=words), open_model(file):
            pass
    (tmp_path / "bad.bin").write_bytes(b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00idR.")
    with pytest.raises(InputError, match="as tensors alone"), open_model(tmp_path / "bad.bin"):
        pass


def test_numbers_that_are_not_finite_leave_no_model(models: dict[str, Path], tmp_path: Path) -> None:
    content = tensors(1)
    content["layer.bias"][3] = float("nan")
    save_file(content, models["a"] / "model.safetensors")
    with pytest.raises(InputError, match=r"layer\.bias: the merged tensor holds numbers that are not finite"):
        run(config(models, "task_arithmetic"), Run(tmp_path / "out"))
    assert not (tmp_path / "out" / MODEL).exists()
    assert not list((tmp_path / "out" / SHARDS).rglob("*"))


MERGEKIT = """
merge_method: ties
base_model: {base}
models:
  - model: {base}
  - model: {a}
    parameters:
      weight: 0.5
      density:
        - filter: layer
          value: 0.25
        - value: 0.75
  - model: {b}
parameters:
  weight: 2
  lambda: 0.7
  normalize: false
  int8_mask: true
dtype: bfloat16
"""


def test_a_recipe_of_mergekit_is_read(models: dict[str, Path], tmp_path: Path) -> None:
    file = tmp_path / "merge.yml"
    file.write_text(MERGEKIT.format(**models))
    recipe = read_mergekit(file)
    assert (recipe.base, recipe.dtype, recipe.merge.kind) == (str(models["base"]), "bf16", "ties")
    assert recipe.merge.options.model_dump() == {"normalize": False, "scale": 0.7, "rescale": False, "signs": "sum"}
    assert [(part.model, part.weight) for part in recipe.parts] == [(str(models["a"]), 0.5), (str(models["b"]), 2.0)]
    assert weight_and_density(recipe.parts[0], "encoder.layer.0.bias") == (0.5, 0.25)
    assert weight_and_density(recipe.parts[0], "embed.weight") == (0.5, 0.75)
    run(load_config(Config, None, [f"mergekit={file}"]), Run(tmp_path / "out"))
    assert load_file(tmp_path / "out" / MODEL / "model.safetensors")["scale"].dtype == torch.bfloat16


def test_what_a_recipe_of_mergekit_cannot_say_here_is_refused(models: dict[str, Path], tmp_path: Path) -> None:
    text = MERGEKIT.format(**models)
    cases = {
        "merge_method: missing": text.replace("merge_method: ties", "method: ties"),
        "slices: Polyray does not read": text + "slices: []\n",
        "No merge method that mergekit also has is called 'karcher'": text.replace("ties", "karcher"),
        "no gradients over layers": text.replace("weight: 0.5", "weight: [0.1, 0.5]"),
        "gamma: Polyray lacks it": text.replace("lambda: 0.7", "gamma: 0.7"),
        "a LoRA": text.replace(f"model: {models['a']}", f"model: {models['a']}+lora"),
        "expected a number": text.replace("weight: 0.5", "weight: much"),
        "dtype: float8": text.replace("bfloat16", "float8"),
        "tokenizer_source": text + "tokenizer_source: union\n",
    }
    file = tmp_path / "merge.yml"
    for words, content in cases.items():
        file.write_text(content)
        with pytest.raises(InputError, match=words):
            read_mergekit(file)
