"""Names of the views that join a student's two heads, the same in every task."""

SIGLINO = "ensemble (siglino)"  # the released form
AVERAGE = "ensemble (average)"
CALIBRATED = "ensemble (calibrated)"  # temperatures fitted on samples of the train split
CONCAT = "ensemble (concat)"  # one vector of both
ORACLE = "top1 (better of the two heads)"  # what no choice between the two can beat
