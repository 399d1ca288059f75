"""Make the label issues of the official test images of Fashion-MNIST, which ship with the package.

    .venv/bin/python scripts/make_suspects.py

The reference: five models by the recipe swift, seeds 0 to 4, each trained on four fifths of the official training
images (stratified, seed 0). The mean of their probabilities on the 10,000 test images, none of which they saw, goes to
confident learning. It is what ``fittingroom data check fashion-mnist --labels --suspects FILE`` finds in the test part.
About a minute on one thread; the same bytes each time on the same kind of processor, with the same versions.
"""

import torch

from fittingroom.audit.label_issues import SHIPPED, write_label_issues
from fittingroom.audit.official_part import part_of
from fittingroom.data.open import open_dataset
from fittingroom.data.splits import parts_of
from fittingroom.label_check import LabelCheck, check_labels


def main() -> None:
    torch.set_num_threads(1)
    parts = [part_of(role, dataset) for role, dataset in parts_of(open_dataset("fashion-mnist")).items()]
    findings, label_issues = check_labels(parts, LabelCheck(keep=False), print)
    for finding in findings:
        print(finding.message)

    # of test alone: what is judged on the training images is nobody's result
    of_test = [issues for part, issues in zip(parts, label_issues, strict=True) if part.role == "test"]
    write_label_issues(SHIPPED, of_test)


if __name__ == "__main__":
    main()
