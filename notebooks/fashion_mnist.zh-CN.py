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
# # Fashion-MNIST：从字节到上线的模型
#
# 这是学 PyTorch 时常做的第一个项目：看数据，搭一个小网络，训练，评估。
# 我们用 `fittingroom` 把这条路走一遍，慢到每一步都看得清；然后继续往前，
# 补上入门项目通常略过的部分：验证集、准确率的置信区间、公平的比较、数据检查，以及别人也能用的模型。
#
# 你需要会 Python，懂一点 NumPy。用到 PyTorch 的地方都会解释。
#
# 所有文件都写进 notebook 旁边新建的一个文件夹。第一个单元格会说出它的名字，也写着最长的一次训练有多少轮。

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

NAME = "fashion-mnist"  # "sample" 是其中的 3,000 张
STAGES = (10, 4, 2)  # 三个阶段的轮数；配方本身是 (50, 20, 10)
MINUTES = 3  # 最后一节试你自己的想法，最多用几分钟

# 所有文件都写进 notebook 旁边新建的文件夹。
FOLDER = next(folder for number in count(1) if not (folder := Path(f"fitting-room-{number}")).exists())
FOLDER.mkdir()
os.chdir(FOLDER)
os.environ.pop("FORCE_COLOR", None)  # Jupyter 要求彩色输出，打印出来会成乱码


def command(*words):
    """在终端里输入的命令，以及它的回答。"""
    print("$ fittingroom", *words)
    done = subprocess.run([sys.executable, "-m", "fittingroom", *words], capture_output=True, text=True)
    print(done.stdout.strip())
    if done.returncode:
        print("退出码", done.returncode)


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
print("所有文件都写进这个文件夹：", FOLDER)

# %% [markdown]
# ## 1. 数据集
#
# 70,000 张服装照片，缩成 28×28 的灰度图：60,000 张用来学习，10,000 张用来评估，十个类别数量相等。
# 它是为替代手写数字 MNIST 而做的，文件格式相同，但更难。
#
# 第一次运行时会下载文件，并核对 SHA-256 与官方文件是否一致。

# %%
data = fr.open_dataset(NAME)
print(data.train, data.test, sep="\n")
data.train

# %% [markdown]
# 两部分都带标签，不需要向任何地方提交结果。所以它适合学习，也容易让人自欺，后面会看到。
#
# ## 2. 当作表格
#
# 很多人是从 Kaggle 的两个 CSV 文件认识这份数据的：一行一张图，先是标签，再是 784 个像素（28 × 28 = 784），
# 取值 0（黑）到 255（白）。各种格式之间可以无损转换，我们就自己生成这样的文件。

# %%
command("data", "convert", NAME, "table", "--to", "csv")
table = pl.read_csv("table/train.csv")
table.head(10)

# %% [markdown]
# 每一列的最大值：标签是 9，因为十个类别从 0 数起；开头和末尾的像素在图的角上，很少是白的。
# 每个像素其实只是一个字节；若像表格通常那样用 64 位数存放，占用的内存就是八倍。

# %%
largest = table.max()
print({name: largest[name][0] for name in ["label", "pixel1", "pixel2", "pixel3", "pixel392", "pixel783", "pixel784"]})
print(f"按字节存放 {data.train.images.nbytes / 1e6:.0f} MB，按 float64 存放 {data.train.images.size * 8 / 1e6:.0f} MB")

# %% [markdown]
# ## 3. 当作字节：IDX 格式
#
# 官方文件用 IDX 格式：很短的文件头，接着就是原始数值。文件头里的数都是大端序。第一个数是魔数：两个零字节，
# 数值类型（8 表示无符号字节），维数。
#
# | 偏移 | 图片文件 | 标签文件 |
# | ---: | --- | --- |
# | 0 | 魔数 2051：字节，3 维 | 魔数 2049：字节，1 维 |
# | 4 | 数量 | 数量 |
# | 8 | 行数 | **第一个标签** |
# | 12 | 列数 | |
# | 16 | **第一个像素** | |

# %%
folder = locate(NAME)
image_bytes = gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes())
label_bytes = gzip.decompress((folder / "train-labels-idx1-ubyte.gz").read_bytes())


def numbers(content, count):
    return [int.from_bytes(content[4 * i : 4 * i + 4], "big") for i in range(count)]


print("图片", numbers(image_bytes, 4), "共", len(image_bytes), "字节")
print("标签", numbers(label_bytes, 2), "共", len(label_bytes), "字节")

# %% [markdown]
# 现在读第一张图和第一个标签。这里有两个常见的错误，看上去都像是文件坏了：
#
# - 像素从第 0 字节读起，而不是第 16 字节：每张图都向右错开 16 个像素，右边缘跑到左边来；
# - 标签从第 0 字节读起，而不是第 8 字节：那个字节属于魔数，永远是 0。

# %%
pixels = np.frombuffer(image_bytes, np.uint8)
right, wrong = (pixels[start : start + 784].reshape(28, 28) for start in (16, 0))
show([right, wrong], ["byte 16", "byte 0"])
print("从第 8 字节读标签：", label_bytes[8], data.train.classes[label_bytes[8]])
print("从第 0 字节读标签：", label_bytes[0], data.train.classes[label_bytes[0]])

# %% [markdown]
# 有一条命令可以替你解读文件头；`data check`（第 16 节）则能量出文件错位了多少。

# %%
Path("train-labels-idx1-ubyte").write_bytes(label_bytes)
command("data", "header", "train-labels-idx1-ubyte")

# %% [markdown]
# ## 4. Dataset 和 DataLoader
#
# PyTorch 自带的分批取数方式分两部分。
# `Dataset` 回答两个问题：一共有多少样本（`__len__`），第 i 个是什么（`__getitem__`）。
# `DataLoader` 抽取下标，逐个取样本，再叠成一批。
#
# `as_torch()` 就是这样一个 `Dataset`：给出形状为（通道，行，列）、取值 0 到 1 的 float32 图像，以及整数标签。
# 只有手头这一批是浮点数，整份数据仍是字节。

# %%
BATCH_SIZE = 256
shuffled = torch.Generator().manual_seed(0)
loader = DataLoader(data.train.as_torch(), batch_size=BATCH_SIZE, shuffle=True, generator=shuffled)
images, labels = next(iter(loader))
print("一批", tuple(images.shape), images.dtype, "·", tuple(labels.shape), labels.dtype)
print(f"每轮 {len(loader)} 批；最后一批有 {len(data.train) - (len(loader) - 1) * BATCH_SIZE} 张")

# %% [markdown]
# **批次大小。** 一批的梯度是对全体数据梯度的估计：批次越大，估计越准，代价也越大。用 2 的幂只是习惯，不是定律。
# 限制批次大小的是内存；占内存的不是图片本身，而是网络为反向传播保留的中间结果：

# %%
of_images = BATCH_SIZE * 28 * 28 * 4
of_first_layer = BATCH_SIZE * 16 * 28 * 28 * 4
print(f"一批图片：{of_images / 1e6:.1f} MB；第一层由它算出的结果：{of_first_layer / 1e6:.1f} MB")

# %% [markdown]
# 如果 `fittingroom train` 真的内存不够，它会把批次减半、累积梯度，并告诉你；每一步的更新不变。它自己的取数方式也比
# `DataLoader` 简单：所有图片放在一个张量里，一批就是从中切出来的一块。
#
# ## 5. 看看样本
#
# 先看，再训练。标签写在图的上方。

# %%
show([image[0].numpy() * 255 for image in images[:20]], [data.train.classes[label] for label in labels[:20]])

# %% [markdown]
# ## 6. 网络
#
# 下面是完整的代码。三个卷积层。每层用小卷积核滑过图像，同一种图案无论在哪里都能找到。批归一化把每个通道在这一批内变成均值 0、标准差 1；
# ReLU 把负数变成 0。池化在每个 2×2 里取最大值，边长减半。最后一个线性层给出十个数，每类一个，叫作 *logits*。
# 本软件包里也有这个网络，名叫 `tutorial`；`fittingroom models tutorial` 可以把它拆开看。


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
# 跟着一批数据走一遍。第一个卷积层四周填充 2 个像素，所以边长仍是 28；另外两个不填充，边长各减 2。
# `flatten` 把 64 张 5×5 的特征图展平成 1,600 个数，交给线性层。

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
# ## 7. 在哪里计算
#
# 网络和批次必须在同一个设备上。`fittingroom` 依次选 CUDA、苹果的 GPU、CPU，也可以用 `--device` 指定。
# 优化器不用搬：它拿着的就是网络自己的参数。

# %%
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
network = network.to(device)
print(device)

# %% [markdown]
# ## 8. 损失：交叉熵
#
# softmax 把 logits 变成概率。一张图的损失是其真实类别所得概率的负对数：判断正确且很有把握时，损失接近 0；很有把握却判断错误时，损失没有上限。
# `cross_entropy` 把两步合成一步：先 log-softmax，再负对数似然。下面用三种方式得到同一个数：

# %%
logits = network(images.to(device)).detach().cpu()
in_one = F.cross_entropy(logits, labels)
in_two = F.nll_loss(F.log_softmax(logits, dim=1), labels)
as_defined = -torch.log(torch.softmax(logits, dim=1)[torch.arange(len(labels)), labels]).mean()
print(f"{in_one:.6f}  {in_two:.6f}  {as_defined:.6f}")
print(f"什么都不会的网络给每类 1/10：{np.log(10):.6f}")

# %% [markdown]
# ## 9. Adam
#
# 梯度下降让每个权重朝梯度的反方向移动。Adam 再除以该权重梯度平时的大小，
# 于是不论梯度大小，所有权重每步都移动大约一个学习率。第一步恰好就是这样：

# %%
optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
before = network.fc.weight.detach().clone()
F.cross_entropy(network(images.to(device)), labels.to(device)).backward()
optimizer.step()
moved = (network.fc.weight.detach() - before).abs()
print(f"梯度从 {network.fc.weight.grad.abs().min():.1e} 到 {network.fc.weight.grad.abs().max():.1e}")
print(f"一半权重移动了 {moved.quantile(0.25):.4f} 到 {moved.quantile(0.75):.4f}")

# %% [markdown]
# ## 10. 训练循环
#
# 东西都齐了：对每一批，清掉旧梯度，算损失，算新梯度，走一步。手写一轮（epoch）：

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
print(f"{len(losses)} 步；前十步平均损失 {first:.3f}，最后十步 {last:.3f}")

# %% [markdown]
# ## 11. 分阶段训练
#
# 常见的做法：先用较大的学习率跑许多轮，再降到十分之一跑较少的轮数。配方 `tutorial` 就是这样：
# Adam，学习率 0.01 跑 50 轮，然后两次换上新的 Adam，学习率 0.001，分别跑 20 轮和 10 轮。
# 用五分之一的轮数、五分之一的时间，看到的是同样的道理；轮数写在第一个单元格的 `STAGES` 里。
# 用 `precision="auto"`，处理器能直接计算 bf16 时就用 bf16。
# 配方按原样用 float32、在全部训练图片上训练时，测试集准确率为 91.25%（单个种子，记录在配方文件开头）。
#
# 这里从训练集中留出 5,000 张：在这些图片上，想看多少次都可以。进度条会显示跑到哪里了。
# 然后打印每个阶段之后的准确率，用的都是网络没有学过的图片。
#
# 配方里的每一项都可以按名字传入，写错了在开始之前就会被拒绝。

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
print(f"每轮的处理器时间：{an_epoch:.0f} 秒，包括写文件；手写的循环：{by_hand:.0f} 秒")

ends = np.cumsum([stage.epochs for stage in tutorial.recipe.stages])
epochs = [event for event in tutorial.events if event["event"] == "epoch"]
for stage, end in zip(tutorial.recipe.stages, ends):
    after = epochs[end - 1]
    loss, accuracy = after["train_loss"], after["validation_accuracy"]
    print(f"{stage.epochs} 轮，学习率 {stage.lr}：训练损失 {loss:.3f}，验证准确率 {accuracy:.2%}")

# %% [markdown]
# 一个阶段在学过的图片上带来什么，在没有学过的图片上带来什么，是两回事。下文会再谈。
#
# ## 12. 损失曲线
#
# 用 xkcd 的手绘风格。下面的横轴是步数，上面的是轮数：按每一批画出的曲线，数的是批次，不是轮数。
# 浅色的是每一批的损失，圆点是一轮的均值。

# %%
display(Image("runs/tutorial/loss.png", width=640))

# %% [markdown]
# ## 13. 保存与加载
#
# 运行的文件夹用 safetensors 保存权重，里面只有数字。
# （`torch.save` 写的是 pickle，打开别人的 pickle 可能会执行别人的代码。）
# 与权重放在一起的，是使用它们所需的东西：类别名、图片大小、归一化方式。还有不需要 PyTorch 就能运行的 `model.onnx`。

# %%
for file in sorted(path for path in tutorial.path.iterdir() if path.is_file()):
    print(f"{file.name:<32}{file.stat().st_size:>10,} bytes")

model = fr.load(tutorial.path)
again = tutorial.model()  # 一个 PyTorch 模块，输入 0 到 255 的像素
first = data.train.images[:1000]
with torch.no_grad():
    by_torch = again(torch.tensor(first)).argmax(dim=1).numpy()
print("ONNX Runtime 与 PyTorch 答案相同：", (model.predict(first) == by_torch).sum(), "/ 1,000")

# %% [markdown]
# ## 14. 评估
#
# 现在才轮到测试集。`evaluate` 把网络切换到评估模式（批归一化改用训练时的统计量），取十个输出中最大的作为答案，
# 在*全部*图片上数出答对的个数，只除一次。

# %%
scores = tutorial.evaluate()
low, high = scores["interval"]
print(f"{scores['correct']:,} / {scores['n']:,} 张答对：{scores['accuracy']:.2%}；95% 区间 {low:.2%} 到 {high:.2%}")
for each in sorted(scores["per_class"], key=lambda each: each["recall"])[:3]:
    print(f"{each['class']:<12} 召回率 {each['recall']:.1%}")

# %% [markdown]
# 置信区间不是摆设。在 10,000 张图上，91% 左右的准确率有大约 ±0.56 个百分点的不确定性：
# 准确率为 90.8 和 91.2 的两个模型，单凭准确率分不出高下。
#
# **继续训练与平台期。** 多跑几轮有用吗？这要问训练集和验证集，不能问测试集。训练损失在降，验证损失却不动或上升，
# 说明模型在死记硬背。诊断看的就是这两条曲线：

# %%
for verdict in fr.diagnose_run(tutorial):
    print(f"{verdict.name}: {verdict.sentence}\n    → {verdict.suggestion}")

# %% [markdown]
# 训练好的模型不是终点。`from_run` 从它的权重继续训练，写进一个新的运行，验证图片不变：用再低一级的学习率 0.0001 跑几轮。

# %%
finer = fr.train(
    data, from_run=tutorial, stages=[replace(stages[-1], epochs=min(5, STAGES[-1]), lr=0.0001)], out="runs/finer"
)
for name, run in (("之前", tutorial), ("之后", finer)):
    print(f"{name}：验证准确率 {run.result['validation']['accuracy']:.2%}")

# %% [markdown]
# **超参数**是训练本身不学的东西：批次大小、学习率、轮数；优化器、损失函数、设备其实也都是选择。
# 它们全在配方里，默认值也都写明：

# %%
print(tutorial.recipe.to_toml())

# %% [markdown]
# ## 15. 加上验证集：一个为速度而设计的配方
#
# `swift` 从训练集留出 2,000 张，做归一化，把一个小的残差网络训练两轮。卷积核用 Muon 训练，其余参数用 AdamW。
# 下面是它完整的训练，没有缩短。

# %%
started = time.process_time()
swift = fr.train(data, "swift", out="runs/swift")
spent = time.process_time() - started
validation = swift.result["validation"]
low, high = validation["interval"]
print(f"验证准确率 {validation['accuracy']:.2%}，共 {validation['n']:,} 张；95% 区间 {low:.2%} 到 {high:.2%}")
print(f"{spent:.0f} 秒处理器时间，{swift.recipe.epochs} 轮，包括写报告")

# %% [markdown]
# 这里计的是处理器时间，各个核加在一起。机器同时还在忙别的程序时，它可能是平时的好几倍：线程互相等待也占用处理器；发生时，上面会有一行说明。
# `fittingroom bench` 可以测你的机器。
#
# **某个想法更好吗？** 比如标签平滑：`swift` 用它（默认如此）比不用更好吗？两种都训练，
# 然后在验证集上比较，这样测试集仍未被看过：

# %%
without = fr.train(data, "swift", label_smoothing=0.0, out="runs/without-smoothing")
fr.compare_runs([swift, without], on="validation")

# %% [markdown]
# 这个答案只针对这两个模型。要问*配方*是否更好，每种都要训练几个种子（`train --seeds 5`），
# 比较时种子和图片都算作随机因素。
#
# 现在看一次测试集，再列出测试集的查看记录：

# %%
scores = swift.evaluate()
low, high = scores["interval"]
print(f"测试准确率 {scores['accuracy']:.2%}，共 {scores['n']:,} 张；95% 区间 {low:.2%} 到 {high:.2%}")
for line in Path("runs/test-looks.jsonl").read_text().splitlines():
    look = json.loads(line)
    print(look["run"], "看过", look["data"])

# %% [markdown]
# ## 16. 检查数据
#
# Kaggle 上的 CSV 并不是官方的划分：70,000 张图被混在一起重新划分过。在它的测试集上得到的准确率，不能与公开发表的相比；
# 用它的训练文件训练、再用官方测试文件评估，等于已经学过其中的大部分。
# 那些文件不能再分发，所以我们仿照着划分一份，看看能否被发现：

# %%
everything = concatenate([data.train, data.test], "pooled")
recut_train, recut_test = stratified_split(everything, len(data.test), seed=1)
np.savez("recut.npz", x_train=recut_train.images, y_train=recut_train.labels)
np.savez("recut-test.npz", x_train=recut_test.images, y_train=recut_test.labels)
print("官方测试集被认作：", known_identity(data.test))
print("新测试集被认作：", known_identity(recut_test))
command("data", "check", "recut.npz", "recut-test.npz", "--no-near-duplicates")

# %% [markdown]
# 这项检查也认得错位的文件。下面把第 3 节的错误做成文件：文件头被当成了像素。

# %%
Path("shifted").mkdir()
Path("shifted/train-images-idx3-ubyte").write_bytes(image_bytes[:16] + image_bytes[:-16])
Path("shifted/train-labels-idx1-ubyte").write_bytes(label_bytes)
command("data", "check", "shifted", "--no-near-duplicates")

# %% [markdown]
# ## 17. 预测
#
# 照片不是 28×28 的图。它会被裁边、缩小、锐化、居中、反相，与数据集当初处理原始照片的做法一样；
# `--sheet` 画出模型看到的图。我们用一张测试图片做一张“照片”：白底深色，放大。

# %%
Picture.fromarray(255 - data.test.images[0]).resize((280, 280)).save("photo.png")
print("真实类别：", data.test.classes[data.test.labels[0]])
command("predict", "runs/swift", "photo.png", "--sheet", "seen.png")
display(Image("seen.png", width=400))

# %% [markdown]
# 在 Python 里，一次处理许多张。无论给网络什么，哪怕是噪声，它都会说出十个名字中的一个，还可能很有把握。
# 所以每个答案都说明图片有多寻常：`typical` 大致是验证集中至少同样奇怪的图片所占的比例，不超过 0.05 就称为“不熟悉”：
# 按设计，网络本该认识的图片里，每 20 张约有 1 张如此。陌生的东西它能认出一部分，不是全部。

# %%
model = fr.load("runs/swift")
print(model.predict_names("photo.png"))
some = data.test[:10]
sure = model.predict_proba(some).max(1)
show(some.images, [f"{name}\n{p:.0%}" for name, p in zip(model.predict_names(some), sure)])
clothes = model.classify(data.test.images[:1000])
noise = model.classify(np.random.default_rng(0).integers(0, 256, (1000, 28, 28), dtype=np.uint8))
print(f"被称为不熟悉的：服装 {np.mean(clothes.typical <= 0.05):.1%}，噪声 {np.mean(noise.typical <= 0.05):.1%}")

# %% [markdown]
# ## 18. 提供服务
#
# `fittingroom serve` 通过 HTTP 应答：给人用的网页，给程序用的 API。这里在一个空闲端口启动它，把照片发过去，然后停掉。

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
# ## 19. 你自己的想法
#
# 改一改网络。这里把第一个卷积层的 16 个通道换成 32 个；你可以随意改。单元格里定义的类和其他模型一样可以训练：
# 它的源代码会和运行保存在一起。
#
# 这样更好吗？各训练一次是看不出来的，因为*同一个*网络训练两次也会有差别。`try_ideas` 用相同的种子一对一对地训练，
# 只在专门留出的图片上评判，一旦能下结论，或者时间用完，就停下来。


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
# 这个答案只针对训练一轮的情形，也可能是“还看不出来”：`fr.resume_ideas("runs/wider", budget=…)` 可以接着试。
# 得到的结论只适用于这些图片和这个配方。
#
# ## 接下来
#
# - 你自己的运行文件夹里的 `runs/swift/report.html`：曲线、带图片的最严重错误、校准。
# - `fittingroom train your.csv`：[入门教程](../docs/zh-CN/tutorial.md)从自己的 CSV 走到上线的模型。
# - `fittingroom train --recipe steady`：准确率再高将近两个百分点，用时一分钟多一点。
