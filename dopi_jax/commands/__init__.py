"""The commands train.py and evaluate.py: where config, data, training and evaluation meet."""
