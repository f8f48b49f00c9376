"""NETtalk: letters to phonemes, by a window of seven letters and by an encoder-decoder.

After T. J. Sejnowski and C. R. Rosenberg, Parallel networks that learn to pronounce English text,
1987: each phoneme from its letter and three on either side, through 80 sigmoid units; and K. Cho et
al., Learning phrase representations using RNN encoder-decoder, 2014, which sees the word as one
vector. The bundled words are made by the rules of Italian's orthography; `dlc train nettalk --set
"data=nettalk.data?length=12"` reads NETtalk's dictionary. Differs: a score for each phoneme in
place of articulatory features, and Adam.
"""

from __future__ import annotations

import dlc
from dlc import Node, f32, i32, nn, optim

SIZE, UNITS = 96, 96  # characters
LEARNING = optim.adam(optim.one_cycle(8e-3), clip=optim.clip_by_norm(1.0))
window = nn.chain(nn.conv(80, 7, padding=3), dlc.sigmoid, nn.conv(SIZE, 1), name="window")
translator = nn.encoder_decoder(SIZE, SIZE, UNITS, name="translator")


def judged(scores: Node, phonemes: Node) -> dlc.Loss:
    """Cross-entropy and the share of phonemes that are right, silent ones among them; and that of
    whole words."""
    there = phonemes != 0
    right = dlc.argmax(scores, 2) == phonemes
    accuracy = dlc.cast(right & there, f32).sum() / dlc.cast(there, f32).sum()
    return dlc.loss(nn.cross_entropy(scores, phonemes), accuracy=accuracy,
                    words=dlc.cast(right.all(1), f32).mean())


@dlc.task(data="spelling", optimizer=LEARNING, batch=50, epochs=6)
def nettalk(letters: i32["batch", 12], phonemes: i32["batch", 12]) -> dlc.Loss:
    seen = dlc.moveaxis(dlc.one_hot(letters, SIZE), 1, 2)
    return judged(dlc.moveaxis(window(seen), 1, 2), phonemes)


@dlc.task(data="spelling", optimizer=LEARNING, batch=50, epochs=24)
def phonemes(letters: i32["batch", 12], phonemes: i32["batch", 12]) -> dlc.Loss:
    return judged(translator(letters, phonemes), phonemes)
