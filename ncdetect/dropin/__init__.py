"""Dropin and plasticity (Li et al. 2026, arXiv 2603.24343): neurons added to layers of a trained detector.

    dropin      the old weights stay frozen, only the new neurons are trained:
                wide = widen(detector, share=0.25); freeze_old(wide); train wide
    plasticity  wide = widen(detector, share=0.25); train all of wide; train prune(wide)

The paper names the layers' kinds and the steps. That a widened detector starts as the function it was, how
many neurons a layer gets, and how they start, are our choices.
"""

from ncdetect.dropin.widening import (
    Widening,
    freeze_old,
    layers_of,
    new_parameters,
    prune,
    widen,
    widening_of,
)

__all__ = ["Widening", "freeze_old", "layers_of", "new_parameters", "prune", "widen", "widening_of"]
