import csv

import pytest

from ncdetect import findings, findings_rules
from ncdetect.findings_words import Difference, joined, percent, places, read_csv, share_words, signed, title
from ncdetect.ui import results

FACTS = {"train_reals": 100, "train_fakes": 100, "dev_loss": 0.5, "dev_eer": 0.2, "seconds": 60.0}


def a_row(corpus="all", seed="mean", eer=0.3, ends=0.02, **columns):
    row = {"seed": seed, "corpus": corpus, "split": "eval", "clips": 40, "reals": 20, "fakes": 20}
    return columns | row | {"eer": eer, "eer_low": eer - ends, "eer_high": eer + ends} | FACTS


def study(results, seeds=(0, 1, 2)):
    """Rows of experiment 4.

    Args:
        results: (rule, budget): (dev loss, {test set: (EER, difference from random, half its interval)}).
        seeds: Of the trainings.
    """
    rows = []
    for (rule, budget), (loss, tests) in results.items():
        for corpus, (eer, difference, half) in tests.items():
            for seed in (*seeds, "mean"):
                row = a_row(corpus, seed, eer, rule=rule, budget=budget) | {"dev_loss": loss}
                row |= {"train_reals": 1000 * budget, "train_fakes": 1000 * budget}
                own = {RANDOM: "", "all": ""}.get(rule, difference)
                row |= {"difference_from_random": own}
                row |= {"difference_low": own if own == "" else own - half}
                row |= {"difference_high": own if own == "" else own + half}
                from_all = "" if rule == "all" else eer - 0.25
                row |= {"difference_from_all": from_all}
                row |= {"difference_all_low": "" if rule == "all" else from_all - half}
                row |= {"difference_all_high": "" if rule == "all" else from_all + half}
                rows.append(row)
    return rows


RANDOM = "random"


def small_study(algorithm_1=0.05, herding=-0.04, half=0.01, losses=(0.5, 0.45, 0.6, 0.4)):
    """Random errs on 30 % in both places and everything on 25 %; budget a quarter."""
    whole, random, nc, rival = losses
    both = {name: (0.3, "", half) for name in ("all", "wild")}

    def off(difference):
        return {name: (0.3 + difference, difference, half) for name in ("all", "wild")}

    return study(
        {
            ("all", 1.0): (whole, {name: (0.25, "", half) for name in both}),
            (RANDOM, 0.25): (random, both),
            ("algorithm-1", 0.25): (nc, off(algorithm_1)),
            ("herding", 0.25): (rival, off(herding)),
        }
    )


def said(number, rows):
    return "\n".join(findings.sentences(number, rows))


# -- words


def test_rates_are_never_a_certain_0_or_100():
    assert [percent(rate) for rate in (0, 0.0004, 0.2345, 0.9996, 1)] == [
        "<0.1", "<0.1", "23.4", ">99.9", ">99.9",
    ]  # fmt: skip


def test_differences_have_their_sign():
    assert [signed(value) for value in (0.0123, -0.0123, 0.0004, -0.0004)] == ["+1.2", "−1.2", "0.0", "0.0"]


@pytest.mark.parametrize(
    ("difference", "verdict", "words"),
    [
        (
            Difference(-0.03, -0.05, -0.01), "better",
            "better, by 3.0 points (95 % interval 1.0 to 5.0 better)",
        ),
        (Difference(0.03, 0.01, 0.05), "worse", "worse, by 3.0 points (95 % interval 1.0 to 5.0 worse)"),
        (
            Difference(-0.02, -0.05, 0.01), "open",
            "no difference that these clips can show (2.0 points better; 95 % interval 5.0 better to 1.0 "
            "worse)",
        ),
        (
            Difference(0.02, 0.0, 0.04), "open",
            "no difference that these clips can show (2.0 points worse; 95 % interval 0.0 to 4.0 worse)",
        ),
        (
            Difference(0.0, 0.0, 0.0), "open",
            "no difference that these clips can show (0.0 points; 95 % interval 0.0 to 0.0 better)",
        ),
    ],
)  # fmt: skip
def test_a_difference_is_clear_only_where_its_interval_leaves_out_zero(difference, verdict, words):
    assert (difference.verdict, difference.words) == (verdict, words)


def test_small_words():
    assert [joined(parts) for parts in (["a"], ["a", "b"], ["a", "b", "c"])] == ["a", "a and b", "a, b and c"]
    assert [share_words(share) for share in (1.0, 0.25, 0.125)] == ["all", "25 %", "12.5 %"]
    assert title("algorithm-1") == "Nearest to the class mean"
    assert title("newest-rule") == "newest-rule"


def test_places_are_home_and_wild():
    assert places([a_row(name) for name in ("ant", "all", "wild")]) == ["all", "wild"]
    assert places([a_row(name) for name in ("ant", "in-the-wild")]) == ["ant", "in-the-wild"]
    assert places([a_row("wild")]) == ["wild"]


def test_a_written_table_is_read_back(tmp_path):
    rows = small_study()
    file = tmp_path / "experiment-4.csv"
    write_table(file, rows)
    assert read_csv(file) == rows


# -- experiment 4


@pytest.mark.parametrize(
    ("algorithm_1", "headline"),
    [
        (
            0.05,
            "in 2 comparisons with training on as many random ones, was worse in 2 (1 on new clips of the "
            "training collections "
            "and 1 in the wild), never better.",
        ),
        (
            -0.05,
            "in 2 comparisons with training on as many random ones, was better in 2 (1 on new clips of the "
            "training collections "
            "and 1 in the wild), never worse.",
        ),
        (0.005, "was neither better nor worse than training on as many random ones"),
    ],
)
def test_the_headline_says_who_won(algorithm_1, headline):
    found = findings.sentences(4, small_study(algorithm_1))
    assert headline in found[0]


def test_the_headline_counts_mixed_outcomes():
    rows = small_study(0.05)
    for row in rows:
        if row["rule"] == "algorithm-1" and row["corpus"] == "wild":
            row |= {"difference_from_random": -0.05, "difference_low": -0.06, "difference_high": -0.04}
    first = findings.sentences(4, rows)[0]
    assert (
        "was better in 1 (1 in the wild), worse in 1 (1 on new clips of the training collections)." in first
    )
    for row in rows:
        if row["rule"] == "algorithm-1" and row["corpus"] == "wild":
            row["difference_high"] = 0.01
    first = findings.sentences(4, rows)[0]
    assert "was worse in 1 (1 on new clips of the training collections), never better; the other 1" in first


def test_the_lowest_error_rate_has_its_difference_from_random():
    text = said(4, small_study(herding=-0.04))
    assert (
        "Lowest mean error rate in the wild: with 25 % of the clips “Keeping the average”, 26.0 % [24.0, "
        "28.0], compared with random better, by 4.0 points (95 % interval 3.0 to 5.0 better)."
    ) in text
    text = said(4, small_study(algorithm_1=-0.06, herding=0.01))
    assert "with 25 % of the clips “Nearest to the class mean”, 24.0 % [22.0, 26.0]" in text
    text = said(4, small_study(algorithm_1=0.02, herding=0.01))
    assert (
        "Lowest mean error rate in the wild: with 25 % of the clips a random draw, 30.0 % [28.0, 32.0]."
        in text
    )


def test_ties_are_told():
    text = said(4, small_study(algorithm_1=-0.04, herding=-0.04))
    assert "“Nearest to the class mean” and “Keeping the average” alike, 26.0 %" in text
    assert "a random draw and “Keeping the average” alike, 30.0 %." in said(4, small_study(herding=0.0))


def test_nc_sampling_against_random_is_said_plainly():
    lost, won = said(4, small_study(0.05)), said(4, small_study(-0.05))
    start = "“Nearest to the class mean” (NC sampling, Algorithm 1) against as many random clips, in the wild"
    start += ": with 25 %"
    assert f"{start} worse, by 5.0 points (95 % interval 4.0 to 6.0 worse)." in lost
    assert f"{start} better, by 5.0 points (95 % interval 4.0 to 6.0 better)." in won


def test_a_quarter_against_everything():
    # Dev prefers herding: 26 % against 25 %, which half an interval of 1 and of 0.5 points decides.
    text = said(4, small_study(herding=-0.04, half=0.02))
    assert (
        "Is a quarter of the clips (500 of 2,000) as good as all of them? With “Keeping the average”" in text
    )
    assert (
        "no difference shown on new clips of the training collections and no difference shown in the wild"
        in text
    )
    assert "3.0 points worse would fit as well" in text
    text = said(4, small_study(herding=-0.04, half=0.005))
    assert "worse on new clips of the training collections and worse in the wild." in text
    assert "a random draw: worse, by 5.0 points (95 % interval 4.5 to 5.5 worse)" in text
    text = said(4, small_study(herding=-0.08, half=0.005))
    assert "better on new clips of the training collections and better in the wild." in text
    # Dev prefers the random draw itself.
    text = said(4, small_study(losses=(0.5, 0.1, 0.6, 0.4)))
    assert "With a random draw, which the validation clips prefer at that size: worse" in text


def test_dev_decides_and_not_the_test():
    rows = small_study(herding=-0.04, losses=(0.5, 0.45, 0.3, 0.4))
    best = findings_rules.chosen_on_dev(rows)
    assert (best.rule, best.budget) == ("algorithm-1", 0.25)
    assert (
        "of 4 ways to choose “Nearest to the class mean” with 25 % of the clips is best (mean dev loss 0.300;"
        in said(4, rows)
    )
    rows = small_study(losses=(0.2, 0.45, 0.3, 0.4))
    assert "training on everything is best (mean dev loss 0.200); its error rate is 25.0 %" in said(4, rows)
    assert findings_rules.chosen_on_dev(rows, 0.25).rule == "algorithm-1"
    assert findings_rules.chosen_on_dev(rows, 0.5) is None
    tie = findings_rules.chosen_on_dev(small_study(losses=(0.4, 0.5, 0.6, 0.4)))
    assert (tie.rule, tie.budget) == ("herding", 0.25)  # of fewer clips


def test_chance_is_told():
    # Two comparisons in each place, both clear; 2 * 5 % = 0.1 by chance.
    text = said(4, small_study())
    assert (
        "Of 2 comparisons with random in the wild, 2 have an interval without zero (1 better, 1 worse); "
        "about 0.1" in text
    )
    assert "none has an interval without zero (0 better, 0 worse)" in said(4, small_study(0.001, 0.002))


def test_fewer_clips_than_random_are_told():
    rows = small_study()
    assert "fewer clips to train on" not in said(4, rows)
    for row in rows:
        if row["rule"] == "algorithm-1":
            row["train_fakes"] = 200
    assert (
        "Some had fewer clips to train on than random: “Nearest to the class mean” with 25 % (450 of 500)."
        in said(4, rows)
    )


def test_one_seed_is_told():
    rows = study({(RANDOM, 0.1): (0.5, {"all": (0.3, "", 0.01)})}, seeds=(0,))
    assert "trained once only" in said(4, rows)
    assert "mean of 3 trainings" in said(4, small_study())


def test_what_is_missing_is_not_told():
    for number in (1, 2, 3, 4):
        one_seed_alone = [row for row in small_study() if row["seed"] == 0]
        for rows in ([], one_seed_alone):
            assert findings.sentences(number, rows) == [] and findings.tables(number, rows) == []
    only_random = study({(RANDOM, 0.1): (0.5, {"ant": (0.3, "", 0.01)})})
    found = said(4, only_random)
    assert "Lowest mean error rate on ant: with 10 % of the clips a random draw, 30.0 %" in found
    assert "neural-collapse" not in found and "quarter" not in found and "Of " not in found.splitlines()[0]
    without_random = study({("herding", 0.25): (0.5, {"wild": (0.3, "", 0.0)})})
    for row in without_random:
        for name in list(row):
            if name.startswith("difference"):
                row[name] = ""
    assert "quarter" not in said(4, without_random)
    assert findings.tables(4, without_random)


def test_the_worst_test_set_is_that_of_what_dev_chooses():
    test = {"all": (0.3, "", 0.1), "ant": (0.2, "", 0.1), "bee": (0.49, "", 0.1), "wild": (0.4, "", 0.1)}
    rows = study({("all", 1.0): (0.1, test), (RANDOM, 0.25): (0.2, {"ant": (0.9, "", 0.1)})})
    choice, tests = findings_rules.weakest(rows)
    assert choice.rule == "all"
    assert [row["corpus"] for row in tests] == ["bee", "wild", "ant"]
    text = findings_rules.weakness(rows)
    assert "which the validation clips prefer, the model is worst on bee: 49.0 % [47.0, 51.0]" in text
    assert text.endswith(
        "best on ant: 20.0 % [18.0, 22.0]. Its interval reaches 50 %, which is guessing, on bee."
    )
    assert findings_rules.weakest([]) is None and findings_rules.weakness([]) == ""


def test_the_tables_of_experiment_4():
    home, wild, loss, cost = findings.tables(4, small_study())
    assert home.columns == ("rule", "25 % of the clips")
    assert home.lines[0] == ("Random", "30.0 [28.0, 32.0]")
    assert home.lines[1] == ("Nearest to the class mean", "35.0 [33.0, 37.0]\n+5.0 [+4.0, +6.0]")
    assert home.note.startswith("Trained on everything: 25.0 [23.0, 27.0].")
    assert wild.caption.startswith("In the wild")
    assert [line[1] for line in loss.lines] == ["0.450", "0.600", "0.400"]
    assert cost.lines == (("25 %", "500", "60"), ("all", "2,000", "60"))


# -- experiments 1 to 3


def collections(own, wild, wild_ends=0.02):
    return [
        a_row(corpus, seed, rate, ends, model="resnet18b", trained_on=trained)
        for trained, home_rate, wild_rate in (("ant", own, wild), ("bee", own + 0.02, wild + 0.02))
        for corpus, rate, ends in (
            (trained, home_rate, 0.02),
            ("wild", wild_rate, wild_ends),
            ("all", 0.3, 0.02),
        )
        for seed in (0, "mean")
    ]


def test_home_and_wild_of_one_collection():
    found = findings.sentences(1, collections(0.20, 0.40))
    assert "errs on 21.0 % of new clips of that collection, and on 41.0 % in the wild" in found[0]
    assert found[0].endswith("harder for 2 of 2.")
    assert "Fewest mistakes in its own collection: resnet18b trained on ant, 20.0 % [18.0, 22.0]." in found
    assert "In the wild, 0 of 2 cannot be told from guessing" in said(1, collections(0.20, 0.40))
    assert "8 and 11 % at home and on 57 and 47 % in the wild: the same direction as here" in said(
        1, collections(0.20, 0.40)
    )
    other = findings.sentences(1, collections(0.40, 0.20))
    assert other[0].endswith("harder for 0 of 2.")
    assert "unlike here" in "\n".join(other)
    assert "In the wild, 1 of 2 cannot" in said(1, collections(0.20, 0.40, wild_ends=0.09))
    (table,) = findings.tables(1, collections(0.20, 0.40))
    assert table.lines[0] == (
        "resnet18b on ant", "200", "20.0 [18.0, 22.0]", "30.0 [28.0, 32.0]", "40.0 [38.0, 42.0]",
    )  # fmt: skip


def grid(losses, rates, ends=0.02):
    """Experiment 2 on one corpus, by (real rate, fake rate)."""
    return [
        a_row(corpus, seed, rate, ends, trained_on="ant", real_rate=rates_[0], fake_rate=rates_[1])
        | {"dev_loss": losses[rates_], "train_fakes": 100 * rates_[1]}
        for rates_ in losses
        for corpus, rate in (("ant", rates[rates_]), ("wild", 0.4))
        for seed in (0, 1, "mean")
    ]


def test_the_keep_rates_that_dev_chooses():
    all_, half = (1.0, 1.0), (1.0, 0.5)
    found = said(2, grid({all_: 0.5, half: 0.4}, {all_: 0.30, half: 0.20}))
    assert (
        "fewer did better than all in 1 of 1 collections; on the test clips in their own collection, in "
        "1 of these 1" in found
    )
    assert (
        "ant: dev chooses all of the reals and 50 % of the fakes (150 clips); on ant 20.0 % [18.0, 22.0]"
        in found
    )
    assert "against 30.0 % [28.0, 32.0] with all: the intervals lie apart" in found
    assert (
        "in the wild 40.0 % [38.0, 42.0] against 40.0 % [38.0, 42.0] with all: the intervals overlap" in found
    )
    found = said(2, grid({all_: 0.3, half: 0.4}, {all_: 0.30, half: 0.20}))
    assert "fewer did better than all in 0 of 1 collections." in found
    assert "ant: dev chooses all of the reals and all of the fakes (200 clips)." in found
    assert "mean of 2 trainings" in found
    short, whole = findings.tables(2, grid({all_: 0.3, half: 0.4}, {all_: 0.30, half: 0.20}))
    assert (len(short.lines), len(whole.lines)) == (1, 2)
    assert whole.lines[1] == ("ant", "all", "50 %", "150", "0.400", "20.0 [18.0, 22.0]", "40.0 [38.0, 42.0]")
    assert said(2, grid({half: 0.4}, {half: 0.2}))


def draws(*rates):
    return [
        a_row("all", "mean", rate, count=count) for count, rate in zip((30, 60, 110), rates, strict=False)
    ]


@pytest.mark.parametrize(
    ("rates", "words"),
    [
        ((0.4, 0.3, 0.2), "More random clips, fewer mistakes at every step on new clips"),
        ((0.4, 0.45, 0.2), "More random clips made fewer mistakes, though not at every step"),
        ((0.2, 0.3, 0.4), "More random clips did not help"),
        ((0.3, 0.2, 0.3), "More random clips changed nothing between fewest and most"),
        ((0.3,), "With random clips, on new clips of the training collections: 30.0 % [28.0, 32.0] with 30"),
    ],
)
def test_whether_more_random_clips_help(rates, words):
    assert findings.sentences(3, draws(*rates))[0].startswith(words)


def test_overlapping_intervals_settle_nothing():
    assert "20.0 % [18.0, 22.0] with 110; the intervals lie apart." in said(3, draws(0.4, 0.3, 0.2))
    assert "29.0 % [27.0, 31.0] with 110; the intervals overlap, so it may be chance." in said(
        3, draws(0.3, 0.3, 0.29)
    )


# -- the paper, Markdown, collapse


def test_the_papers_numbers_are_those_of_the_paper():
    assert sum(entry.eer for entry in findings.PAPER if entry.evaluation == "In-the-Wild") == pytest.approx(
        3.13
    )
    assert [entry.eer for entry in findings.PAPER if entry.experiment == 3] == [
        0.39,
        0.49,
        0.44,
        0.54,
        0.44,
        0.52,
    ]
    assert [entry.mean_ap for entry in findings.PAPER if entry.experiment == 1] == [0.99, 0.32, 0.99, 0.41]
    assert "2404.13008" in findings.papers_table(2).caption
    assert len(findings.papers_table(4).lines) == 6


@pytest.mark.parametrize(
    ("number", "rows"),
    [
        (1, collections(0.2, 0.4)),
        (2, grid({(1.0, 1.0): 0.3}, {(1.0, 1.0): 0.3})),
        (3, draws(0.3)),
        (4, small_study()),
    ],
)
def test_markdown_begins_with_its_command_and_has_whole_tables(number, rows):
    text = findings.markdown(number, rows, f"python -m ncdetect experiment {number} --data DATA")
    lines = text.splitlines()
    assert lines[0] == f"Made by `python -m ncdetect experiment {number} --data DATA`."
    assert lines[2].startswith("**")
    assert "The paper's own numbers (Yousif et al. 2024, arXiv:2404.13008)" in text
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == len(findings.tables(number, rows)) + 1
    for block in blocks:
        assert len({line.count("|") for line in block}) == 1


# -- the tab


def write_table(file, rows):
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("text", ["", "rule,budget\n", "rule,seed,corpus\nrandom,mean,all\n", "\xff\x00"])
def test_a_damaged_table_is_answered_with_the_command(text, tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    for number in results.NUMBERS:
        (tmp_path / f"experiment-{number}.csv").write_bytes(text.encode("latin-1"))
    found = results.load()
    assert found == dict.fromkeys(results.NUMBERS)
    assert "python -m ncdetect experiment 2 --data DIR" in results.section(2, found[2])
    assert "Nothing has been measured here yet" in results.header(found)
    assert results.weaknesses(found[4]) == ""


def test_the_tab_shows_every_table_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    tables = {
        1: collections(0.2, 0.4),
        2: grid({(1.0, 1.0): 0.3}, {(1.0, 1.0): 0.3}),
        3: draws(0.3, 0.2),
        4: small_study(),
    }
    for number, rows in tables.items():
        write_table(tmp_path / f"experiment-{number}.csv", rows)
    found = results.load()
    assert found == tables
    told = results.headlines(found)
    assert told[0] == findings.sentences(4, tables[4])[0] and len(told) == 3
    for number in tables:
        html = results.section(number, found[number], told)
        assert html.count("<table>") == len(findings.tables(number, tables[number])) + 1
        assert html.count("<table>") == html.count("<caption>") and "nc-missing" not in html
        assert f'download="experiment-{number}.csv"' in html


def test_dots_lie_on_one_scale():
    html = results.figure(small_study(algorithm_1=0.05, herding=-0.04, half=0.01))
    # From -5 to +6 points and 4 % of that on either side: 11.88 points wide, zero at 5.44 of them.
    assert "--zero:45.79%" in html
    assert html.count('style="left:87.88%"') == 2  # +5 points, in both places
    assert results.figure(study({(RANDOM, 0.1): (0.5, {"all": (0.3, "", 0.01)})})) == ""


def test_names_from_a_table_are_escaped():
    rows = study(
        {("<b>x", 0.25): (0.1, {"<i>y": (0.3, 0.1, 0.01)}), (RANDOM, 0.25): (0.2, {"<i>y": (0.3, "", 0.01)})}
    )
    html = (
        results.section(4, rows)
        + results.weaknesses(rows)
        + results.header({4: rows, 1: None, 2: None, 3: None})
    )
    assert "<b>x" not in html and "<i>y" not in html and "&lt;i&gt;y" in html
