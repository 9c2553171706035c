"""Commands for manifests of millions of clips: embed and sample on a Ray cluster."""

from pathlib import Path
from typing import Annotated

import typer

from ncdetect.checkpoint import DEFAULT
from ncdetect.cli_options import Checkpoint, Corpora, Data, runs_bar

cluster = typer.Typer(help="Sample from millions of clips on a Ray cluster.", no_args_is_help=True)

Address = Annotated[
    str | None, typer.Option(help="Of a Ray cluster, or `auto`; not given: this machine alone.")
]
Bank = Annotated[Path, typer.Option(help="Folder of shards that every machine sees.")]


@cluster.command(name="manifest")
def manifest_command(
    data: Data,
    out: Annotated[Path, typer.Option(help="Parquet file to write.")],
    corpus: Corpora = None,
    block: Annotated[int, typer.Option(help="Clips of a block: what one worker does at a time.")] = 4096,
) -> None:
    """Write a corpus's manifest as Parquet: in the order of paths, in blocks."""
    from ncdetect.cluster_manifest import write_manifest
    from ncdetect.layouts import open_corpus

    manifest = open_corpus(data).select(corpus=corpus or None)
    blocks = write_manifest(manifest, out, block)
    typer.echo(f"{len(manifest)} clips in {blocks} blocks: {out}")


@cluster.command(name="embed")
def embed_command(
    manifest: Annotated[Path, typer.Option(help="What `cluster manifest` wrote.")],
    root: Annotated[Path, typer.Option(help="Folder that the clips' paths start from.")],
    bank: Bank,
    checkpoint: Checkpoint = DEFAULT,
    workers: Annotated[int, typer.Option(min=1, help="Copies of the model at work.")] = 1,
    cpus: Annotated[float, typer.Option(help="Cores of each worker, which decode ahead.")] = 1,
    gpus: Annotated[float, typer.Option(help="GPUs of each worker; 0.5 puts two on one.")] = 0,
    address: Address = None,
) -> None:
    """Embed all clips of a manifest; run again after a crash, it goes on with the blocks that lack."""
    from functools import partial

    from ncdetect import cluster as scale
    from ncdetect.checkpoint import CONFIG_FILE, WEIGHTS_FILE, DetectorConfig, locate
    from ncdetect.cluster_shards import ShardedBank, sha256_of

    folder = locate(checkpoint).resolve()
    model = DetectorConfig.read(folder / CONFIG_FILE).model
    found = ShardedBank.create(bank.resolve(), manifest, model, sha256_of(folder / WEIGHTS_FILE))
    asked = scale.Workers(workers, cpus, gpus)
    make = partial(scale.ClipEmbedder, str(folder), root.resolve(), asked)
    scale.connect(address)
    with runs_bar("blocks") as progress:
        done = scale.embed(found, manifest.resolve(), make, asked, progress)
    for path, reason in done.failed:
        typer.echo(f"{path}: {reason}", err=True)
    typer.echo(
        f"{done.made} blocks embedded, {done.found} were there; {len(done.failed)} clips could not be read: "
        f"{bank}"
    )


@cluster.command(name="means")
def means_command(bank: Bank) -> None:
    """Write the class means over the train clips that the model classifies correctly."""
    from ncdetect.cluster_shards import ShardedBank
    from ncdetect.labels import Label

    found = ShardedBank.open(bank)
    file = found.write_means()
    real, fake = (int(found.interest(label).sum()) for label in Label)
    typer.echo(f"means of {real} real and {fake} fake clips: {file}")


@cluster.command(name="select")
def select_command(
    bank: Annotated[list[Path], typer.Option(help="Folder of shards of a corpus; give one for each.")],
    out: Annotated[Path, typer.Option(help="Manifest (CSV) of the new training database.")],
    real_rate: Annotated[float | None, typer.Option(help="Share of the reals to keep.")] = None,
    fake_rate: Annotated[float | None, typer.Option(help="Share of the fakes to keep.")] = None,
    real_count: Annotated[int | None, typer.Option(help="Number of reals to keep.")] = None,
    fake_count: Annotated[int | None, typer.Option(help="Number of fakes to keep.")] = None,
    real_distance: Annotated[
        float | None, typer.Option(help="Greatest distance of a real to its mean.")
    ] = None,
    fake_distance: Annotated[
        float | None, typer.Option(help="Greatest distance of a fake to its mean.")
    ] = None,
    rule: Annotated[str, typer.Option(help="algorithm-1 or algorithm-2.")] = "algorithm-1",
    seed: Annotated[int, typer.Option(help="Of the clusters of algorithm-2.")] = 0,
    address: Address = None,
) -> None:
    """Choose clips of embedded corpora, merge and drop duplicates: the clips that `sample` would choose."""
    from ncdetect import cluster as scale
    from ncdetect import cluster_select, database
    from ncdetect.cluster_shards import ShardedBank
    from ncdetect.rules import Budget
    from ncdetect.sampling import Threshold

    budget = Budget(
        Threshold(distance=real_distance, rate=real_rate, count=real_count),
        Threshold(distance=fake_distance, rate=fake_rate, count=fake_count),
    )
    banks = [ShardedBank.open(folder.resolve()) for folder in bank]
    scale.connect(address)
    written = cluster_select.write([cluster_select.choose(found, budget, rule, seed) for found in banks], out)
    for folder, found in zip(bank, written.found, strict=True):
        if found is not None:
            typer.echo(f"{folder}: {database.describe(found)}")
    for name in sorted(written.counts.keys() - {"real", "fake"}):
        typer.echo(f"{name}: {written.counts[name]}")
    typer.echo(f"{written.counts['real']} real and {written.counts['fake']} fake clips: {out}")
