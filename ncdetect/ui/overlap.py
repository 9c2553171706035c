"""What Algorithm 2 found among the fakes of a corpus, as HTML: plain words, then the numbers behind them."""

from collections import Counter
from html import escape

import numpy as np

from ncdetect.clusters import ClusterParameters, ClusterSelection
from ncdetect.language import number, say

GENERATORS_NAMED = 3
"""The commonest generators of a cluster are named, the others counted."""


def picture(found: ClusterSelection, parameters: ClusterParameters | None = None) -> str:
    """Clusters, why so many, which overlap, and what was kept of each."""
    parameters, title = parameters or ClusterParameters(), say("Clusters among the fakes")
    if not found.k:
        return f"<h3>{title}</h3><p>{say('There are no fakes here that the model gets right.')}</p>"
    parts = [_clusters(found)]
    if found.silhouettes:
        parts.append(_silhouettes(found, parameters))
    if found.k > 1:
        parts.append(_matrix(found, parameters))
    return (
        f"<h3>{title}</h3><p class='nc-lead'>{summary(found)}</p>"
        f"<div class='nc-overlap-grid'>{''.join(parts)}</div>{_explanation(parameters)}"
    )


def summary(found: ClusterSelection) -> str:
    """What was found, in plain words."""
    total = len(found.assignment)
    if found.k == 1:
        return say(
            "The {total} fakes form <b>one cloud</b>: no division into clusters fits them well. So each is "
            "judged by its distance to the middle of all.",
            total=total,
        )
    groups = [group for group in found.groups if len(group) > 1]
    said = say("The {total} fakes fall into <b>{k} clusters</b>.", total=total, k=found.k)
    if not groups:
        none = say("<b>None of them overlap</b>: each cluster keeps what lies nearest to its own centre.")
        return f"{said} {none}"
    if len(groups) == 1 and len(groups[0]) == found.k:
        which = say("All of them overlap") if found.k > 2 else say("They overlap")
    else:
        listed = [say("clusters {numbers} overlap", numbers=_listed(group)) for group in groups]
        which = "; ".join(listed)
        which = which[:1].upper() + which[1:]
    rule = say(
        "<b>{which}</b>: of those, a clip is kept only if it is near the centre of its own cluster "
        "<em>and</em> near the centre that they have in common.",
        which=which,
    )
    return f"{said} {rule}"


def _listed(group: tuple[int, ...]) -> str:
    numbers = [str(cluster + 1) for cluster in group]
    return say("{one} and {other}", one=", ".join(numbers[:-1]), other=numbers[-1])


def _clusters(found: ClusterSelection) -> str:
    names = np.array([name or say("unnamed") for name in found.generators])
    lines = []
    for cluster in range(found.k):
        common = Counter(names[found.assignment == cluster].tolist()).most_common()
        told = ", ".join(f"{escape(name)} ({count})" for name, count in common[:GENERATORS_NAMED])
        others = len(common) - GENERATORS_NAMED
        told = say("{these} and {n} more", these=told, n=others) if others > 0 else told
        kept, total = found.kept_by_cluster[cluster], found.total_by_cluster[cluster]
        press = say("Show cluster {n} on the map", n=cluster + 1)
        lines.append(
            f'<tr><td><button type="button" class="nc-cluster" data-cluster="{cluster}" aria-pressed="false" '
            f'aria-label="{press}">{cluster + 1}</button></td><td>{told}</td>'
            f'<td class="nc-tight"><span class="nc-share nc-fake"><i style="width:{100 * kept / total:.0f}%">'
            f"</i></span>{say('<b>{kept}</b> of {total}', kept=kept, total=total)}</td></tr>"
        )
    heads = (say("Cluster"), say("Generators in it (clips)"), say("Kept"))
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<div class="nc-overlap-table"><h4>{say("What was kept of each")}</h4><table><thead><tr>{columns}'
        f"</tr></thead><tbody>{''.join(lines)}</tbody></table>"
        f'<p class="nc-note">{say("Press a number to see its clips ringed on the map.")}</p></div>'
    )


def _silhouettes(found: ClusterSelection, parameters: ClusterParameters) -> str:
    best = max(found.silhouettes, key=found.silhouettes.__getitem__)
    top = max(*found.silhouettes.values(), 2 * parameters.least_silhouette)
    told = {
        k: say("{k} clusters: silhouette {value}", k=k, value=number(value, ".2f"))
        for k, value in found.silhouettes.items()
    }
    bars = "".join(
        f"<li{' class=nc-best' if k == best else ''}>"
        f'<span class="nc-sr">{told[k]}</span>'
        f'<b aria-hidden="true">{number(value, ".2f")}</b>'
        f'<i style="height:{max(2.0, 100 * value / top):.0f}%"></i><u aria-hidden="true">{k}</u></li>'
        for k, value in found.silhouettes.items()
    )
    note = say(
        "How well each number of clusters fits (the mean silhouette, 1 at best). The highest bar wins."
    )
    return (
        f'<div><h4>{say("Why {k}?", k=found.k)}</h4><ol class="nc-bars">{bars}</ol>'
        f'<p class="nc-note">{note}</p></div>'
    )


def _matrix(found: ClusterSelection, parameters: ClusterParameters) -> str:
    numbers = range(1, found.k + 1)
    head = "".join(f'<th scope="col">{number}</th>' for number in numbers)
    lines = []
    for row in range(found.k):
        cells = []
        for column, share in enumerate(found.overlap[row]):
            kind = "nc-own" if column == row else "nc-over" if share > parameters.overlap_share else ""
            text = f"{100 * share:.0f} %"
            cells.append(f'<td class="{kind}" style="--nc-heat:{share:.2f}">{text}</td>')
        lines.append(f'<tr><th scope="row">{row + 1}</th>{"".join(cells)}</tr>')
    note = say(
        "How many of the clips of the cluster on the left lie within the reach of the cluster above. Above "
        "{share} % (framed) two clusters overlap.",
        share=f"{100 * parameters.overlap_share:.0f}",
    )
    return (
        f'<div><h4>{say("Which overlap?")}</h4><div class="nc-scroll" tabindex="0" role="region" '
        f'aria-label="{say("Overlap of clusters")}"><table class="nc-heat"><thead><tr>'
        f'<th scope="col"><span class="nc-sr">{say("Clips of cluster")}</span></th>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
        f'<p class="nc-note">{note}</p></div>'
    )


def _explanation(parameters: ClusterParameters) -> str:
    words = say(
        "Fakes come from many generators, and those that work alike sound alike. <i>k-means</i> sorts the "
        "fakes into clusters by their embeddings. How many there are is not known: every number up to that "
        "of the generators is tried, {most} at most, and the one with the best <i>silhouette</i> is taken. "
        "That is how much nearer a clip is to its own cluster than to the next one, from -1 to 1; below "
        "{least} there is only one cluster. The reach of a cluster is the distance within which {share} % "
        "of its own clips lie. The paper (Yousif et al. 2024, Algorithm 2) leaves open how the number is "
        "found and when clusters overlap; these are this project's answers.",
        most=parameters.most_clusters,
        least=number(parameters.least_silhouette, "g"),
        share=f"{100 * parameters.radius_quantile:.0f}",
    )
    return (
        f'<details class="nc-more"><summary>{say("What does this mean?")}</summary><p>{words}</p></details>'
    )
