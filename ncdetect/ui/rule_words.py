"""The rules of selection in the language of the page: what `rules.RULES` says of them in English."""

from ncdetect.language import say
from ncdetect.rules import RULES


def title(rule: str) -> str:
    """A rule in plain words."""
    titles = {
        "algorithm-1": say("Nearest to the class mean"),
        "algorithm-2": say("Nearest to the centre of their own cluster"),
        "farthest": say("Farthest from the class mean"),
        "moderate": say("Neither typical nor unusual"),
        "random": say("Random"),
        "stratified": say("Random within clusters"),
        "k-center": say("Covering the class"),
        "herding": say("Keeping the average"),
        "el2n": say("Hardest early in training"),
        "forgetting": say("Most often forgotten"),
    }
    return titles.get(rule, RULES[rule].title)


def explanation(rule: str) -> str:
    """What it keeps."""
    explanations = {
        "algorithm-1": say(
            "Keeps the clips that are most typical of their class, among those that the model gets right."
        ),
        "algorithm-2": say(
            "Sorts the fakes into clusters and keeps the most typical of each; reals go by the class mean."
        ),
        "farthest": say("Keeps the clips that are least typical of their class."),
        "moderate": say(
            "Keeps the clips whose distance to the class mean is nearest to the median distance."
        ),
        "random": say("Draws clips blindly."),
        "stratified": say("Draws blindly, but from every cluster of the class in proportion to its size."),
        "k-center": say("Adds, again and again, the clip that is farthest from all those already kept."),
        "herding": say(
            "Adds, again and again, the clip that brings the average of the kept ones nearest to the class "
            "mean."
        ),
        "el2n": say("Keeps the clips on which the model erred most when it first met them."),
        "forgetting": say(
            "Keeps the clips that the model learned and lost most often while it trained, or never learned."
        ),
    }
    return explanations.get(rule, RULES[rule].explanation)


def source(rule: str) -> str:
    """Where it comes from: mostly a citation, which is the same in every language."""
    sources = {
        "farthest": say("Sorscher et al. 2022, keeping the hard clips"),
        "random": say("no source: what every rule must beat"),
        "stratified": say("stratified sampling on k-means strata"),
    }
    return sources.get(rule, RULES[rule].source)
