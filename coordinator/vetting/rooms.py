"""Files in a job's room, under names that both sides of the sandbox know."""

STAGE, STRIP = "stage.tflite", "golden.png"
MODEL, CONVERTED = "model", "converted.tflite"
