"""What the tab "Results" says besides its findings: titles, questions and answers."""

from ncdetect.language import say


def titles() -> dict[int, str]:
    """The experiments in plain words."""
    return {
        4: say("Fewer clips, better chosen?"),
        1: say("Out of its own collection, into the wild"),
        2: say("Keeping only the most typical clips"),
        3: say("More random clips"),
    }


def questions() -> dict[str, str]:
    """What the words of this tab mean: questions and answers."""
    return {
        say("What is the error rate (EER)?"): say(
            "A detector can be set to be strict or lenient. The <i>equal error rate</i> is measured where it "
            "makes both mistakes equally often: at 25 %, one in four real clips is called fake and one in "
            "four fakes passes as real. Lower is better, and 50 % is guessing."
        ),
        say("What do the numbers in brackets mean?"): say(
            "The <i>95 % interval</i>. With other speakers, other generators and another training the figure "
            "would have come out differently; the interval says by how much. It is made by drawing speakers, "
            "generators and trainings anew, a thousand times, as whole groups: clips of one speaker stand "
            "and fall together (<i>bootstrap</i>). If the interval of a difference holds zero, these clips "
            "cannot tell which is better."
        ),
        say("What is “in the wild”?"): say(
            "Clips from places and generators of which the model has learned nothing: public speeches, film, "
            "broadcast, clones of celebrities. New clips of the training collections are new as well, but of "
            "a familiar kind. What you bring is more like the wild."
        ),
        say("What does “on dev” mean?"): say(
            "A third, separate set of clips (<i>validation</i> or <i>dev</i>) decides which model is used. "
            "The test clips only measure: whoever chooses by the test flatters it."
        ),
        say("What is a rule of selection?"): say(
            "A way to pick which clips to train on. Neural-collapse sampling takes those nearest to the "
            "average of their class (Algorithm 1) or of their cluster (Algorithm 2). The others are its "
            "rivals from the literature, and a blind draw, which every rule has to beat."
        ),
    }
