"""Real data, downloaded by none at run time: digits, folders of IDX files and of mails, arrays from files."""

from typing import TYPE_CHECKING

from kdtheory._lazy import lazily

if TYPE_CHECKING:
    from kdtheory.datasets.arrays import as_labels, as_logits, read_array, read_labels, read_logits, settled
    from kdtheory.datasets.columns import check_same_columns
    from kdtheory.datasets.idx import idx_folder, read_idx
    from kdtheory.datasets.images import Images, digits
    from kdtheory.datasets.load import load_images, load_splits
    from kdtheory.datasets.mails import Mails, spam_assassin_folder, word_numbers
    from kdtheory.datasets.stored import ReadArray, read_table

__all__ = [
    "Images",
    "Mails",
    "ReadArray",
    "as_labels",
    "as_logits",
    "check_same_columns",
    "digits",
    "idx_folder",
    "load_images",
    "load_splits",
    "read_array",
    "read_idx",
    "read_labels",
    "read_logits",
    "read_table",
    "settled",
    "spam_assassin_folder",
    "word_numbers",
]
lazily(__name__)
