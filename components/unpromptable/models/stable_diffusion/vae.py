"""Pictures to latents and back, by the VAE of Stable Diffusion 3."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from unpromptable import data, equations


class Latents:
    """A frozen AutoencoderKL; it reads each picture once."""

    def __init__(self, vae, device: torch.device):
        self.vae, self.device = vae.to(device).eval().requires_grad_(False), device
        self.factor = 2 ** (len(vae.config.block_out_channels) - 1)
        self.scale, self.shift = vae.config.scaling_factor, vae.config.shift_factor or 0
        self.encoded: dict[str, Tensor] = {}
        self.places: list[tuple[np.ndarray, dict[int, Tensor]]] = []  # by array and place in it

    def encode(self, images: np.ndarray) -> Tensor:
        """uint8 (N, H, W, 3) to latents (N, C, h, w) float32: the mean of the VAE's distribution."""
        return torch.stack([self._encoded(image) for image in images])

    def encoded_of(self, images: np.ndarray, which: np.ndarray) -> Tensor:
        """Latents of pictures `which` of an array that nobody changes: only the first time is a picture
        read.
        """
        known = next((known for array, known in self.places if array is images), None)
        if known is None:
            self.places.append((images, known := {}))
        for i in which:
            if int(i) not in known:
                known[int(i)] = self._encoded(images[i])
        return torch.stack([known[int(i)] for i in which])

    def _encoded(self, image: np.ndarray) -> Tensor:
        key = data.sha256(image)
        if key not in self.encoded:
            with torch.inference_mode(False), torch.no_grad():
                x = equations.signed(equations.planes(image)[None]).to(self.device, self.vae.dtype)
                z = self.vae.encode(x).latent_dist.mode().float()
                self.encoded[key] = ((z - self.shift) * self.scale)[0]
        return self.encoded[key]

    def decode(self, x: Tensor) -> np.ndarray:
        """Latents to uint8 (N, H, W, 3), rounded to the nearest level; one picture at a time, for memory."""
        z = (x / self.scale + self.shift).to(self.vae.dtype)
        with torch.no_grad():
            pixels = torch.cat([self.vae.decode(one[None], return_dict=False)[0].float() for one in z])
        return equations.levels(pixels)
