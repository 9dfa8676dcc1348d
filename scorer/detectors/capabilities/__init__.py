"""What some detectors can do beyond the model seam: describe images, and learn from labelled defects."""
