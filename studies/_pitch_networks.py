"""torchcrepe's side of `certificates_of_a_pitch_network`, in a process and an environment of its own.

Called as `python _pitch_networks.py NETWORK FRAMES.npy LOGITS.npy`; writes one row of 360 logits, before the
sigmoid, for each frame of 1,024 samples, and prints one JSON object: version, parameters, seconds of the
processor, and how far the logits of the first frames are from those of the package's own forward pass.

Kernels of 64 are long, and most products are with padding: the convolutions are computed as products of
Fourier transforms, which takes a tenth of the time and differs by rounding.
"""

import json
import sys
import time
import types
from importlib.metadata import version

import numpy as np

sys.modules["torchaudio"] = types.ModuleType("torchaudio")  # reads audio files, of which there are none here

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
import torchcrepe  # noqa: E402

ROWS = 64
CHECKED = 8
PADDING = ((254, 254), *(((31, 32),) * 5))


class Layer:
    """Convolution, ReLU, batch normalisation, the larger of each two."""

    def __init__(self, network, number):
        convolution, norm = getattr(network, f"conv{number}"), getattr(network, f"conv{number}_BN")
        self.padding, self.stride = PADDING[number - 1], convolution.stride[0]
        self.kernel, self.bias = convolution.weight[..., 0], convolution.bias
        self.scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        self.shift = norm.bias - norm.running_mean * self.scale
        self.spectra = {}

    def __call__(self, x):
        x = F.pad(x, self.padding)
        y = self.strided(x) if self.stride > 1 else self.by_spectra(x)
        y = (y + self.bias[:, None]).relu() * self.scale[:, None] + self.shift[:, None]
        return F.max_pool1d(y, 2, 2)

    def strided(self, x):
        """Of one channel."""
        return (x[:, 0].unfold(1, self.kernel.shape[-1], self.stride) @ self.kernel[:, 0].T).mT

    def by_spectra(self, x):
        length, taps = x.shape[-1], self.kernel.shape[-1]
        if length not in self.spectra:  # frequency × in × out
            self.spectra[length] = torch.fft.rfft(self.kernel, length).conj().permute(2, 1, 0).contiguous()
        product = torch.fft.rfft(x).permute(2, 0, 1) @ self.spectra[length]
        return torch.fft.irfft(product.permute(1, 2, 0), length)[..., : length - taps + 1]


def logits_of(network):
    layers = [Layer(network, number) for number in range(1, 7)]

    def logits(frames):
        x = frames[:, None]
        for layer in layers:
            x = layer(x)
        return network.classifier(x.mT.reshape(len(x), -1))

    return logits


@torch.inference_mode()
def main():
    kind, source, target = sys.argv[1:]
    torchcrepe.load.model("cpu", kind)
    network = torchcrepe.infer.model.eval()
    frames, start = torch.from_numpy(np.load(source)), time.process_time()
    logits = logits_of(network)
    found = torch.cat([logits(part) for part in frames.split(ROWS)])
    seconds = time.process_time() - start
    first = slice(CHECKED)
    apart = float((network(frames[first]) - found[first].sigmoid()).abs().max())
    np.save(target, found.numpy())
    told = {
        "version": version("torchcrepe"),
        "parameters": sum(part.numel() for part in network.parameters()),
        "seconds": seconds,
        "apart": apart,
    }
    print(json.dumps(told))  # noqa: T201


if __name__ == "__main__":
    main()
