"""Small nets of many architectures, as users export them: what tests/bench/check_architectures.py trains one step of.

Each entry of NETS is a function that returns (module, example inputs, labels, loss): loss is cross_entropy (labels: class ids), mse, or
output: the net's first output is the loss.
"""
from . import attention, convolutions, language, losses, models_of_text, others, sequences, tables, vision

NETS = {**convolutions.NETS, **vision.NETS, **attention.NETS, **language.NETS, **models_of_text.NETS, **sequences.NETS, **tables.NETS, **others.NETS, **losses.NETS}
