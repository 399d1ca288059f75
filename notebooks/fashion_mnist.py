# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Fashion-MNIST, from bytes to a served model
#
# A classic first project in PyTorch: look at the data, build a small network, train it, judge it. We walk the usual way
# with `fittingroom`, slowly enough to see each step, and then go on to what first projects leave out: a validation set, an
# interval beside the accuracy, a fair comparison, a check of the data, and a model that other people can use.
#
# You should know Python and a little NumPy. PyTorch is explained where it appears.
#
# Everything is written to a new folder beside this notebook; the first cell says which, and how long the longest training is.

# %%
import gzip
import json
import os
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from itertools import count
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
import torch
from IPython.display import Image, display
from PIL import Image as Picture
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

import fittingroom as fr
from fittingroom.data import concatenate, known_identity, locate, stratified_split

NAME = "fashion-mnist"  # "sample" is 3,000 images of it
STAGES = (10, 4, 2)  # epochs of the three stages; the recipe itself has (50, 20, 10)
MINUTES = 3  # of the last section, in which your own idea is tried

# Everything is written into a new folder beside the notebook.
FOLDER = next(folder for number in count(1) if not (folder := Path(f"fitting-room-{number}")).exists())
FOLDER.mkdir()
os.chdir(FOLDER)
os.environ.pop("FORCE_COLOR", None)  # Jupyter asks for colours that print as codes


def command(*words):
    """What you would type into a terminal, and what it answers."""
    print("$ fittingroom", *words)
    done = subprocess.run([sys.executable, "-m", "fittingroom", *words], capture_output=True, text=True)
    print(done.stdout.strip())
    if done.returncode:
        print("exit code", done.returncode)


def show(images, titles=(), columns=10):
    rows = -(-len(images) // columns)
    _, axes = plt.subplots(rows, columns, figsize=(columns * 0.9, rows * 1.1), squeeze=False, dpi=80)
    for axis in axes.flat:
        axis.axis("off")
    for axis, image in zip(axes.flat, images):
        axis.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    for axis, title in zip(axes.flat, titles):
        axis.set_title(title, fontsize=7)
    plt.show()


print("torch", torch.__version__.partition("+")[0], "· fittingroom", fr.__version__)
print("the folder that everything is written to:", FOLDER)

# %% [markdown]
# ## 1. The data set
#
# 70,000 photographs of clothes, shrunk to 28×28 grey pixels: 60,000 to learn from, 10,000 to be judged on, in ten classes of
# equal size. It was made as a harder stand-in for the handwritten digits of MNIST, with the same file format.
#
# The first time this fetches the files and compares their SHA-256 with that of the official ones.

# %%
data = fr.open_dataset(NAME)
print(data.train, data.test, sep="\n")
data.train

# %% [markdown]
# There is nothing to hand in anywhere: both parts come with labels. That makes it a good place to learn, and an easy place
# to fool oneself, as we will see.
#
# ## 2. As a table
#
# Many people meet the data as two CSV files from Kaggle: one row an image, its label and 784 pixels (28 × 28 = 784), each 0
# (black) to 255 (white). Any format converts into any other, exactly, so let us make such files.

# %%
command("data", "convert", NAME, "table", "--to", "csv")
table = pl.read_csv("table/train.csv")
table.head(10)

# %% [markdown]
# The largest value of each column: nine for the label, as there are ten classes from 0; the first and last pixels, in the
# corners, are rarely white. Held as 64-bit numbers, as tables usually are, the pixels would take eight times as much memory
# as the bytes that they are.

# %%
largest = table.max()
print({name: largest[name][0] for name in ["label", "pixel1", "pixel2", "pixel3", "pixel392", "pixel783", "pixel784"]})
print(f"as bytes {data.train.images.nbytes / 1e6:.0f} MB, as float64 {data.train.images.size * 8 / 1e6:.0f} MB")

# %% [markdown]
# ## 3. As bytes: the IDX format
#
# The official files are IDX: a short header, then the raw values. Everything in the header is big-endian. The first number
# is a magic one: two zero bytes, the type of the values (8 for unsigned bytes), the number of dimensions.
#
# | offset | images | labels |
# | ---: | --- | --- |
# | 0 | magic number 2051: bytes in 3 dimensions | magic number 2049: bytes in 1 dimension |
# | 4 | how many | how many |
# | 8 | rows | **the first label** |
# | 12 | columns | |
# | 16 | **the first pixel** | |

# %%
folder = locate(NAME)
image_bytes = gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes())
label_bytes = gzip.decompress((folder / "train-labels-idx1-ubyte.gz").read_bytes())


def numbers(content, count):
    return [int.from_bytes(content[4 * i : 4 * i + 4], "big") for i in range(count)]


print("images", numbers(image_bytes, 4), "and", len(image_bytes), "bytes in all")
print("labels", numbers(label_bytes, 2), "and", len(label_bytes), "bytes in all")

# %% [markdown]
# Now the first image and the first label. Two mistakes are common here, and each looks like a damaged file:
#
# - taking the pixels from byte 0 instead of 16: every image comes out 16 pixels to the right, its right edge on the left;
# - taking the label from byte 0 instead of 8: that byte belongs to the magic number and is always 0.

# %%
pixels = np.frombuffer(image_bytes, np.uint8)
right, wrong = (pixels[start : start + 784].reshape(28, 28) for start in (16, 0))
show([right, wrong], ["from byte 16", "from byte 0"])
print("label from byte 8:", label_bytes[8], data.train.classes[label_bytes[8]])
print("label from byte 0:", label_bytes[0], data.train.classes[label_bytes[0]])

# %% [markdown]
# The command takes a header apart for you, and `data check` (section 16) measures by how much a file is shifted.

# %%
Path("train-labels-idx1-ubyte").write_bytes(label_bytes)
command("data", "header", "train-labels-idx1-ubyte")

# %% [markdown]
# ## 4. Dataset and DataLoader
#
# PyTorch's own way to batches has two parts. A `Dataset` answers two questions: how many examples are there (`__len__`), and
# what is number i (`__getitem__`). A `DataLoader` draws indices, asks for each example and stacks them.
#
# `as_torch()` is such a `Dataset`: it gives a float32 image of shape (channels, rows, columns) with values of 0 to 1, and
# the label as a number. Only the batch at hand is float; the whole stays bytes.

# %%
BATCH_SIZE = 256
shuffled = torch.Generator().manual_seed(0)
loader = DataLoader(data.train.as_torch(), batch_size=BATCH_SIZE, shuffle=True, generator=shuffled)
images, labels = next(iter(loader))
print("a batch", tuple(images.shape), images.dtype, "·", tuple(labels.shape), labels.dtype)
print(f"{len(loader)} batches an epoch; the last has {len(data.train) - (len(loader) - 1) * BATCH_SIZE} images")

# %% [markdown]
# **Batch size.** The gradient of a batch is an estimate of the gradient over everything: larger batches estimate better and
# cost more. Powers of two are a habit, not a law. What limits the batch is memory, and it is not the images that fill it but
# what the network keeps of them for the way back:

# %%
of_images = BATCH_SIZE * 28 * 28 * 4
of_first_layer = BATCH_SIZE * 16 * 28 * 28 * 4
print(f"a batch of images: {of_images / 1e6:.1f} MB; what the first layer makes of it: {of_first_layer / 1e6:.1f} MB")

# %% [markdown]
# If memory does run out in `fittingroom train`, it halves the batch, adds the gradients up, and says so: the step stays the
# same. And its own loader is simpler than a `DataLoader`: all images lie in one tensor, and a batch is cut from it.
#
# ## 5. Look at the samples
#
# Before any training. Labels are drawn above.

# %%
show([image[0].numpy() * 255 for image in images[:20]], [data.train.classes[label] for label in labels[:20]])

# %% [markdown]
# ## 6. The network
#
# Here it is, written out. Three convolutions. Each slides small filters over the image and so finds the same pattern wherever it is. Batch norm brings
# each channel to mean 0 and sd 1 over the batch, ReLU sets what is negative to 0. Pooling keeps the largest of each 2×2 and
# halves the sides. At the end, a linear layer makes ten numbers, one a class: the *logits*. The package has this network too,
# under the name `tutorial`; `fittingroom models tutorial` takes it apart.


# %%
def convolution(before, after, side, padding=0):
    return nn.Sequential(nn.Conv2d(before, after, side, padding=padding), nn.BatchNorm2d(after), nn.ReLU())


class FashionCNN(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.layer1 = convolution(1, 16, 5, padding=2)
        self.layer2 = convolution(16, 32, 3)
        self.layer3 = convolution(32, 64, 3)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(64 * 5 * 5, num_classes)

    def forward(self, x):
        x = self.pool(self.layer1(x))
        x = self.pool(self.layer3(self.layer2(x)))
        return self.fc(x.flatten(1))


torch.manual_seed(0)
network = FashionCNN()
print(network)

# %% [markdown]
# Follow a batch through it. The first convolution pads by 2, so that the sides stay 28; the other two don't, and lose 2 pixels
# each. `flatten` turns 64 maps of 5×5 into 1,600 numbers for the linear layer.

# %%
x = images
for name, layer in [
    ("layer1", network.layer1),
    ("pool", network.pool),
    ("layer2", network.layer2),
    ("layer3", network.layer3),
    ("pool", network.pool),
    ("flatten", nn.Flatten()),
    ("fc", network.fc),
]:
    x = layer(x)
    print(f"{name:<8}", tuple(x.shape))

# %% [markdown]
# ## 7. Where it computes
#
# Network and batch have to be on the same device. `fittingroom` takes CUDA, then Apple's, then the processor, unless told by
# `--device`. The optimizer needs no move: it holds the very parameters of the network.

# %%
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
network = network.to(device)
print(device)

# %% [markdown]
# ## 8. The loss: cross-entropy
#
# Softmax turns logits into probabilities. The loss of one image is minus the logarithm of the probability that the true
# class got: 0 for certain and right, without bound for certain and wrong. `cross_entropy` does both in one: a log-softmax,
# then the negative log-likelihood. Here are three ways to the same number:

# %%
logits = network(images.to(device)).detach().cpu()
in_one = F.cross_entropy(logits, labels)
in_two = F.nll_loss(F.log_softmax(logits, dim=1), labels)
as_defined = -torch.log(torch.softmax(logits, dim=1)[torch.arange(len(labels)), labels]).mean()
print(f"{in_one:.6f}  {in_two:.6f}  {as_defined:.6f}")
print(f"a network that knows nothing gives each class 1/10: {np.log(10):.6f}")

# %% [markdown]
# ## 9. Adam
#
# Gradient descent moves each weight against its gradient. Adam divides by the size that this weight's gradient usually has,
# so that all weights move by about the learning rate, whether their gradients are large or small. In the very first step it
# is exactly so:

# %%
optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
before = network.fc.weight.detach().clone()
F.cross_entropy(network(images.to(device)), labels.to(device)).backward()
optimizer.step()
moved = (network.fc.weight.detach() - before).abs()
print(f"gradients from {network.fc.weight.grad.abs().min():.1e} to {network.fc.weight.grad.abs().max():.1e}")
print(f"half of the weights moved by between {moved.quantile(0.25):.4f} and {moved.quantile(0.75):.4f}")

# %% [markdown]
# ## 10. The loop
#
# Everything is there: for each batch forget the old gradients, compute the loss, compute new gradients, make a step. One epoch
# by hand:

# %%
network.train()
losses = []
started = time.process_time()
for images, labels in loader:
    optimizer.zero_grad()
    loss = F.cross_entropy(network(images.to(device)), labels.to(device))
    loss.backward()
    optimizer.step()
    losses.append(loss.item())
by_hand = time.process_time() - started
first, last = np.mean(losses[:10]), np.mean(losses[-10:])
print(f"{len(losses)} steps; mean loss of the first ten {first:.3f}, of the last ten {last:.3f}")

# %% [markdown]
# ## 11. Training in stages
#
# The usual way on: many epochs at a large learning rate, then fewer at a tenth of it. The recipe `tutorial` is that: Adam at
# 0.01 for 50 epochs, then twice with a fresh Adam at 0.001 for 20 and for 10. A fifth of these epochs shows the same in a
# fifth of the time; `STAGES` in the first cell has them. With `precision="auto"` it computes in bf16 where the processor
# does. In float32 and on all of the training images, as it comes, the recipe once gave 91.25% on test (one seed); that
# stands at the head of its file.
#
# Here 5,000 training images are held out: on them one may look as often as one likes. A bar shows how far it is. Then the
# accuracy after each stage, of images that the network has not learned from.
#
# Every key of a recipe can be given by name. A mistake in one is refused before anything starts.

# %%
stages = [replace(stage, epochs=epochs) for stage, epochs in zip(fr.load_recipe("tutorial").stages, STAGES)]
started = time.process_time()
tutorial = fr.train(
    data,
    "tutorial",
    stages=stages,
    validation=len(data.train) // 12,
    precision="auto",
    out="runs/tutorial",
    options=fr.Options(xkcd=True),
)
an_epoch = (time.process_time() - started) / tutorial.recipe.epochs
print(f"processor seconds an epoch: {an_epoch:.0f}, all that is written included; by hand {by_hand:.0f}")

ends = np.cumsum([stage.epochs for stage in tutorial.recipe.stages])
epochs = [event for event in tutorial.events if event["event"] == "epoch"]
for stage, end in zip(tutorial.recipe.stages, ends):
    after = epochs[end - 1]
    loss, accuracy = after["train_loss"], after["validation_accuracy"]
    print(f"{stage.epochs} epochs at {stage.lr}: training loss {loss:.3f}, validation accuracy {accuracy:.2%}")

# %% [markdown]
# What a stage brings on images that were learned from and what it brings on others are two things. More below.
#
# ## 12. The loss curve
#
# In the hand-drawn style of xkcd. Below are steps, above are epochs: a curve drawn from every batch counts batches, not
# epochs. Each faint value is the loss of one batch; the points are means over an epoch.

# %%
display(Image("runs/tutorial/loss.png", width=640))

# %% [markdown]
# ## 13. Saving and loading
#
# The run's folder holds the weights as safetensors, which is numbers and nothing else. (`torch.save` writes a pickle, and
# opening somebody's pickle can run somebody's code.) With the weights goes what is needed to use them: the class names, the
# image size, the normalisation. And `model.onnx`, which runs without PyTorch.

# %%
for file in sorted(path for path in tutorial.path.iterdir() if path.is_file()):
    print(f"{file.name:<32}{file.stat().st_size:>10,} bytes")

model = fr.load(tutorial.path)
again = tutorial.model()  # a PyTorch module that takes pixels of 0 to 255
first = data.train.images[:1000]
with torch.no_grad():
    by_torch = again(torch.tensor(first)).argmax(dim=1).numpy()
print("ONNX Runtime and PyTorch agree on", (model.predict(first) == by_torch).sum(), "of 1,000")

# %% [markdown]
# ## 14. Evaluation
#
# Now, and only now, the test set. `evaluate` puts the network into evaluation mode (batch norm then uses the statistics of the
# training), takes the largest of the ten outputs as the answer, counts the right ones over *all* images and divides once.

# %%
scores = tutorial.evaluate()
low, high = scores["interval"]
print(f"{scores['correct']:,} of {scores['n']:,} right: {scores['accuracy']:.2%}; 95% interval {low:.2%} to {high:.2%}")
for each in sorted(scores["per_class"], key=lambda each: each["recall"])[:3]:
    print(f"{each['class']:<12} {each['recall']:.1%} found")

# %% [markdown]
# The interval is not decoration. On 10,000 images an accuracy near 91% is uncertain by about ±0.56 points: two models at 90.8
# and 91.2 can't be told apart by their accuracies.
#
# **Going on, and a plateau.** Would more epochs help? That is asked of training and validation, not of test. A falling
# training loss with a validation loss that stands still or rises is a model that learns by heart. The diagnosis looks at both
# curves:

# %%
for verdict in fr.diagnose_run(tutorial):
    print(f"{verdict.name}: {verdict.sentence}\n    → {verdict.suggestion}")

# %% [markdown]
# A trained model is no end. `from_run` goes on from its weights, in a run of its own, with the same validation images: a few
# epochs at a rate that is lower once more, 0.0001.

# %%
finer = fr.train(
    data, from_run=tutorial, stages=[replace(stages[-1], epochs=min(5, STAGES[-1]), lr=0.0001)], out="runs/finer"
)
for name, run in (("before", tutorial), ("after", finer)):
    print(f"{name}: validation accuracy {run.result['validation']['accuracy']:.2%}")

# %% [markdown]
# **Hyper-parameters** are what training does not learn: batch size, learning rates, epochs, but the optimizer, the loss and
# the device are choices too. All of them are in the recipe, with every default written out:

# %%
print(tutorial.recipe.to_toml())

# %% [markdown]
# ## 15. With validation: a recipe that is made to be fast
#
# `swift` holds 2,000 training images out, normalises, and trains a small residual network for two epochs. Its convolution
# filters are trained by Muon, everything else by AdamW. This is its whole training, not cut short.

# %%
started = time.process_time()
swift = fr.train(data, "swift", out="runs/swift")
spent = time.process_time() - started
validation = swift.result["validation"]
low, high = validation["interval"]
print(f"validation {validation['accuracy']:.2%} of {validation['n']:,}; 95% interval {low:.2%} to {high:.2%}")
print(f"{spent:.0f} processor seconds for {swift.recipe.epochs} epochs, report and all")

# %% [markdown]
# These are seconds of the processor, summed over its cores. Beside other programs they can be several times as many, as threads
# that wait for each other use the processor too: a line above says so where it happened. `fittingroom bench` measures your machine.
#
# **Is an idea better?** Say, label smoothing: is `swift` better with it (as it comes) than without? Train both, and ask on
# validation, so that the test set stays unseen:

# %%
without = fr.train(data, "swift", label_smoothing=0.0, out="runs/without-smoothing")
fr.compare_runs([swift, without], on="validation")

# %% [markdown]
# The answer is about these two models. Whether the *recipe* is better takes several seeds of each, `train --seeds 5`, and
# the comparison then counts seeds and images both as chance.
#
# Now one look at test, and the ledger of looks:

# %%
scores = swift.evaluate()
low, high = scores["interval"]
print(f"test {scores['accuracy']:.2%} of {scores['n']:,}; 95% interval {low:.2%} to {high:.2%}")
for line in Path("runs/test-looks.jsonl").read_text().splitlines():
    look = json.loads(line)
    print(look["run"], "looked at", look["data"])

# %% [markdown]
# ## 16. Check the data
#
# The CSV files on Kaggle are not the official split: all 70,000 images were pooled and cut anew. Their test accuracy can't be
# compared with a published one, and whoever trains on their train file and judges on the official test file has trained on
# most of it. Those files may not be redistributed, so let us make a cut like theirs and see whether it is noticed:

# %%
everything = concatenate([data.train, data.test], "pooled")
recut_train, recut_test = stratified_split(everything, len(data.test), seed=1)
np.savez("recut.npz", x_train=recut_train.images, y_train=recut_train.labels)
np.savez("recut-test.npz", x_train=recut_test.images, y_train=recut_test.labels)
print("official test set known as:", known_identity(data.test))
print("new test set known as:     ", known_identity(recut_test))
command("data", "check", "recut.npz", "recut-test.npz", "--no-near-duplicates")

# %% [markdown]
# The check also knows shifted files. Here the header is read as if it were pixels, the mistake of section 3, made into a file:

# %%
Path("shifted").mkdir()
Path("shifted/train-images-idx3-ubyte").write_bytes(image_bytes[:16] + image_bytes[:-16])
Path("shifted/train-labels-idx1-ubyte").write_bytes(label_bytes)
command("data", "check", "shifted", "--no-near-duplicates")

# %% [markdown]
# ## 17. Predict
#
# A photo is not a 28×28 image. It is trimmed, shrunk, sharpened, centred and negated, as the data set's own photos were;
# `--sheet` draws what the model saw. We make a "photo" from a test image: dark on white, enlarged.

# %%
Picture.fromarray(255 - data.test.images[0]).resize((280, 280)).save("photo.png")
print("truth:", data.test.classes[data.test.labels[0]])
command("predict", "runs/swift", "photo.png", "--sheet", "seen.png")
display(Image("seen.png", width=400))

# %% [markdown]
# From Python, for many at once. A network gives one of its ten names to anything, noise too, and may be sure of it. So each
# answer says how usual its image is: `typical` is about the share of the validation images that are at least as strange, and
# up to 0.05 the image is called unfamiliar: by design about 1 of 20 of the images that the network was made for. It
# catches some of what is foreign, not all.

# %%
model = fr.load("runs/swift")
print(model.predict_names("photo.png"))
some = data.test[:10]
sure = model.predict_proba(some).max(1)
show(some.images, [f"{name}\n{p:.0%}" for name, p in zip(model.predict_names(some), sure)])
clothes = model.classify(data.test.images[:1000])
noise = model.classify(np.random.default_rng(0).integers(0, 256, (1000, 28, 28), dtype=np.uint8))
print(
    f"called unfamiliar: {np.mean(clothes.typical <= 0.05):.1%} of clothes, {np.mean(noise.typical <= 0.05):.1%} of noise"
)

# %% [markdown]
# ## 18. Serve
#
# `fittingroom serve` answers over HTTP: a page for people, and an API. Here we start it on a free port, send it the photo, and
# stop it.

# %%
server = subprocess.Popen(
    [sys.executable, "-m", "fittingroom", "serve", "runs/swift", "--port", "0"],
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
)
try:
    address = next(word for word in server.stdout.readline().split() if word.startswith("http"))
    with urllib.request.urlopen(address + "predict", data=Path("photo.png").read_bytes()) as reply:
        answer = json.load(reply)
finally:
    server.terminate()
    server.wait()
print(answer["class"], f"{answer['probability']:.1%}", "· typical", f"{answer['typical']:.2f}")

# %% [markdown]
# ## 19. Your own idea
#
# Change the network. Here its first convolution has 32 channels in place of 16; put in what you like. A class from a cell is
# a model like any other: its source is kept with the run.
#
# Is it better? One training each can't tell, for two trainings of *one* network differ too. `try_ideas` trains both with the
# same seeds, pair after pair, judges them on images held out for it alone, and stops as soon as it can tell, or when the
# minutes are over.


# %%
class WiderCNN(FashionCNN):
    def __init__(self, num_classes=10):
        super().__init__(num_classes)
        self.layer1 = convolution(1, 32, 5, padding=2)
        self.layer2 = convolution(32, 32, 3)


baseline = fr.Recipe(model=FashionCNN, stages=(fr.Stage(epochs=1, lr=0.003, schedule="one-cycle"),))
tried = fr.try_ideas(
    data, {"wider": replace(baseline, model=WiderCNN)}, baseline, budget=60 * MINUTES, out="runs/wider"
)
tried

# %% [markdown]
# The answer is about one epoch of training, and may be that it can't be told yet: `fr.resume_ideas("runs/wider", budget=…)`
# goes on with it. What you find here holds for these images and this recipe.
#
# ## Where next
#
# - `runs/swift/report.html` in the folder that the first cell named: curves, the worst mistakes as pictures, calibration.
# - `fittingroom train your.csv`: the [tutorial](../docs/start/tutorial.md) goes from a CSV of your own to a served model.
# - `fittingroom train --recipe steady`: nearly two points more, in little more than a minute.
