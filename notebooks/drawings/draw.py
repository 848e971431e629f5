"""The drawings of the lessons. `make drawings` writes them beside this file."""

from pathlib import Path

from canvas import Drawing

FOLDER = Path(__file__).resolve().parent
# How strongly the channels of a gate are filled: three gates that differ.
GATES = [(0.95, 0.25, 0.6, 0.05), (0.1, 0.75, 0.3, 0.95), (0.6, 0.05, 0.95, 0.4)]


def places() -> Drawing:
    """Where the five arms compute and use a gate."""
    drawing = Drawing(
        "Five places for the gate",
        """A stage of three blocks in five arms. none: no gate. block: each block has an SE
        module and a gate of its own. stage, the paper: the first block's u goes through one
        SE module; its gate is stored and multiplied onto u in all three blocks.
        stage_recompute: one SE module computes a new gate in each block. stage_output: one
        SE module computes a gate from the output of the last block and acts on it.""",
        1100,
        846,
    )
    rows = [
        ("none", 26, "no gate"),
        ("block", 122, "one SE and one gate\nfor each block (SENet)"),
        ("stage", 304, "one SE, one gate,\nstored and reused"),
        ("stage_recompute", 486, "one SE, a new gate\nfor each block"),
        ("stage_output", 682, "one SE and one gate\non the stage's output"),
    ]
    # Where a block begins, its width and height; where a gate and its arrow lie in it.
    lefts, wide, high, gate = (430, 610, 790), 120, 60, 88
    drawing.rect(18, 282, 1064, 184, "orange-wash", "orange", 3, rx=16)
    drawing.rect(142, 315, 160, 38, "orange", rx=19)
    drawing.text(222, 334, "the paper", 24, "paper", bold=True)
    for arm, top, words in rows:
        middle, level, low = top + 30, top + 120, top + 166
        name_hue, words_hue = ("orange", "ink") if arm == "stage" else ("ink", "quiet")
        drawing.text(40, middle, f"`{arm}`", 28, name_hue, "start", bold=True)
        drawing.text(40, middle + 40, words, 23, words_hue, "start")
        drawing.text(372, middle, "*x*", 32)
        drawing.arrow((388, middle), (lefts[0], middle))
        for left, end in zip(lefts, (*lefts[1:], 1062), strict=True):
            drawing.arrow((left + wide, middle), (end, middle))
        if arm == "stage":  # the stored gate's way
            start = (lefts[0] + gate, level)
            for x in (lefts[1] + gate, lefts[2] + gate):
                drawing.arrow(start, (x, level), (x, top + 74), hue="orange", width=4)
            note = "the stored\ngate"
            drawing.text(904, level - 15, note, 24, "orange", "start", bold=True)
        if arm == "stage_recompute":
            x0, x1, x2 = (left + 28 for left in lefts)
            for way in ([(x0, level), (x0, low), (x2, low), (x2, level)], [(x1, level), (x1, low)]):
                drawing.arrow(*way, hue="quiet", head=False, dashed=True)
            drawing.text(904, level + 8, "the same\nweights", 24, "quiet", "start")
        gated = arm in ("block", "stage", "stage_recompute")
        for number, left in enumerate(lefts):
            drawing.box(left, top, wide, high, hue="blue")
            drawing.text(left + wide / 2, middle - 6 * gated, f"block {number}")
        # From where on the left a module and its gate are drawn, and the height of u.
        modules, start = {"none": (), "stage": lefts[:1]}.get(arm, lefts), top + high
        if arm == "stage_output":
            modules, start = (905,), middle
        for number, left in enumerate(modules):
            drawing.arrow((left + 28, start), (left + 28, level - 22), hue="orange")
            way = (left + 28, level), (left + gate, level), (left + gate, start + 14)
            drawing.arrow(*way, hue="orange")
            name = f"SE_{{{number}}}" if arm == "block" else "SE"
            drawing.box(left, level - 22, 56, 44, name, "orange")
            if gated:
                drawing.text(left + 12, top + 78, "*u*", 28)
        for number, left in enumerate(lefts if arm == "stage" else modules):
            drawing.sign(left + gate, start, "×", "orange", 14)
            column = [[share] for share in GATES[0 if arm == "stage" else number]]
            drawing.cells(left + gate - 11, level - 22, column, "orange", 11, width=22)
    return drawing


def residual_block() -> Drawing:
    """What a residual block computes, and where a gate will act."""
    drawing = Drawing(
        "The residual block",
        """The input x goes two ways. Through the branch of convolutions and batch
        normalisations it becomes u, of shape (N, C, H, W). Around the branch, the shortcut
        carries x itself, or x through a 1 by 1 convolution where the shape changes. Both
        are added, and ReLU returns y. A gate will act on u, before the addition.""",
        1100,
        480,
    )
    low, high, plus = 320, 130, 826
    drawing.box(196, 42, 546, 160, dashed=True)
    drawing.text(212, 64, "the branch *F*", 24, "quiet", "start")
    drawing.arrow((112, low), (plus - 18, low))
    drawing.arrow((160, low), (160, high), (216, high))
    drawing.add("circle", "ink", cx=160, cy=low, r=7)
    for left, words in ((216, "conv + BN\nReLU"), (396, "conv + BN\nReLU"), (576, "conv + BN")):
        drawing.box(left, high - 42, 146, 88, words, "blue")
    drawing.arrow((362, high), (396, high))
    drawing.arrow((542, high), (576, high))
    drawing.arrow((722, high), (786, high))
    drawing.box(300, low - 44, 340, 88, "the shortcut: *x* itself,\nor a 1×1 convolution")
    drawing.sheets(30, 350, (0.3, 0.3, 0.3), size=60, step=9)
    drawing.text(68, 378, "*x*", 32)
    drawing.sheets(790, 162, (0.55, 0.55, 0.55), size=60, step=9)
    drawing.text(884, 112, "*u*", 34, anchor="start")
    drawing.text(884, 148, "(N, C, H, W)", 24, "quiet", "start")
    drawing.arrow((plus, 164), (plus, low - 18))
    drawing.sign(plus, 232, "×", "orange")
    drawing.text(856, 218, "a gate acts here\n(lesson 3)", 24, "orange", "start")
    drawing.sign(plus, low, "+", radius=18)
    drawing.arrow((plus + 18, low), (884, low))
    drawing.box(884, low - 32, 92, 64, "ReLU")
    drawing.arrow((976, low), (1010, low))
    drawing.sheets(1012, 350, (0.45, 0.45, 0.45), size=52, step=8)
    drawing.text(1046, 378, "*y*", 32)
    note = "BN: batch normalisation. A branch has three convolutions\nin ResNet50, two in ResNet18."
    drawing.text(550, 414, note, 24, "quiet")
    return drawing


def squeeze_excitation() -> Drawing:
    """Squeeze, excitation and recalibration, with their shapes."""
    drawing = Drawing(
        "Squeeze and excitation, with shapes",
        """u of shape (N, C, H, W) is squeezed to (N, C) by the mean over all places.
        Excitation: fc1 and ReLU lead to (N, C/r), fc2 and a sigmoid to the gate (N, C),
        between 0 and 1. Recalibration: every place of a channel of u is multiplied by the
        channel's gate.""",
        1100,
        500,
    )
    middle, channels, weights = 236, (0.5, 0.3, 0.7, 0.4), (0.9, 0.15, 0.6, 0.35)
    drawing.box(392, 98, 250, 244, dashed=True)
    drawing.arrow((106, 160), (106, 46), (792, 46), (792, middle - 18))
    drawing.sheets(34, 304, channels, size=96, step=16)
    drawing.arrow((186, middle), (332, middle))
    drawing.text(256, middle - 32, "squeeze", 26, bold=True)
    drawing.text(256, middle + 30, "mean over\nall places", 23, "quiet")
    drawing.cells(338, 156, [[share] for share in channels], "blue", 40)
    drawing.arrow((382, middle), (478, middle))
    drawing.text(436, middle - 56, "fc1\nReLU", 23, "quiet")
    drawing.cells(484, 200, [[0.6], [0.25]], "purple", 36, width=40)
    drawing.arrow((528, middle), (644, middle))
    drawing.text(586, middle - 56, "fc2\nsigmoid", 23, "quiet")
    drawing.text(517, 126, "excitation", 26, bold=True)
    drawing.cells(650, 156, [[share] for share in weights], "orange", 40)
    drawing.arrow((694, middle), (774, middle), hue="orange")
    drawing.sign(792, middle, "×", "orange", 18)
    drawing.arrow((810, middle), (880, middle))
    drawing.text(960, 96, "recalibration", 26, bold=True)
    recalibrated = [c * w for c, w in zip(channels, weights, strict=True)]
    drawing.sheets(890, 304, recalibrated, size=96, step=16)
    for x, y, words, hue in [
        (106, 368, "*u*\n(N, C, H, W)", "ink"),
        (358, 368, "squeezed\n(N, C)", "ink"),
        (504, 292, "hidden\n(N, C/*r*)", "ink"),
        (670, 368, "gate\n(N, C)", "orange"),
        (962, 368, "*u* × gate\n(N, C, H, W)", "ink"),
    ]:
        drawing.text(x, y, words, hue=hue)
    note = "A gate holds one number per photograph and channel, and no places."
    drawing.text(550, 456, note, 24, "quiet")
    return drawing


def folds() -> Drawing:
    """Stratified folds that keep twins together, and what each fold is for."""
    drawing = Drawing(
        "Five folds, twins kept together",
        """Photographs of three classes are dealt into five folds. Each fold has the classes in
        the same shares. Twins, photographs of one object, lie in one fold. Below, five
        trainings: training k is tested on fold k; half of the next fold is its validation
        part; the rest is its training part.""",
        1100,
        680,
    )
    lefts, wide, top, columns = [196 + 178 * k for k in range(5)], 162, 66, (34, 81, 128)

    def photograph(kind, x, y):
        if kind == "circle":
            drawing.add("circle", "blue", cx=x, cy=y, r=17)
        elif kind == "square":
            drawing.rect(x - 15, y - 15, 30, 30, "green")
        else:
            corners = f"{x} {y - 19} {x + 19} {y + 15} {x - 19} {y + 15}"
            drawing.add("polygon", "purple", points=corners)

    def around(first, last, y):
        drawing.rect(first - 26, y - 25, last - first + 52, 50, "orange-wash", "orange", 3, rx=25)

    rows = {"circle": top + 44, "square": top + 106}
    twins = {0: (0, 1, "circle"), 1: (0, 1, "square"), 2: (1, 2, "circle"), 4: (0, 2, "circle")}
    drawing.text(34, top + 52, "five folds\nof the\nphotographs", anchor="start")
    for k, left in enumerate(lefts):
        drawing.text(left + wide / 2, 38, f"fold {k}", bold=True)
        drawing.box(left, top, wide, 144)
        if k in twins:
            first, last, kind = twins[k]
            around(left + columns[first], left + columns[last], rows[kind])
        for number, column in enumerate(columns):
            photograph("circle", left + column, rows["circle"])
            photograph("square" if number < 2 else "triangle", left + column, rows["square"])
    for training in range(5):
        y = 246 + 66 * training
        drawing.text(34, y + 26, f"training {training}", anchor="start")
        for k, left in enumerate(lefts):
            if k == training:
                drawing.box(left, y, wide, 52, "test", "green")
            elif k == (training + 1) % 5:
                drawing.box(left, y, 77, 52, "val.", "purple")
                drawing.box(left + 85, y, 77, 52, "train", "blue")
            else:
                drawing.box(left, y, wide, 52, "train", "blue")
    y = 622
    for x, kind in ((56, "circle"), (101, "square"), (147, "triangle")):
        photograph(kind, x, y)
    drawing.text(182, y, "three classes", anchor="start")
    around(394, 432, y)
    drawing.text(474, y, "twins, in one fold", anchor="start")
    drawing.text(764, y, "val.: validation part", anchor="start")
    return drawing


def three_rights() -> Drawing:
    """Who may read which part of the data, and when."""
    drawing = Drawing(
        "Three parts of the data, three rights",
        """The training part changes the weights in every epoch. The validation part reads the
        network after each epoch and chooses the epoch whose weights are kept. The test fold
        is closed until then. It is read once, by the kept weights, and changes nothing.""",
        1100,
        560,
    )
    epochs, wide, best = (405, 541, 677, 813), 118, 2
    lanes = [
        (76, "training part", "changes the weights", "blue"),
        (300, "validation part", "chooses the epoch", "purple"),
        (462, "test fold", "read once, at the end", "green"),
    ]
    for y, name, right, hue in lanes:
        drawing.text(34, y - 16, name, 26, hue, "start", bold=True)
        drawing.text(34, y + 18, right, 24, "ink", "start")
    drawing.box(346, 46, 526, 60, "read in every epoch", "blue")
    drawing.text(34, 188, "network", 26, "ink", "start", bold=True)
    for number, x in enumerate(epochs):
        drawing.arrow((x, 106), (x, 158), hue="blue")
        if number:
            drawing.arrow((epochs[number - 1] + wide / 2, 188), (x - wide / 2, 188))
        drawing.box(x - wide / 2, 158, wide, 60, f"epoch {number + 1}")
        drawing.arrow((x, 218), (x, 262 if number == best else 270), hue="purple")
        drawing.box(x - wide / 2, 270, wide, 60, ("52 %", "63 %", "71 %", "69 %")[number], "purple")
    x = epochs[best]
    drawing.rect(x - wide / 2 - 7, 263, wide + 14, 74, "", "purple", 5, rx=17)
    drawing.arrow((x, 340), (x, 382), (978, 382), (978, 432), hue="purple", width=4)
    drawing.text(346, 362, "read after each epoch", 23, "quiet", "start")
    drawing.text(698, 360, "the best epoch's weights", 23, "purple", "start")
    drawing.box(346, 432, 526, 60, "closed until the epoch is chosen", dashed=True)
    drawing.box(890, 432, 176, 60, "read once", "green")
    drawing.text(978, 520, "changes nothing", 23, "green")
    return drawing


def grad_cam() -> Drawing:
    """Grad-CAM's two equations, on a layer of two channels and 3 × 3 places."""
    drawing = Drawing(
        "Grad-CAM's two equations on a grid of three by three",
        """Two channels of a layer: their activations and the gradients of the class score.
        Equation 1: the mean of a channel's gradient is its weight, here 2 and minus 1.
        Equation 2: the activations are added with these weights, and ReLU cuts off what is
        negative. What is left is the map.""",
        1100,
        610,
    )
    activations = [[[0, 1, 0], [1, 3, 2], [0, 1, 0]], [[4, 1, 0], [3, 1, 0], [1, 0, 0]]]
    gradients = [[[2, 3, 1], [3, 4, 2], [1, 2, 0]], [[-1, -2, 0], [-1, -1, -1], [0, -1, -2]]]
    weights = [sum(map(sum, gradient)) // 9 for gradient in gradients]  # equation 1
    (p, q), (first, second) = weights, activations
    total = [[p * first[i][j] + q * second[i][j] for j in range(3)] for i in range(3)]
    cam = [[max(0, value) for value in row] for row in total]  # equation 2

    def grid(x, y, values):
        words = [[str(value).replace("-", "−") for value in row] for row in values]
        drawing.cells(x, y, [[value / 9 for value in row] for row in values], "blue", 52, words)

    tops, centre = (150, 362), 334
    for x, words in [
        (188, "activation\n*A*^{k}"),
        (418, "gradient of the\nscore, ∂*y*^{c} / ∂*A*^{k}"),
        (620, "weight\n*α*_{k}"),
        (800, "sum of\n*α*_{k}*A*^{k}"),
        (990, "the map\n*L*^{c}"),
    ]:
        drawing.text(x, 46, words, 25)
    for k, top in enumerate(tops):
        middle = top + 78
        drawing.text(34, middle, f"*k* = {k + 1}", 24, "quiet", "start")
        grid(110, top, activations[k])
        grid(340, top, gradients[k])
        drawing.arrow((502, middle), (586, middle))
        drawing.text(543, middle - 24, "mean", 24, "quiet")
        drawing.arrow((654, middle), (688, middle), (688, centre), (718, centre), hue="orange")
        drawing.add("circle", "orange-wash", "orange", cx=620, cy=middle, r=34, stroke_width=3)
        drawing.text(620, middle, str(weights[k]).replace("-", "−"), 30)
    grid(722, centre - 78, total)
    drawing.arrow((882, centre), (908, centre))
    grid(912, centre - 78, cam)
    drawing.text(800, centre + 112, "2*A*^{1} − *A*^{2}", 26)
    drawing.text(895, centre - 112, "ReLU", 24, "quiet")
    drawing.text(34, 566, "Equation 1: a mean over the grid.", 25, "ink", "start")
    drawing.text(1066, 566, "Equation 2: a weighted sum, and ReLU.", 25, "ink", "end")
    return drawing


def filled(picture: list, holes: list) -> list:
    """ROAD's imputation without noise: each hole is the weighted mean of its neighbours."""
    values = {(i, j): value for i, row in enumerate(picture) for j, value in enumerate(row)}
    steps = [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if a or b]
    for _ in range(200):  # until the holes agree with one another
        for i, j in holes:
            near = [(1 if a and b else 2, values.get((i + a, j + b))) for a, b in steps]
            near = [(weight, value) for weight, value in near if value is not None]
            values[i, j] = sum(w * v for w, v in near) / sum(w for w, _ in near)
    return [[values[i, j] for j in range(len(row))] for i, row in enumerate(picture)]


def road() -> Drawing:
    """ROAD: remove pixels by their rank, fill the holes, ask the network again."""
    drawing = Drawing(
        "ROAD in five steps",
        """A photograph and its heat map. The pixels are ranked by the map. The most relevant
        ones are removed. Each hole is filled with the weighted mean of its eight
        neighbours, one sixth for those beside it and one twelfth for those across a corner,
        and a little noise. The network is asked again: where the map is faithful, the
        probability of the class falls fast when the most relevant pixels go first, and
        slowly when they go last.""",
        1100,
        722,
    )
    picture = [[0.1] * 6, [0.1, 0.1, 0.8, 0.7, 0.1, 0.1], [0.1, 0.1, 0.9, 0.8, 0.1, 0.1]]
    picture += [[0.1, 0.8, 0.9, 0.9, 0.7, 0.1], [0.2, 0.8, 0.9, 0.9, 0.8, 0.2], [0.25] * 6]
    heat = [[0.0] * 6, [0, 0.1, 0.4, 0.3, 0, 0], [0, 0.3, 0.8, 0.7, 0.2, 0]]
    heat += [[0, 0.5, 1, 0.9, 0.4, 0], [0, 0.4, 0.85, 0.75, 0.35, 0], [0, 0.1, 0.2, 0.15, 0, 0]]
    places = [(i, j) for i in range(6) for j in range(6)]
    holes = sorted(places, key=lambda place: heat[place[0]][place[1]])[-7:]
    removed = [[None if (i, j) in holes else picture[i][j] for j in range(6)] for i in range(6)]
    steps = [
        ("1. photograph", "", picture, "blue"),
        ("2. heat map", "ranks the pixels", heat, "orange"),
        ("3. 20 % removed", "most relevant first", removed, "blue"),
        ("4. holes filled", "by the neighbours", filled(picture, holes), "blue"),
    ]
    for number, (words, note, values, hue) in enumerate(steps):
        left = 44 + 272 * number
        drawing.text(left + 96, 42, words, 25, bold=True)
        drawing.cells(left, 72, values, hue, 32)
        drawing.text(left + 96, 290, note, 23, "quiet")
        if number:
            drawing.arrow((left - 64, 168), (left - 16, 168))
    words = "A hole becomes the mean of\nits eight neighbours, and\na little noise is added."
    drawing.text(44, 362, words, anchor="start")
    stencil = [["1/12", "1/6", "1/12"], ["1/6", "", "1/6"], ["1/12", "1/6", "1/12"]]
    shares = [[0.2, 0.4, 0.2], [0.4, None, 0.4], [0.2, 0.4, 0.2]]
    drawing.cells(80, 456, shares, "blue", 76, stencil)
    left, base, height = 620, 638, 240
    drawing.text(540, 362, "5. the network is asked again", 25, anchor="start", bold=True)
    drawing.arrow((left, base), (left, base - height), width=2.5)
    drawing.arrow((left, base), (1066, base), width=2.5)
    drawing.text(left - 16, base - height + 30, "proba-\nbility", 23, "quiet", "end")
    xs = [left + 5 * share for share in (0, 20, 50, 80)]
    for share, x in zip((0, 20, 50, 80), xs, strict=True):
        drawing.text(x, base + 28, f"{share} %", 23, "quiet")
    drawing.text(1066, base + 62, "of the pixels removed", 23, "quiet", "end")
    for name, hue, values, at in (
        ("most relevant first", "orange", (0.9, 0.45, 0.25, 0.15), (0.56, 24)),
        ("least relevant first", "blue", (0.9, 0.88, 0.82, 0.66), (1.0, 24)),
    ):
        points = [(x, base - 240 * value) for x, value in zip(xs, values, strict=True)]
        for start, end in zip(points, points[1:], strict=False):
            drawing.arrow(start, end, hue=hue, width=4, head=False)
        for x, y in points:
            drawing.add("circle", hue, cx=x, cy=y, r=8)
        drawing.text(left + 5 * at[1] + 40, base - 240 * at[0], name, 23, hue, "start")
    return drawing


# Number, title, minutes of reading and running, what one can do afterwards, hue.
COURSE = [
    ("1", "Data", 35, "look at data,\nkeep twins\ntogether", "blue"),
    ("2", "Baseline", 30, "train a network,\njudge it with\nan interval", "blue"),
    ("3", "Attention", 40, "build one gate\nper stage,\nand test it", "orange"),
    ("4", "Confusion", 30, "compare two\nnetworks in\npairs", "orange"),
    ("", "Explorer", 10, "see any map\nwith a few\nclicks", ""),
    ("5", "Heat maps", 30, "make a heat\nmap by two\nequations", "green"),
    ("6", "Tests", 40, "test what a\nheat map\nshows", "green"),
    ("7", "Claims", 35, "say what the\nevidence\nallows", "purple"),
]


def course() -> Drawing:
    """Which lesson needs which, how long each takes, and what one can do afterwards."""
    drawing = Drawing(
        "A map of the course",
        """Lessons 1, 2 and 3 follow one another: data, baseline, attention. Lesson 4,
        confusion matrices, and lesson 5, heat maps, need lesson 3. Lesson 6, tests of heat
        maps, needs lesson 5. Lesson 7, claims, needs lessons 4 and 6. The explorer goes
        with lesson 5.""",
        1100,
        560,
    )
    lefts, tops, wide, high = [34 + 268 * k for k in range(4)], (34, 322), 228, 204
    low, high_row, turn = tops[1], tops[0] + high, 280
    x1, x2, x3 = (left + wide / 2 for left in lefts[1:])
    drawing.arrow((x2, high_row), (x2, turn), (x1, turn), (x1, low))
    drawing.arrow((x3, high_row), (x3, low))
    for number, (lesson, title, minutes, after, hue) in enumerate(COURSE):
        left, top = lefts[number % 4], tops[number // 4]
        drawing.box(left, top, wide, high, hue=hue, dashed=not lesson)
        name = f"{lesson}  {title}".strip()
        drawing.text(left + 18, top + 36, name, 26, hue or "ink", "start", bold=True)
        drawing.text(left + 18, top + 78, after, 24, "ink", "start")
        drawing.text(left + wide - 18, top + 176, f"{minutes} min", 23, "quiet", "end")
        if number % 4 and number != 5:
            drawing.arrow((left - 40, top + high / 2), (left, top + high / 2))
    drawing.arrow((lefts[1], low + high / 2), (lefts[0] + wide, low + high / 2), dashed=True)
    return drawing


DRAWINGS = (residual_block, squeeze_excitation, places, folds, three_rights, grad_cam, road, course)


def main():
    """Writes every drawing."""
    for draw in DRAWINGS:
        draw().save(FOLDER / f"{draw.__name__}.svg")


if __name__ == "__main__":
    main()
