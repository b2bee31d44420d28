"""Small nets of many architectures, as users export them: what tests/bench/check_architectures.py trains one step of.

Each entry of NETS is a function that returns (module, example inputs, labels, loss): loss is cross_entropy (labels: class ids), mse, or
output: the net's first output is the loss.
"""
from . import attention, convolutions, language, losses, others, sequences

NETS = {**convolutions.NETS, **attention.NETS, **language.NETS, **sequences.NETS, **others.NETS, **losses.NETS}
