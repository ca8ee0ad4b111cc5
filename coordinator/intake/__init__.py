"""What comes in: training images, checked and cleaned before anything is stored."""
