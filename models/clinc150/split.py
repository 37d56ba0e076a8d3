"""
Write one split of the CLINC150 data as labelled examples, for `softgate calibrate`.

    python models/clinc150/split.py --data PATH/clinc150 --split val --output build/val.jsonl
"""

import argparse
import json
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with data_full.json")
    parser.add_argument("--split", default="val")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    rows = json.loads((arguments.data / "data_full.json").read_text(encoding="utf-8"))[arguments.split]
    lines = (json.dumps({"text": text, "label": label}, ensure_ascii=False) + "\n" for text, label in rows)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
