"""Models of torchvision, timm and transformers with random weights, in small sizes: what check_architectures.py --libraries trains one step of.

Dropout is off everywhere; BatchNorm trains.
"""
import torch
import torch.nn as nn

from .parts import CLASSES, ids

WORDS, LENGTH = 61, 12


class Output(nn.Module):
    """One tensor of what a model of transformers returns; its inputs by name."""

    def __init__(self, model, names, field="logits", **fixed):
        super().__init__()
        self.model, self.names, self.field, self.fixed = model, names, field, fixed

    def forward(self, *inputs):
        out = self.model(**dict(zip(self.names, inputs)), **self.fixed)
        return out[self.field] if self.field in out else out[0]


def still(net):
    """Without dropout in any form."""
    for module in net.modules():
        for name in ("p", "dropout_rate", "drop_prob", "drop_p", "attention_dropout", "dropout", "activation_dropout", "layerdrop", "dropout_p", "dropout_prob"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    return net


def classified(net, x):
    with torch.no_grad():
        out = still(net).eval()(*x)
    net.spread = 0.01
    labels = ids(*(out.shape[:1] + out.shape[2:] if out.dim() == 4 else out.shape[:-1]), n=min(CLASSES, out.shape[1 if out.dim() == 4 else -1]))
    return net, x, labels, "cross_entropy"


class Main(nn.Module):
    """The first or only output: torchvision's classifiers with auxiliary heads, and its segmentation."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        out = self.net(x)
        return out["out"] if isinstance(out, dict) else out[0] if isinstance(out, tuple) else out


def vision(name, size=64, **options):
    def make():
        import torchvision
        options.setdefault("num_classes", CLASSES)
        return classified(Main(torchvision.models.get_model(name, weights=None, **options)), (torch.randn(2, 3, size, size),))
    return make


def video(name):
    def make():
        import torchvision
        return classified(torchvision.models.get_model(name, weights=None, num_classes=CLASSES), (torch.randn(2, 3, 4, 32, 32),))
    return make


def image_model(name, size=64, **options):
    def make():
        import timm
        return classified(timm.create_model(name, pretrained=False, num_classes=CLASSES, exportable=True, **options), (torch.randn(2, 3, size, size),))
    return make


SMALL = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, vocab_size=WORDS, max_position_embeddings=40,
             hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, pad_token_id=0, bos_token_id=1, eos_token_id=2, use_cache=False)


def made(config, head, attention):
    import transformers
    for implementation in (attention, "eager"):  # not every model has the fused one
        config._attn_implementation = implementation
        try:
            return getattr(transformers, "AutoModelFor" + head).from_config(config)
        except ValueError as e:
            if "attention implementation" not in str(e):
                raise


def text(kind, head, attention="sdpa", decoder=False, **options):
    """A model of transformers by its config's name and AutoModelFor...; token ids and, for encoders, a padding mask."""
    def make():
        import transformers
        config = transformers.AutoConfig.for_model(kind, **{**SMALL, "num_labels": CLASSES, **options})
        model = made(config, head, attention)
        x = torch.randint(3, WORDS, (2, LENGTH))
        mask = torch.ones_like(x)
        mask[1, -3:] = 0
        if head == "Seq2SeqLM":
            return classified(Output(model, ["input_ids", "attention_mask", "decoder_input_ids"]), (x, mask, torch.randint(3, WORDS, (2, 7))))
        if head == "CausalLM":
            return classified(Output(model, ["input_ids"], use_cache=False), (x,))
        return classified(Output(model, ["input_ids", "attention_mask"]), (x, mask))
    return make


def pixels(kind, head="ImageClassification", attention="sdpa", size=32, field="logits", name="pixel_values", shape=None, **options):
    def make():
        import transformers
        config = transformers.AutoConfig.for_model(kind, **{"num_labels": CLASSES, **options})
        model = made(config, head, attention)
        return classified(Output(model, [name], field), (torch.randn(*(shape or (2, 3, size, size))),))
    return make


VIT = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, image_size=32, patch_size=8, hidden_dropout_prob=0.0,
           attention_probs_dropout_prob=0.0)
LLAMA = dict(num_key_value_heads=2, attention_dropout=0.0, head_dim=8)
SEQ = dict(d_model=32, encoder_layers=2, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48,
           dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, decoder_start_token_id=1)
AUDIO = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, conv_dim=(16, 16), conv_kernel=(10, 3), conv_stride=(5, 2),
             num_conv_pos_embeddings=8, num_conv_pos_embedding_groups=4, hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0,
             feat_proj_dropout=0.0, layerdrop=0.0, apply_spec_augment=False, vocab_size=WORDS, mask_time_prob=0.0, final_dropout=0.0)

NETS = {
    **{"tv_" + n: vision(n) for n in ("resnet18", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5",
                                      "squeezenet1_1", "densenet121", "mnasnet0_5", "efficientnet_b0", "regnet_y_400mf",
                                      "swin_t")},
    "tv_googlenet": vision("googlenet", aux_logits=False, init_weights=False),
    "tv_deeplabv3": vision("deeplabv3_mobilenet_v3_large", weights_backbone=None),
    "tv_lraspp": vision("lraspp_mobilenet_v3_large", weights_backbone=None),
    "tv_r3d_18": video("r3d_18"),
    **{"timm_" + n: image_model(n) for n in (
        "test_byobnet", "test_convnext", "test_convnext2", "test_efficientnet", "test_efficientnet_gn", "test_efficientnet_evos", "test_mambaout",
        "test_nfnet", "test_resnet", "ghostnet_050", "mobileone_s0", "hardcorenas_a", "lcnet_050", "tinynet_e", "mobilenetv4_conv_small",
        "edgenext_xx_small", "rexnet_100", "skresnet18", "seresnet18", "ecaresnet26t",
        "starnet_s1", "fastvit_t8",
        "poolformer_s12", "inception_next_atto", "mobilevit_xxs", "efficientvit_b0", "repvit_m0_9", "nf_regnet_b0", "regnetz_005")},
    **{"timm_" + n: image_model(n, 160, img_size=160) for n in ("test_vit", "test_vit2", "test_vit3", "test_vit4")},
    **{"timm_" + n: image_model(n, 64, img_size=64) for n in ("vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224", "mixer_s32_224", "gmlp_ti16_224", "resmlp_12_224",
                                                             "cait_xxs24_224", "xcit_nano_12_p16_224", "pit_ti_224",
                                                             "coat_tiny", "twins_svt_small", "visformer_tiny", "sequencer2d_s")},
    **{f"hf_{n}": text(n, "SequenceClassification") for n in ("bert", "roberta", "electra", "ernie", "mpnet", "roformer", "convbert", "camembert",
                                                              "xlm-roberta", "layoutlm", "nystromformer", "fnet", "rembert", "megatron-bert", "data2vec-text", "ibert")},
    "hf_bert_eager": text("bert", "MaskedLM", "eager"),
    "hf_albert": text("albert", "MaskedLM", embedding_size=16),
    "hf_distilbert": text("distilbert", "TokenClassification", dim=32, n_layers=2, n_heads=4, hidden_dim=48, dropout=0.0, attention_dropout=0.0),
    "hf_deberta": text("deberta-v2", "SequenceClassification", relative_attention=True, position_buckets=8, pos_att_type=["p2c", "c2p"], pooler_hidden_size=32),
    "hf_modernbert": text("modernbert", "MaskedLM", "sdpa", global_attn_every_n_layers=2, local_attention=4, embedding_dropout=0.0, mlp_dropout=0.0, attention_dropout=0.0, reference_compile=False),
    "hf_mobilebert": text("mobilebert", "SequenceClassification", embedding_size=16, intra_bottleneck_size=16, num_feedforward_networks=2),
    "hf_longformer": text("longformer", "SequenceClassification", attention_window=4),
    "hf_gpt2": text("gpt2", "CausalLM", n_embd=32, n_layer=2, n_head=4, n_positions=40, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0),
    "hf_gpt2_eager": text("gpt2", "CausalLM", "eager", n_embd=32, n_layer=2, n_head=4, n_positions=40, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0),
    "hf_gpt_neo": text("gpt_neo", "CausalLM", "eager", num_layers=2, num_heads=4, attention_types=[[["global", "local"], 1]], window_size=4, resid_dropout=0.0, embed_dropout=0.0, attention_dropout=0.0),
    "hf_gptj": text("gptj", "CausalLM", "eager", n_embd=32, n_layer=2, n_head=4, rotary_dim=4, n_positions=40, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0),
    "hf_gpt_neox": text("gpt_neox", "CausalLM", hidden_dropout=0.0, attention_dropout=0.0),
    "hf_opt": text("opt", "CausalLM", ffn_dim=48, dropout=0.0, attention_dropout=0.0, word_embed_proj_dim=32),
    "hf_bloom": text("bloom", "CausalLM", "eager", n_layer=2, n_head=4, hidden_dropout=0.0, attention_dropout=0.0),
    "hf_falcon": text("falcon", "CausalLM", "eager", hidden_dropout=0.0, attention_dropout=0.0),
    **{f"hf_{n}": text(n, "CausalLM", **LLAMA) for n in ("llama", "mistral", "qwen2", "qwen3", "gemma", "olmo", "olmo2", "stablelm", "starcoder2", "granite", "smollm3", "phi", "phi3",
                                                        "cohere", "glm", "helium", "persimmon", "biogpt", "ministral", "seed_oss")},
    "hf_gemma2": text("gemma2", "CausalLM", "eager", sliding_window=4, query_pre_attn_scalar=8, **LLAMA),
    "hf_gemma3": text("gemma3_text", "CausalLM", "eager", sliding_window=4, query_pre_attn_scalar=8, **LLAMA),
    "hf_llama_eager": text("llama", "CausalLM", "eager", **LLAMA),
    "hf_mpt": text("mpt", "CausalLM", "eager", d_model=32, n_heads=4, n_layers=2, max_seq_len=40),
    "hf_mamba": text("mamba", "CausalLM", "eager", state_size=4, expand=2, conv_kernel=3, time_step_rank=4, use_mambapy=False),
    "hf_t5": text("t5", "Seq2SeqLM", d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, dropout_rate=0.0, decoder_start_token_id=1),
    "hf_t5_gated": text("t5", "Seq2SeqLM", d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4, dropout_rate=0.0, decoder_start_token_id=1, feed_forward_proj="gated-gelu"),
    **{f"hf_{n}": text(n, "Seq2SeqLM", **SEQ) for n in ("bart", "mbart", "pegasus", "marian", "blenderbot", "m2m_100", "plbart")},
    "hf_vit": pixels("vit", **VIT), "hf_vit_eager": pixels("vit", attention="eager", **VIT), "hf_beit": pixels("beit", **VIT),
    "hf_dinov2": pixels("dinov2", **{**VIT, "mlp_ratio": 2}), "hf_yolos": pixels("yolos", "ObjectDetection", **{**VIT, "image_size": [32, 32], "num_detection_tokens": 3}),
    "hf_ijepa": pixels("ijepa", **VIT), "hf_vit_msn": pixels("vit_msn", **VIT),
    "hf_swin": pixels("swin", embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4, image_size=32, patch_size=2, hidden_dropout_prob=0.0, drop_path_rate=0.0),
    "hf_swinv2": pixels("swinv2", embed_dim=16, depths=[2, 2], num_heads=[2, 4], window_size=4, image_size=32, patch_size=2, hidden_dropout_prob=0.0, drop_path_rate=0.0),
    "hf_convnext": pixels("convnext", hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1]), "hf_convnextv2": pixels("convnextv2", hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1]),
    "hf_resnet": pixels("resnet", embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1]), "hf_regnet": pixels("regnet", embedding_size=8, hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], groups_width=8),
    "hf_poolformer": pixels("poolformer", hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], drop_path_rate=0.0),
    "hf_segformer": pixels("segformer", "SemanticSegmentation", hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 4], decoder_hidden_size=16, drop_path_rate=0.0, classifier_dropout_prob=0.0, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
    "hf_mobilevit": pixels("mobilevit", hidden_sizes=[16, 24, 32], neck_hidden_sizes=[8, 8, 16, 16, 24, 32, 48], hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, classifier_dropout_prob=0.0, size=64, image_size=64),
    "hf_mobilenet_v2": pixels("mobilenet_v2", depth_multiplier=0.35, image_size=32, classifier_dropout_prob=0.0),
    "hf_pvt": pixels("pvt", hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1], num_attention_heads=[1, 2, 2, 4], image_size=32, drop_path_rate=0.0),
    "hf_focalnet": pixels("focalnet", embed_dim=8, depths=[1, 1], focal_levels=[2, 2], focal_windows=[3, 3], image_size=32, drop_path_rate=0.0, hidden_sizes=[8, 16]),
    "hf_wav2vec2": pixels("wav2vec2", "CTC", name="input_values", shape=(2, 400), **AUDIO), "hf_hubert": pixels("hubert", "CTC", name="input_values", shape=(2, 400), **AUDIO),
    "hf_ast": pixels("audio-spectrogram-transformer", "AudioClassification", name="input_values", shape=(2, 24, 16), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48, max_length=24, num_mel_bins=16, patch_size=8, frequency_stride=8, time_stride=8, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
}
