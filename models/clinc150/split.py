"""
Write one split of the CLINC150 data, its out-of-scope rows included, as labelled examples for `softgate calibrate`.

    python models/clinc150/split.py --data PATH/clinc150 --split val --output build/clinc150-val.csv
"""

import argparse
import csv
import json
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with data_full.json")
    parser.add_argument("--split", choices=["val", "test"], default="val")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    splits = json.loads((arguments.data / "data_full.json").read_text(encoding="utf-8"))
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    with arguments.output.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["text", "label"])
        # The data calls what is out of scope `oos`, which is no label of the model.
        writer.writerows(splits[arguments.split] + splits[f"oos_{arguments.split}"])


if __name__ == "__main__":
    main()
