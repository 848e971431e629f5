"""The second protocol's tests, families and verdicts: each against a library, a simulation or a case done by hand."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests

from paper_repro.config import PLAIN_CNNS
from paper_repro.evidence import rules, simulation, statistics
from paper_repro.evidence.rules import Contrast
from paper_repro.evidence.statistics import Estimate
from paper_repro.files import ReproError, project_root
from paper_repro.photographs.folds import committed_folds

REFERENCE = project_root() / "results" / "reference"
SUPPORTED, REFUTED, OPEN = "supported", "not supported", "not decidable here"


def made(images=40, repeats=2, folds=5, seed=0):
    """Folds of `images` photographs, dealt out anew in every repeat: index (repeat, fold, image); pairs are groups."""
    rng, names = np.random.default_rng(seed), [f"{i}.jpg" for i in range(images)]
    dealt = [zip(rng.permutation(images) % folds, names, strict=True) for _ in range(repeats)]
    rows = [(repeat, fold, name) for repeat, pairs in enumerate(dealt) for fold, name in pairs]
    index = pd.MultiIndex.from_tuples(sorted(rows), names=["repeat", "fold", "image"])
    return index, pd.Series(np.arange(images) // 2, index=names)


def predictions(index, **right):
    """Predictions of two classes, even and odd photographs, by arms of which `right` (N,) says what they get right."""
    rows = index.to_frame(index=False)
    truth = np.where(rows["image"].str.removesuffix(".jpg").astype(int) % 2, "jar", "can")
    tables = []
    for arm, hits in right.items():
        can = np.where((truth == "can") == np.asarray(hits, bool), 0.9, 0.1)
        tables.append(rows.assign(truth=truth, arm=arm, p_can=can, p_jar=1 - can))
    return pd.concat(tables, ignore_index=True)


def test_two_way_test_is_statsmodels_own():
    """Estimate, error, p and interval of OLS on a constant with two groups, with k - 1 degrees of freedom."""
    index, groups = made()
    values = pd.Series(np.random.default_rng(1).normal(0.1, 1, len(index)), index)
    clusters = np.column_stack([groups.loc[index.get_level_values("image")], pd.factorize(index.droplevel("image"))[0]])
    fit = sm.OLS(values.to_numpy(), np.ones(len(values))).fit(
        cov_type="cluster", cov_kwds={"groups": clusters}, use_t=True
    )
    found = statistics.two_way(values, groups)
    assert found == pytest.approx((fit.params[0], fit.bse[0], 9))
    assert found.p() == pytest.approx(fit.pvalues[0])
    assert found.interval(0.01) == pytest.approx(tuple(fit.conf_int(0.01)[0]))


def test_runs_of_one_repeat_make_the_plain_t_test():
    """Where groups lie within runs of equal size, clustering by run is the t-test over the runs' means."""
    index, groups = made(repeats=1)
    values = pd.Series(np.random.default_rng(2).normal(size=len(index)), index)
    alone = pd.Series(np.arange(40), groups.index)
    means = values.groupby(["repeat", "fold"]).mean()
    theirs, ours = stats.ttest_1samp(means, 0), statistics.two_way(values, alone)
    assert ours.p() == pytest.approx(theirs.pvalue)
    assert ours.interval() == pytest.approx(tuple(theirs.confidence_interval()))
    assert statistics.resampled(means.to_numpy(), 0.0) == pytest.approx(ours)


def test_variance_that_chance_makes_negative_is_replaced():
    """Photographs that cancel within their groups and runs: the larger one-way variance stands in."""
    index = pd.MultiIndex.from_product([[0, 1], [0], ["a", "b", "c"]], names=["repeat", "fold", "image"])
    values = pd.Series([1.0, -1.0, 0.0, -1.0, 1.0, 0.3], index)
    found = statistics.variances(values, pd.Series([0, 1, 2], index=["a", "b", "c"]))
    assert found.group + found.run < found.cell
    assert found.two_way == max(found.group, found.run) > 0


def test_estimate_above_a_bound_is_a_one_sided_p():
    """The two sides share what is missing; a difference without spread is certain; one run has no test."""
    found = Estimate(0.03, 0.01, 4)
    assert found.above(0) == pytest.approx(1 - found.p() / 2) and found.above(0.03) == 0.5
    assert found.above(-0.02) == pytest.approx(stats.t.cdf(5, 4))
    assert Estimate(0.03, 0.0, 4).p() == 0 and Estimate(0.0, 0.0, 4).p() == 1
    index, groups = made(repeats=1, folds=1)
    alone = statistics.two_way(pd.Series(1.0, index), groups)
    assert alone.value == 1 and np.isnan([alone.error, alone.p(), *alone.interval(), alone.above(0)]).all()


@pytest.mark.parametrize(
    "a, b, points, half", [("none", "stage", 5.6, 2.2), ("none", "half", 4.0, 2.4), ("half", "stage", 1.6, 4.4)]
)
def test_first_editions_differences(kept, a, b, points, half):
    """The figures on which the second protocol was planned."""
    correct, groups = statistics.correctness(kept), committed_folds("trashnet").set_index("image")["group"]
    found = statistics.two_way(correct[b] - correct[a], groups)
    low, high = found.interval()
    assert (round(100 * found.value, 1), round(50 * (high - low), 1)) == (points, half)


@pytest.fixture(scope="module")
def kept():
    table = statistics.read_table(REFERENCE / "scratch", "predictions.csv")
    return table[table["arm"].isin(simulation.ARMS)]


def test_holm_levels_by_hand():
    """0.001 passes 5 % / 4; 0.02 fails 5 % / 3, so all that follow stay at that level; a missing one counts."""
    corrected, levels = statistics.holm(np.array([0.03, 0.001, np.nan, 0.02]))
    assert levels.tolist() == pytest.approx([0.05 / 3, 0.05 / 4, 0.05 / 3, 0.05 / 3])
    assert corrected.tolist() == pytest.approx(multipletests([0.03, 0.001, 1, 0.02], method="holm")[1])
    assert statistics.holm(np.array([0.2]))[1].tolist() == [0.05]


def test_an_interval_excludes_zero_exactly_where_holm_rejects():
    """No interval beside "not decidable" can say otherwise than the test, for any family."""
    rng, rejections = np.random.default_rng(3), 0
    for _ in range(100):
        family = [Estimate(value, 1.0, 9) for value in rng.normal(2, 2, 5)]
        corrected, levels = statistics.holm(np.array([estimate.p() for estimate in family]))
        for estimate, p, level in zip(family, corrected, levels, strict=True):
            low, high = estimate.interval(level)
            assert (low > 0 or high < 0) == (p <= 0.05)
            rejections += p <= 0.05
    assert 100 < rejections < 400


def test_family_without_a_true_difference_rarely_finds_one():
    """Four equal arms, three contrasts: about one family of twenty holds a difference that is none."""
    rng, wrong, (index, groups) = np.random.default_rng(4), 0, made(60)
    for _ in range(100):
        first, *others = (pd.Series((rng.random(len(index)) < 0.7).astype(float), index) for _ in range(4))
        p = np.array([statistics.two_way(other - first, groups).p() for other in others])
        wrong += (statistics.holm(p)[0] <= 0.05).any()
    assert 1 <= wrong <= 12


def test_clear_family():
    """b is far better than a, c as good as b, d absent: counts, verdicts, and p that pays for the absent arm."""
    rng, (index, groups) = np.random.default_rng(5), made(400)
    hits = rng.random((3, len(index)))
    table = predictions(index, a=hits[0] < 0.5, b=hits[1] < 0.8, c=hits[1] < 0.81)
    family = [
        Contrast("a", "b", (0, 1)),
        Contrast("b", "c", (0, 1), True),
        Contrast("a", "d", (0, 1)),
        Contrast("c", "b"),
    ]
    found = rules.family_table(statistics.correctness(table), family, groups, 0.25)
    assert found["verdict"].tolist() == [SUPPORTED, SUPPORTED, OPEN, REFUTED]
    assert found["runs"].tolist() == [10, 10, 0, 5] and found["photographs"].tolist() == [800, 800, 0, 400]
    assert found["asks"].tolist() == ["better", "no worse", "better", "better"]
    assert found["p_holm"].min() == pytest.approx(4 * found["p"].min())
    first = found.iloc[0]
    by_run = statistics.correctness(table).groupby(["repeat", "fold"]).mean()
    new = statistics.resampled((by_run["b"] - by_run["a"]).to_numpy(), 0.25)
    assert (first["new_low"], first["new_high"]) == pytest.approx(new.interval(first["level"]))
    assert first[["better", "within", "worse"]].sum() == pytest.approx(1) and first["better"] > 0.99
    assert np.isnan(found.loc[2, "difference"]) and np.isnan(found.loc[2, "p_holm"])


def test_planned_runs_alone_decide():
    """One of two planned repeats, or a part of one, is no verdict; a repeat beyond the plan does not count."""
    index, groups = made(100)
    rng = np.random.default_rng(6)
    table = predictions(index, a=rng.random(len(index)) < 0.3, b=rng.random(len(index)) < 0.9)

    def found(table, repeats):
        correct = statistics.correctness(table)
        return rules.family_table(correct, [Contrast("a", "b", repeats)], groups, 0.25).iloc[0]

    assert found(table, (0, 1))["verdict"] == found(table, (1,))["verdict"] == SUPPORTED
    assert found(table, (1,))["runs"] == 5
    assert found(table[table["repeat"] == 0], (0, 1))["verdict"] == OPEN
    part = found(table[(table["repeat"] == 0) | (table["fold"] < 4)], (0, 1))
    assert (part["verdict"], part["folds"], part["runs"]) == (OPEN, 4, 9)
    assert part["p"] < 0.01 and np.isnan(part["p_holm"])


@pytest.mark.parametrize(
    "asks, difference, low, high, p_holm, verdict",
    [
        ("better", 0.05, 0.03, 0.07, 0.01, SUPPORTED),
        ("better", 0.01, 0.005, 0.015, 0.01, SUPPORTED),
        ("better", 0.01, -0.01, 0.03, 0.3, OPEN),
        ("better", 0.005, -0.005, 0.015, 0.3, REFUTED),
        ("better", -0.05, -0.07, -0.03, 0.01, REFUTED),
        ("no worse", 0.0, -0.01, 0.01, 0.02, SUPPORTED),
        ("no worse", -0.01, -0.03, 0.01, 0.2, OPEN),
        ("no worse", -0.05, -0.06, -0.04, 1.0, REFUTED),
    ],
)
def test_verdicts(asks, difference, low, high, p_holm, verdict):
    """A wide interval decides nothing; one without an advantage worth having speaks against the claim."""
    row = {"asks": asks, "difference": difference, "low": low, "high": high, "p_holm": p_holm, "folds": 5}
    assert rules._verdict(row) == verdict
    assert rules._verdict(row | {"folds": 4}) == OPEN


def test_claim_of_several_parts_and_over_data_sets():
    """Every CNN must be beaten and one refutes; a general verdict needs both data sets and one direction."""
    assert rules.all_of([SUPPORTED] * 4) == SUPPORTED
    assert rules.all_of([SUPPORTED, OPEN]) == OPEN and rules.all_of([OPEN, REFUTED]) == REFUTED
    assert rules.general({"trashnet": SUPPORTED, "waste8": SUPPORTED}) == SUPPORTED
    assert rules.general({"trashnet": REFUTED, "waste8": REFUTED}) == REFUTED
    assert rules.general({"trashnet": SUPPORTED, "waste8": OPEN}) == "supported on trashnet"
    assert rules.general({"trashnet": SUPPORTED}) == "supported on trashnet"
    assert rules.general({"waste8": SUPPORTED, "trashnet": REFUTED}) == "supported on waste8, not supported on trashnet"
    assert rules.general({"trashnet": OPEN, "waste8": OPEN}) == OPEN


def test_families_are_the_protocols():
    """One confirmatory contrast; it is tested alone; the controls and CNNs are planned on TrashNet alone."""
    assert [len(family) for family in rules.FAMILIES["trashnet"].values()] == [1, 6, 2, 2, 1, 1]
    assert [len(family) for family in rules.FAMILIES["waste8"].values()] == [1, 4, 2]
    every = [(data, c.a, c.b) for data, families in rules.FAMILIES.items() for f in families.values() for c in f]
    assert [pair for pair in every if rules.status(*pair) == "confirmatory"] == [("waste8", "none", "stage")]
    assert {c.a for c in rules.CNNS} < set(PLAIN_CNNS)


def test_arms_of_two_machines_are_not_compared():
    """The message names the run and both machines; arms that no contrast joins may differ."""
    facts = {
        ("none", 0, 3): {"precision": "bf16-mixed", "processor": "A"},
        ("stage", 0, 3): {"precision": "32-true", "processor": "A"},
        ("block", 0, 3): {"precision": "bf16-mixed", "processor": "A"},
    }
    rules.check_machines(facts, [Contrast("none", "block")])
    with pytest.raises(ReproError, match="fold 3: none was trained with precision bf16-mixed, stage with 32-true"):
        rules.check_machines(facts, rules.MAIN)


@pytest.mark.parametrize("one_sided", [False, True])
def test_detectable_difference_has_80_percent_power(one_sided):
    """By the noncentral t distribution."""
    nc = rules.noncentrality(9, 0.05, one_sided)
    critical = stats.t.ppf(0.95 if one_sided else 0.975, 9)
    assert stats.nct.sf(critical, 9, nc) == pytest.approx(0.8, abs=1e-3)


def test_repeats_needed_where_runs_alone_vary():
    """Every photograph of a run has the run's difference: the noncentral t gives the repeats; photographs do not."""
    index, groups = made(2000)
    effects = 0.02 + 0.03 * np.tile([-1, 1, -0.5, 0.5, 0], 2)
    gain = pd.Series(effects[pd.factorize(index.droplevel("image"))[0]], index)
    gain += 0.001 * np.random.default_rng(7).normal(size=len(gain))
    repeats, photographs = rules.needed(Contrast("a", "b", (0, 1)), gain, groups, 0.05)
    spread = np.std(effects, ddof=1)

    def power(k):
        return stats.nct.sf(stats.t.ppf(0.975, k - 1), k - 1, 0.02 / (spread / k**0.5))

    assert photographs == np.inf
    assert power(5 * repeats) >= 0.79 and power(5 * (repeats - 1)) < 0.8 and repeats > 2


def test_photographs_needed_where_photographs_alone_vary():
    """Runs of equal means: photographs in proportion to the variance that is too much."""
    index, groups = made(1000, repeats=1)
    gain = pd.Series(np.random.default_rng(8).normal(size=len(index)), index)
    gain += 0.03 - gain.groupby(["repeat", "fold"]).transform("mean")
    alone = pd.Series(np.arange(1000), groups.index)
    _, photographs = rules.needed(Contrast("a", "b"), gain, alone, 0.05)
    error = gain.std() / 1000**0.5
    assert photographs == pytest.approx(1000 * (error * rules.noncentrality(4, 0.05) / 0.03) ** 2, rel=0.01)
    _, fewer = rules.needed(Contrast("a", "b", no_worse=True), gain, alone, 0.05)
    assert fewer == pytest.approx(1000 * (error * rules.noncentrality(4, 0.05, True) / 0.05) ** 2, rel=0.01)


def test_gain_by_class_adds_up():
    """b gets five more cans right in each run of twenty photographs, and no more jars."""
    index, groups = made(100, repeats=1)
    images = index.get_level_values("image").str.removesuffix(".jpg").astype(int)
    a = images % 4 == 0
    b = a | (images % 4 == 2)
    table = predictions(index, a=a, b=b)
    found = statistics.gain_by_class(table, "a", "b", groups).set_index("class")
    assert found["photographs"].to_dict() == {"can": 50, "jar": 50} and found["runs"].tolist() == [5, 5]
    assert found["difference"].to_dict() == pytest.approx({"can": 0.5, "jar": 0.0})
    assert found["contribution"].to_dict() == pytest.approx({"can": 0.25, "jar": 0.0})
    cans = statistics.two_way(pd.Series((b & ~a)[images % 2 == 0].astype(float), index[images % 2 == 0]), groups)
    assert found.loc["can", ["low", "high"]].tolist() == pytest.approx(list(cans.interval()))


def test_convergence_looks_at_the_last_ten_epochs():
    """A rise before them does not count, a fall within them does."""
    history = {"settled": [0.2] * 5 + [0.5] * 10 + [0.505], "rising": [*np.linspace(0, 1, 16)], "falling": [0.9] * 15}
    history["falling"] += [0.5]
    rows = [pd.DataFrame({"arm": arm, "validation_accuracy": values}) for arm, values in history.items()]
    found = statistics.convergence(pd.concat(rows).assign(repeat=0, fold=0)).set_index("arm")
    assert found["converged"].to_dict() == {"settled": True, "rising": False, "falling": False}
    assert found["change"].to_dict() == pytest.approx({"settled": 0.005, "rising": 10 / 15, "falling": -0.4})


def test_spread_of_the_first_edition(kept):
    """The protocol's simulation starts from runs that differ by 2.65 points."""
    assert simulation.spread(kept).run == pytest.approx(0.0265, abs=5e-5)


def test_simulated_tests_of_nothing():
    """Both keep their level where arms react alike; where they do not, the two-way test is liberal; seeds repeat."""
    index, groups = made(200)
    frame = index.to_frame(index=False).assign(group=lambda table: groups.loc[table["image"]].to_numpy())
    folds, sizes = [part for _, part in frame.groupby("repeat")], simulation.Spread(0.3, 0.06)
    alike, apart = (simulation.simulate(sizes, folds, 0.25, reaction=r, samples=120) for r in (0.0, 0.2))
    assert alike["decides"].max() <= 0.05
    assert apart.loc["two-way", "decides"] > 0.05 > apart.loc["new training sets", "decides"]
    assert (alike["half_width"]["two-way"], alike["half_width"]["new training sets"]) == pytest.approx(
        (0.046, 0.079), abs=0.003
    )
    few = [simulation.simulate(sizes, folds, 0.25, 0.2, samples=5, seed=1) for _ in range(2)]
    pd.testing.assert_frame_equal(*few)
    assert (few[0]["decides"] == 1).all()


def test_committed_tables_are_what_the_kept_runs_say():
    """results/reference/second_rules cannot drift from the predictions, nor from the rules."""
    groups = committed_folds("trashnet").set_index("image")["group"]
    for name, table in rules.kept_runs(REFERENCE, groups).items():
        committed = pd.read_csv(REFERENCE / "second_rules" / name)
        pd.testing.assert_frame_equal(table, committed, check_dtype=False, rtol=1e-4)


def test_protocol_quotes_what_had_been_seen():
    """Each contrast of the first edition's five runs stands in the protocol as the committed table has it."""
    text = (project_root() / "docs" / "protocol.md").read_text(encoding="utf-8")
    seen = pd.read_csv(REFERENCE / "second_rules" / "contrasts.csv").query("runs == 5")
    assert len(seen) == 5
    for row in seen.itertuples():
        difference, low, high, new_low, new_high = (
            f"{100 * value:+.1f}" for value in (row.difference, row.low, row.high, row.new_low, row.new_high)
        )
        asks = " (no worse)" if row.asks == "no worse" else ""
        line = f"| `{row.a}`→`{row.b}`{asks} | {difference} [{low}, {high}] | {100 * row.level:.2f} | {row.p_holm:.3f} "
        assert line + f"| {row.verdict} | [{new_low}, {new_high}] |" in text
