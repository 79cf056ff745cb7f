"""A UNet without work that changes nothing: divisions by 1, and in sampling a second tensor for each sum."""

from __future__ import annotations

from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


def lean(network: nn.Module) -> nn.Module:
    """The network, whose residual blocks of the usual kind take the short way to the same bits."""
    from diffusers.models.resnet import ResnetBlock2D

    for block in network.modules():
        if type(block) is ResnetBlock2D and _usual(block):
            block.forward = MethodType(_forward, block)
    return network


def _usual(block: Any) -> bool:
    """Whether a block is GroupNorm, SiLU and convolution twice, the time added between, and nothing else."""
    resized = block.upsample is not None or block.downsample is not None
    parts = ((block.nonlinearity, nn.SiLU), (block.norm1, nn.GroupNorm), (block.norm2, nn.GroupNorm))
    right = all(type(part) is kind for part, kind in parts) and block.time_embedding_norm == "default"
    return right and not resized and block.output_scale_factor == 1


def _forward(self: Any, input_tensor: Tensor, temb: Tensor | None, *_: Any) -> Tensor:
    """What diffusers' block gives for (B, C, H, W) and the embedding of the time (B, E)."""
    hidden = self.conv1(_silu(self.norm1(input_tensor)))
    if temb is not None and self.time_emb_proj is not None:
        time = self.time_emb_proj(temb if self.skip_time_act else functional.silu(temb))[:, :, None, None]
        hidden = hidden.add_(time) if _free(hidden, time) else hidden + time
    hidden = self.conv2(self.dropout(_silu(self.norm2(hidden))))
    if self.conv_shortcut is not None:
        input_tensor = self.conv_shortcut(input_tensor.contiguous() if self.training else input_tensor)
    if _free(hidden, input_tensor) and hidden.stride() == input_tensor.stride():
        return hidden.add_(input_tensor)
    return input_tensor + hidden


def _silu(fresh: Tensor) -> Tensor:
    """Of a tensor that nobody else holds."""
    return functional.silu(fresh, inplace=not torch.is_grad_enabled())


def _free(fresh: Tensor, other: Tensor) -> bool:
    """Whether a sum may take the place of `fresh`, which nobody else holds: no gradient, no wider type."""
    return not torch.is_grad_enabled() and fresh.dtype == other.dtype
