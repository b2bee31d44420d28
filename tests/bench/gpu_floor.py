"""The least time of a training step on a GPU: its arithmetic at the rate of the best library product, and the memory traffic
that no fusion removes. Multiply-adds are two operations; the backward pass is two forward passes, less the first layer's input.
"""
# Name: operations per second of 16-bit products, bytes per second of copies. Of the H200 as measured; the H100 has the same
# arithmetic and 3.35 / 4.8 of the bandwidth.
CARDS = {"H200": (790e12, 4.27e12), "H100": (790e12, 2.98e12)}

# Network: operations and bytes per sample or token, bytes of the optimizer per step. A parameter costs AdamW 32 bytes and
# SGD with momentum 20. What ResNet-50's arithmetic takes hides behind its traffic (convolutions, batch norms fused).
MODELS = {
    "mlp": (9.6e6, 0.012e6, 1.86e6 * 20),
    "resnet50": (0, 210e6, 25.5e6 * 20),
    "bert_base": (524e6, 0.46e6, 110e6 * 32),
    "gpt2": (798e6, 0.76e6, 124e6 * 32),
}


def milliseconds(net, batch, sequence, device):
    """None for a card or a network without figures (LeNet's step is launches, not work)."""
    card = next((figures for name, figures in CARDS.items() if name in device), None)
    if card is None or net not in MODELS:
        return None
    operations, traffic, optimizer = MODELS[net]
    items = batch * sequence
    return (items * operations / card[0] + (items * traffic + optimizer) / card[1]) * 1e3
