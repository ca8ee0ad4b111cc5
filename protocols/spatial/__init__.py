"""What a spatial head is: its shape and its forward pass, for whoever trains one. Pure: TensorFlow is handed in."""
