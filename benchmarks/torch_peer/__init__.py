"""The steps of both phases in plain PyTorch, as the lineage of the paper's code computes them, to be timed beside ours.

Only what those steps need: DispResNet6, PoseNetB6 and Back2Future, the losses of the rows "full", and the masks, vectorised
and in the way of the published code. Importing a module of this package needs PyTorch.
"""
