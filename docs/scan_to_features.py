# %% [markdown]
"""
# From scans to features

A scan of a room knows which pixels of different images show the same surface, and where one smooth
surface ends and the next begins. `geoset` turns that into an image encoder, without any label.

This notebook goes the whole way, and looks at what comes out of each step: a scan is inspected and
prepared, a small network is pre-trained on several, its features are looked at before and after, a
handful of labels is read off them, and the encoder goes to another library. Without scans of your
own it makes up rooms. It takes some minutes on two cores, and no GPU.
"""

# %%
import io
from pathlib import Path

import numpy as np
import PIL.Image
import timm
import torch
from IPython.display import Image
from rich.console import Console

import geoset
from geoset.data.labelled import open_labelled
from geoset.prepare.data_set import find_scenes
from geoset.recipes import RECIPES, PrepareSettings, at_small_scale
from geoset.reports.figures import (
    paint_depth,
    paint_features,
    paint_sets,
    pair_row,
    set_colors,
    tile,
    typical_pair,
)
from geoset.scans.detect import find_scans
from geoset.scans.rooms import RoomSettings, write_room
from geoset.tasks.export import export
from geoset.tasks.frozen import evaluate_frozen
from geoset.tasks.inspect import inspect
from geoset.tasks.prepare import prepare
from geoset.tasks.pretrain import pretrain

SCANS = None  # a folder of your own scans, such as "my_scans"; None makes up rooms
ROOMS, FRAMES = 9, 14  # how many are made up, and images of each
STEPS = 200  # of pre-training, in each of its two stages
LABELLED_ROOMS = 40  # others, with labels, that the features are tried on
WORK = Path("geoset-notebook")  # where everything goes; what is finished there is not done again


# %% [markdown]
"""
## A scan

A scan is a folder: images, depth, camera poses, perhaps a mesh. Ten formats are read. Made-up
rooms are plain folders of JPEG, 16-bit PNG and text, with noise and holes as of a real sensor.
"""

# %%
if SCANS is None:
    SCANS = WORK / "scans"
    for seed in range(ROOMS):
        write_room(SCANS / f"room-{seed}", seed, RoomSettings(frames=FRAMES))

SCANS = Path(SCANS)
scans = find_scans(SCANS).scans
inspect(scans[0])
print("all scans:", *(path.name for path in scans))

# %% [markdown]
"""
`inspect` says what was found, and what of it cannot be used, and why. In Python the same scan is a
list of frames: metres, OpenCV axes, and poses named by what they do, whatever the format was.
"""


# %%
def show(picture: PIL.Image.Image) -> Image:
    """Display a picture as JPEG, which keeps the notebook small."""
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "JPEG", quality=80)
    return Image(buffer.getvalue())


scan = geoset.open_scan(scans[0])
frame = scan.frames[len(scan.frames) // 2]
print(f"{len(scan.frames)} frames, {len(scan.rejected)} rejected; frame {frame.name}:")
print("world_from_camera =", frame.world_from_camera.round(2), sep="\n")
show(tile([[("colour", frame.image()), ("depth, dark = 5 m", paint_depth(frame.depth()))]]))

# %% [markdown]
"""
Black is where the sensor measured nothing: glass, edges, what is too near or too far.

## Prepare

Preparing fuses depth to a surface (or takes the mesh of the scan), cuts it into **geometric sets**
where it bends, and notes which vertex of it each pixel sees. The images here are 96x128, to be
quick; 240x320 is the default.
"""

# %%
settings = PrepareSettings(image_size=(96, 128))
prepare(SCANS, WORK / "prepared", settings, workers=2, console=Console())
# The last scene is kept from training, to look at what was learned on it.
*training, heldout = find_scenes([WORK / "prepared"])
training = training or [heldout]

# %% [markdown]
"""
`covered` is the share of pixels whose depth agrees with the surface; if it is low, poses or depth
are off. The **vertex map** is all that training needs to know: the number of a vertex for each
pixel. Below, each vertex has a colour of its own. Sets are then one look-up, `sets[vertex_map]`,
and so is any other labelling of the vertices: another threshold needs no rendering.
"""

# %%
scene = geoset.PreparedScene(training[0])
i = len(scene) // 2
image, vertex_map = scene.image(i), scene.vertex_map(i)
coarse = geoset.oversegment(scene.vertices, scene.faces, threshold=0.2)  # one integer a vertex
coarse_map = np.where(vertex_map < 0, -1, coarse[vertex_map])
above = [("colour", image), ("vertex map", set_colors(vertex_map))]
below = [
    ("sets, threshold 0.01", paint_sets(image, scene.set_map(i))),
    ("sets, threshold 0.2", paint_sets(image, coarse_map)),
]
show(tile([above, below]))

# %% [markdown]
"""
Floor, walls and table tops should be sets of their own; a larger threshold gives larger sets. Dark
is what sees no vertex. A door or a picture that lies flush with its wall belongs to the wall's
set: geometry cannot tell them apart.

Two frames that see enough of the same surface are a **pair**. The sets that both see, in the same
colours:
"""

# %%
print(f"{len(scene.pairs)} pairs of {len(scene)} frames")
views = pair_row(scene, typical_pair(scene))
show(tile([views[:2], views[2:]]))

# %% [markdown]
"""
## Pre-train

Two stages, as in the paper. First, pixels of two views that show the same point should have
similar features, and different ones from all others. Then the same for sets: the mean feature of a
set in one view against the means of all sets in the other views of the batch. The network is a
narrow ResNet-18 with a decoder, from random weights.
"""

# %%
pretrain(training, WORK / "run", at_small_scale(RECIPES["demo"], STEPS), resume=True)
Image(filename=WORK / "run" / "curves.png")

# %% [markdown]
"""
Left, the loss over that of a network that knows nothing: it starts at 1 and should fall. Middle,
the similarity of what belongs together (positive) and of the rest (negative): it is the distance
between the two that counts. At the dotted line, sets follow pixels: another task, so another loss.
Right, how many directions the features use; near 1 they would have collapsed.

## Before and after

For pixels of one view of a room that was not trained on: is the most similar feature in another
view at the same point of the room? The truth is known from depth and pose. `before` is the same
network with random weights.
"""

# %%
models = {"before": "scratch", "after": WORK / "run"}
results = evaluate_frozen(models, WORK / "matches", scenes=[heldout], frames="all")
scene = geoset.PreparedScene(heldout)
print("found within           5 px   10 px   20 px")
for name, row in results["correspondence"]["scenes"][scene.name]["rows"].items():
    print(f"{name:20}", *(f"{share:6.1%} " for share in row["recall"][-1]))

# %%
show(PIL.Image.open(WORK / "matches" / f"{scene.name}-matches.png"))

# %% [markdown]
"""
Green lines are right to 10 pixels, red ones wrong. The rows are ordered by the angle between the
two views: the further the camera went, the harder it gets. The picture below takes one pixel, the
cross, and colours all others by how similar their features are. Before training that is speckle;
after it, a surface stands out in both views. The second cross, at the most similar pixel, may well
lie elsewhere on that surface: all of a set is asked to be alike.
"""

# %%
show(PIL.Image.open(WORK / "matches" / f"{scene.name}-similarity.png"))

# %% [markdown]
"""
Or all at once: the first three principal components of the features, as red, green and blue. The
same colour is the same feature, across images too.
"""

# %%
show(PIL.Image.open(WORK / "matches" / f"{scene.name}-features.png"))

# %% [markdown]
"""
## The encoder

`load_model` reads a run, and `encode` takes RGB images in 0..1 of any size to the encoder's four
maps. They are what a decoder of your own would build on. Fine maps follow edges, coarse ones take
in more of what is around.
"""

# %%
model = geoset.load_model(WORK / "run")
image = scene.image(0)
batch = torch.from_numpy(image).permute(2, 0, 1)[None] / 255
with torch.no_grad():
    maps = model.encode(batch)
for name, features in maps.items():
    print(name, tuple(features.shape))
painted = {
    name: paint_features([features[0].numpy()], image.shape[:2])[0]
    for name, features in maps.items()
}
row = [("image", image), *painted.items()]
show(tile([row[:3], row[3:]]))

# %% [markdown]
"""
## A few labels

What are such features worth? A linear layer on top of them, with everything else frozen, learns
the classes from a few labelled images of rooms that played no part so far, and is scored on
others. `colour and position` needs no network: it is what features have to beat. The rooms are
made up again; for labels of your own give `open_labelled` their folder.
"""

# %%
for seed in range(1000, 1000 + LABELLED_ROOMS):
    write_room(WORK / "labelled" / f"room-{seed}", seed, RoomSettings(frames=4))

train, val = (open_labelled(WORK / "labelled", split) for split in ("train", "val"))
print(f"{len(train)} images to learn from, {len(val)} to be scored on")
results = evaluate_frozen(models, WORK / "probe", train=train, test=val)
for name, row in results["segmentation"]["rows"].items():
    score = row["linear"]
    print(f"{name:20} mIoU {score['miou']:5.1%}, accuracy {score['pixel_accuracy']:5.1%}")
show(PIL.Image.open(WORK / "probe" / "segmentation.png"))

# %% [markdown]
"""
That is what a few minutes on a few rooms teach; `geoset demo` trains for longer, on more. To train
all of the network on labels, and not only a linear layer:

    geoset finetune segmentation --data geoset-notebook/labelled \
        --encoder geoset-notebook/run --scale small --out segmenter

## Take it elsewhere

Exports come with a README that says how to load them. Here is timm's own ResNet-18 with our
weights; its features are those of `encode`.
"""

# %%
exported = export(WORK / "run", "timm")
backbone = timm.create_model(
    "resnet18",
    num_classes=0,
    channels=(16, 32, 64, 128),
    checkpoint_path=str(exported / "resnet18.safetensors"),
).eval()
with torch.no_grad():
    normalised = (batch - model.mean) / model.std
    theirs = backbone.forward_intermediates(normalised, indices=4, intermediates_only=True)
for ours, other in zip(maps.values(), theirs, strict=True):
    print(tuple(ours.shape), "largest difference", float((ours - other).abs().max()))

# %% [markdown]
"""
## And then

Put `SCANS` at the top to a folder of yours and run it again, with another `WORK`. More scans help
most: the paper trained on 1,513 scans. The page *Start here* goes the same way from the command
line, and *Recipes* names what the paper ran.
"""
