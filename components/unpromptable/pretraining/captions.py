"""What can be said of a portrait, and CLIP's tokenizer for it."""

from __future__ import annotations

import json

from unpromptable.miniature import portraits

LENGTH = 40  # tokens of the longest caption, with start and end


def phrases(person: portraits.Identity) -> list[str]:
    """Everything that can be said of a person, hair also by its colour or cut alone."""
    hair = [f"{person.cut} {person.hair} hair", f"{person.hair} hair", f"{person.cut} hair"]
    said = ["a bald head"] if person.cut == "bald" else hair
    said += [f"{person.skin} skin", f"{person.eyes} eyes"]
    if person.beard != "none":
        said.append({"full": "a full beard"}.get(person.beard, f"a {person.beard}"))
    if person.glasses != "none":
        said.append(f"{person.glasses} glasses")
    if person.hat != "none":
        said.append({"brimmed": "a brimmed hat"}.get(person.hat, f"a {person.hat}"))
    return [*said, f"on a {person.ground} background"]


def whole(person: portraits.Identity) -> str:
    """The caption of all that is so, hair said once."""
    again = (f"{person.hair} hair", f"{person.cut} hair")
    return sentence([s for s in phrases(person) if s not in again])


def sentence(said: list[str]) -> str:
    """A caption of some phrases; the background comes last."""
    features = [s for s in said if not s.startswith("on a")]
    ground = [s for s in said if s.startswith("on a")]
    return " ".join(["a person", *(["with " + ", ".join(features)] if features else []), *ground])


def some(said: list[str], rng) -> list[str]:
    """A few or all of a person's phrases, in their order."""
    count = int(rng.integers(1, len(said) + 1))
    return [said[i] for i in sorted(rng.choice(len(said), count, replace=False))]


def tokenizer():
    """CLIP's own tokenizer with a vocabulary of the captions' words; other words are spelled."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    special = ["<|startoftext|>", "<|endoftext|>"]
    letters = [chr(c) for c in range(33, 127)]
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(",", "isolated"), pre_tokenizers.WhitespaceSplit()]
    )
    bpe.train_from_iterator(
        [sentence(phrases(portraits.identity(n))) for n in range(1000, 3000)],
        trainers.BpeTrainer(
            vocab_size=600,
            special_tokens=special,
            initial_alphabet=letters,
            end_of_word_suffix="</w>",
            show_progress=False,
        ),
    )
    made = json.loads(bpe.to_str())["model"]
    vocabulary = made["vocab"]
    for letter in letters:
        vocabulary.setdefault(f"{letter}</w>", len(vocabulary))
    return CLIPTokenizer(vocabulary, [tuple(m) for m in made["merges"]], model_max_length=LENGTH)


def tokens(words, captions: list[str]):
    """Captions as the model takes them, filled up or cut to LENGTH."""
    return words(captions, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
