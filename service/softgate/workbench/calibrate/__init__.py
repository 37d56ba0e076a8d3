"""
`softgate calibrate`: labelled rows → `calibration.json`, with the evidence for it.

`labelled` runs the rows through the code that serves them; `fit` finds the map from logits to probabilities; `judged`
says of each row what came out and whether it was right; `policy` sets gate, sets and thresholds by what is promised;
`held_out` does it all again on parts of the rows, so that nothing is measured where it was fitted; `evidence` writes
down what was seen; `calibrate` is the use case.
"""
