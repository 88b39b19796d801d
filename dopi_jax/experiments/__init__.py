"""Experiments, where config, data, networks and evaluation meet: runs are trained, validated, measured and reported.

The commands parse their options and call these modules.
"""
