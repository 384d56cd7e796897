"""`transfer-kit predict`: nuclei of images and slides, as files that QuPath and others open."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from transfer_kit.cli.engines import Engine, EngineSet

if TYPE_CHECKING:
    from transfer_kit.inference.predict import SlideTask
    from transfer_kit.inference.records import Record


def predict(
    images: Annotated[
        list[Path], typer.Argument(help="Slides and images, folders of them, or a glob.")
    ],
    model: Annotated[str, typer.Option(help="A model name, an organ, a file or a run folder.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Where files are written.")],
    mpp: Annotated[
        float | None, typer.Option(min=0.01, max=20, help="µm per pixel, where files lack it.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="In place of the detector's own.")] = None,
    write: Annotated[
        list[str] | None,
        typer.Option(
            help="What to write; may be repeated: geojson, csv, overlay, summary (these by "
            "default), parquet, coco, anndata, spatialdata, density."
        ),
    ] = None,
    where: Annotated[
        Literal["auto", "tissue", "everywhere"],
        typer.Option(help="auto: the tissue of slides, all of small images."),
    ] = "auto",
    region: Annotated[
        Path | None, typer.Option(help="A GeoJSON of QuPath: search its areas alone.")
    ] = None,
    region_class: Annotated[
        str | None, typer.Option(help="Of the areas in it; all by default.")
    ] = None,
    tile: Annotated[
        int, typer.Option(help="Side of the blocks that are searched one by one, in pixels.")
    ] = 2048,
    features_per_file: Annotated[
        int | None, typer.Option(min=1, help="Split GeoJSON into files of at most so many nuclei.")
    ] = None,
    mitosis: Annotated[
        str | None, typer.Option(help="A class: the summary tells its densest 2 mm².")
    ] = None,
    overlays: Annotated[bool, typer.Option(help="Draw the nuclei over each image.")] = True,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="List what cannot be read, and go on.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Search again, also over another model's nuclei.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Slides at a time.")] = 1,
    engine: Engine = "local",
    engine_set: EngineSet = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    runtime: Annotated[
        Literal["torch", "onnx", "openvino"],
        typer.Option(help="What runs the network; onnx and openvino on a CPU, mostly faster."),
    ] = "torch",
    precision: Annotated[
        Literal["auto", "32-true", "16-mixed", "bf16-mixed"],
        typer.Option(help="auto: 16 bits where the device computes in them."),
    ] = "32-true",
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Tiles at once through the network; what fills the device."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same for programs.")] = False,
) -> None:
    """Find nuclei in images and slides: GeoJSON for QuPath, a table, a picture, a summary.

    What was interrupted goes on where it was; what is done is not done again.
    """
    from transfer_kit.cli.tell_search import tell, tell_as_json, watched
    from transfer_kit.data.slides import find_slides
    from transfer_kit.inference.outputs import outputs_named
    from transfer_kit.inference.predict import EVERYDAY, SlideTask, look_at
    from transfer_kit.stores.models import find_weights

    names = tuple(outputs_named(write or [n for n in EVERYDAY if overlays or n != "overlay"]))
    weights = find_weights(model)
    tasks = [
        SlideTask(
            slide=slide,
            output=output,
            weights=weights,
            mpp=mpp,
            threshold=threshold,
            where=where,
            region=region,
            region_class=region_class,
            write=names,
            block_px=tile,
            features_per_file=features_per_file,
            mitosis=mitosis,
            device=device,
            runtime=runtime,
            precision=precision,
            batch=batch,
            overwrite=overwrite,
        )
        for slide in find_slides(images)
    ]
    as_cohort = engine != "local" or workers > 1
    look_at(tasks, each=not skip_bad and not as_cohort)
    if as_cohort:
        from transfer_kit.cohorts import search_all

        found = search_all(tasks, workers=workers, engine=engine, settings=engine_set or ())
        done = watched(found, total=len(tasks))
    else:
        done = _one_by_one(tasks, skip_bad=skip_bad)
    name = next((record.model for _, record in done if record.model), model)
    if as_json:
        tell_as_json(done, name)
    else:
        tell(done, output)
    if as_cohort and any(record.reason for _, record in done):
        raise typer.Exit(1)


def _one_by_one(tasks: list[SlideTask], *, skip_bad: bool) -> list[tuple[SlideTask, Record]]:
    """In this process, with all its threads."""
    from transfer_kit.cli.tell_search import SearchProgress
    from transfer_kit.errors import BadSlideError
    from transfer_kit.inference.predict import predict_slide
    from transfer_kit.inference.records import Record, write_record

    done = []
    with SearchProgress(len(tasks)) as progress:
        for task in tasks:
            try:
                record = predict_slide(task, progress.of(task.name))
            except BadSlideError as error:
                if not skip_bad:
                    raise
                record = Record(str(task.slide), reason=str(error))
                write_record(task.output, task.name, record)
            done.append((task, record))
    return done
