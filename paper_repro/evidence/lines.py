"""The lines of the ledger: every row of the table of verdicts in docs/protocol.md, from the files of the reference run.

A line has the columns of `COLUMNS`. Numbers of accuracies are in points, the others in the unit of their measure.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from paper_repro import evaluate
from paper_repro.config import PLAIN_CNNS
from paper_repro.evidence import pointing, rules, statistics
from paper_repro.evidence.rules import CNNS, FAMILIES, STATIC
from paper_repro.evidence.statistics import (
    FOLDS,
    LEVEL,
    RUN,
    UNDECIDED,
    UNMEASURED,
    Estimate,
    judge,
    read_table,
    runs_of,
)

# networks: of one arm; value, low and high: the estimate and its interval at `level`, NaN for a line of several parts;
# holds: general, or on this data; detectable: what it would have seen with 80 % power; decides: what would decide it.
COLUMNS = [
    *("claim", "data", "reads", "status", "test", "level", "networks", "photographs", "value", "low", "high"),
    *("evidence", "verdict", "holds", "sentence", "detectable", "decides"),
]
NAMES = {"waste8": "waste8", "trashnet": "TrashNet"}
# The repeats whose weights were kept, for what is measured in networks of these arms (the protocol's section on it).
MEASURED = {("trashnet", "block"): (1,), ("trashnet", "stage"): (0, 1), ("waste8", "block"): (0, 1)}
MEASURED |= {("waste8", "stage"): (0, 1)}
MOSAICS = {"trashnet": (1,), "waste8": (0, 1)}  # they need all four arms
NETWORKS, BOOTSTRAP = "t over networks", "bootstrap over groups of photographs"
ARM = {
    "none": "the plain network",
    "half": "the plain network with halved branches",
    "none-zero": "the plain network whose blocks start at nothing",
    "block": "a module in every block",
    "stage": "one module per stage",
    "stage_recompute": "one module per stage with a new gate in every block",
} | {f"{arm}{STATIC}": f"{arm} with gates that do not depend on the picture" for arm in ("stage", "block")}


def contrasts(reference: str | Path, groups: Mapping[str, pd.Series]) -> pd.DataFrame:
    """All contrasts of `rules.FAMILIES`: data, family, status, then `rules.family_table`; photographs counts each once.

    Args:
        groups: data set -> its photographs' near-duplicate groups, of every data set with runs.

    Raises:
        ReproError: two arms of a contrast were trained by different types of machine.
    """
    tables = []
    for data, families in FAMILIES.items():
        for name, family in families.items():
            folder = Path(reference, "long" if name.startswith("long") else data)
            correct, facts = _correct(folder, name), statistics.read_facts(folder)
            rules.check_machines(facts, family)
            ratio = statistics.size_ratio(folder) if facts else np.nan
            table = rules.family_table(correct, family, groups.get(data, pd.Series(dtype=int)), ratio)
            for i, contrast in enumerate(family):
                both = correct.reindex(columns=[contrast.a, contrast.b]).dropna()
                table.loc[i, "photographs"] = both.index.unique("image").size
            table.insert(0, "status", [rules.status(data, contrast.a, contrast.b) for contrast in family])
            table.insert(0, "family", name)
            tables.append(table.assign(data=data, planned=[FOLDS * len(contrast.repeats) for contrast in family]))
    found = pd.concat(tables, ignore_index=True)
    return found[["data", *found.columns.drop("data")]]


def _correct(folder: Path, family: str) -> pd.DataFrame:
    """`statistics.correctness` of a folder's runs; of static gates with each arm once with its own, once with these."""
    file = "static_gates.csv*" if family == "static gates" else "predictions.csv"
    if not runs_of(folder, file):
        return pd.DataFrame(index=pd.MultiIndex.from_arrays([[], [], []], names=[*RUN, "image"]))
    table = read_table(folder, file)
    if family != "static gates":
        return statistics.correctness(table)
    own, static = (table.pivot(index=[*RUN, "image"], columns="arm", values=name) for name in ("own", "static"))
    return own.join(static.add_suffix(STATIC)).astype(float)


def ledger(reference: str | Path, groups: Mapping[str, pd.Series], table: pd.DataFrame) -> pd.DataFrame:
    """The ledger, a row per line, from the folder of the reference run alone.

    Args:
        groups: as for `contrasts`; table: what that gives.
    """
    reference = Path(reference)
    found = table.set_index(["data", "family", "a", "b"])

    def contrast(data: str, family: str, a: str, b: str) -> pd.Series:
        return found.loc[data, family, a, b]

    def gain(data: str) -> dict:
        return _of_contrast(contrast(data, "main", "none", "stage"), "none", "stage", data)

    def whole(data: str) -> dict:
        return _of_contrast(contrast(data, "others", "block", "stage"), "block", "stage", data)

    def attention(data: str) -> dict:
        parts = [("others", "half"), ("static gates", f"stage{STATIC}")]
        parts += [("others", "none-zero")] if data == "trashnet" else []
        rows = {a: contrast(data, family, a, "stage") for family, a in parts}
        return _of_parts(rows, rules.all_of(row["verdict"] for row in rows.values()), data)

    lines = [
        *_per_data("C1", "one SE module per stage improves on the plain ResNet50", gain),
        *_per_data("C1, attention's part", "the gain comes from attention, not from smaller branches", attention),
        {"claim": "C1, at convergence", "reads": "the gain is still there when training has ended"}
        | _at_convergence(
            reference,
            contrast("trashnet", "long", "none", "stage"),
            contrast("trashnet", "long, beside", "half", "stage"),
        ),
        {"claim": "C2", "reads": "it beats traditional CNNs"}
        | _beside_cnns({arm.a: contrast("trashnet", "cnns", arm.a, "stage") for arm in CNNS}),
        *_per_data(
            "C3, premise",
            "the attention needed inside one stage is consistent",
            lambda data: _premise(reference / data, data),
        ),
        *_per_data("C3", "one module per stage is no worse than one in every block", whole),
        {"claim": "C3, reuse", "reads": "a gate that is reused is no worse than one computed anew in every block"}
        | _of_contrast(
            contrast("trashnet", "others", "stage_recompute", "stage"), "stage_recompute", "stage", "trashnet"
        ),
        *(
            {"claim": f"C4, beside {arm}", "reads": f"stage is lighter and faster than {arm}"}
            | _cost(reference / "cost.csv", arm)
            for arm in ("block", "none")
        ),
        *_per_data(
            "C5, evidence for the class",
            "the heat map tells the pictures of a mosaic apart",
            lambda data: _mosaics(reference / data, data),
        ),
        {"claim": "C5, the cause", "reads": "the heat map shows the sticker that turned the prediction"}
        | _cause(reference / "planted"),
        {"claim": "C5, on the object", "reads": "the heat map lies on the object more than trivial maps do"}
        | _on_object(reference / "trashnet", groups),
    ]
    common = {"status": "exploratory", "holds": "on this data", "networks": 0, "photographs": 0, "decides": ""}
    return pd.DataFrame([common | line for line in lines], columns=COLUMNS)


def _per_data(claim: str, reads: str, line: Callable[[str], dict]) -> list[dict]:
    """The line of each data set, then what they say together."""
    lines = {data: line(data) for data in FAMILIES}
    verdicts = {data: found["verdict"] for data, found in lines.items()}
    if set(verdicts.values()) == {UNMEASURED}:
        verdict = UNMEASURED
    else:
        verdict = rules.general({data: UNDECIDED if v == UNMEASURED else v for data, v in verdicts.items()})
        for data, name in NAMES.items():
            verdict = verdict.replace(data, name)
    both = verdict in ("supported", "not supported")
    sentence = {
        UNMEASURED: "No network was trained for this yet.",
        UNDECIDED: "On neither data set do the runs decide this.",
    }.get(verdict, "Both data sets say the same." if both else "Only one data set decides this.")
    if len({v for v in verdicts.values() if v in ("supported", "not supported")}) == 2:
        sentence = "The data sets contradict each other."
    general = {
        "data": "both",
        "test": "both data sets, the same verdict",
        "evidence": "; ".join(f"{NAMES[data]}: {v}" for data, v in verdicts.items()),
        "verdict": verdict,
        "holds": "general" if both else "on this data",
        "sentence": sentence,
    }
    return [{"claim": claim, "reads": reads} | part for part in (*lines.values(), general)]


def _of_contrast(row: pd.Series, a: str, b: str, data: str) -> dict:
    """A line that is one contrast, from its row of `contrasts`."""
    sided = "one-sided against -2 points" if row["asks"] == "no worse" else "two-sided"
    m = len(FAMILIES[data][row.name[1]])
    line = {
        "data": NAMES[data],
        "status": row["status"],
        "test": f"two-way t, {sided}, " + ("alone" if m == 1 else f"Holm over {m}"),
        "level": row["level"],
        "networks": row["runs"],
        "photographs": row["photographs"],
        **{name: 100 * row[name] for name in ("difference", "low", "high", "detectable")},
        "evidence": f"{b} minus {a}: {difference_text(row)}",
        "verdict": row["verdict"] if row["runs"] else UNMEASURED,
    }
    line["value"] = line.pop("difference")
    return line | {"sentence": _said(row, ARM[a], ARM[b], NAMES[data]), "decides": _power(row)}


def difference_text(row: pd.Series) -> str:
    """A row of `contrasts` as text: +1.2 points [-0.3, +2.7] at 5 %, p = 0.100 (Holm); new training sets [-1, +3.4]."""
    if not row["runs"]:
        return UNMEASURED
    value, low, high, new_low, new_high = (
        100 * row[name] for name in ("difference", "low", "high", "new_low", "new_high")
    )
    if np.isnan(low):
        return f"{value:+.1f} points (one run, no test)"
    text = f"{value:+.1f} points [{low:+.1f}, {high:+.1f}] at {100 * row['level']:.3g} %"
    if np.isnan(row["p_holm"]):
        return f"{text}, {row['runs']} of {row['planned']} runs"
    return f"{text}, p = {row['p_holm']:.3f} (Holm); new training sets [{new_low:+.1f}, {new_high:+.1f}]"


def _said(row: pd.Series, a: str, b: str, data: str) -> str:
    """A contrast in words for a student; numbers are of 100 photographs."""
    value, low, high = (100 * row[name] for name in ("difference", "low", "high"))
    if not row["runs"]:
        return f"Not measured yet on {data}."
    if np.isnan(row["p_holm"]):
        return f"{row['runs']} of {row['planned']} runs are there; the rest decides with them."
    more = f"On {data}, {b} gets {abs(value):.1f} {'more' if value > 0 else 'fewer'} of 100 photographs right than {a}"
    if row["verdict"] == UNDECIDED:
        return f"{more}, but anything from {low:+.1f} to {high:+.1f} fits what was seen."
    if row["asks"] == "no worse":
        if row["verdict"] == "supported":
            return f"On {data}, {b} loses at most {max(0, -low):.1f} of 100 photographs against {a}; two are allowed."
        return f"On {data}, {b} loses at least {-high:.1f} of 100 photographs against {a}; two are allowed."
    if row["p_holm"] <= LEVEL:
        return f"{more}, and chance alone would hardly give that."
    return f"{more}; more than {high:.1f} would not fit what was seen, and a gain of two was asked for."


def _power(row: pd.Series) -> str:
    """What would decide an undecided contrast."""
    if row["verdict"] != UNDECIDED or not row["runs"]:
        return ""
    if np.isnan(row["p_holm"]):
        return f"the other {row['planned'] - row['runs']} planned runs"
    repeats, photographs = row["more_repeats"], row["more_photographs"]
    either = [f"{repeats:.0f} repeats"] if np.isfinite(repeats) else []
    either += [f"{photographs:,.0f} photographs"] if np.isfinite(photographs) else []
    return " or ".join(either) or f"neither {rules.MOST_REPEATS} repeats nor more photographs"


def _of_parts(rows: Mapping[str, pd.Series], verdict: str, data: str) -> dict:
    """A line of several contrasts `stage` minus another arm, each at its own level."""
    there = [row for row in rows.values() if row["runs"]]
    open_parts = {a: _power(row) for a, row in rows.items() if row["verdict"] == UNDECIDED}
    seen = [100 * row["detectable"] for row in there if row["verdict"] == UNDECIDED]
    line = {
        "data": NAMES[data],
        "test": "two-way t, each part in its family; all must hold",
        "networks": min((row["runs"] for row in there), default=0),
        "photographs": max((row["photographs"] for row in there), default=0),
        "evidence": "stage minus " + "; ".join(f"{a}: {difference_text(row)}" for a, row in rows.items()),
        "verdict": verdict if there else UNMEASURED,
        "detectable": max(seen, default=np.nan),
        "decides": "; ".join(f"{a}: {text or 'its planned runs'}" for a, text in open_parts.items()) if there else "",
    }
    held = [ARM.get(a, a) for a, row in rows.items() if row["verdict"] == "supported"]
    if not there:
        line["evidence"], line["sentence"] = UNMEASURED, f"Not measured yet on {NAMES[data]}."
    elif verdict == UNDECIDED:
        line["sentence"] = f"On {NAMES[data]}, {len(held)} of {len(rows)} parts hold and none is refuted."
    else:
        line["sentence"] = f"On {NAMES[data]}, one module per stage " + (
            "is better than each of these." if verdict == "supported" else "is not better than one of these."
        )
    return line


def _at_convergence(reference: Path, row: pd.Series, beside: pd.Series) -> dict:
    line = _of_contrast(row, "none", "stage", "trashnet")
    if not row["runs"]:
        return line
    histories = read_table(reference / "long", "history.csv").query("arm in ['none', 'stage']")
    settled = statistics.convergence(histories)["converged"]
    when = "at convergence" if settled.all() else f"after {histories['epoch'].max()} epochs"
    text = f"{when} ({settled.sum()} of {len(settled)} runs have converged): {line['evidence']}"
    if beside["runs"]:
        text += f"; beside it, stage minus half: {difference_text(beside)}"
    return line | {"evidence": text, "sentence": f"{when.capitalize()}: {line['sentence']}"}


def _beside_cnns(rows: Mapping[str, pd.Series]) -> dict:
    """`stage` must beat each plain CNN; those without five folds leave it open."""
    untested = [arm for arm in PLAIN_CNNS if arm not in rows]
    verdicts = [row["verdict"] for row in rows.values()] + [UNDECIDED] * len(untested)
    line = _of_parts(rows, rules.all_of(verdicts), "trashnet")
    if line["verdict"] == UNMEASURED:
        return line
    beaten = [a for a, row in rows.items() if row["verdict"] == "supported"]
    line["sentence"] = f"Of {len(PLAIN_CNNS)} CNNs, stage beats {len(beaten)} for certain" + (
        ", and at least one it does not beat." if line["verdict"] == "not supported" else "; all would be needed."
    )
    if line["verdict"] == UNDECIDED:
        line["decides"] = "; ".join([*filter(None, [line["decides"]]), f"five folds of {' and '.join(untested)}"])
    return line | {"evidence": f"{line['evidence']}; {', '.join(untested)}: one fold, no test"}


def _of_networks(found: Mapping[str, tuple[Estimate, float]], level: float, folds: int, data: str) -> dict:
    """A line of means over networks, each beside its bound: all lower limits above it, or one upper limit below."""
    limits = {name: (*estimate.interval(level), bound) for name, (estimate, bound) in found.items()}
    verdict = judge(
        all(low > bound for low, _, bound in limits.values()),
        any(high < bound for _, high, bound in limits.values()),
        folds,
    )
    line = {"data": NAMES[data], "test": NETWORKS, "level": level, "verdict": verdict}
    line["networks"] = min(estimate.freedom for estimate, _ in found.values()) + 1
    if len(found) == 1:
        ((estimate, _),) = found.values()
        line |= {"value": estimate.value} | dict(zip(("low", "high"), estimate.interval(level), strict=True))
    open_parts = [found[name] for name, (low, high, bound) in limits.items() if not (low > bound or high < bound)]
    open_parts = [(estimate, bound) for estimate, bound in open_parts if estimate.freedom > 0 and estimate.error > 0]
    if verdict == UNDECIDED and open_parts:
        line["detectable"] = max(rules.noncentrality(e.freedom, level) * e.error for e, _ in open_parts)
        repeats = max(rules.repeats_needed(estimate, bound, level) for estimate, bound in open_parts)
        enough = f"{repeats:.0f} repeats" if np.isfinite(repeats) else f"not even {rules.MOST_REPEATS} repeats"
        line["decides"] = enough if folds == FOLDS else "the other planned runs"
    return line


def _mean(values: pd.Series) -> Estimate:
    """The mean of one number per network."""
    return statistics.resampled(values.to_numpy(float), 0.0)


def _unmeasured(data: str, test: str) -> dict:
    text = f"Not measured yet on {NAMES[data]}."
    return {"data": NAMES[data], "test": test, "verdict": UNMEASURED, "evidence": UNMEASURED, "sentence": text}


def _interval(estimate: Estimate, level: float) -> str:
    return interval((estimate.value, *estimate.interval(level)), ".3f")


def interval(row: Iterable[float], form: str) -> str:
    """An estimate and its limits as text."""
    value, low, high = row
    return f"{value:{form}} [{low:{form}}, {high:{form}}]"


def _premise(folder: Path, data: str) -> dict:
    """C3's premise: in every stage, what the blocks' gates share because of the picture."""
    repeats = MEASURED[data, "block"]
    if not _measured(folder, "gates.csv*", "block", repeats):
        return _unmeasured(data, NETWORKS)
    table = read_table(folder, "gates.csv*", "block")
    table = table[table["repeat"].isin(repeats)]
    level, found, texts = LEVEL / table["stage"].nunique(), {}, []
    table["beyond"] = table["within"] - table["random"]
    for stage, part in table.groupby("stage"):
        networks = part.groupby(RUN)[["specific", "beyond"]].mean()
        specific, beyond = _mean(networks["specific"]), _mean(networks["beyond"])
        found |= {f"{stage}, specific": (specific, 0.5), f"{stage}, beyond random": (beyond, 0.0)}
        texts.append(f"{stage}: specific {_interval(specific, level)}, beyond random {_interval(beyond, level)}")
    line = _of_networks(found, level, rules.planned_folds(networks["specific"], repeats), data)
    said = {
        "supported": "In every stage the blocks ask for much the same, picture by picture.",
        "not supported": "In at least one stage the blocks do not ask for the same: a fixed gate would guess better.",
        UNDECIDED: "Whether the blocks of a stage ask for the same is not clear from these networks.",
    }
    line |= {"photographs": table["image"].nunique(), "sentence": said[line["verdict"]]}
    return line | {"evidence": f"gates of block (intervals at {100 * level:.3g} %): {'; '.join(texts)}"}


def _measured(folder: Path, file: str, arm: str, repeats: tuple[int, ...]) -> list[tuple[str, int, int]]:
    """The runs of an arm in these repeats that have such a file."""
    return [run for run in runs_of(folder, file, arm) if run[1] in repeats]


def _mosaics(folder: Path, data: str) -> dict:
    """The grid pointing game of `stage` at layer4, with the mosaic's own gates."""
    table = pointing.read_pointing(folder / pointing.FILE)
    if not table.empty:
        table = table.query("arm == 'stage' and gates == 'mosaic' and layer == 'layer4'")
        table = table[table["repeat"].isin(MOSAICS[data])]
    if table.empty:
        return _unmeasured(data, NETWORKS)
    networks = pointing.by_network(table)
    score = _mean(networks["share"])
    folds = rules.planned_folds(networks.set_index(RUN)["share"], MOSAICS[data])
    line = _of_networks({"share": (score, 0.5)}, LEVEL, folds, data)
    said = {
        "supported": "Most of the map lies in the picture of the class asked, so it tells pictures apart.",
        "not supported": "Less than half of the map lies in the picture of the class asked.",
        UNDECIDED: "It is not clear whether half of the map lies in the picture of the class asked.",
    }
    text = f"layer4, {networks['grid'].iloc[0]}: share in the right cell {_interval(score, LEVEL)}, by chance 0.250; "
    text += f"{networks['mosaics'].sum()} mosaics, {networks['empty'].mean():.1%} of the maps empty"
    return line | {
        "photographs": table["image"].nunique(),
        "evidence": text,
        "sentence": f"On {NAMES[data]}: {said[line['verdict']]}",
    }


def _cause(folder: Path) -> dict:
    """The planted networks' maps on the stickers that flipped them, at layer3, beside edges and untied networks."""
    if not {"stage-planted", "stage-untied"} <= {run[0] for run in runs_of(folder, "cause.csv.gz")}:
        return _unmeasured("trashnet", NETWORKS)
    table = read_table(folder, "cause.csv.gz").query("layer == 'layer3' and map in ['gradcam', 'edges']")
    image = [*RUN, "image"]
    scores = table.pivot(index=image, columns=["arm", "map"], values="score")
    planted = table.query("arm == 'stage-planted' and map == 'gradcam'").set_index(image)
    flipped = planted["flipped"]
    scores = scores.loc[flipped[flipped].index]
    own = scores["stage-planted", "gradcam"]
    edges, untied = own - scores["stage-planted", "edges"], own - scores["stage-untied", "gradcam"]
    runs = flipped.groupby(RUN).mean()
    means = pd.DataFrame({"minus edges": edges, "minus untied": untied}).groupby(RUN).mean().reindex(runs.index)
    means = means.dropna()  # networks whose untied counterpart is missing
    found = {name: (_mean(means[name]), 0.0) for name in means}
    enough = flipped.mean() >= 0.5
    line = _of_networks(found, LEVEL, rules.planned_folds(means["minus untied"], (0,)) if enough else 0, "trashnet")
    said = {
        "supported": "Where the sticker decided, the map shows it more than an edge filter or an untied network does.",
        "not supported": "Where the sticker decided, the map does not show it more than one of its controls.",
        UNDECIDED: "Whether the map shows the sticker that decided is not clear from these networks.",
    }
    text = f"{flipped.mean():.0%} of the photographs are flipped; layer3, {planted['grid'].iloc[0]}"
    text += f", score {own.mean():.3f}"
    texts = [f"{name} {_interval(estimate, LEVEL)}" for name, (estimate, _) in found.items()]
    line |= {"photographs": int(flipped.sum()), "evidence": "; ".join([text, *texts])}
    if not enough:
        line |= {"decides": "stickers that flip at least half of the photographs"}
    return line | {"sentence": said[line["verdict"]]}


def _on_object(folder: Path, groups: Mapping[str, pd.Series]) -> dict:
    """Grad-CAM of `stage` minus the best trivial map, on boxes, else on masks, at the deepest grid of 6x6 or more."""
    repeats = MEASURED["trashnet", "stage"]
    runs = _measured(folder, "measures.csv.gz", "stage", repeats)
    table = read_table(folder, "measures.csv.gz", "stage") if runs else pd.DataFrame(columns=["repeat"])
    table = table[table["repeat"].isin(repeats)]
    column = next((name for name in ("box_gain", "mask_gain") if name in table and table[name].notna().any()), None)
    if column is None:
        return _unmeasured("trashnet", BOOTSTRAP)
    grids = table.drop_duplicates("layer").set_index("layer")["grid"].str.split("x")
    layer = evaluate.claimed_layer({name: [int(side) for side in grid] for name, grid in grids.items()})
    if layer is None:
        return _unmeasured("trashnet", BOOTSTRAP)
    (row,) = evaluate.heatmap_table(table[table["layer"] == layer], column, groups["trashnet"]).to_dict("records")
    made = pd.Series(1.0, pd.MultiIndex.from_tuples([run[1:] for run in runs], names=RUN))
    verdict = judge(row["low"] > 0, row["high"] < 0, rules.planned_folds(made, repeats))
    said = {
        "supported": "The map lies on the object more than any map does that knows nothing of the network.",
        "not supported": "A map that knows nothing of the network lies on the object more than the heat map does.",
        UNDECIDED: "The map lies on the object about as much as a map that knows nothing of the network.",
    }
    line = {
        "data": "TrashNet",
        "test": BOOTSTRAP,
        "level": LEVEL,
        "networks": len(runs),
        "photographs": table.dropna(subset=column)["image"].nunique(),
        "value": row["lead"],
        "low": row["low"],
        "high": row["high"],
        "evidence": f"{layer}, {row['grid']}, {column}: {row['gradcam']:.3f}, minus {row['best trivial']} "
        f"{row['lead']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]",
        "verdict": verdict,
        "sentence": said[verdict],
    }
    if verdict == UNDECIDED:
        seen = (stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(rules.POWER)) / stats.norm.ppf(1 - LEVEL / 2)
        line["detectable"] = seen * (row["high"] - row["low"]) / 2
        photographs = line["photographs"] * (line["detectable"] / row["lead"]) ** 2
        whole = rules.planned_folds(made, repeats) == FOLDS
        line["decides"] = f"{photographs:,.0f} photographs" if whole else "the other planned runs"
    return line


def _cost(file: Path, other: str) -> dict:
    """C4 beside one other arm: fewer parameters, and faster at every size measured."""
    line = {"data": "this machine", "test": "interval of the ratio of speeds, alternating runs", "level": LEVEL}
    if not file.exists():
        return line | {"verdict": UNMEASURED, "evidence": UNMEASURED, "sentence": "Not measured yet."}
    cost = pd.read_csv(file).sort_values(["image_size", "what"], kind="stable")
    size, beside = cost.groupby("arm")["parameters"].first(), cost[cost["arm"] == other]
    lighter = size["stage"] < size[other]
    faster, slower = (beside["stage_ratio_low"] > 1).all(), (beside["stage_ratio_high"] < 1).all()
    verdict = judge(lighter and faster, slower or not lighter)
    speeds = [
        f"{row.what} {row.image_size} px {row.stage_ratio:.2f} [{row.stage_ratio_low:.2f}, {row.stage_ratio_high:.2f}]"
        for row in beside.itertuples()
    ]
    weight = f"{abs(size['stage'] - size[other]):,} parameters {'fewer' if lighter else 'more'} than {other}"
    text = f"One module per stage has {weight} and is " + (
        "faster everywhere." if faster else "slower everywhere." if slower else "not faster everywhere."
    )
    evidence = f"{size['stage']:,} parameters, {other} {size[other]:,}; times as fast: {', '.join(speeds)}"
    decides = "other machines" if verdict == UNDECIDED else ""
    return line | {"verdict": verdict, "evidence": evidence, "sentence": text, "decides": decides}
