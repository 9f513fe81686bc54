"""One test impression to words and numbers: why DeepFM gave it its score."""

from deepfm.explanation import best_change, describe, explain
from deepfm.explanation.beyond import Beyond, beyond_of_one
from deepfm.formats import format_logit
from deepfm.trained import TrainedModel

PERMUTATIONS = 500
MOST = 3


def impression_in_words(model: TrainedModel, beyond: Beyond, row: int) -> list[str]:
    """The sentence of the Impression page and the numbers behind it, a line each."""
    why = explain(model, part="test", row=row, permutations=PERMUTATIONS)
    one = beyond_of_one(model, beyond, why.ids)
    values = ", ".join(f"{name} {value}" for name, value in why.values.items())
    pairs = sorted(why.pairs.items(), key=lambda item: -abs(item[1]))[:MOST]
    fields = sorted((why.deep_by_field or {}).items(), key=lambda item: -abs(item[1]))[:MOST]
    error = why.deep_standard_error or {}
    happened = "used" if why.label else "not used"
    return [
        f"Test row {row} ({values}; {happened}):",
        "".join(span.text for span in describe(why, best_change(model, why.ids))),
        f"base {format_logit(why.base)}, linear {format_logit(why.linear)}, pairwise "
        f"{format_logit(why.pairwise)}, deep {format_logit(why.deep)}: logit "
        f"{format_logit(why.logit)}.",
        "Strongest pairs: "
        + ", ".join(f"{a} × {b} {format_logit(value)}" for (a, b), value in pairs)
        + ".",
        "Network by field: "
        + ", ".join(
            f"{name} {format_logit(value)} (± {1.96 * error[name]:.2f})" for name, value in fields
        )
        + ".",
        f"Network by what it takes: single fields {format_logit(one.singles_total)}, pairs "
        f"{format_logit(one.pairs_total)}, three or more {format_logit(one.beyond)}.",
    ]
