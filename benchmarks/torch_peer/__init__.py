"""The step of phase 1 in plain PyTorch, as the lineage of the paper's code computes it, to be timed beside ours.

Only what that step needs: DispResNet6, PoseNetB6, the losses of the row "full", and the masks, vectorised and in the way of
the published code. Importing a module of this package needs PyTorch.
"""
